# SPDX-License-Identifier: Apache-2.0
"""What a download is wrapped in: the headers of every answer, and names that attack."""
import os
import re
import secrets
import socket
import subprocess
from urllib.parse import quote, unquote_to_bytes

import pytest

from file_names import NAMES, REFUSED
from harness import data, faulty, refused

TYPES = ("application/pdf", "image/png", "text/plain; charset=utf-8", "application/octet-stream",
         "application/json")
PROTECTING = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; sandbox",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


# ---- an answer, byte by byte ----

def raw_answer(server, target, method="GET", headers=()):
    """Status and headers, (name, value) pairs as they were on the wire."""
    head = [f"{method} {target} HTTP/1.1", "Host: h", "Connection: close", *headers, "", ""]
    with socket.create_connection(server.address, timeout=20) as connection:
        connection.sendall("\r\n".join(head).encode())
        got = b""
        while chunk := connection.recv(65536):
            got += chunk
    block = got.partition(b"\r\n\r\n")[0]
    assert not re.search(rb"[^\x20-\x7e\r\n]|\r(?!\n)|(?<!\r)\n", block), block
    line, *lines = block.decode().split("\r\n")
    return int(line.split(" ")[1]), [tuple(line.split(": ", 1)) for line in lines]


def one(pairs, name):
    """The value of the header that must be there once."""
    (value,) = [value for key, value in pairs if key.lower() == name.lower()]
    return value


def assert_protected(pairs, where):
    for name, wanted in PROTECTING.items():
        assert one(pairs, name) == wanted, (where, name)
    if "content-type" in {name.lower() for name, _ in pairs}:
        assert one(pairs, "content-type") in TYPES, where


def shown(api, document):
    return data(api.get(f"/v1/documents/{document['id']}"))


def target_of(api, document):
    return shown(api, document)["download_url"][len(api.base_url):]


def test_every_answer_of_a_download_is_protected(api, server):
    document = api.new_bytes(b"<script>", mime_type="text/html")
    target = target_of(api, document)
    etag = one(raw_answer(server, target)[1], "ETag")
    gone = api.new_bytes(b"x")
    target_of_gone = target_of(api, gone)
    api.delete(f"/v1/documents/{gone['id']}", expect=204)
    cases = [
        (200, "GET", target, ()), (200, "HEAD", target, ()),
        (206, "GET", target, ("Range: bytes=0-1",)), (206, "HEAD", target, ("Range: bytes=0-1",)),
        (206, "GET", target, ("Range: bytes=-1", f"If-Range: {etag}")),
        (200, "GET", target, ("Range: bytes=0-1", 'If-Range: "other"')),
        (200, "GET", target, ("Range: bytes=0-1,3-4",)),
        (416, "GET", target, ("Range: bytes=99-",)),
        (304, "GET", target, (f"If-None-Match: {etag}",)),
        (400, "GET", target + "?x=1", ()), (400, "GET", target, ("Range: a", "Host: two")),
        (403, "GET", target + "AAAA", ()), (403, "GET", target[:-9], ()),
        (403, "GET", "/v1/signed/download/x", ()),
        (404, "GET", target_of_gone, ()),
        (405, "POST", target, ("Content-Length: 0",)), (405, "DELETE", target, ()),
        (204, "OPTIONS", target, ()),
    ]
    for status, method, path, headers in cases:
        got, pairs = raw_answer(server, path, method, headers)
        assert got == status, (method, path, headers)
        assert_protected(pairs, (method, path, headers))
        if status in (200, 206):
            assert one(pairs, "Content-Type") == "application/octet-stream"
            assert one(pairs, "Content-Disposition") == 'attachment; filename="a.pdf"'


def test_an_internal_error_is_protected(server_factory):
    server = server_factory()
    api = server.workspace().api()
    target = target_of(api, api.new_bytes(b"y" * 6000))
    [blob] = server.place.blobs()
    server.place.cut_blob(blob, 3)
    status, pairs = raw_answer(server, target)
    assert status == 500
    assert_protected(pairs, "cut short on disk")


# ---- names ----

TOKEN = r"[!#$&+\-.^_`|~0-9A-Za-z'*%]+"
PARAM = re.compile(rf'; ({TOKEN}?)(\*?)=(?:"((?:[^"\\]|\\.)*)"|({TOKEN}))')


