# SPDX-License-Identifier: Apache-2.0
"""A sync that fails: nothing is acknowledged, the process stops, and recovery is consistent.

What a failed commit left on disk is unknown until recovery, so its bytes must not be thrown away:
the row may come back.
"""
import contextlib
import errno

import pytest
import requests

from saboteur import Saboteur
from harness import at_once, data, unique

pytestmark = pytest.mark.timeout(120)

FAIL_STOP = 70
STOP_SECONDS = 10       # a second or so, on a machine that has nothing else to do
CLIENTS = 6


@pytest.fixture
def subject(tmp_path):
    saboteur = Saboteur(tmp_path)
    server = saboteur.server().start()
    yield saboteur, server
    saboteur.disarm()
    server.remove()


REQUESTS = {
    "create": lambda url, key: requests.post(
        url + "/v1/documents", headers={"X-API-Key": key}, timeout=10,
        json={"name": "n", "mime_type": "text/plain", "storage_path": unique("p")}),
    "upload": lambda url, key: requests.post(
        url + "/api/v1/upload", headers={"X-API-Key": key}, timeout=10,
        files=[("files", ("a.txt", b"x" * 5000))]),
    "large upload": lambda url, key: requests.post(
        url + "/api/v1/upload", headers={"X-API-Key": key}, timeout=10,
        files=[("files", ("a.txt", b"x" * 100_000))]),
}


def status_of(name, server, key):
    """None when it stopped before the answer had left."""
    try:
        return REQUESTS[name](server.base_url, key).status_code
    except requests.RequestException:
        return None


@pytest.mark.parametrize("name, path", [("create", "dossier.db-wal"), ("upload", "dossier.db-wal"),
                                        ("upload", "small.db-wal"),
                                        ("large upload", "/objects/")])
def test_failed_sync(subject, name, path):
    saboteur, server = subject
    key = server.workspace().key()
    saboteur.arm("fsync", "fdatasync", error=errno.EIO, path=path)
    assert status_of(name, server, key) in (None, 500, 503)
    assert server.process.wait(STOP_SECONDS) == FAIL_STOP
    assert saboteur.disarm().spoilt >= 1
    server.kill()
    server.start()
    found = server.run("check")
    assert found["counts"]["missing"] == 0 and found["ok"], found


@pytest.mark.parametrize("call, path", [("fdatasync", "/small.db-wal"), ("fsync", "/small.db-wal"),
                                        ("fdatasync", "/small.db$"),
                                        ("pwrite", "/small.db$"), ("ftruncate", "/small.db-wal")])
def test_failed_erasure(subject, call, path):
    """A row that is gone is not enough: its bytes have to be out of the file and out of its log."""
    saboteur, server = subject
    api = server.workspace().api()
    kept, gone = b"MARK-stays", b"MARK-to-be-erased"
    document, doomed = api.new_bytes(kept), api.new_bytes(gone)
    path_of_it, once = f"/v1/documents/{doomed['id']}?hard=true", {"Idempotency-Key": "once"}
    saboteur.arm(call, error=errno.EIO, path=path)
    with contextlib.suppress(requests.RequestException):
        assert api.delete(path_of_it, headers=once).status_code in (500, 503)
    assert saboteur.result().spoilt >= 1
    assert status_of("upload", server, api.key) in (None, 500, 503)
    assert server.process.wait(STOP_SECONDS) == FAIL_STOP
    assert saboteur.disarm().spoilt == 1, "never again after it failed"
    server.kill()
    server.start()
    assert requests.get(data(server.api(api.key).get(f"/v1/documents/{document['id']}"))[
        "download_url"], timeout=10).content == kept
    server.api(api.key).delete(path_of_it, headers=once, expect=204)
    assert server.holds(kept) and not server.holds(gone)
    assert server.run("check")["ok"]


@pytest.mark.parametrize("call", ["fdatasync", "pwrite"])
def test_failed_checkpoint(subject, call):
    """
    The log is whole, but the disk takes the database no more. SQLite forgets that of checkpoints of
    its own (and moves the same pages again at the next); the one that each minute empties the log
    does not.
    """
    saboteur, server = subject
    api = server.workspace().api()
    saboteur.arm(call, error=errno.EIO, path="/dossier.db$")
    made = []
    for _ in range(500):        # batches, for the log to grow
        body = {"entities": [{"entity_type": "deal", "entity_id": unique("e")} for _ in range(200)]}
        try:
            answer = api.post("/v1/entities/batch", json=body)
        except requests.RequestException:
            break
        if answer.status_code != 200:
            break
        made += body["entities"]
    assert server.process.wait(STOP_SECONDS) == FAIL_STOP
    assert saboteur.disarm().spoilt >= 1 and made
    server.kill()
    server.start()
    assert server.run("check")["ok"]
    for entity in (made[0], made[-1]):
        api.get(f"/v1/entities/deal/{entity['entity_id']}", expect=200)


@pytest.mark.parametrize("nth", [1, 2, 5, 9])
def test_under_load(subject, nth):
    """The nth sync of the log fails, and it alone: no success after it, and all before it kept."""
    saboteur, server = subject
    key = server.workspace().key()
    saboteur.arm("fdatasync", error=errno.EIO, nth=nth, once=True, path="dossier.db-wal")

    def client(i):
        """(acknowledged, of them: asked for after the sync had failed)"""
        acknowledged = late = 0
        while True:
            failed = saboteur.result().spoilt
            status = status_of(list(REQUESTS)[i % 2], server, key)
            if status is None:
                return acknowledged, late
            assert status in (200, 201, 500, 503)
            if status < 300:
                acknowledged += 1
                late += failed

    results = at_once(CLIENTS, client)
    assert server.process.wait(STOP_SECONDS) == FAIL_STOP
    assert sum(late for _, late in results) == 0
    saboteur.disarm()
    server.kill()
    server.start()
    there = data(server.api(key).get("/v1/usage"))["documents"]
    acknowledged = sum(n for n, _ in results)
    assert acknowledged <= there <= acknowledged + CLIENTS
    assert server.run("check")["ok"] is True
