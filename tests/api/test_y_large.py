# SPDX-License-Identifier: Apache-2.0
"""
Large files, many at once, and small odd ones, by both upload ways: what comes out is what went in,
and the server's memory stays below a ceiling meanwhile.

The content is made as it is sent and compared as it comes, never held: block i is its number and
then bytes in which no place looks like another.
"""
import http.client
import random
import struct
import zlib
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import engines
from harness import at_once, data

MIB = 1 << 20
GIB = 1 << 30
# more with a bucket: parts are held until they are sent, and answers until they are read
CEILING_KIB = (64 + 256 + 128 if engines.S3 else 64) * 1024
BOUNDARY = "7d1bd3a2c94e"
NOISE = random.Random(1).randbytes(MIB)


# ---- content that needs no room ----

def block(number, seed):
    return struct.pack(">QQ", seed, number) + NOISE[16:]


def content(size, seed, start=0):
    """The bytes from `start` up to `size`, a block at a time."""
    while start < size:
        number, offset = divmod(start, MIB)
        piece = block(number, seed)[offset:min(MIB, size - number * MIB)]
        yield piece
        start += len(piece)


def same(stream, size, seed, start=0):
    """True when the stream gives exactly these bytes and ends."""
    for piece in content(size, seed, start):
        if stream.read(len(piece)) != piece:
            return False
    return stream.read(1) == b""


# ---- the wire ----

class Answer:
    def __init__(self, api, method, target, body=None, headers=()):
        self.connection = http.client.HTTPConnection(*api.server.address, timeout=110)
        self.connection.request(method, target, body, dict(headers))
        self.stream = self.connection.getresponse()
        self.status = self.stream.status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()


def send_multipart(api, size, pieces):
    """The id that POST /api/v1/upload gives these bytes."""
    head = (f"--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"files\"; filename=\"a.bin\""
            "\r\nContent-Type: application/octet-stream\r\n\r\n").encode()
    tail = f"\r\n--{BOUNDARY}--\r\n".encode()

    def body():
        yield head
        yield from pieces
        yield tail

    headers = {"X-API-Key": api.key, "Content-Length": str(len(head) + size + len(tail)),
               "Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    with Answer(api, "POST", "/api/v1/upload", body(), headers) as answer:
        text = answer.stream.read()
        assert answer.status == 200, text[:300]
    return text.decode().strip('["]\n ')


def send_signed(api, size, pieces):
    """The id of a record of these bytes, sent by a signed URL."""
    made = data(api.post("/v1/documents/upload-url", json={"size_bytes": size}), 201)
    with Answer(api, "PUT", urlsplit(made["upload_url"]).path, pieces,
                {**made["headers"], "Content-Length": str(size)}) as answer:
        text = answer.stream.read()
        assert answer.status == 200, text[:300]
    return api.new_document(storage_path=made["storage_path"])["id"]


WAYS = {"multipart": send_multipart, "signed": send_signed}


def url_of(api, document_id):
    return urlsplit(data(api.get(f"/v1/documents/{document_id}"))["download_url"]).path


# ---- memory ----

def is_sanitized(pid):
    maps = Path(f"/proc/{pid}/maps").read_text()
    return "libasan" in maps or "libtsan" in maps


def resident_kib(pid, name):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    raise AssertionError(f"no {name}")


def assert_slim(server):
    """The most memory that the process ever had; a sanitizer's own does not count."""
    pid = server.process.pid
    if not is_sanitized(pid):
        assert resident_kib(pid, "VmRSS") < CEILING_KIB
        assert resident_kib(pid, "VmHWM") < CEILING_KIB


# ---- the tests ----

SIZES = [pytest.param(200 * MIB + 12345, id="200MiB"),
         pytest.param(2 * GIB + 12345, id="2GiB", marks=[pytest.mark.slow,
                                                         pytest.mark.timeout(900)])]


def ranges_of(size):
    """first, last (inclusive) and how it is asked for."""
    edges = [(0, 0), (size - 1, size - 1), (MIB - 1, MIB), (100 * MIB - 7, 103 * MIB + 7),
             (size - 3 * MIB - 1, size - 1)]
    if size > 2 * GIB:
        edges.append((2 * GIB - 5, 2 * GIB + 5))
    asked = [(first, last, f"bytes={first}-{last}") for first, last in edges]
    asked.append((size - 10, size - 1, "bytes=-10"))
    asked.append((size - 2 * MIB, size - 1, f"bytes={size - 2 * MIB}-"))
    asked.append((size - 5, size - 1, f"bytes={size - 5}-{size + 1000}"))
    return asked


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("way", WAYS)
def test_a_large_file_comes_back(server_factory, way, size):
    server = server_factory()
    api = server.workspace().api()
    document = WAYS[way](api, size, content(size, 7))
    assert data(api.get(f"/v1/documents/{document}"))["size_bytes"] == size
    url = url_of(api, document)
    with Answer(api, "GET", url) as answer:
        assert answer.status == 200 and int(answer.stream.headers["Content-Length"]) == size
        assert same(answer.stream, size, 7)
    for first, last, asked in ranges_of(size):
        with Answer(api, "GET", url, headers={"Range": asked}) as answer:
            assert answer.status == 206, asked
            assert answer.stream.headers["Content-Range"] == f"bytes {first}-{last}/{size}"
            assert same(answer.stream, last + 1, 7, first), asked
    assert_slim(server)
    api.delete(f"/v1/documents/{document}?hard=true", expect=204, timeout=100)
    blobs = (path for path in server.data_dir.rglob("*") if path.is_file())
    assert max(path.stat().st_size for path in blobs) < MIB * 64
    assert_slim(server)


@pytest.mark.timeout(240)
def test_eight_uploads_at_once(server_factory):
    server = server_factory()
    workspace = server.workspace()
    key = workspace.key()
    size = 100 * MIB

    def there_and_back(i):
        api = server.api(key)
        way = send_multipart if i % 2 else send_signed
        document = way(api, size, content(size, i))
        with Answer(api, "GET", url_of(api, document)) as answer:
            return answer.status == 200 and same(answer.stream, size, i)

    assert at_once(8, there_and_back) == [True] * 8
    assert_slim(server)


def test_a_body_without_a_length(server, api):
    """A chunked body is fine where bytes are streamed."""
    size = 3 * MIB + 5
    made = data(api.post("/v1/documents/upload-url", json={}), 201)
    answer = api.put(made["upload_url"], data=content(size, 3), headers=made["headers"], expect=200)
    assert answer.json()["data"]["size_bytes"] == size
    document = api.new_document(storage_path=made["storage_path"])
    with Answer(api, "GET", url_of(api, document["id"])) as answer:
        assert same(answer.stream, size, 3)


def png():
    def chunk(kind, body):
        checked = kind + body
        return struct.pack(">I", len(body)) + checked + struct.pack(">I", zlib.crc32(checked))

    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(b"\x00" + b"\xff\x00\x00" * 2 + b"\x00" + b"\x00" * 6))
            + chunk(b"IEND", b""))


