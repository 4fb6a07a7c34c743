# SPDX-License-Identifier: Apache-2.0
"""
Three nodes behind HAProxy, a primary and its synchronous replica, an S3 store, and mixed load: each
of them dies in turn. Nothing that was acknowledged is lost or done twice, and all that clients see
of it is 503 with Retry-After, for as long as what died takes to be replaced, and two seconds.

DOSSIER_FAILOVERS  rounds of the long run (1): each kills every node, then the primary, and stops
                   the store for 20 seconds
"""
import json
import os
import time

import pytest

from bed import ceph, postgres
from harness import wait_for
from load import Client, Load
from nodes import Balancer, Cluster, new_database, new_prefix

ROUNDS = int(os.environ.get("DOSSIER_FAILOVERS", "1"))
WITHIN, SLACK = 2, 13   # seconds; the promise, and more where the machine does other things, too
STORE_AWAY = 20


def url_of_both(pair):
    """A new database, on whichever of the two takes writes."""
    name = new_database(pair.primary).rsplit("/", 1)[1]
    return pair.url.replace(f"/{postgres.DATABASE}?", f"/{name}?")


def report(what, load, gone, back):
    """The service is there again; prints how soon."""
    first, last = load.await_service(back)
    answers = dict(sorted(load.statuses(gone, time.monotonic()).items()))
    print(f"  {what}: served after {first:.2f} s, every client after {last:.2f} s;"
          f" answers {answers}")
    assert last < WITHIN + SLACK


def kill_node(cluster, front, load, i):
    gone = time.monotonic()
    cluster.nodes[i].kill()
    report(f"node {i} killed", load, gone, gone)
    time.sleep(0.5)
    cluster.nodes[i].listen = cluster.nodes[i].base_url[len("http://"):]
    cluster.nodes[i].start()
    wait_for(lambda: len(front.up()) == len(cluster.nodes), 20)


def kill_primary(pair, load, down):
    gone = time.monotonic()
    pair.primary.server.kill()
    time.sleep(down)
    pair.failover()
    back = time.monotonic()
    report(f"primary killed, replica promoted {back - gone:.1f} s later", load, gone, back)


def stop_store(store, front, load, seconds):
    """Who needs no bytes is served meanwhile."""
    client, slowest, n = Client(-1, load.workspace.key(), [front.base_url]), 0.0, 0
    gone = time.monotonic()
    store.gateway.freeze()
    try:
        while time.monotonic() - gone < seconds:
            began, n = time.monotonic(), n + 1
            record = {"name": "n", "mime_type": "a/b", "storage_path": f"meanwhile/{n}"}
            status, _, made = client.ask_once("POST", "/v1/documents", json.dumps(record).encode())
            assert status == 201, made
            path = f"/v1/documents/{json.loads(made)['data']['id']}"
            assert client.ask_once("GET", path)[0] == 200
            assert client.ask_once("DELETE", path)[0] == 204
            slowest = max(slowest, time.monotonic() - began)
            load.others += 1
            time.sleep(0.1)
    finally:
        store.gateway.resume()
    print(f"  {n} records made, read and deleted meanwhile, the slowest in {slowest:.2f} s")
    assert slowest < WITHIN + SLACK
    report(f"store stopped for {seconds} s", load, gone, time.monotonic())


def everything_dies(pair, store):
    """One round. Its own cluster: a new replica has another address."""
    with Cluster(url_of_both(pair), new_prefix(store), count=3) as cluster, \
            Balancer(node.address[1] for node in cluster.nodes) as front:
        load = Load(cluster, [front.base_url])
        with load.running():
            load.await_service(time.monotonic())
            for i in range(3):
                kill_node(cluster, front, load, i)
            kill_primary(pair, load, down=1)
            time.sleep(1)
            stop_store(store, front, load, STORE_AWAY)
            time.sleep(1)
        load.verify()
        print(f"  {load.summary()}")


@pytest.mark.timeout(120)
def test_primary_dies(store):
    """The nodes find the promoted replica by themselves, by their list of hosts."""
    with postgres.Pair(durable=False) as pair, \
            Cluster(url_of_both(pair), new_prefix(store), count=2) as cluster:
        load = Load(cluster)
        with load.running():
            load.await_service(time.monotonic())
            kill_primary(pair, load, down=0.5)
            time.sleep(0.5)
        load.verify()
        print(f"  {load.summary()}")


@pytest.mark.slow
@pytest.mark.timeout(120 + 240 * ROUNDS)
def test_everything_dies():
    with postgres.Pair() as pair, ceph.Ceph(durable=True) as store:
        for n in range(ROUNDS):
            print(f"round {n + 1}")
            everything_dies(pair, store)
            pair.rejoin()
