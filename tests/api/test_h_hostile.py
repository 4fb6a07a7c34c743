# SPDX-License-Identifier: Apache-2.0
"""
Hostile bytes and hostile slowness, on raw sockets.

Each case of the table is sent with an honest request right behind it on the same connection. What
comes back tells whether the server and the sender agree where the first request ends: the honest
request is answered as the second one ("keep"), or the connection ends after the first answer
("close"); never is a byte of a body taken for a request.
"""
import contextlib
import json
import re
import select
import socket
import time
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from harness import data

QUIET_SECONDS = 6
SLOW_CONNECTIONS = 200
PROBE = b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
HOST = b"Host: h\r\n"
SMUGGLED = b"GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n"
OURS = re.compile(r"req_[0-9A-HJKMNP-TV-Z]{26}")

Reply = namedtuple("Reply", "status headers body")
Case = namedtuple("Case", "name payload statuses after")


# ---- the wire ----

def read_until_end(connection, seconds):
    """All bytes up to the end, and whether the end came in time."""
    got = bytearray()
    deadline = time.monotonic() + seconds
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([connection], [], [], left)[0]:
            return bytes(got), False
        try:
            chunk = connection.recv(65536)
        except ConnectionResetError:
            return bytes(got), True
        if not chunk:
            return bytes(got), True
        got += chunk


def split_replies(text, heads=()):
    """The replies in what came back; `heads` are the numbers of those to HEAD requests."""
    replies = []
    while text:
        head, found, rest = text.partition(b"\r\n\r\n")
        assert found, f"half a header: {text[:200]!r}"
        line, *lines = head.decode("latin-1").split("\r\n")
        match = re.fullmatch(r"HTTP/1\.1 (\d{3}) [^\r\n]*", line)
        assert match, f"no status line: {line!r}"
        headers = {name.lower(): value.strip() for name, value in
                   (header.split(":", 1) for header in lines)}
        status = int(match[1])
        length = int(headers.get("content-length", 0))
        if "x-request-id" not in headers and status >= 200:
            length = len(rest)      # the parser's own page, whose length is not always right
        if status < 200 or status in (204, 304) or len(replies) in heads:
            length = 0
        assert len(rest) >= length, f"half a body of {status}"
        replies.append(Reply(status, headers, rest[:length]))
        text = rest[length:]
    return replies


