# SPDX-License-Identifier: Apache-2.0
"""
Another program holds the lock of the database file.

Writes wait for up to five seconds. Then they are refused with 503, those that came meanwhile as
well; reads go on all the time, and writes once the lock is free. Nothing is broken by it.
"""
import contextlib
import sqlite3
import sys
import threading
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "api"))

import harness  # noqa: E402  (found by the line above)
from harness import at_once, data, unique  # noqa: E402

pytestmark = pytest.mark.timeout(120)

LIMIT = 5           # seconds that a write waits for the lock
NOT_TWICE = 9       # above the limit on a busy machine, below twice the limit
FILE = {"files": ("a.txt", b"x" * 5000)}


@pytest.fixture(scope="module")
def server():
    made = harness.Server()
    try:
        yield made.start()
    finally:
        made.remove()


@pytest.fixture
def side(server):
    workspace = server.workspace(entities="open")
    return workspace, workspace.api()


class Lock:
    """Held by a connection of our own."""

    def __init__(self, server, begin="BEGIN IMMEDIATE"):
        self.other = sqlite3.connect(server.data_dir / "dossier.db", isolation_level=None,
                                     check_same_thread=False)
        self.other.execute("PRAGMA wal_autocheckpoint = 0")
        self.other.execute(begin)

    def release(self):
        self.other.execute("ROLLBACK")
        self.other.close()


@contextlib.contextmanager
def locked(server, seconds=None, begin="BEGIN IMMEDIATE"):
    """Locked for so long, or until the end of the block."""
    lock = Lock(server, begin)
    timer = threading.Timer(seconds, lock.release) if seconds else None
    try:
        if timer:
            timer.start()
        yield
    finally:
        timer.join() if timer else lock.release()


def timed(request):
    begin = time.monotonic()
    return request(), time.monotonic() - begin


WRITES = [
    lambda api, document: api.post("/v1/documents", json={
        "name": "n", "mime_type": "a/b", "storage_path": unique("p")}),
    lambda api, document: api.post("/api/v1/upload", files=FILE),
    lambda api, document: api.post(f"/v1/documents/{document}/link", json={
        "entity_type": "deal", "entity_id": unique("e")}),
    lambda api, document: api.patch(f"/v1/documents/{document}", json={"name": unique("n")}),
    lambda api, document: api.delete(f"/v1/documents/{api.new_id}?hard=true"),
]


def clients(workspace, count):
    """Each with a document to delete."""
    made = [workspace.api() for _ in range(count)]
    for api in made:
        api.new_id = api.new_bytes(b"to be deleted")["id"]
    return made


@pytest.mark.parametrize("begin", [
    "BEGIN IMMEDIATE", pytest.param("BEGIN EXCLUSIVE", marks=pytest.mark.slow)])
def test_writes_wait(server, side, begin):
    workspace, api = side
    document, apis = api.new_document()["id"], clients(workspace, 10)
    with locked(server, 3, begin):
        answers = at_once(10, lambda i: WRITES[i % len(WRITES)](apis[i], document))
    assert [answer.status_code for answer in answers if answer.status_code >= 300] == []


def test_writes_are_refused_in_time(server, side):
    """Also those that come while others wait, and then it goes on."""
    workspace, api = side
    document, apis = api.new_document()["id"], clients(workspace, 10)
    pid, before = server.process.pid, data(api.get("/v1/usage"))

    def one(i):
        time.sleep(i * 0.4)
        return timed(lambda: WRITES[i % len(WRITES)](apis[i], document))

    def read(_):
        return timed(lambda: data(api.get(f"/v1/documents/{document}")))

    with locked(server):
        answers = at_once(10, one)
        reads = [read(i) for i in range(5)]
    for answer, seconds in answers:
        assert answer.status_code == 503 and seconds < NOT_TWICE, (answer.status_code, seconds)
    assert all(seconds < LIMIT for _, seconds in reads)
    assert data(api.get("/v1/usage")) == before
    for i, write in enumerate(WRITES):
        assert write(apis[i + 5], document).status_code < 300
    assert server.process.pid == pid and server.process.poll() is None
    assert server.run("check")["ok"] is True


@pytest.mark.slow
def test_told_to_stop_while_locked():
    """What waits is done first."""
    made = harness.Server().start()
    try:
        api = made.workspace().api()
        api.get("/v1/usage", expect=200)
        with locked(made, 3):
            answers, ended = [], []
            asking = threading.Thread(target=lambda: answers.append(api.new_document()))
            asking.start()
            time.sleep(0.5)     # it waits in the engine by then
            stopping = threading.Thread(target=lambda: ended.append(made.stop()))
            stopping.start()
        for thread in (asking, stopping):
            thread.join(30)
        assert ended == [0] and len(answers) == 1
        made.start()
        assert made.run("check")["ok"] is True
        assert data(made.api(api.key).get("/v1/usage"))["documents"] == 1
    finally:
        made.remove()


@pytest.mark.slow
def test_a_start_while_locked():
    """It reads at once, and writes when it can."""
    made = harness.Server().start()
    try:
        api = made.workspace().api()
        document = api.new_document()["id"]
        assert made.stop() == 0
        with locked(made):
            made.start()
            data(api.get(f"/v1/documents/{document}"))
        api.new_document()
    finally:
        made.remove()
