# SPDX-License-Identifier: Apache-2.0
"""Signed URLs that nobody signed: each bit, each character, each mixture; none is accepted."""
import base64
import http.client
import json
import string
import time

import pytest

from harness import at_once, data, refused

UPLOAD, DOWNLOAD = "/v1/signed/upload/", "/v1/signed/download/"
METHOD = {UPLOAD: "PUT", DOWNLOAD: "GET"}
ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
CONTENT = b"abc"
MAC_BYTES = 32


def token_of(url):
    return url.rsplit("/", 1)[1]


def decode(token):
    return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))


def encode(content):
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


class Wire:
    """One connection for thousands of attempts."""

    def __init__(self, server):
        self.connection = http.client.HTTPConnection(*server.address, timeout=30)

    def attempt(self, kind, token, method=None):
        """Status and code."""
        method = method or METHOD[kind]
        self.connection.request(method, kind + token, CONTENT if method != "GET" else None)
        answer = self.connection.getresponse()
        body = answer.read()
        return answer.status, json.loads(body)["error"]["code"] if answer.status >= 400 else None

    def refused(self, kind, token):
        found = self.attempt(kind, token)
        assert found == (403, "invalid_signature"), (kind, token, found)


@pytest.fixture
def wire(server):
    wire = Wire(server)
    yield wire
    wire.connection.close()


def ask(api, **members):
    return token_of(data(api.post("/v1/documents/upload-url", json=members), 201)["upload_url"])


def read(api, document):
    return token_of(data(api.get(f"/v1/documents/{document['id']}"))["download_url"])


@pytest.fixture(params=[UPLOAD, DOWNLOAD], ids=["upload", "download"])
def good(request, api, wire):
    """(kind, token), not used yet; afterwards it still works, and for uploads nothing was kept."""
    kind = request.param
    if kind == UPLOAD:
        token = ask(api, storage_path="forged/a", mime_type=None, size_bytes=len(CONTENT))
    else:
        token = read(api, api.new_bytes(b"signed"))
    before = data(api.get("/v1/usage"))
    yield kind, token
    assert data(api.get("/v1/usage")) == before
    assert wire.attempt(kind, token) == (200, None)