PDF = (b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
       b"2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n")
ODD = [("a.pdf", "application/pdf", PDF), ("b.png", "image/png", png()), ("c.bin", None, b""),
       ("d.bin", None, b"\r\n--" + BOUNDARY.encode() + b"X\r\n\r\n\x00\xff"), ("e.txt", None, b"-")]


@pytest.mark.parametrize("name, kind, bytes_", ODD, ids=[row[0] for row in ODD])
@pytest.mark.parametrize("way", ["multipart", "multipart-typed", "signed"])
def test_small_and_odd_files(api, way, name, kind, bytes_):
    if way == "signed":
        document = api.new_bytes(bytes_, name=name, mime_type=kind or "application/octet-stream")
        document_id = document["id"]
    else:
        part = (name, bytes_) + ((kind,) if kind and way == "multipart-typed" else ())
        document_id = api.post("/api/v1/upload", files=[("files", part)], expect=200).json()[0]
    found = data(api.get(f"/v1/documents/{document_id}"))
    assert found["size_bytes"] == len(bytes_)
    if way != "signed":
        assert found["name"] == name
    if kind:
        assert found["mime_type"] == kind
    answer = api.get(found["download_url"], expect=200)
    assert answer.content == bytes_ and int(answer.headers["Content-Length"]) == len(bytes_)
    head = api.head(found["download_url"], expect=200)
    assert int(head.headers["Content-Length"]) == len(bytes_)
    if bytes_:
        part = api.get(found["download_url"], headers={"Range": "bytes=-1"}, expect=206)
        assert part.content == bytes_[-1:]
    else:
        api.get(found["download_url"], headers={"Range": "bytes=0-0"}, expect=416)
