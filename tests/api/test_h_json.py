# SPDX-License-Identifier: Apache-2.0
"""JSON that is none, JSON that costs, and bodies that claim to be or become large."""
import functools
import gzip
import io
import json
import os
import re
import socket
import threading
import time
import zipfile
from http.client import HTTPConnection

import pytest

from harness import Server, data, instrumented, refused, unique
from json_cases import BODIES, NO_BODIES, NO_VALUES, VALUES

PATH = "/v1/documents/upload-url"       # an empty object will do; unknown members are ignored
MIB = 1 << 20
GROWTH_KIB = 24 << 10 if not instrumented() else 1 << 20
ANSWER_SECONDS = 20                     # far more than it takes, on a machine with others on it


@pytest.fixture(scope="module")
def lone():
    server = Server("--loops", "2")
    yield server.start()
    server.remove()


class Wire:
    def __init__(self, server, key):
        self.connection = HTTPConnection(*server.address, timeout=60)
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def post(self, body, path=PATH):
        """Status and code."""
        self.connection.request("POST", path, body, self.headers)
        answer = self.connection.getresponse()
        body = answer.read()
        return answer.status, json.loads(body).get("error", {}).get("code")


@pytest.fixture(scope="module")
def wire(lone):
    return Wire(lone, lone.workspace().key())


# ---- what is JSON ----

def test_there_are_enough():
    assert len({*VALUES, *NO_VALUES}) + len({*BODIES, *NO_BODIES}) >= 150
    assert not {*VALUES} & {*NO_VALUES} and not {*BODIES} & {*NO_BODIES}


def test_accepted(wire):
    bodies = [b'{"x":' + value + b"}" for value in VALUES] + BODIES
    assert [body[:80] for body in bodies if wire.post(body) != (201, None)] == []


def test_refused(wire):
    bodies = [b'{"x":' + value + b"}" for value in NO_VALUES] + NO_BODIES
    assert [body[:80] for body in bodies if wire.post(body) != (400, "validation_error")] == []


def test_every_cut(wire):
    """A body that ends early is never taken for a whole one."""
    body = b'{"name":"a\\u00e9\xc3\xa9","size_bytes":-1.5e3,"x":[true,{"y":null}]}'
    json.loads(body)
    for i in range(1, len(body)):       # none at all stands for an empty object here
        assert wire.post(body[:i]) == (400, "validation_error"), body[:i]


def test_every_byte(wire):
    """Each byte of a body replaced by some others: the same verdict as a strict parser gives."""
    body = b'{"name":"a\\n","x":[1,{"y":"z"}]}'

    def unique_names(pairs):
        if len({name for name, _ in pairs}) < len(pairs):
            raise ValueError("a name twice")
        return dict(pairs)

    for i in range(len(body)):
        for byte in b'\0"\\,:[]{}0-.e \x1f\x80\xff/':
            changed = body[:i] + bytes([byte]) + body[i + 1:]
            try:
                value = json.loads(changed.decode(), object_pairs_hook=unique_names)
                good = isinstance(value, dict)
            except (ValueError, UnicodeDecodeError):
                good = False
            status, _ = wire.post(changed)
            # a name may become a value that the field refuses, with a 400 of its own
            assert status == 400 if not good else status in (201, 400), changed


# ---- what it costs ----

def cpu_seconds(server):
    fields = open(f"/proc/{server.process.pid}/stat", encoding="ascii").read().rpartition(")")[2]
    return sum(map(int, fields.split()[11:13])) / os.sysconf("SC_CLK_TCK")


def peak_kib(server):
    with open(f"/proc/{server.process.pid}/status", encoding="ascii") as lines:
        return int(re.search(r"VmHWM:\s+(\d+) kB", lines.read())[1])


def fill(size, item, end=b""):
    """An object of about `size` bytes; item(i) makes its members."""
    made, length, i = [], 2 + len(end), 0
    while length < size - 40:
        made.append(item(i))
        length += len(made[-1]) + 1
        i += 1
    return b"{" + b",".join(made) + end + b"}"