def test_every_bit(good, wire):
    kind, token = good
    content = decode(token)
    assert encode(content) == token
    for i in range(8 * len(content)):
        changed = bytearray(content)
        changed[i // 8] ^= 1 << i % 8
        wire.refused(kind, encode(changed))


def test_every_character(good, wire):
    """Each by some others; the last, which has bits to spare, by all others."""
    kind, token = good
    for i, character in enumerate(token):
        last = i == len(token) - 1
        others = ALPHABET if last else ALPHABET[i % 64] + ALPHABET[(i + 29) % 64]
        for other in set(others) - {character}:
            wire.refused(kind, token[:i] + other + token[i + 1:])
        for other in ("%2B", "+", "%20", "%3D", "%0A"):
            wire.refused(kind, token[:i] + other + token[i + 1:])


def test_every_length(good, wire):
    kind, token = good
    content = decode(token)
    for i in range(1, len(token)):
        wire.refused(kind, token[:i])
        wire.refused(kind, token[i:])
    for more in ("A", "AA", "AAA", "AAAA", "=", "==", "%00A", "%0A", "%20", ".", "-", "A" * 2000):
        status, code = wire.attempt(kind, token + more)
        assert code in ("invalid_signature", "not_found"), (more, status)
    for i in range(len(content) + 1):
        wire.refused(kind, encode(content[:i] + b"\0" + content[i:]))
        if i < len(content):
            wire.refused(kind, encode(content[:i] + content[i + 1:]))


def test_swapped_pieces(api, wire, workspace, server):
    """Any piece of one good token in another good one of its kind."""
    foreign = server.workspace().api()
    documents = [one.new_bytes(b"secret") for one in (api, api, foreign)]
    pairs = {
        DOWNLOAD: [decode(read(one, document))
                   for one, document in zip((api, api, foreign), documents)],
        UPLOAD: [decode(ask(one, storage_path=path, size_bytes=3))
                 for one, path in ((api, "aa"), (api, "bb"), (foreign, "cc"))],
    }
    for kind, tokens in pairs.items():
        for one in tokens:
            for other in tokens:
                if one == other:
                    continue
                wire.refused(kind, encode(one[:-MAC_BYTES] + other[-MAC_BYTES:]))
                for start in range(0, len(one), 4):
                    for size in (4, 8, 16):
                        mixed = one[:start] + other[start:start + size] + one[start + size:]
                        if mixed not in tokens:
                            wire.refused(kind, encode(mixed))


def test_the_other_kind_and_method(api, wire):
    up, down = ask(api), read(api, api.new_bytes(b"x"))
    wire.refused(DOWNLOAD, up)
    wire.refused(UPLOAD, down)
    for kind, token in ((UPLOAD, up), (DOWNLOAD, down)):
        for method in {"GET", "PUT", "POST", "PATCH", "DELETE"} - {METHOD[kind]}:
            assert wire.attempt(kind, token, method)[0] == 405
    assert wire.attempt(UPLOAD, up) == wire.attempt(DOWNLOAD, down) == (200, None)


def test_what_is_no_token(api, workspace, wire):
    key = workspace.key()
    for token in (key, key[4:], "x", "null", "undefined", "A" * 86, encode(bytes(64)),
                  encode(b"\xff" * 64), encode(bytes(300)), "%F0%9F%98%80", "..%2F..", "%2e%2e",
                  "A" * 4000, encode(b'{"alg":"none"}') + ".e30.", "%27%20OR%201=1--"):
        for kind in (UPLOAD, DOWNLOAD):
            wire.refused(kind, token)
    for kind in (UPLOAD, DOWNLOAD):
        assert wire.attempt(kind, "")[0] == 404
        assert wire.attempt(kind, "a/b")[0] == 404
        assert wire.attempt(kind, "%00")[0] in (400, 403, 404)


def test_another_servers_tokens(api, wire, server_factory):
    other = server_factory().workspace().api()
    document = other.new_bytes(b"x")
    wire.refused(UPLOAD, ask(other))
    wire.refused(DOWNLOAD, read(other, document))


@pytest.mark.concurrent
def test_an_upload_url_works_once_also_at_once(api, server):
    token = ask(api, storage_path="once")

    def send(_):
        wire = Wire(server)
        found = wire.attempt(UPLOAD, token)
        wire.connection.close()
        return found

    found = sorted(at_once(16, send), key=str)
    assert found == [(200, None)] + [(403, "invalid_signature")] * 15
    assert len(api.audit(resource_type="uploads")) == 1


def expiry(text):
    return time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")) - time.timezone


def test_to_the_second(server_factory):
    """Good before the second that the answer names, bad from it on; whenever the requests come."""
    server = server_factory("--url-life", "3s")
    api = server.workspace().api()
    shown = data(api.get(f"/v1/documents/{api.new_bytes(b'x')['id']}"))
    asked = [data(api.post("/v1/documents/upload-url", json={}), 201) for _ in range(60)]
    cases = [(DOWNLOAD, token_of(shown["download_url"]), expiry(shown["download_url_expires_at"]))]
    cases += [(UPLOAD, token_of(one["upload_url"]), expiry(one["expires_at"])) for one in asked]
    wire = Wire(server)
    end = max(until for _, _, until in cases) + 1.2
    seen = {kind: set() for kind in METHOD}
    while time.time() < end:
        for case in (cases[0], cases.pop() if len(cases) > 1 else cases[0]):
            kind, token, until = case
            before = time.time()
            status, _ = wire.attempt(kind, token)
            after = time.time()
            assert status in (200, 403)
            assert before < until if status == 200 else after >= until, (kind, before, until)
            seen[kind].add(status)
        time.sleep(0.07)
    assert 403 in seen[DOWNLOAD] and 403 in seen[UPLOAD]
    refused(api.get(shown["download_url"]), 403, "invalid_signature")
