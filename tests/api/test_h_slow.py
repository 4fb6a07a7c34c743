# SPDX-License-Identifier: Apache-2.0
"""
Hostile slowness: clients that send or read just enough to stay, one by one and in crowds.

The first scenes run beside each other, begun by the first test and looked at by the rest. Crowds
(slow_crowd.py) are for the slow run: 10,000 slow headers, 1,000 slow bodies, 1,000 slow readers.
A campaign: DOSSIER_CROWD_SECONDS=120 pytest -m slow -s test_h_slow.py
"""
import contextlib
import json
import os
import re
import resource
import select
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from harness import data
from hostile_cases import FILE, HOST, PROBE, get, post
from hostile_wire import converse, read_until_end, send, split_replies
from test_y_large import is_sanitized, resident_kib

SLOW_CONNECTIONS = 200
CROWD_SECONDS = int(os.environ.get("DOSSIER_CROWD_SECONDS", "40"))
CROWD_KIB = 150 * 1024      # of the server's memory at most
OLDEST_SECONDS = 30         # deadlines are 10 s and checked each second; the machine may be busy


def drip(connection, first, piece, pause, limit):
    """Sends `first`, then a piece each pause, until it is cut; after how many seconds."""
    began = time.monotonic()
    connection.sendall(first)
    while time.monotonic() - began < limit:
        readable = select.select([connection], [], [], pause)[0]
        try:
            if readable and not connection.recv(65536):
                break
            connection.sendall(piece)
        except OSError:
            break
    return time.monotonic() - began


def slow_header(server, _key):
    with server.connect() as connection:
        return drip(connection, b"GET /healthz HTTP/1.1\r\nHost: h\r\nX-A: ", b"a", 1, 40)


