# SPDX-License-Identifier: Apache-2.0
"""
Raw bytes to a server and its replies, taken apart without a client library's kindness.
"""
import contextlib
import json
import re
import select
import ssl
import time
from collections import namedtuple

from hostile_cases import PROBE

QUIET_SECONDS = 6
OURS = re.compile(r"req_[0-9A-HJKMNP-TV-Z]{26}")

Reply = namedtuple("Reply", "status headers body")


def read_until_end(connection, seconds):
    """All bytes up to the end, and whether the end came in time."""
    got = bytearray()
    deadline = time.monotonic() + seconds
    pending = getattr(connection, "pending", int)      # bytes that a TLS socket has at hand
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not (pending() or select.select([connection], [], [], left)[0]):
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
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
        connection.sendall(content)


def converse(server, content, seconds=QUIET_SECONDS, heads=()):
    """The replies to these bytes on a new connection, and whether it was ended."""
    with server.connect() as connection:
        send(connection, content)
        got, ended = read_until_end(connection, seconds)
    return split_replies(got, heads), ended


def is_ours(reply):
    """Not a page of the parser underneath; a 100 is always the parser's and has no header."""
    return reply.status < 200 or "x-request-id" in reply.headers


def assert_ours(reply):
    """It has what every answer has."""
    assert OURS.fullmatch(reply.headers.get("x-request-id", "")), reply
    assert reply.headers.get("x-content-type-options") == "nosniff", reply
    assert reply.headers.get("cache-control") == "no-store", reply
    if reply.status >= 400 and reply.body:      # none after HEAD
        body = json.loads(reply.body)
        assert "error" in body or "detail" in body, reply


def assert_plain(reply):
    """
    One of ours; or what the parser underneath says itself before the server hears of a request:
    a page of a few fixed words, after which the connection ends. Of a bad Content-Length it says
    its status line and headers twice over.
    """
    if is_ours(reply):
        if reply.status >= 200:
            assert_ours(reply)
        return
    assert reply.status in (400, 413, 414, 431, 500, 501, 505), reply
    assert reply.headers["connection"] == "close", reply
    assert b"<html><head><title>" in reply.body and len(reply.body) < 700, reply
    assert "server" not in reply.headers


def outcome(replies, ended):
    """As hostile_answers.txt writes it."""
    words = [f"{reply.status}{'' if is_ours(reply) else '*'}" for reply in replies]
    return " ".join(words + ([] if ended else ["wait"])) or "-"


def assert_healthy(server):
    replies, _ = converse(server, PROBE)
    assert [reply.status for reply in replies] == [200]


