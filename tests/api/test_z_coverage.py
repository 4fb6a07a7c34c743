# SPDX-License-Identifier: Apache-2.0
"""Last: every route has been called with success, and every documented answer has been seen."""
import harness

# What only a broken disk, a full one, or an overloaded server answers: tests/fault provokes it.
ELSEWHERE = {500, 503, 507}


def seen():
    found = {}
    for exchange in harness.LOG:
        found.setdefault(exchange.op, set()).add(exchange.status)
    return found


def table(server):
    found = server.run("routes", "--json")
    return found["routes"] if isinstance(found, dict) else found


def test_document_and_table_name_the_same_routes(server):
    named = {(op.method.upper(), op.path) for op in server.openapi().operations}
    rows = {(row["method"], row["path"]) for row in table(server)}
    assert named == rows


def test_every_route_was_called_with_success(server, whole_run):
    found = seen()
    never = [op.id for op in server.openapi().operations
             if not any(status < 300 for status in found.get(op.id, ()))]
    assert never == []


def test_every_documented_answer_was_seen(server, whole_run):
    found = seen()
    missing = {op.id: sorted(op.statuses - found.get(op.id, set()) - ELSEWHERE)
               for op in server.openapi().operations}
    missing = {op: statuses for op, statuses in missing.items() if statuses}
    assert missing == {}
