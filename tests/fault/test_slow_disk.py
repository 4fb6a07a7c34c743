# SPDX-License-Identifier: Apache-2.0
"""A disk whose syncs take two seconds each, and one that is no longer there."""
import errno
import statistics
import threading
import time
from pathlib import Path

import pytest
import requests

from saboteur import FILES, Saboteur, harness
from harness import at_once, data, unique

pytestmark = pytest.mark.timeout(120)

FAIL_STOP = 70
SYNC_MS = 2000
QUICK = 1           # seconds, for most of what waits for no sync
LANE = 8


@pytest.fixture
def subject(tmp_path):
    """(saboteur, server, not started)"""
    saboteur = Saboteur(tmp_path)
    made = saboteur.server("--lane-max", LANE)
    yield saboteur, made
    saboteur.disarm()
    made.remove()


def record():
    return {"name": "n", "mime_type": "a/b", "storage_path": unique("p")}


def test_a_slow_disk(subject):
    """Reads and health checks stay quick; each write arrives, or is refused for want of room."""
    saboteur, server = subject
    workspace = server.start().workspace()
    api = workspace.api()
    document = api.new_bytes(b"read while others wait")
    url = data(api.get(f"/v1/documents/{document['id']}"))["download_url"]
    before = data(api.get("/v1/usage"))["documents"]
    clients = [workspace.api() for _ in range(4 * LANE)]
    writes = []
    saboteur.arm("fsync", "fdatasync", effect="delay", delay_ms=SYNC_MS)
    load = threading.Thread(target=lambda: writes.extend(at_once(
        len(clients), lambda i: clients[i].post("/v1/documents", json=record()).status_code)))
    load.start()
    reads = []
    while load.is_alive():
        for path in ("/healthz", "/readyz", f"/v1/documents/{document['id']}", "/v1/documents",
                     url):
            begin = time.monotonic()
            api.get(path, expect=200)
            reads.append(time.monotonic() - begin)
        time.sleep(0.1)
    load.join()
    assert saboteur.disarm().spoilt >= 2
    assert statistics.median(reads) < QUICK, reads
    assert set(writes) == {201, 503} and len(writes) == len(clients), writes
    assert data(api.get("/v1/usage"))["documents"] == before + writes.count(201)
    api.new_document()
    assert server.stop() == 0


def test_a_slow_disk_and_uploads(subject):
    """They take as long as their syncs, and come to an end."""
    saboteur, server = subject
    workspace = server.start().workspace()
    clients = [workspace.api() for _ in range(6)]
    saboteur.arm("fsync", "fdatasync", effect="delay", delay_ms=SYNC_MS // 4)
    answers = at_once(len(clients), lambda i: clients[i].post(
        "/api/v1/upload", files={"files": ("a", b"x" * 10000)}).status_code)
    saboteur.disarm()
    assert set(answers) == {200}
    assert server.run("check")["ok"] is True


@pytest.mark.parametrize("error", [errno.EIO, errno.ENODEV])
def test_a_disk_that_is_gone(subject, error):
    """Nothing is acknowledged any more, and the process ends; what was is there afterwards."""
    saboteur, server = subject
    api = server.start().workspace().api()
    kept = api.new_bytes(b"acknowledged before")
    saboteur.arm(*FILES, error=error)
    statuses = []
    for _ in range(20):
        try:
            statuses.append(api.post("/v1/documents", json=record(), timeout=10).status_code)
            statuses.append(api.post("/api/v1/upload", timeout=10,
                                     files={"files": ("a", b"x")}).status_code)
        except requests.ConnectionError:
            break
    assert statuses and all(status >= 500 for status in statuses), statuses
    assert server.process.wait(20) == FAIL_STOP
    saboteur.disarm()
    server.kill()
    server.start()
    url = data(api.get(f"/v1/documents/{kept['id']}"))["download_url"]
    assert api.get(url, expect=200).content == b"acknowledged before"
    assert data(api.get("/v1/usage"))["documents"] == 1
    assert server.run("check")["ok"] is True


@pytest.mark.parametrize("error", [errno.EIO, errno.ENODEV, errno.EACCES])
def test_a_start_without_a_disk(subject, error):
    saboteur, server = subject
    assert server.start().stop() == 0
    assert_told(server, lambda: saboteur.arm(*FILES, error=error))


def test_a_start_without_its_directory(subject):
    """The directory is where none can be made."""
    _, server = subject
    server.data_dir = Path("/proc/none/data")
    assert_told(server, lambda: None)
    server.data_dir = server.home / "stderr" / "data"     # below a file
    assert_told(server, lambda: None)


def assert_told(server, arm):
    """It says why in one line, and ends with 1."""
    before = server.log_size()
    arm()
    assert not server.launch()
    assert server.process.wait(20) == 1
    said = server.log(before).strip().splitlines()
    assert len(said) == 1 and said[0].startswith("dossier: "), said
    assert "data" in said[0] and len(said[0]) < 300, said
    server.kill()