def slow_second_header(server, _key):
    """On a connection that has been honest before."""
    with server.connect() as connection:
        connection.sendall(get(b"/healthz"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        return drip(connection, b"GET /healthz HTTP/1.1\r\n", b"X", 1, 40)


def slow_json(server, key):
    with server.connect() as connection:
        first = post(b"X-API-Key: " + key.encode() + b"\r\nContent-Length: 1000\r\n", b"{")
        return drip(connection, first, b" ", 1, 40)


def slow_upload(server, key):
    with server.connect() as connection:
        first = (b"POST /api/v1/upload HTTP/1.1\r\n" + HOST + b"X-API-Key: " + key.encode()
                 + b"\r\nContent-Type: multipart/form-data; boundary=B\r\n"
                   b"Content-Length: 100000\r\n\r\n" + FILE[:70])
        return drip(connection, first, b"a", 1, 40)


def steady_upload(server, key):
    """4 KiB/s for 14 s are slow, but honest."""
    body = FILE.replace(b"abc", b"a" * 56000)
    with server.connect() as connection:
        connection.sendall(b"POST /api/v1/upload HTTP/1.1\r\n" + HOST + b"X-API-Key: "
                           + key.encode() + b"\r\nConnection: close\r\n"
                             b"Content-Type: multipart/form-data; boundary=B\r\n"
                             b"Content-Length: %d\r\n\r\n" % len(body))
        for at in range(0, len(body), 4096):
            connection.sendall(body[at:at + 4096])
            time.sleep(1)
        return split_replies(read_until_end(connection, 10)[0])


def idle(server, _key):
    """Connections that are idle for 30 s are still there; what each answers then."""
    with contextlib.ExitStack() as stack:
        kept = [stack.enter_context(server.connect()) for _ in range(8)]
        for connection in kept:
            connection.sendall(get(b"/healthz"))
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        time.sleep(30)
        for connection in kept:
            send(connection, PROBE)
        return [reply.status for connection in kept
                for reply in split_replies(read_until_end(connection, 5)[0])]


def slow_reader(server, key):
    """Asks for 16 MiB and reads none; how many bytes there are to be had 22 s later."""
    request = slow_reader_bytes(server.api(key))
    with server.connect(receive_buffer=4096) as connection:
        connection.sendall(request)
        time.sleep(22)
        got, ended = read_until_end(connection, 15)
    assert ended, "the connection is still open"
    return len(got)


def crowd(server, _key):
    """Many slow headers at once; how long honest requests took meanwhile."""
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(server.connect()) for _ in range(SLOW_CONNECTIONS)]
        took = []
        for turn in range(40):
            for connection in slow:
                send(connection, b"GET /healthz HTTP/1.1\r\n" if turn == 0 else b"X")
            began = time.monotonic()
            replies, _ = converse(server, PROBE, seconds=10)
            took.append(time.monotonic() - began)
            assert [reply.status for reply in replies] == [200]
            time.sleep(0.1)
    return took


SCENES = [slow_header, slow_second_header, slow_json, slow_upload, steady_upload, idle,
          slow_reader, crowd]


@pytest.fixture(scope="module")
def scenes(server):
    key = server.workspace().key()
    with ThreadPoolExecutor(len(SCENES)) as pool:
        yield {scene.__name__: pool.submit(scene, server, key) for scene in SCENES}


@pytest.mark.parametrize("scene", ["slow_header", "slow_second_header"])
def test_a_slow_header_is_cut(scenes, scene):
    assert 5 <= scenes[scene].result(50) <= 15


@pytest.mark.parametrize("scene", ["slow_json", "slow_upload"])
def test_a_slow_body_is_cut(scenes, scene):
    assert 9 <= scenes[scene].result(50) <= 25


def test_many_slow_connections_do_not_hold_honest_ones_up(scenes):
    took = sorted(scenes["crowd"].result(50))
    assert took[-1] < 5 and took[len(took) // 2] < 1


def test_a_steady_body_is_not_cut(scenes):
    assert [reply.status for reply in scenes["steady_upload"].result(50)] == [200]


def test_a_reader_that_does_not_read_is_cut(scenes):
    assert scenes["slow_reader"].result(50) < 16 << 20


def test_an_idle_connection_is_kept(scenes):
    assert scenes["idle"].result(50) == [200] * 8


# ---- who was fast, and then stalls ----

def stalled_upload(server, key):
    """300 KiB would be enough for 5 minutes of the lowest rate; for how long it was kept."""
    head = (b"POST /api/v1/upload HTTP/1.1\r\n" + HOST + b"X-API-Key: " + key.encode()
            + b"\r\nContent-Type: multipart/form-data; boundary=B\r\n"
              b"Content-Length: 1000000\r\n\r\n")
    with server.connect() as connection:
        began = time.monotonic()
        connection.sendall(head + FILE[:70])
        time.sleep(3)       # what comes at once is not counted
        connection.sendall(bytes(300 << 10))
        read_until_end(connection, 150)
        return time.monotonic() - began


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_stalled_body_is_cut(server):
    assert 55 <= stalled_upload(server, server.workspace().key()) <= 120


# ---- crowds ----

def slow_header_bytes(_api):
    return b"GET /healthz HTTP/1.1\r\nHost: h\r\nX-A: "


def slow_body_bytes(api):
    return post(b"X-API-Key: " + api.key.encode() + b"\r\nContent-Length: 1000\r\n", b"{")


def slow_reader_bytes(api):
    """Asks for 16 MiB."""
    document = api.new_bytes(bytes(16 << 20))
    url = data(api.get("/v1/documents/" + document["id"]))["download_url"]
    return get(urlsplit(url).path.encode())


CROWDS = [("headers", 10000, slow_header_bytes), ("bodies", 1000, slow_body_bytes),
          ("readers", 1000, slow_reader_bytes)]


@pytest.fixture
def many_descriptors():
    """A connection is one here and one in the server, which inherits the limit."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(before[1], 13000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(before[0], wanted), wanted))


def metric(server, name):
    text = requests.get(server.base_url + "/metrics", timeout=60).text
    return int(re.search(rf"^{name} (\d+)", text, re.M)[1])


def honest_until_end(server, crowd):
    """Asks over and over while the crowd is there: how long each took, most open connections."""
    took, open_then = [], []
    while crowd.poll() is None:
        if len(took) % 20 == 0:
            open_then.append(metric(server, "dossier_connections"))
        began = time.monotonic()
        replies, _ = converse(server, PROBE, seconds=20)
        took.append(time.monotonic() - began)
        assert [reply.status for reply in replies] == [200]
        time.sleep(0.02)
    return sorted(took), max(open_then)


@pytest.mark.slow
@pytest.mark.timeout(CROWD_SECONDS + 200)
@pytest.mark.parametrize("count, first", [row[1:] for row in CROWDS],
                         ids=[row[0] for row in CROWDS])
def test_a_crowd_is_cut_and_holds_nobody_up(many_descriptors, server_factory, count, first):
    server = server_factory()
    request = first(server.workspace().api())
    crowd = subprocess.Popen(
        [sys.executable, Path(__file__).parent / "slow_crowd.py", *map(str, server.address),
         str(count), str(CROWD_SECONDS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        crowd.stdin.write(request)
        crowd.stdin.close()
        assert crowd.stdout.readline() == b"all are there\n"
        took, at_once = honest_until_end(server, crowd)
        report = json.loads(crowd.stdout.read())
    finally:
        crowd.kill()
        crowd.wait()
        crowd.stdout.close()
    most = resident_kib(server.process.pid, "VmHWM")
    print(f"\n{count} x {CROWD_SECONDS} s: {at_once} at once, {report}, server {most} KiB at most;"
          f" {len(took)} honest:"
          f" median {took[len(took) // 2]:.4f} s, p99 {took[len(took) * 99 // 100]:.4f} s,"
          f" worst {took[-1]:.4f} s")
    assert at_once > count * 0.6 and report["cut"] >= count
    assert max(report["oldest_cut"], report["oldest_open"]) <= OLDEST_SECONDS
    assert took[len(took) // 2] < 1 and took[-1] < 10
    if not is_sanitized(server.process.pid):
        assert most <= CROWD_KIB
