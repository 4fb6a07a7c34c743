# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL goes away and comes back: what nodes answer meanwhile, and when they serve again."""
import time

import pytest

from bed import postgres
from harness import at_once, wait_for
from nodes import Cluster, new_database, new_prefix
from quick import Quick

LIMIT = 5.3     # seconds: dossier_statement_ms by default, and its grace
SLACK = 4       # for a machine that does other things, too


@pytest.fixture(scope="module")
def server():
    """A database of our own, to be hurt."""
    with postgres.Postgres() as server:
        yield server


@pytest.fixture(scope="module")
def pair(server, store):
    with Cluster(new_database(server), new_prefix(store), count=2) as cluster:
        yield cluster


def timed(client, *args):
    began = time.monotonic()
    answer = client.ask(*args)
    return answer, time.monotonic() - began


def record(n):
    return {"name": "n", "mime_type": "a/b", "storage_path": f"p{n}"}


def test_frozen_holds_up_no_loop(server, pair):
    """Of a database that hangs nobody hears but who asks it: not /healthz, not /readyz, and not
    who is refused without it. Those who ask are told within the limit of a statement."""
    node, workspace = pair.nodes[0], pair.workspace()
    keys = [workspace.key() for _ in range(40)]     # none of them known to the node
    Quick(node, keys[0]).ask("GET", "/v1/usage")
    server.server.freeze()
    try:
        asking = [Quick(node, key) for key in keys]
        watching = Quick(node)

        def watch(_):
            until, worst = time.monotonic() + 3, 0
            while time.monotonic() < until:
                for path, status in (("/healthz", 200), ("/readyz", None), ("/v1/usage", 401)):
                    answer, took = timed(watching, "GET", path)
                    assert answer.status_code == status or status is None
                    worst = max(worst, took)
                time.sleep(0.05)
            return worst

        found = at_once(41, lambda i: watch(i) if i == 40 else timed(
            asking[i], "POST", "/v1/documents", {}, record(i)))
        assert found[40] < 1, "a loop was held up"
        for answer, took in found[:40]:
            assert answer.status_code == 503 and int(answer.headers["Retry-After"]) >= 1
            assert took < 2 * LIMIT + SLACK
    finally:
        server.server.resume()
    client = Quick(node, keys[0])
    wait_for(lambda: client.ask("POST", "/v1/documents", {}, record("x")).status_code == 201, 20)