def parse_disposition(value):
    """Type and parameters by RFC 6266, those of RFC 8187 decoded; strict."""
    kind = re.match(TOKEN, value)[0]
    at, found = len(kind), {}
    while at < len(value):
        match = PARAM.match(value, at)
        assert match, value[at:]
        name, extended, quoted, token = match.groups()
        assert name + extended not in found, value
        if extended:
            charset, language, text = token.split("'")
            assert (charset, language) == ("UTF-8", ""), value
            assert re.fullmatch(r"(?:[!#$&+\-.^_`|~0-9A-Za-z]|%[0-9A-F]{2})*", text), value
            found[name + "*"] = unquote_to_bytes(text).decode()
        else:
            found[name] = token if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        at = match.end()
    return kind, found


def saved_as(value):
    """What the header calls the file, and what it is to programs that know no RFC 8187."""
    kind, params = parse_disposition(value)
    assert kind == "attachment" and set(params) <= {"filename", "filename*"}, value
    return params.get("filename*", params["filename"]), params["filename"]


def test_there_are_names():
    assert len(set(NAMES)) >= 150 and len(set(REFUSED)) >= 25


def test_names_come_back(api, server):
    document = api.new_bytes(b"x")
    target = target_of(api, document)
    usual = sorted(name for name, _ in raw_answer(server, target)[1])
    for name in NAMES:
        data(api.patch(f"/v1/documents/{document['id']}", json={"name": name}))
        assert shown(api, document)["name"] == name, ascii(name)
        status, pairs = raw_answer(server, target)
        assert status == 200 and sorted(name for name, _ in pairs) == usual, ascii(name)
        found, plain = saved_as(one(pairs, "Content-Disposition"))
        assert found == name, ascii(name)
        assert not re.search(r'["\\/%]|=\?|^[ .?]*$', plain), ascii(name)


def test_refused_names(api):
    document = api.new_bytes(b"x", name="kept")
    for name in REFUSED:
        answers = [api.patch(f"/v1/documents/{document['id']}", json={"name": name}),
                   api.post("/v1/documents", json={"name": name, "mime_type": "a/b",
                                                   "storage_path": "p"}),
                   api.post("/v1/documents/upload-url", json={"name": name})]
        for answer in answers:
            if "\0" in name:       # already no good JSON
                refused(answer, 400, "validation_error")
            else:
                faulty(answer, "name")
    assert shown(api, document)["name"] == "kept"


def part(name):
    return (b'--b\r\nContent-Disposition: form-data; name="files"; filename*=utf-8\'\'' +
            quote(name, safe="").encode() + b"\r\n\r\nx\r\n")


def upload(api, *names):
    return api.post("/api/v1/upload", data=b"".join(map(part, names)) + b"--b--\r\n",
                    headers={"Content-Type": "multipart/form-data; boundary=b"})


def test_names_of_uploads(server):
    """Of a path the last segment is taken."""
    api = server.workspace().api()
    ids = upload(api, *NAMES).json()
    assert len(ids) == len(NAMES)
    for document_id, name in zip(ids, NAMES):
        kept = re.split(r"[/\\]", name)[-1] or "unnamed"
        document = data(api.get(f"/v1/documents/{document_id}"))
        assert document["name"] == kept, ascii(name)
        assert re.fullmatch(r"workspaces/\w+/documents/[0-9A-Z]{26}\.[a-z0-9]{1,8}",
                            document["storage_path"]), ascii(name)


def test_refused_names_of_uploads(server):
    """A control character is a broken body; what else a name may not be gets another."""
    api = server.workspace().api()
    for name in REFUSED:
        answer = upload(api, name)
        if re.search(r"[\x00-\x1f\x7f-\x9f]", name):
            assert answer.status_code == 400, ascii(name)
            continue
        (document_id,) = answer.json()
        found = data(api.get(f"/v1/documents/{document_id}"))["name"]
        assert found == (name[:255] if len(name) > 255 else "unnamed"), ascii(name)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_curl_saves_under_the_plain_name(api, server, tmp_path):
    """curl knows no RFC 8187. About 10 s."""
    document = api.new_bytes(b"x")
    url = shown(api, document)["download_url"]
    for name in NAMES:
        data(api.patch(f"/v1/documents/{document['id']}", json={"name": name}))
        _, pairs = raw_answer(server, url[len(api.base_url):])
        folder = tmp_path / secrets.token_hex(8) / "in"
        folder.mkdir(parents=True)
        subprocess.run(["curl", "-q", "-sS", "-O", "-J", url], cwd=folder, check=True, timeout=60,
                       env={**os.environ, "HOME": str(folder.parent)}, capture_output=True)
        _, plain = saved_as(one(pairs, "Content-Disposition"))
        assert os.listdir(folder) == [plain] and os.listdir(folder.parent) == ["in"], ascii(name)
