# SPDX-License-Identifier: Apache-2.0
"""
Hostile bytes, on raw sockets. What is sent and what must come back: hostile_cases.py.

Each case is sent with an honest request right behind it on the same connection. What comes back
tells whether the server and the sender agree where each request ends: the honest request is
answered as the last one, or the connection ends before it; never is a byte of a body taken for a
request, and never has a request two replies.
"""
import json
import select
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import data, run_binary
from hostile_cases import (CASES, CHUNKED, CHUNKED_BODIES, END, FILE, HIDDEN, HOST, PROBE, chunk,
                           get, post, read_answers)
from hostile_wire import (QUIET_SECONDS, assert_healthy, assert_ours, assert_plain, converse,
                          outcome, read_until_end, send, split_replies)

MOST_WAIT_SECONDS = 1      # for the end of a connection that is rightly kept open


@pytest.fixture(scope="module")
def answers():
    version = json.loads(run_binary("version").stdout)["libmicrohttpd"]
    return read_answers(tuple(int(number) for number in version.split(".")[:3]))


def look(server, content, wanted, heads=()):
    """Sends it, with an honest request behind it; compares with what must come back."""
    replies, ended = converse(server, content + PROBE, heads=heads, seconds=(
        MOST_WAIT_SECONDS if "wait" in wanted else QUIET_SECONDS))
    assert outcome(replies, ended) in wanted.split(" or ")
    for reply in replies:
        assert_plain(reply)
    assert_healthy(server)


def test_the_table_is_whole(answers):
    assert len(CASES) >= 220
    assert len(set(CASES.values())) == len(CASES)
    assert set(answers) == set(CASES) | {f"chunk-{name}" for name in CHUNKED_BODIES}


@pytest.mark.parametrize("name", CASES)
def test_framing(server, answers, name):
    content = CASES[name]
    look(server, content, answers[name], heads=(0,) if content.startswith(b"HEAD ") else ())


# ---- uploads in chunks ----

def upload_head(api, more=b""):
    return (b"POST /api/v1/upload HTTP/1.1\r\n" + HOST + b"X-API-Key: " + api.key.encode()
            + b"\r\nContent-Type: multipart/form-data; boundary=B\r\n" + more)


def stored(api):
    return data(api.get("/v1/usage"))["documents"]


@pytest.fixture(scope="module")
def uploader(server):
    return server.workspace().api()


@pytest.mark.parametrize("name", CHUNKED_BODIES)
def test_chunks(server, uploader, answers, name):
    """It waits for more of a chunk whose length it believes; what is refused stores nothing."""
    wanted, before = answers[f"chunk-{name}"], stored(uploader)
    look(server, upload_head(uploader, CHUNKED + b"\r\n\r\n") + CHUNKED_BODIES[name], wanted)
    assert stored(uploader) == before + (wanted == "200 200")


@pytest.mark.parametrize("method, target", [
    ("POST", "/v1/documents"), ("PATCH", "/v1/documents/x"), ("POST", "/v1/documents/x/link"),
    ("POST", "/v1/entities/batch"), ("PUT", "/v1/entities/deal/x"), ("POST", "/v1/api-keys"),
    ("POST", "/v1/documents/upload-url")])
def test_chunked_json(server, api, method, target):
    head = f"{method} {target} HTTP/1.1\r\nHost: h\r\nX-API-Key: {api.key}\r\n".encode()
    replies, ended = converse(server, head + CHUNKED + b"\r\n\r\n" + chunk(HIDDEN)
                              + END + PROBE)
    assert ended and [reply.status for reply in replies] == [411], replies
    assert_ours(replies[0])


# ---- several requests on one connection ----

@pytest.mark.parametrize("count", [3, 1000])
def test_pipelined(server, api, count):
    """Each is answered, in order."""
    one = f"GET /v1/usage HTTP/1.1\r\nHost: h\r\nX-API-Key: {api.key}\r\n\r\n".encode()
    lost = get(b"/nowhere")
    with server.connect() as connection:
        with ThreadPoolExecutor(1) as pool:
            sent = pool.submit(send, connection, (one + lost) * (count // 2) + PROBE)
            got, ended = read_until_end(connection, 30)
            sent.result()
    statuses = [reply.status for reply in split_replies(got)]
    assert ended and statuses == [200, 404] * (count // 2) + [200]


def test_pipelined_writes(server, api):
    """Writes wait for the disk; their answers come in order all the same."""
    def create(i):
        body = json.dumps({"name": "n", "mime_type": "a/b", "storage_path": f"p{i % 7}"}).encode()
        head = f"POST /v1/documents HTTP/1.1\r\nHost: h\r\nX-API-Key: {api.key}\r\n"
        return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body

    replies, ended = converse(server, b"".join(create(i) for i in range(14)) + PROBE, seconds=20)
    assert ended and [r.status for r in replies] == [201] * 7 + [409] * 7 + [200]
    assert stored(api) == 7


# ---- bodies that are not wanted, or asked for ----

@pytest.mark.parametrize("target, length", [
    ("/v1/documents", 50 << 20), ("/api/v1/upload", 11 << 30), ("/v1/documents", 1 << 60)])
def test_early_refusal_reaches_a_client_that_still_sends(server, api, target, length):
    """50 MiB are on the way when the 413 comes: the client sees it."""
    for _ in range(5):
        with server.connect() as connection:
            send(connection, f"POST {target} HTTP/1.1\r\nHost: h\r\nX-API-Key: {api.key}\r\n"
                             f"Content-Length: {length}\r\n\r\n".encode())
            for _ in range(50):
                if select.select([connection], [], [], 0)[0]:
                    break
                send(connection, bytes(1 << 20))
            replies = split_replies(read_until_end(connection, 10)[0])
        assert [reply.status for reply in replies] == [413], replies
        assert_ours(replies[0])
    assert_healthy(server)


def test_continue_comes_before_the_body(server, api):
    head = upload_head(api, b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(FILE))
    with server.connect() as connection:
        connection.sendall(head)
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(FILE + PROBE)
        replies = split_replies(read_until_end(connection, 10)[0])
    assert [reply.status for reply in replies] == [200, 200]


@pytest.mark.parametrize("target, status, key", [
    ("/api/v1/upload", 401, False), ("/v1/documents", 413, True), ("/nowhere", 404, True)])
def test_no_continue_for_a_body_that_is_refused(server, api, target, status, key):
    with server.connect() as connection:
        connection.sendall(
            f"POST {target} HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n".encode()
            + (f"X-API-Key: {api.key}\r\n".encode() if key else b"")
            + b"Content-Length: 5000000\r\n\r\n")
        replies = split_replies(read_until_end(connection, 3)[0])
    assert [reply.status for reply in replies] == [status], replies


def test_no_reply_to_what_breaks_off(server, api):
    """A request whose body breaks off is not done."""
    for cut in (upload_head(api, b"Content-Length: 900\r\n\r\n") + FILE,
                upload_head(api, CHUNKED + b"\r\n\r\n") + chunk(FILE),
                post(b"X-API-Key: " + api.key.encode() + b"\r\nContent-Length: 99\r\n", b"{}")):
        with server.connect() as connection:
            connection.sendall(cut)
            connection.shutdown(socket.SHUT_WR)
            replies = split_replies(read_until_end(connection, 1)[0])
        assert all(reply.status >= 400 for reply in replies), replies
    assert stored(api) == 0
    assert_healthy(server)
