# SPDX-License-Identifier: Apache-2.0
"""
A synchronous standby that is away, and a primary that comes back after it was replaced: no answer
is ahead of the standby, and nobody is told that something was done which only the old one has.
"""
import time
from urllib.parse import urlsplit

import pytest

from bed import postgres
from harness import at_once, unique
from load import Load
from nodes import Cluster, new_database, new_prefix
from quick import Quick

STATEMENT_MS = 1000     # how long COMMIT waits for the standby
AWAY = 8                # seconds
SLACK = 15
END_WAITS = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


def url_of(pair, *options):
    """A new database, on whichever of the two takes writes."""
    name = new_database(pair.primary).rsplit("/", 1)[1]
    url = pair.url.replace(f"/{postgres.DATABASE}?", f"/{name}?")
    return "&".join((url, f"dossier_statement_ms={STATEMENT_MS}", *options))


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_standby_away(store):
    """
    An operator ends the waits of COMMITs for it, which says with a warning: done, and nowhere else.
    Neither is that an answer, nor that its audit line is found, nor its kept answer.
    """
    with postgres.Pair(durable=False) as pair, \
            Cluster(url_of(pair), new_prefix(store), count=2) as cluster:
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


def test_repeated_while_standby_is_away(store):
    """What a repetition is told acknowledges as well, and so does a conflict of Docs objects."""
    with postgres.Pair(durable=False) as pair, \
            Cluster(url_of(pair), new_prefix(store), count=2) as cluster:
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
            try:
                return [ask(client, path) for path in asked for client in clients]
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
