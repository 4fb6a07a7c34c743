# SPDX-License-Identifier: Apache-2.0
"""
Three nodes behind HAProxy as it is shipped, a primary and its synchronous replica, an S3 store, and
mixed load: each of them dies in turn. Nothing that was acknowledged is lost or done twice, and all
that clients see of it is 503 with Retry-After, for as long as what died takes to be replaced, and
two seconds. (And a cut connection, who is still sending a body when HAProxy loses the node.)

DOSSIER_FAILOVERS  rounds of the long run (1): each kills every node, then the primary, and takes
                   the store away twice for 20 seconds, frozen and killed
"""
import json
import os
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

import certificates
import fronts
from bed import ceph, postgres
from harness import wait_for
from load import Load
from nodes import Cluster, new_prefix, url_of_pair

ROUNDS = int(os.environ.get("DOSSIER_FAILOVERS", "1"))
WITHIN, SLACK = 2, 13   # seconds; the promise, and more where the machine does other things, too
STORE_AWAY = 20
DOWN = 1                # until somebody notices that the primary is dead


class Journal:
    """What each event took, in seconds."""

    def __init__(self):
        self.rows = defaultdict(list)

    def enter(self, what, load, gone, back):
        """The engine was away from `gone` until `back`: waits until the service is there again."""
        first, last = load.await_service(back)
        time.sleep(max(0, back + WITHIN - time.monotonic()))
        answers = dict(sorted(load.statuses(gone, time.monotonic()).items()))
        late = load.statuses(back + WITHIN)
        self.rows[what].append((back - gone, first, last))
        print(f"  {what}: engine back after {back - gone:.2f} s, service {first:.2f} s later, for "
              f"every client {last:.2f} s later; answers {answers}; refused or cut later than "
              f"{WITHIN} s: {late[503] + late[0]}")
        assert last < WITHIN + SLACK

    def summary(self):
        for what, rows in self.rows.items():
            engine, first, last = (sorted(column) for column in zip(*rows))
            print(f"{what}, {len(rows)} times: engine {engine[len(rows) // 2]:.2f} s (at most "
                  f"{engine[-1]:.2f}), service {first[len(rows) // 2]:.2f} s later (at most "
                  f"{first[-1]:.2f}), every client {last[len(rows) // 2]:.2f} s "
                  f"(at most {last[-1]:.2f})")


def first_time(action, *errors):
    """Tries until it works; when that was."""
    def tried():
        with suppress(*errors):
            action()
            return True
        return False
    wait_for(tried, 60, 0.01)
    return time.monotonic()


def kill_node(journal, cluster, front, load, i):
    """The engine is whole: there are two more nodes."""
    up = f"Server nodes/node{i + 1} is UP"
    before, gone = front.said().count(up), time.monotonic()
    cluster.nodes[i].kill()
    journal.enter("node killed", load, gone, gone)
    cluster.nodes[i].listen = cluster.nodes[i].base_url[len("http://"):]
    cluster.nodes[i].start()
    wait_for(lambda: front.said().count(up) > before, 20)


def kill_primary(journal, pair, load):
    """The engine is back when psql has written to the new primary."""
    pair.primary.sql("CREATE TABLE IF NOT EXISTS written (n INT)")
    write, gone = "INSERT INTO written VALUES (1)", time.monotonic()
    pair.primary.server.kill()
    time.sleep(DOWN)
    with ThreadPoolExecutor(1) as pool:
        back = pool.submit(first_time, lambda replica=pair.replica: replica.sql(write),
                           postgres.SqlFailed)
        pair.failover()
    journal.enter("primary killed, replica promoted", load, gone, back.result())


def use_without_bytes(load, client, until):
    """Who needs no bytes is served: makes, reads and deletes records."""
    def ask(method, path, body, status):
        """Again when it is refused, which is told."""
        key = {"Idempotency-Key": f"{client.number}-{client.count}-{method}"}
        found, answer = client.call(method, path, body, key)
        assert found == status, answer
        return answer

    slowest = 0.0
    while time.monotonic() < until:
        client.count += 1
        began = time.monotonic()
        record = {"name": "n", "mime_type": "a/b",
                  "storage_path": f"{client.number}/{client.count}"}
        made = ask("POST", "/v1/documents", json.dumps(record).encode(), 201)
        path = f"/v1/documents/{json.loads(made)['data']['id']}"
        ask("GET", path, b"", 200)
        ask("DELETE", path, b"", 204)
        slowest = max(slowest, time.monotonic() - began)
        load.others += 1
        time.sleep(0.1)
    refused = [event for event in client.events if event.status in (0, 503)]
    print(f"  {client.count} records made, read and deleted meanwhile, the slowest in "
          f"{slowest:.2f} s, {len(refused)} requests refused or cut")
    assert slowest < WITHIN + SLACK and len(refused) <= client.count / 20


STOPS = {"store frozen": (lambda gateway: gateway.freeze(), lambda gateway: gateway.resume()),
         "store killed": (lambda gateway: gateway.kill(), lambda gateway: gateway.launch())}


def stop_store(journal, store, load, how):
    """The engine is back when it has answered a PUT of our own."""
    end, begin = STOPS[how]
    client, gone = load.client(-1 - list(STOPS).index(how)), time.monotonic()
    end(store.gateway)
    try:
        use_without_bytes(load, client, gone + STORE_AWAY)
    finally:
        begin(store.gateway)
    back = first_time(lambda: store.s3.put(store.bucket, "written", b"x"), OSError)
    journal.enter(how, load, gone, back)


def everything_dies(journal, pair, store, front_of):
    """One round, with a cluster of its own."""
    with Cluster(url_of_pair(pair), new_prefix(store), count=3,
                 options=["--trusted-proxy", "127.0.0.1"]) as cluster, \
            front_of(cluster.nodes) as front:
        load = Load(cluster, front)
        with load.running():
            load.await_service(time.monotonic())
            for i in range(3):
                kill_node(journal, cluster, front, load, i)
            kill_primary(journal, pair, load)
            for how in STOPS:
                stop_store(journal, store, load, how)
        load.verify()
        print(f"  {load.summary()}")
        return load


@pytest.mark.timeout(180)
def test_primary_dies(store):
    """The nodes find the promoted replica by themselves, by their list of hosts. And back."""
    journal = Journal()
    with postgres.Pair(durable=False) as pair, \
            Cluster(url_of_pair(pair), new_prefix(store), count=2) as cluster:
        load = Load(cluster)
        with load.running():
            load.await_service(time.monotonic())
            kill_primary(journal, pair, load)
            pair.rejoin()
            kill_primary(journal, pair, load)
        load.verify()
        print(f"  {load.summary()}")


@pytest.mark.slow
@pytest.mark.timeout(120 + 240 * ROUNDS)
def test_everything_dies(tmp_path):
    journal, certificate, loads = Journal(), certificates.make(tmp_path, "api"), []
    with postgres.Pair() as pair, ceph.Ceph(durable=True) as store:
        for n in range(ROUNDS):
            print(f"round {n + 1}")
            loads.append(everything_dies(
                journal, pair, store, lambda nodes: fronts.haproxy(tmp_path, certificate, nodes)))
            pair.rejoin()
    journal.summary()
    answers = sum((load.answers for load in loads), Counter())
    print(f"{ROUNDS} rounds: {sum(load.acknowledged() for load in loads)} acknowledgements, each "
          f"looked at on every node, 0 lost, 0 doubled; answers {dict(sorted(answers.items()))}")
