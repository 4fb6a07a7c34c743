# SPDX-License-Identifier: Apache-2.0
"""
More connections than the process may have descriptors, or than the options allow.

It waits for some to become free, without spinning; then all of it is back, and none has leaked.
"""
import contextlib
import os
import socket
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "api"))

import harness  # noqa: E402  (found by the line above)
from harness import at_once, data, wait_for  # noqa: E402

pytestmark = pytest.mark.timeout(120)

DESCRIPTORS = 256
CONNECTIONS = 500
SECONDS = 3
IDLE_SHARE = 0.2        # of a core
BACK_SECONDS = 10       # a second or so, on a machine that has nothing else to do


@pytest.fixture
def server(tmp_path, monkeypatch):
    """One that may have 256 descriptors. Without the sandbox, which hides them from its owner."""
    wrapper = tmp_path / "dossier"
    wrapper.write_text(f"#!/bin/sh\nulimit -n {DESCRIPTORS}\nexec '{harness.BINARY}' \"$@\"\n")
    wrapper.chmod(0o755)
    monkeypatch.setattr(harness, "BINARY", str(wrapper))
    made = harness.Server("--sandbox", "off")
    try:
        yield made.start()
    finally:
        made.remove()


def descriptors(server):
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def cpu_seconds(server):
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def upload_head(server, key):
    """The beginning of an upload; its end never comes."""
    return (f"POST /api/v1/upload HTTP/1.1\r\nHost: {server.address[0]}\r\nX-API-Key: {key}\r\n"
            "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 100000\r\n\r\n"
            "--x\r\nContent-Disposition: form-data; name=\"files\"; filename=\"a\"\r\n\r\n"
            "begin").encode()


def connect(server, first_bytes):
    """A connection of which the server may not know yet."""
    made = socket.socket()
    made.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        made.connect(server.address)
    made.settimeout(10)
    with contextlib.suppress(OSError):
        made.sendall(first_bytes)
    return made


def works(server, key):
    """True when a new connection is served: a write, an upload, a read of bytes."""
    api = server.api(key)
    try:
        document = api.new_bytes(b"content")
        url = data(api.get(f"/v1/documents/{document['id']}", timeout=5))["download_url"]
        assert api.get(url, timeout=5).content == b"content"
        return True
    except harness.requests.RequestException:
        return False
    finally:
        api.session.close()


def warm_up(server, key):
    """What it opens once it opens now."""
    def one(_):
        assert works(server, key)
    at_once(16, one)


def test_more_connections_than_descriptors(server):
    key = server.workspace().key()
    warm_up(server, key)
    time.sleep(1)
    before = descriptors(server)
    kinds = [upload_head(server, key), b"GET /healthz HTTP/1.1\r\nHo", b""]
    held = [connect(server, kinds[i % 3]) for i in range(CONNECTIONS)]
    try:
        wait_for(lambda: descriptors(server) > DESCRIPTORS - 40)
        used, begin = cpu_seconds(server), time.monotonic()
        time.sleep(SECONDS)
        share = (cpu_seconds(server) - used) / (time.monotonic() - begin)
        assert server.process.poll() is None
    finally:
        for connection in held:
            connection.close()
    begin = time.monotonic()
    wait_for(lambda: works(server, key), seconds=30)
    assert time.monotonic() - begin < BACK_SECONDS
    assert share < IDLE_SHARE, f"{share:.0%} of a core for nothing"
    wait_for(lambda: descriptors(server) <= before + 2, seconds=20)
    assert server.run("check")["ok"] is True
    assert server.stop() == 0


def test_refused_for_want_of_descriptors_leaves_nothing(server):
    """Requests on connections that are there already, when no descriptor is left for files."""
    api = server.workspace().api()
    api.new_bytes(b"first")
    usage = data(api.get("/v1/usage"))
    held = [connect(server, b"") for _ in range(CONNECTIONS)]
    try:
        wait_for(lambda: descriptors(server) > DESCRIPTORS - 40)
        statuses = [api.post("/api/v1/upload", files={"files": ("a", b"x")}).status_code
                    for _ in range(5)]
    finally:
        for connection in held:
            connection.close()
    assert set(statuses) <= {200, 503}, statuses
    wait_for(lambda: works(server, api.key), seconds=30)
    documents = data(api.get("/v1/usage"))["documents"]
    assert documents == usage["documents"] + statuses.count(200) + 1
    assert server.run("check")["ok"] is True


@pytest.fixture
def small():
    """A server with room for few connections."""
    made = harness.Server("--max-connections", "40")
    try:
        yield made.start()
    finally:
        made.remove()


def test_clients_that_gave_up_waiting_are_let_go(small):
    """They were in line with part of a request, and are gone when their turn comes."""
    key = small.workspace().key()
    held = [connect(small, b"GET /healthz HTTP/1.1\r\nHo") for _ in range(400)]
    time.sleep(1)
    for connection in held:
        connection.close()
    begin = time.monotonic()
    wait_for(lambda: works(small, key), seconds=60)
    # with the 10 s that a header may take: 90
    assert time.monotonic() - begin < 2 * BACK_SECONDS
