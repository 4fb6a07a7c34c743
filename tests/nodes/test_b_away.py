# SPDX-License-Identifier: Apache-2.0
"""
PostgreSQL goes away and comes back: what nodes answer meanwhile, and when they serve again.

DOSSIER_OUTAGES    times that the server ends, of each long run (5)
DOSSIER_DB_CYCLES  times that connections are lost, of each long run (200)
"""
import os
import signal
import time
from urllib.parse import urlsplit

import pytest

from bed import postgres
from bed.tcp_proxy import TcpProxy
from harness import at_once, wait_for
from load import Load
from nodes import Cluster, new_database, new_prefix
from quick import Quick

LIMIT = 5.3     # seconds: dossier_statement_ms by default, and its grace
SLACK = 13      # for a machine that does other things, too
OUTAGES = int(os.environ.get("DOSSIER_OUTAGES", "5"))
CYCLES = int(os.environ.get("DOSSIER_DB_CYCLES", "200"))


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
        assert found[40] < 3, "a loop was held up"
        for answer, took in found[:40]:
            assert answer.status_code == 503 and int(answer.headers["Retry-After"]) >= 1
            assert took < 2 * LIMIT + SLACK
    finally:
        server.server.resume()
    client = Quick(node, keys[0])
    wait_for(lambda: client.ask("POST", "/v1/documents", {}, record("x")).status_code == 201, 20)


# ---- under load ----

def away_and_back(server, load, end, begin, down=1.0):
    """(seconds from when the server is back to the first acknowledgement, to that of the last
    client; answers meanwhile; the slowest of them)"""
    with load.running():
        load.await_service(time.monotonic())
        gone = time.monotonic()
        end()
        time.sleep(down)
        begin()
        back = time.monotonic()
        first, last = load.await_service(back)
        time.sleep(0.5)
    return first, last, load.statuses(gone, back), load.slowest(gone + 0.1, back)


ENDS = {
    "killed": lambda server: server.kill(),
    "stopped": lambda server: server.stop(signal.SIGINT),       # a fast shutdown
    "crashed": lambda server: os.kill(server.pid, signal.SIGQUIT) or server._ended(),
}


def one_outage(server, cluster, how):
    load = Load(cluster)
    first, last, meanwhile, slowest = away_and_back(
        server, load, lambda: ENDS[how](server.server), server.server.start)
    assert meanwhile[503] > 0
    load.verify()
    print(f"{how}: served {first:.2f} s after the server, every client after {last:.2f} s; the "
          f"slowest refusal took {slowest:.2f} s; {load.summary()}")
    assert slowest < 2 + SLACK and last < 2 + SLACK


def test_server_killed_under_load(server, pair):
    one_outage(server, pair, "killed")


@pytest.mark.slow
@pytest.mark.timeout(120 + 20 * OUTAGES)
@pytest.mark.parametrize("how", ENDS)
def test_server_ends_at_length(server, pair, how):
    for _ in range(OUTAGES):
        one_outage(server, pair, how)


def frozen(server, cluster, seconds):
    load = Load(cluster)
    first, last, meanwhile, slowest = away_and_back(
        server, load, server.server.freeze, server.server.resume, down=seconds)
    load.verify()
    print(f"frozen for {seconds} s: served {first:.2f} s after it was resumed, every client after "
          f"{last:.2f} s; the slowest refusal took {slowest:.2f} s; {load.summary()}")
    assert slowest < 2 * LIMIT + 6 + SLACK and last < 2 + SLACK


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seconds", [3, 20])
def test_frozen_under_load(server, pair, seconds):
    frozen(server, pair, seconds)


# ---- connections that are lost one by one ----

def terminated(server, cluster, cycles):
    """Each cycle ends every connection of the service, whatever it does."""
    load = Load(cluster)
    name = urlsplit(cluster.url).path[1:]
    with load.running():
        load.await_service(time.monotonic())
        for _ in range(cycles):
            server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                       f" WHERE datname = '{name}'")
            time.sleep(0.1)
        load.await_service(time.monotonic())
    load.verify()
    print(f"{cycles} cycles of pg_terminate_backend: {load.summary()}")


def test_connections_terminated(server, pair):
    terminated(server, pair, 5)


@pytest.mark.slow
@pytest.mark.timeout(120 + CYCLES)
def test_connections_terminated_at_length(server, pair):
    terminated(server, pair, CYCLES)


def cut_in_commit(server, store, cuts, towards):
    """The answer to a COMMIT is lost with its connection, or the COMMIT itself is: the audit line
    tells what became of it."""
    with TcpProxy(server.number) as proxy:
        url = new_database(server).replace(f":{server.number}/", f":{proxy.port}/")
        with Cluster(url, new_prefix(store), count=2) as cluster:
            load = Load(cluster)
            with load.running():
                load.await_service(time.monotonic())
                for _ in range(cuts):
                    cut = proxy.cut(towards=towards, pattern=b"COMMIT\0")
                    if towards == "server":
                        proxy.drop()    # the word is sent once on a connection, to be prepared
                    wait_for(lambda cut=cut: cut.hits == 1, 30, 0.005)
                    time.sleep(0.02)
                proxy.heal()
                load.await_service(time.monotonic())
            load.verify()
            print(f"{cuts} connections cut at COMMIT on its way to the {towards}: {load.summary()}")


def test_cut_in_commit(server, store):
    cut_in_commit(server, store, 5, "server")


@pytest.mark.slow
@pytest.mark.timeout(120 + 2 * CYCLES)
@pytest.mark.parametrize("towards", ["client", "server"])
def test_cut_in_commit_at_length(server, store, towards):
    cut_in_commit(server, store, CYCLES, towards)
