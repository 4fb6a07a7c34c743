# SPDX-License-Identifier: Apache-2.0
"""
A synchronous standby that is away, and a primary that comes back after it was replaced: no answer
is ahead of the standby, and nobody is told that something was done which only the old one has.
"""
import time
from urllib.parse import urlsplit

import pytest

from bed import postgres
from harness import at_once, unique, wait_for
from load import Load
from nodes import Cluster, new_prefix, url_of_pair
from quick import Quick

BRIEF = "dossier_statement_ms=1000"     # how long COMMIT waits for the standby, and a second
AWAY = 8                # seconds
SLACK = 15
END_WAITS = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_standby_away(store):
    """
    An operator ends the waits of COMMITs for it, which says with a warning: done, and nowhere else.
    Neither is that an answer, nor that its audit line is found, nor its kept answer.
    """
    with postgres.Pair(durable=False) as pair, \
            Cluster(url_of_pair(pair, BRIEF), new_prefix(store), count=2) as cluster:
        load = Load(cluster)
        with load.running():
            load.await_service(time.monotonic())
            pair.replica.server.kill()
            gone, cancelled = time.monotonic(), 0
            while time.monotonic() < gone + AWAY:
                cancelled += len(pair.primary.sql(END_WAITS))
                time.sleep(0.05)
            away = time.monotonic()
            pair.primary.server.kill()
            pair.replica.server.start()
            pair.failover()
            _, last = load.await_service(time.monotonic())
        load.verify()
        print(f"  standby away: {cancelled} waits ended; {load.summary()}")
        assert cancelled > 0 and last < SLACK
        told = load.statuses(gone + 0.5, away, answered=away)
        assert told[503] > 0 and not told[201] + told[204], told


@pytest.mark.timeout(180)
def test_repeated_while_standby_is_away(store):
    """What a repetition is told acknowledges as well, and so does a conflict of Docs objects."""
    with postgres.Pair(durable=False) as pair, \
            Cluster(url_of_pair(pair, BRIEF), new_prefix(store), count=2) as cluster:
        workspace, entity = cluster.workspace(), unique("entity")
        workspace.docs_entity(entity)
        clients = [Quick(node, workspace.key()) for node in cluster.nodes]
        asked = {
            "/v1/documents": ({"Idempotency-Key": "k"},
                              {"name": "n", "mime_type": "a/b", "storage_path": "p"}),
            "/v1/docs": ({"X-Idempotency-Key": "k", "Docs-Entity-ID": entity},
                         {"type": "full", "owner": {"externalId": "o"}})}

        def ask(client, path):
            return client.ask("POST", path, *asked[path])

        def end_waits():
            while not over:
                cancelled.extend(pair.primary.sql(END_WAITS))
                time.sleep(0.02)

        def ask_all():
            answers = []
            try:
                for path in asked:
                    for client in clients:
                        answers.append(ask(client, path))
                        assert client.ask("GET", "/readyz").status_code == 200, "reads go on"
                return answers
            finally:
                over.append(True)

        pair.replica.server.kill()
        over, cancelled = [], []
        answers = at_once(2, lambda i: end_waits() if i else ask_all())[0]
        assert {answer.status_code for answer in answers} == {503} and cancelled
        name = urlsplit(cluster.url).path[1:]
        done = pair.primary.sql("SELECT count(*) FROM idempotency", name)
        assert done == [["2"]], "not done on the primary"
        pair.replica.server.start()
        for path, status in (("/v1/documents", 201), ("/v1/docs", 409)):
            for client in clients:
                assert ask(client, path).status_code == status


# ---- the old primary comes back ----

def restarted(node):
    """Asks the first host of its list first, which is the old primary."""
    node.kill()
    node.listen = node.base_url[len("http://"):]
    return node.start()


def create(client, key):
    return client.ask("POST", "/v1/documents", {"Idempotency-Key": key},
                      {"name": "n", "mime_type": "a/b", "storage_path": key})


def failed_over(pair):
    """The old primary, dead."""
    pair.primary.server.kill()
    pair.failover()
    return pair.replica


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_old_primary_read_only(store):
    """Fenced by default_transaction_read_only = on, and then as a replica: no node writes there."""
    with postgres.Pair(durable=False) as pair, \
            Cluster(url_of_pair(pair), new_prefix(store), count=2) as cluster:
        load = Load(cluster)
        with load.running():
            load.await_service(time.monotonic())
            old = failed_over(pair)
            with open(old.data / "postgresql.auto.conf", "a", encoding="utf-8") as settings:
                settings.write("default_transaction_read_only = on\n")
            old.server.start()
            load.await_service(time.monotonic())
        restarted(cluster.nodes[0])
        with load.running():
            load.await_service(time.monotonic())
        pair.rejoin()
        restarted(cluster.nodes[0])
        with load.running():
            load.await_service(time.monotonic())
            failed_over(pair)
            load.await_service(time.monotonic())
        load.verify()
        print(f"  {load.summary()}")


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_old_primary_stands_alone(store):
    """
    Nobody has fenced it, so a node may take it for the primary. It still waits for its standby at
    each commit: whoever writes there is told 503, and asks again elsewhere.
    """
    with postgres.Pair(durable=False) as pair, \
            Cluster(url_of_pair(pair, BRIEF), new_prefix(store), count=2) as cluster:
        load = Load(cluster)
        with load.running():
            load.await_service(time.monotonic())
            old = failed_over(pair)
            old.server.start()
            load.await_service(time.monotonic())    # who has the new one stays with it
        restarted(cluster.nodes[0])
        strayed, other = (Quick(node, load.key) for node in cluster.nodes)
        assert create(strayed, "k").status_code == 503
        made = create(other, "k")
        assert made.status_code == 201
        assert create(strayed, "k").status_code == 503
        old.server.kill()

        def told_the_same():
            answer = create(strayed, "k")
            return answer.status_code != 503 and answer.content == made.content

        wait_for(told_the_same, 30)
        path = f"/v1/documents/{made.json()['data']['id']}"
        assert strayed.ask("DELETE", path).status_code == 204
        load.others += 1
        load.verify()
        print(f"  {load.summary()}")