def send(connection, content):
    """The server may close while it is still being sent to."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall(content)


def converse(server, content, seconds=QUIET_SECONDS):
    """The replies to these bytes on a new connection, and whether it was ended."""
    with socket.create_connection(server.address, timeout=20) as connection:
        send(connection, content)
        got, ended = read_until_end(connection, seconds)
    return split_replies(got), ended


def assert_ours(reply):
    """It has what every answer has."""
    assert OURS.fullmatch(reply.headers.get("x-request-id", "")), reply
    assert reply.headers.get("x-content-type-options") == "nosniff", reply
    assert reply.headers.get("cache-control") == "no-store", reply
    if reply.status >= 400:
        body = json.loads(reply.body)
        assert "error" in body or "detail" in body, reply


def assert_plain(reply):
    """
    One of ours; or what the parser underneath says itself before the server hears of a request:
    a page of a few fixed words, after which the connection ends. Of a bad Content-Length it says
    its status line and headers twice over.
    """
    if "x-request-id" in reply.headers:
        assert_ours(reply)
        return
    assert reply.status in (400, 413, 414, 431, 500, 505), reply
    assert reply.headers["connection"] == "close", reply
    assert b"<html><head><title>" in reply.body and len(reply.body) < 700, reply
    assert "server" not in reply.headers


def assert_healthy(server):
    replies, _ = converse(server, PROBE)
    assert [reply.status for reply in replies] == [200]


# ---- the table ----

def get(target=b"/v1/usage", headers=b"", version=b"HTTP/1.1", host=HOST):
    return b"GET " + target + b" " + version + b"\r\n" + host + headers + b"\r\n"


def post(headers, body=b"", target=b"/v1/documents", version=b"HTTP/1.1"):
    return b"POST " + target + b" " + version + b"\r\n" + HOST + headers + b"\r\n" + body


def lines(*headers):
    return b"".join(header + b"\r\n" for header in headers)


CHUNKED = b"Transfer-Encoding: chunked"
REFUSED = (400,)
NO_KEY = (401,)     # the framing is fine: the missing key is what is wrong
# The parser underneath ends a text at a NUL, drops a header without a name, unfolds a value: known,
# and harmless as long as both sides agree where the request ends.
LAX_TEXT = (400, 401)

LENGTHS = [
    Case("length-and-chunked", post(lines(b"Content-Length: 2", CHUNKED), b"0\r\n\r\n"),
         REFUSED, "close"),
    Case("chunked-and-length", post(lines(CHUNKED, b"Content-Length: 5"), b"0\r\n\r\n"),
         REFUSED, "close"),
    Case("length-and-identity", post(lines(b"Content-Length: 2", b"Transfer-Encoding: identity"),
                                     b"{}"), REFUSED, "close"),
    Case("two-lengths", post(lines(b"Content-Length: 2", b"Content-Length: 3"), b"{} "),
         REFUSED, "close"),
    Case("two-equal-lengths", post(lines(b"Content-Length: 2", b"Content-Length: 2"), b"{}"),
         REFUSED, "close"),
    Case("length-space-after", post(b"Content-Length: 2 \r\n", b"{}"), (400, 401), "any"),
    Case("length-plus", post(b"Content-Length: +2\r\n", b"{}"), REFUSED, "close"),
    Case("length-minus", post(b"Content-Length: -2\r\n", b"{}"), REFUSED, "close"),
    Case("length-list", post(b"Content-Length: 2,2\r\n", b"{}"), REFUSED, "close"),
    Case("length-list-space", post(b"Content-Length: 2, 3\r\n", b"{} "), REFUSED, "close"),
    Case("length-empty", post(b"Content-Length: \r\n"), REFUSED, "close"),
    Case("length-hex", post(b"Content-Length: 0x2\r\n", b"{}"), REFUSED, "close"),
    Case("length-inner-space", post(b"Content-Length: 1 2\r\n", b"{}"), REFUSED, "close"),
    Case("length-exponent", post(b"Content-Length: 1e1\r\n", b"{}"), REFUSED, "close"),
    Case("length-other-digits", post("Content-Length: \u0662\r\n".encode(), b"{}"),
         REFUSED, "close"),
    Case("length-letters", post(b"Content-Length: two\r\n", b"{}"), REFUSED, "close"),
    Case("length-underscore", post(b"Content-Length: 1_0\r\n", b"{}"), REFUSED, "close"),
    Case("length-2^63", post(b"Content-Length: 9223372036854775808\r\n"), (400, 413), "close"),
    Case("length-2^64", post(b"Content-Length: 18446744073709551616\r\n"), (400, 413), "close"),
    Case("length-2^64+2", post(b"Content-Length: 18446744073709551618\r\n", b"{}"),
         (400, 413), "close"),
    Case("length-many-digits", post(b"Content-Length: " + b"0" * 30 + b"2\r\n", b"{}"),
         REFUSED, "close"),
    Case("length-space-before-colon", post(b"Content-Length : 2\r\n", b"{}"), REFUSED, "close"),
    Case("length-folded", post(b"Content-Length:\r\n 2\r\n", b"{}"), REFUSED, "close"),
    Case("length-nul", post(b"Content-Length: 2\x00\r\n", b"{}"), LAX_TEXT, "any"),
    Case("length-vertical-tab", post(b"Content-Length: \x0b2\r\n", b"{}"), REFUSED, "close"),
    Case("body-of-get", get(b"/healthz", b"Content-Length: %d\r\n" % len(SMUGGLED)) + SMUGGLED,
         (200, 400), "any"),
    Case("body-without-route", post(b"Content-Length: %d\r\n" % len(SMUGGLED), SMUGGLED,
                                    b"/missing"), (404,), "any"),
    Case("body-without-key", post(b"Content-Length: %d\r\n" % len(SMUGGLED), SMUGGLED),
         NO_KEY, "any"),
    Case("chunked-body-without-route",
         post(CHUNKED + b"\r\n", b"%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED),
              b"/missing"), (404,), "any"),
]

ENCODINGS = [
    Case("encoding-" + name, post(b"Transfer-Encoding:" + value + b"\r\n", b"0\r\n\r\n"),
         REFUSED, "close") for name, value in [
             ("gzip", b" gzip"), ("gzip-chunked", b" gzip, chunked"),
             ("twice", b" chunked, chunked"), ("parameter", b" chunked;q=1"),
             ("prefix", b" xchunked"), ("suffix", b" chunkedx"), ("identity", b" identity"),
             ("empty", b""), ("quoted", b' "chunked"'), ("comma", b" chunked,"),
             ("vertical-tab", b" \x0bchunked"), ("form-feed", b" chunked\x0c"),
             ("folded", b"\r\n chunked"), ("bare-cr", b" \rchunked")]]
ENCODINGS += [
    Case("encoding-twice", post(lines(CHUNKED, CHUNKED), b"0\r\n\r\n"), REFUSED, "close"),
    Case("encoding-space-before-colon", post(b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n"),
         REFUSED, "close"),
    Case("encoding-http-1.0", post(CHUNKED + b"\r\n", b"0\r\n\r\n", version=b"HTTP/1.0"),
         REFUSED, "close"),
    Case("encoding-nul", post(b"Transfer-Encoding: chunked\x00\r\n", b"0\r\n\r\n"),
         LAX_TEXT, "any"),
    Case("encoding-tab", post(b"Transfer-Encoding:\tchunked\r\n", b"0\r\n\r\n"),
         (400, 401), "any"),
    Case("encoding-capitals", post(b"TRANSFER-ENCODING: CHUNKED\r\n", b"0\r\n\r\n"),
         (400, 401), "any"),
]

HEADERS = [
    Case("folded-first-line", b"GET /v1/usage HTTP/1.1\r\n X: y\r\n" + HOST + b"\r\n",
         REFUSED, "close"),
    Case("folded", get(headers=b"X-A: a\r\n b\r\n"), LAX_TEXT, "any"),
    Case("bare-cr-in-value", get(headers=b"X-A: a\rb\r\n"), REFUSED, "close"),
    Case("bare-cr-lines", b"GET /healthz HTTP/1.1\rHost: h\r\r", (400, None), "close"),
    Case("bare-lf-lines", b"GET /v1/usage HTTP/1.1\nHost: h\n\n", (400, 401), "any"),
    Case("nul-in-value", get(headers=b"X-A: a\x00b\r\n"), LAX_TEXT, "any"),
    Case("nul-in-name", get(headers=b"X\x00A: a\r\n"), REFUSED, "close"),
    Case("nul-in-host", get(host=b"Host: h\x00x\r\n"), LAX_TEXT, "any"),
    Case("empty-name", get(headers=b": x\r\n"), LAX_TEXT, "any"),
    Case("no-colon", get(headers=b"Foo\r\n"), REFUSED, "close"),
    Case("space-in-name", get(headers=b"X A: b\r\n"), REFUSED, "close"),
    Case("space-before-colon", get(headers=b"X-A : b\r\n"), REFUSED, "close"),
    Case("tab-before-colon", get(headers=b"X-A\t: b\r\n"), REFUSED, "close"),
    Case("slash-in-name", get(headers=b"X/A: b\r\n"), REFUSED, "close"),
    Case("high-byte-in-name", get(headers=b"X\xe9: b\r\n"), REFUSED, "close"),
    Case("control-in-value", get(headers=b"X-A: \x01\r\n"), REFUSED, "close"),
    Case("delete-in-value", get(headers=b"X-A: \x7f\r\n"), REFUSED, "close"),
    Case("high-bytes-in-value", get(headers=b"X-A: \xe4\xff\r\n"), NO_KEY, "keep"),
    Case("empty-value", get(headers=b"X-A:\r\n"), NO_KEY, "keep"),
    Case("two-keys", get(headers=lines(b"X-API-Key: a", b"X-API-Key: a")), REFUSED, "close"),
    Case("two-authorizations", get(headers=lines(b"Authorization: Bearer a",
                                                 b"authorization: Bearer b")), REFUSED, "close"),
    Case("no-host", get(host=b""), REFUSED, "close"),
    Case("two-hosts", get(host=HOST + b"Host: i\r\n"), REFUSED, "close"),
    Case("two-equal-hosts", get(host=HOST + HOST), REFUSED, "close"),
    Case("host-empty", get(host=b"Host:\r\n"), (400, 401), "any"),
    Case("host-list", get(host=b"Host: h, i\r\n"), REFUSED, "close"),
    Case("host-path", get(host=b"Host: h/evil\r\n"), REFUSED, "close"),
    Case("host-user", get(host=b"Host: u@h\r\n"), REFUSED, "close"),
    Case("host-space", get(host=b"Host: a b\r\n"), REFUSED, "close"),
    Case("upgrade-ignored", get(b"/healthz", lines(b"Connection: Upgrade", b"Upgrade: h2c")),
         (200,), "keep"),
    Case("connection-names-a-header", get(b"/healthz", b"Connection: Host\r\n"), (200,), "keep"),
    Case("headers-40-KiB", get(headers=b"X-A: " + b"v" * 40960 + b"\r\n"), (431,), "close"),
    Case("headers-200-KiB", get(headers=b"X-A: " + b"v" * 204800 + b"\r\n"), (431, 413), "close"),
    Case("headers-101", get(headers=lines(*[b"X-%d: v" % i for i in range(101)])),
         (431,), "close"),
    Case("headers-5000", get(headers=lines(*[b"X-%d: v" % i for i in range(5000)])),
         (431,), "close"),
    Case("name-40-KiB", get(headers=b"X" * 40960 + b": v\r\n"), (431,), "close"),
]

VERSIONS = [
    Case("http-1.0-without-host", get(b"/healthz", version=b"HTTP/1.0", host=b""), (200,), "close"),
    Case("http-1.0-keep-alive", get(b"/healthz", b"Connection: keep-alive\r\n", b"HTTP/1.0"),
         (200,), "any"),
    Case("http-1.2", get(b"/healthz", version=b"HTTP/1.2"), (200, 505), "any"),
    Case("http-2.0", get(version=b"HTTP/2.0"), (505,), "close"),
    Case("http-3", get(version=b"HTTP/3"), (400, 505), "close"),
    Case("http-0.9", b"GET /healthz\r\n\r\n", (400, 505, None), "close"),
    Case("http-lower-case", get(version=b"http/1.1"), (400, 505), "close"),
    Case("http-1.10", get(version=b"HTTP/1.10"), (400, 505), "close"),
    Case("http-1", get(version=b"HTTP/1"), (400, 505), "close"),
    Case("http-1.", get(version=b"HTTP/1."), (400, 505), "close"),
    Case("http-1.1x", get(version=b"HTTP/1.1x"), (400, 505), "close"),
    Case("other-protocol", get(version=b"ICAP/1.0"), (400, 505), "close"),
    Case("http-2-preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 501, 505), "close"),
    Case("tls-hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
         (400, 505, None), "close"),
    Case("noise", bytes(range(256)) + b"\r\n\r\n", (400, 505, None), "close"),
    Case("leading-empty-line", b"\r\n" + get(b"/healthz"), (200,), "keep"),
]

TARGETS = [
    Case("absolute", get(b"http://h/healthz"), (200,), "keep"),
    Case("absolute-capitals", get(b"HTTP://H/healthz"), (200, 400), "any"),
    Case("absolute-other-host", get(b"http://i/healthz"), REFUSED, "close"),
    Case("absolute-longer-host", get(b"http://hh/healthz"), REFUSED, "close"),
    Case("absolute-user", get(b"http://h@i/healthz"), REFUSED, "close"),
    Case("absolute-without-host", get(b"http://h/healthz", host=b""), REFUSED, "close"),
    Case("absolute-without-path", get(b"http://h"), (400, 404), "any"),
    Case("absolute-https", get(b"https://h/healthz"), REFUSED, "close"),
    Case("absolute-ftp", get(b"ftp://h/healthz"), REFUSED, "close"),
    Case("authority-form", get(b"h:80"), REFUSED, "close"),
    Case("asterisk-options", b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", (204,), "keep"),
    Case("asterisk-get", get(b"*"), REFUSED, "close"),
    Case("relative", get(b"healthz"), REFUSED, "close"),
    Case("fragment", get(b"/healthz#x"), REFUSED, "close"),
    Case("space", get(b"/heal thz"), REFUSED, "close"),
    Case("two-spaces", b"GET  /healthz HTTP/1.1\r\n" + HOST + b"\r\n", (200, 400), "any"),
    Case("tab-between", b"GET\t/healthz\tHTTP/1.1\r\n" + HOST + b"\r\n", (400, 501, None), "close"),
    Case("empty", b"GET  HTTP/1.1\r\n" + HOST + b"\r\n", (400, 505), "close"),
    Case("nul", get(b"/healthz\x00/x"), (200, 400, 404), "any"),
    Case("control", get(b"/healthz\x01"), REFUSED, "close"),
    Case("high-byte", get(b"/healthz\xff"), (400, 404), "any"),
    Case("escaped-nul", get(b"/healthz%00"), (400, 404), "any"),
    Case("escaped-nul-in-id", get(b"/v1/documents/a%00b"), NO_KEY + (400, 404), "any"),
    Case("broken-escape", get(b"/healthz%zz"), (400, 404), "any"),
    Case("cut-escape", get(b"/healthz%2"), (400, 404), "any"),
    Case("escaped-dots", get(b"/v1/documents/%2e%2e/usage"), (401, 404), "keep"),
    Case("dots", get(b"/v1/../../../etc/passwd"), (404,), "keep"),
    Case("backslashes", get(b"/..\\..\\etc\\passwd"), (400, 404), "any"),
    Case("two-slashes", get(b"//healthz"), (404,), "keep"),
    Case("8193-bytes", get(b"/" + b"a" * 8192), (414,), "close"),
    Case("16-KiB", get(b"/" + b"a" * 16384), (414,), "close"),
    Case("100-KiB", get(b"/" + b"a" * 102400), (414, 431), "close"),
    Case("escapes-8-KiB", get(b"/" + b"%41" * 2700), (404,), "keep"),
]

METHODS = [
    Case("trace", b"TRACE /v1/usage HTTP/1.1\r\n" + HOST + b"\r\n", (405, 501), "any"),
    Case("connect", b"CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n", (400, 405, 501), "close"),
    Case("unknown", b"FOO /v1/usage HTTP/1.1\r\n" + HOST + b"\r\n", (405, 501), "any"),
    Case("lower-case", b"get /healthz HTTP/1.1\r\n" + HOST + b"\r\n", (405, 501), "any"),
    Case("long", b"G" * 3000 + b" /healthz HTTP/1.1\r\n" + HOST + b"\r\n", (400, 405, 501), "any"),
    Case("control", b"GE\x01T /healthz HTTP/1.1\r\n" + HOST + b"\r\n", (400, 501), "close"),
    Case("empty", b" /healthz HTTP/1.1\r\n" + HOST + b"\r\n", (400, 501, None), "close"),
    Case("post-without-length", post(b""), (401, 411), "any"),
]

TABLE = [case._replace(name=f"{group}-{case.name}") for group, cases in [
    ("body", LENGTHS), ("body", ENCODINGS), ("header", HEADERS), ("version", VERSIONS),
    ("target", TARGETS), ("method", METHODS)] for case in cases]


@pytest.mark.parametrize("case", TABLE, ids=[case.name for case in TABLE])
def test_framing(server, case):
    replies, ended = converse(server, case.payload + PROBE)
    statuses = [reply.status for reply in replies]
    assert ended, f"no end after {statuses}"
    assert len(replies) <= 2, f"{len(replies)} replies to two requests: {statuses}"
    first = statuses[0] if statuses else None
    assert first in case.statuses, statuses
    if case.after == "close":
        assert len(replies) <= 1, f"the connection was kept: {statuses}"
    if case.after == "keep" or len(replies) == 2:
        assert statuses[1:] == [200], f"the next request was not answered: {statuses}"
    for reply in replies:
        assert_plain(reply)
    assert_healthy(server)


# ---- chunks ----

FILE = (b"--B\r\nContent-Disposition: form-data; name=\"files\"; filename=\"a\"\r\n\r\nabc\r\n"
        b"--B--\r\n")


def chunk(body=FILE, size=None, ends=b"\r\n"):
    return (b"%x" % len(body) if size is None else size) + ends + body + ends


ABUSES = [
    ("hex-prefix", chunk(size=b"0x%x" % len(FILE)) + b"0\r\n\r\n"),
    ("minus", chunk(size=b"-%x" % len(FILE)) + b"0\r\n\r\n"),
    ("plus", chunk(size=b"+%x" % len(FILE)) + b"0\r\n\r\n"),
    ("space-before", chunk(size=b" %x" % len(FILE)) + b"0\r\n\r\n"),
    ("underscore", chunk(size=b"0_%x" % len(FILE)) + b"0\r\n\r\n"),
    ("no-digits", chunk(size=b"") + b"0\r\n\r\n"),
    ("letter", chunk(size=b"G") + b"0\r\n\r\n"),
    ("2^64", chunk(size=b"10000000000000000") + b"0\r\n\r\n"),
    ("2^64-and-length", chunk(size=b"1%016x" % len(FILE)) + b"0\r\n\r\n"),
    ("2^63", chunk(size=b"8000000000000000") + b"0\r\n\r\n"),
    ("too-short", chunk(size=b"%x" % (len(FILE) - 3)) + b"0\r\n\r\n"),
    ("no-end-of-chunk", b"%x\r\n" % len(FILE) + FILE + b"0\r\n\r\n"),
    ("endless-extension", b"%x;" % len(FILE) + b"a" * 100000),
    ("bare-cr", chunk(ends=b"\r") + b"0\r\r"),
]
LAX = [     # read in one way only by what stands in front, so either verdict is harmless
    ("extension", chunk(size=b"%x;a=b" % len(FILE)) + b"0\r\n\r\n"),
    ("leading-zeros", chunk(size=b"0000%x" % len(FILE)) + b"000\r\n\r\n"),
    ("space-after", chunk(size=b"%x " % len(FILE)) + b"0\r\n\r\n"),
    ("bare-lf", chunk(ends=b"\n") + b"0\n\n"),
    ("trailer", chunk() + b"0\r\nX-A: b\r\n\r\n"),
    ("trailer-length", chunk() + b"0\r\nContent-Length: 3\r\n\r\n"),
    ("plain", chunk() + b"0\r\n\r\n"),
]


def upload_head(api, more=b""):
    return (b"POST /api/v1/upload HTTP/1.1\r\n" + HOST + b"X-API-Key: " + api.key.encode()
            + b"\r\nContent-Type: multipart/form-data; boundary=B\r\n" + more)


def stored(api):
    return data(api.get("/v1/usage"))["documents"]


@pytest.mark.parametrize("name, body", ABUSES, ids=[row[0] for row in ABUSES])
def test_abused_chunks_store_nothing(server, api, name, body):
    """The server may wait for more of a chunk whose length it believes: then there is no reply."""
    replies, _ended = converse(server, upload_head(api, CHUNKED + b"\r\n\r\n") + body + PROBE,
                               seconds=1)
    refused = [500] if name == "endless-extension" else [400]   # a full buffer of the parser's
    assert [reply.status for reply in replies] in ([], refused, [413]), replies
    for reply in replies:
        assert_plain(reply)
    assert stored(api) == 0
    assert_healthy(server)


@pytest.mark.parametrize("name, body", LAX, ids=[row[0] for row in LAX])
def test_unusual_chunks(server, api, name, body):
    replies, ended = converse(server, upload_head(api, CHUNKED + b"\r\n\r\n") + body + PROBE)
    statuses = [reply.status for reply in replies]
    assert ended and statuses in ([200, 200], [400], []), statuses
    assert stored(api) == (1 if statuses == [200, 200] else 0)
    if name == "plain":
        assert statuses == [200, 200]


@pytest.mark.parametrize("method, target", [
    ("POST", "/v1/documents"), ("PATCH", "/v1/documents/x"), ("POST", "/v1/documents/x/link"),
    ("POST", "/v1/entities/batch"), ("PUT", "/v1/entities/deal/x"), ("POST", "/v1/api-keys"),
    ("POST", "/v1/documents/upload-url")])
def test_chunked_json(server, api, method, target):
    head = f"{method} {target} HTTP/1.1\r\nHost: h\r\nX-API-Key: {api.key}\r\n".encode()
    replies, ended = converse(server, head + CHUNKED + b"\r\n\r\n" + chunk(SMUGGLED)
                              + b"0\r\n\r\n" + PROBE)
    assert ended and [reply.status for reply in replies] in ([411], [411, 200]), replies
    assert_ours(replies[0])


# ---- several requests on one connection ----

@pytest.mark.parametrize("count", [3, 1000])
def test_pipelined(server, api, count):
    """Each is answered, in order."""
    one = f"GET /v1/usage HTTP/1.1\r\nHost: h\r\nX-API-Key: {api.key}\r\n\r\n".encode()
    lost = get(b"/nowhere")
    with socket.create_connection(server.address, timeout=20) as connection:
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
        with socket.create_connection(server.address, timeout=20) as connection:
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
    with socket.create_connection(server.address, timeout=20) as connection:
        connection.sendall(head)
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(FILE + PROBE)
        replies = split_replies(read_until_end(connection, 10)[0])
    assert [reply.status for reply in replies] == [200, 200]


@pytest.mark.parametrize("target, status, key", [
    ("/api/v1/upload", 401, False), ("/v1/documents", 413, True), ("/nowhere", 404, True)])
def test_no_continue_for_a_body_that_is_refused(server, api, target, status, key):
    with socket.create_connection(server.address, timeout=20) as connection:
        connection.sendall(
            f"POST {target} HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n".encode()
            + (f"X-API-Key: {api.key}\r\n".encode() if key else b"")
            + b"Content-Length: 5000000\r\n\r\n")
        replies = split_replies(read_until_end(connection, 3)[0])
    assert [reply.status for reply in replies] == [status], replies


def test_unknown_expectation(server):
    replies, ended = converse(server, get(b"/healthz", b"Expect: wonders\r\n") + PROBE)
    assert ended and replies[0].status in (200, 417)


def test_no_reply_to_what_breaks_off(server, api):
    """A request whose body breaks off is not done."""
    for cut in (upload_head(api, b"Content-Length: 900\r\n\r\n") + FILE,
                upload_head(api, CHUNKED + b"\r\n\r\n") + chunk(FILE),
                post(b"X-API-Key: " + api.key.encode() + b"\r\nContent-Length: 99\r\n", b"{}")):
        with socket.create_connection(server.address, timeout=20) as connection:
            connection.sendall(cut)
            connection.shutdown(socket.SHUT_WR)
            replies = split_replies(read_until_end(connection, 1)[0])
        assert all(reply.status >= 400 for reply in replies), replies
    assert stored(api) == 0
    assert_healthy(server)


# ---- slowness ----
#
# All of it is begun by the first of these tests, beside each other, and looked at by the rest.

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
    with socket.create_connection(server.address, timeout=20) as connection:
        return drip(connection, b"GET /healthz HTTP/1.1\r\nHost: h\r\nX-A: ", b"a", 1, 40)


def slow_second_header(server, _key):
    """On a connection that has been honest before."""
    with socket.create_connection(server.address, timeout=20) as connection:
        connection.sendall(get(b"/healthz"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        return drip(connection, b"GET /healthz HTTP/1.1\r\n", b"X", 1, 40)


def slow_json(server, key):
    with socket.create_connection(server.address, timeout=20) as connection:
        first = post(b"X-API-Key: " + key.encode() + b"\r\nContent-Length: 1000\r\n", b"{")
        return drip(connection, first, b" ", 1, 40)


def slow_upload(server, key):
    with socket.create_connection(server.address, timeout=20) as connection:
        first = (b"POST /api/v1/upload HTTP/1.1\r\n" + HOST + b"X-API-Key: " + key.encode()
                 + b"\r\nContent-Type: multipart/form-data; boundary=B\r\n"
                   b"Content-Length: 100000\r\n\r\n" + FILE[:70])
        return drip(connection, first, b"a", 1, 40)


def steady_upload(server, key):
    """4 KiB/s for 14 s are slow, but honest."""
    body = FILE.replace(b"abc", b"a" * 56000)
    with socket.create_connection(server.address, timeout=20) as connection:
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
        kept = [stack.enter_context(socket.create_connection(server.address, timeout=20))
                for _ in range(8)]
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
    body = bytes(16 << 20)
    made = requests.post(server.base_url + "/v1/documents/upload-url", json={}, timeout=20,
                         headers={"X-API-Key": key}).json()["data"]
    requests.put(made["upload_url"], data=body, timeout=60).raise_for_status()
    document = requests.post(
        server.base_url + "/v1/documents", headers={"X-API-Key": key}, timeout=20,
        json={"name": "n", "mime_type": "a/b", "storage_path": made["storage_path"]}).json()
    shown = requests.get(server.base_url + "/v1/documents/" + document["data"]["id"], timeout=20,
                         headers={"X-API-Key": key}).json()["data"]
    path = shown["download_url"][len(server.base_url):].encode()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(server.address)
        connection.sendall(get(path))
        time.sleep(22)
        got, ended = read_until_end(connection, 15)
    assert ended, "the connection is still open"
    return len(got)


def crowd(server, _key):
    """Many slow headers at once; how long honest requests took meanwhile."""
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(server.address, timeout=20))
                for _ in range(SLOW_CONNECTIONS)]
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


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_thousand_slow_connections(server_factory):
    server = server_factory()
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(server.address, timeout=20))
                for _ in range(1000)]
        for connection in slow:
            send(connection, b"GET /healthz HTTP/1.1\r\nX-A: ")
        began = time.monotonic()
        while time.monotonic() - began < 16:
            for connection in slow:
                send(connection, b"a")
            asked = time.monotonic()
            replies, _ = converse(server, PROBE, seconds=10)
            assert [reply.status for reply in replies] == [200]
            assert time.monotonic() - asked < 5
            time.sleep(1)
        open_now = re.search(r"^dossier_connections (\d+)", requests.get(
            server.base_url + "/metrics", timeout=20).text, re.M)
        assert int(open_now[1]) < 20, "slow connections are still open"
