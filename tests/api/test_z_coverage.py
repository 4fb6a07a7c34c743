# SPDX-License-Identifier: Apache-2.0
"""Last: every route has been called with success, and every documented answer has been seen."""
import pytest

import harness

# What only a broken or full disk or an overloaded server answers: tests/fault provokes it.
ELSEWHERE = {500, 503, 507}


def seen():
    """op -> {(status, code)}"""
    found = {}
    for exchange in harness.LOG:
        found.setdefault(exchange.op, set()).add((exchange.status, exchange.code))
    return found


@pytest.fixture(scope="module")
def table():
    return harness.parse_output(harness.run_binary("routes", "--json").stdout)


def assert_none(missing):
    """`missing`: op -> what was never seen of it."""
    lines = [f"{op}: {what}" for op, what in missing.items() if what]
    assert not lines, "never seen:\n" + "\n".join(lines)


def test_document_and_table_name_the_same_routes(server, table):
    named = {(op.id, op.method.upper(), op.path) for op in server.openapi().operations}
    assert named == {(row["op"], row["method"], row["path"]) for row in table}


def test_document_and_table_name_the_same_answers(server, table):
    named = {op.id: op.statuses for op in server.openapi().operations}
    rows = {row["op"]: {*row["replies"], *(error["status"] for error in row["errors"])}
            for row in table}
    assert named == rows


def test_every_route_was_called_with_success(table, whole_run):
    found = seen()
    assert_none({row["op"]: not any(status < 300 for status, _ in found.get(row["op"], ()))
                 for row in table})


def test_every_reply_was_seen(table, whole_run):
    found = seen()
    missing = {row["op"]: sorted(set(row["replies"]) - {s for s, _ in found.get(row["op"], ())}
                                 - ELSEWHERE) for row in table}
    assert_none(missing)


def test_every_documented_error_was_seen(table, whole_run):
    found, missing = seen(), {}
    for row in table:
        answers = found.get(row["op"], set())
        statuses = {status for status, _ in answers}
        for error in row["errors"]:
            pair = (error["status"], error["code"])
            # the other dialects say it in other words: there the status has to do
            was = pair in answers if row["dialect"] == "records" else pair[0] in statuses
            if not was and pair[0] not in ELSEWHERE:
                missing.setdefault(row["op"], []).append(pair)
    assert_none(missing)