COSTLY = {
    "many names": lambda size: fill(size, lambda i: b'"%x":1' % i),
    "alike names": lambda size: fill(size, lambda i: b'"%s%05d":1' % (b"a" * 20, i)),
    "names of escapes": lambda size: fill(size, lambda i: b'"\\u%04x\\u%04x":1' % (
        0x1000 + i % 4096, 0x1000 + i // 4096)),
    "a name twice, at the end": lambda size: fill(size, lambda i: b'"%x":1' % i, b',"0":1'),
    "empty objects": lambda size: b'{"x":[' + b"{}," * (size // 3 - 4) + b"{}]}",
    "digits": lambda size: b'{"x":0.' + b"9" * (size - 10) + b"}",
    "escapes": lambda size: b'{"x":"' + b"\\u20ac" * (size // 6 - 3) + b'"}',
    "backslashes": lambda size: b'{"x":"' + b"\\\\" * (size // 2 - 8) + b'"}',
    "white space": lambda size: b"{" + b" " * (size - 2) + b"}",
    "tags": lambda size: fill(size, lambda i: b'"x%d":1' % i, b',"tags":[1]'),
}


def test_cost_grows_with_length_only(lone, wire):
    """Eight times the bytes cost about eight times the processor; 64 times would be a square."""
    for name, make in COSTLY.items():
        spent = {}
        for size, times in ((MIB // 8, 16), (MIB, 2)):      # the same number of bytes
            body = make(size)
            assert size * 0.9 < len(body) <= size, name
            begin = cpu_seconds(lone)
            for _ in range(times):
                assert wire.post(body)[0] in (201, 400), name
            spent[size] = cpu_seconds(lone) - begin
        assert spent[MIB] < 4 * spent[MIB // 8] + 0.1, (name, spent)


def test_others_are_answered_meanwhile(lone, wire):
    key = wire.headers["Authorization"].split()[1]
    bodies = [make(MIB) for make in COSTLY.values()]
    done = threading.Event()
    slowest = []

    def flood():
        mine = Wire(lone, key)
        while not done.is_set():
            for body in bodies:
                mine.post(body)

    threads = [threading.Thread(target=flood) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        honest = Wire(lone, lone.workspace().key())
        for _ in range(15):
            begin = time.monotonic()
            assert honest.post(b"{}") == (201, None)
            slowest.append(time.monotonic() - begin)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert max(slowest) < ANSWER_SECONDS


# ---- bombs ----

@functools.cache
def zip_bomb():
    """Zip in zip: 4 GiB in all, in few bytes."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as made:
        made.writestr("zeros", bytes(16 * MIB))
    for level in range(2):
        outer = io.BytesIO()
        with zipfile.ZipFile(outer, "w", zipfile.ZIP_DEFLATED) as made:
            for i in range(16):
                made.writestr(f"{level}-{i}.zip", inner.getvalue())
        inner = outer
    return inner.getvalue()


@functools.cache
def gzip_bomb():
    """128 MiB of white space around an object."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb") as out:
        out.write(b"{")
        for _ in range(128):
            out.write(b" " * MIB)
        out.write(b"}")
    return packed.getvalue()


@pytest.fixture
def flat(lone):
    """Afterwards the server has not needed more memory than before."""
    lone.workspace().api().new_bytes(bytes(MIB))
    before = peak_kib(lone)
    yield lone
    assert peak_kib(lone) - before < GROWTH_KIB


def test_packed_bodies_stay_packed(flat):
    api = flat.workspace().api()
    bomb = gzip_bomb()
    assert len(bomb) < MIB
    for encoding in ("gzip", "x-gzip", "deflate", "br", "zstd", "compress", "gzip, gzip",
                     "identity, gzip", "GZIP", "nonsense"):
        packed = {"Content-Encoding": encoding}
        for path in (PATH, "/v1/documents", "/v1/entities/batch"):
            answer = api.post(path, data=bomb, headers={**packed, "Content-Type":
                                                        "application/json"})
            refused(answer, 415, "unsupported_media_type")
        asked = data(api.post(PATH, json={}), 201)
        refused(api.put(asked["upload_url"], data=bomb, headers=packed), 415,
                "unsupported_media_type")
        form = {"Content-Type": "multipart/form-data; boundary=b", **packed}
        assert api.post("/api/v1/upload", data=bomb, headers=form).status_code == 400
    refused(api.post(PATH, data=bomb, headers={"Content-Type": "application/json"}), 400,
            "validation_error")
    assert data(api.get("/v1/usage"))["bytes"] == 0


def test_archives_are_bytes(flat):
    api = flat.workspace().api()
    bombs = {"42.zip": zip_bomb(), "42.gz": gzip_bomb(), "42.docx": zip_bomb()}
    for name, bomb in bombs.items():
        for content_type in (None, "application/zip", "application/octet-stream"):
            file = (name, bomb, content_type) if content_type else (name, bomb)
            (document,) = api.post("/api/v1/upload", files=[("files", file)], expect=200).json()
            shown = data(api.get(f"/v1/documents/{document}"))
            assert shown["size_bytes"] == len(bomb)
            answer = api.get(shown["download_url"], headers={"Accept-Encoding": "gzip"})
            assert answer.content == bomb and "Content-Encoding" not in answer.headers


@pytest.mark.parametrize("length", [10**10, 11 * 2**30, 2**62])
def test_claimed_lengths(flat, length):
    """Only what comes takes memory; what is too much is refused at once."""
    workspace = flat.workspace()
    key, api = workspace.key(), workspace.api()
    signed = data(api.post(PATH, json={}), 201)["upload_url"][len(api.base_url):]
    cases = [("POST", PATH, "application/json", (413,)),
             ("POST", "/v1/documents", "application/json", (413,)),
             ("PUT", signed, "text/plain", (413,)),
             ("POST", "/api/v1/upload", "multipart/form-data; boundary=b",
              (413,) if length > 10 * 2**30 else (None,))]
    for method, path, content_type, statuses in cases:
        head = (f"{method} {path} HTTP/1.1\r\nHost: h\r\nX-API-Key: {key}\r\nContent-Type: "
                f"{content_type}\r\nContent-Length: {length}\r\n\r\n--b\r\n").encode()
        with socket.create_connection(flat.address, timeout=ANSWER_SECONDS) as connection:
            connection.sendall(head)
            if statuses == (None,):     # within the cap: it waits for the rest
                continue
            got = connection.recv(65536)
        assert int(got[9:12]) in statuses, (path, got)
    assert data(api.get("/v1/usage"))["bytes"] == 0


def test_one_large_value_of_each_member(flat):
    api = flat.workspace().api()
    huge = "a" * (MIB - 200)
    for member in ("name", "mime_type", "storage_path", "folder", "description"):
        body = {"name": "n", "mime_type": "a/b", "storage_path": unique("p"), member: huge}
        refused(api.post("/v1/documents", json=body), 400, "validation_error")
    body = {"name": "n", "mime_type": "a/b", "storage_path": unique("p"), "tags": ["t"] * 200000}
    refused(api.post("/v1/documents", json=body), 400, "validation_error")
    refused(api.post("/v1/documents", json={"name": "a" * MIB}), 413, "payload_too_large")
