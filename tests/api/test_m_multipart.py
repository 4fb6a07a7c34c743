# SPDX-License-Identifier: Apache-2.0
"""The upload dialect: files by multipart/form-data, all of a request or none."""
import contextlib
import json
import os
import re
import secrets
import socket
from http.client import HTTPResponse
from pathlib import Path

import pytest

from harness import Api, at_once, data, faulty, raw_request, refused, send_raw, unique, wait_for

PATH = "/api/v1/upload"
BOUNDARY = "----b0undary"
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n"
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\6\0\0\0"
DETAILS = {
    400: "There was an error parsing the body",
    401: "Invalid or missing API key",
    403: "Insufficient permissions",
    413: "Request Entity Too Large",
    429: "Rate limit exceeded",
    500: "Failed to upload documents. Please try again later.",
}


def part(content=b"x", name="files", filename="a.txt", content_type=None):
    """One part, its delimiter included."""
    head = f'form-data; name="{name}"'
    if filename is not None:
        head += f'; filename="{filename}"'
    lines = [f"--{BOUNDARY}", f"Content-Disposition: {head}"]
    if content_type:
        lines.append(f"Content-Type: {content_type}")
    return "\r\n".join(lines + ["", ""]).encode() + content + b"\r\n"


def form(*parts):
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def send(api, body, content_type=f"multipart/form-data; boundary={BOUNDARY}", **headers):
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if content_type is not None:
        sent["Content-Type"] = content_type
    return api.post(PATH, data=body, headers=sent)


def upload(api, *files, **headers):
    """Uploads (name, content[, type]) with requests; the ids."""
    sent = [("files", file if isinstance(file, tuple) else ("a.bin", file)) for file in files]
    return api.post(PATH, files=sent, headers=headers, expect=200).json()


def shown(api, document_id):
    return data(api.get(f"/v1/documents/{document_id}"))


def content_of(api, document_id):
    return api.get(shown(api, document_id)["download_url"], expect=200).content


def usage(api):
    return data(api.get("/v1/usage"))


def total(api):
    return api.get("/v1/documents", expect=200).json()["meta"]["total"]


def told(answer, status):
    """An error of this dialect: nothing but the text of its status."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"].split(";")[0] == "application/json"
    assert answer.json() == {"detail": DETAILS[status]}
    return answer


@pytest.fixture
def uploader(workspace):
    return Api(workspace.server, workspace.key(), header="X-API-Key")


@pytest.fixture
def lone(server_factory):
    """A server in which nothing else writes, with low caps, and a client of it."""
    server = server_factory("--max-upload-file", "100000", "--max-upload-request", "300000",
                            "--max-upload-parts", "5")
    return server, server.workspace().api()


@pytest.fixture
def unchanged(lone):
    """Afterwards the server holds what it held: no row, no byte, no file."""
    server, api = lone
    upload(api, b"kept")
    before, files = usage(api), server.place.blobs()
    assert before["documents"] == 1 and files
    yield
    assert (usage(api), total(api)) == (before, 1)
    wait_for(lambda: server.place.blobs() == files)
    assert [line["action"] for line in api.audit(resource_type="documents")] == ["create"]


# ---- one file, many files ----

def test_one_file(uploader, workspace):
    answer = uploader.post(PATH, files={"files": ("invoice.pdf", PDF, "application/pdf")},
                           expect=200)
    (document_id,) = answer.json()
    assert re.fullmatch(UUID, document_id)
    assert answer.headers["Content-Type"] == "application/json"
    assert "X-RateLimit-Remaining" in answer.headers and "Location" not in answer.headers
    document = shown(uploader, document_id)
    assert (document["name"], document["mime_type"], document["size_bytes"]) == \
        ("invoice.pdf", "application/pdf", len(PDF))
    assert re.fullmatch(f"workspaces/{workspace.id}/documents/[0-9A-Z]{{26}}\\.pdf",
                        document["storage_path"])
    assert (document["folder"], document["tags"], document["description"],
            document["linked_entities"]) == (None, [], None, [])
    assert content_of(uploader, document_id) == PDF
    assert usage(uploader)["bytes"] == len(PDF)


def test_ids_stand_in_the_order_sent(uploader):
    names = [f"{i}.bin" for i in (7, 3, 9, 1, 8, 0, 4, 2, 6, 5)] * 3
    contents = [secrets.token_bytes(i * 37) for i in range(len(names))]
    ids = upload(uploader, *zip(names, contents))
    assert len(set(ids)) == len(names) == total(uploader)
    for document_id, name, content in zip(ids, names, contents):
        assert shown(uploader, document_id)["name"] == name
        assert content_of(uploader, document_id) == content


CONTENTS = {
    "nothing": b"",
    "one": b"\0",
    "64K": secrets.token_bytes(65536),
    "64K+1": secrets.token_bytes(65537),
    "3M": secrets.token_bytes(3 << 20),
    "line ends": b"\r\n\n\r\r\n" * 20000,
    "dashes": b"--" * 40000,
    "nearly delimiters": (b"\r\n--" + BOUNDARY[:-1].encode() + b"\r\n--\r\r\n-") * 4000,
    "a delimiter without its line end": b"x--" + BOUNDARY.encode() + b"--\r",
    "line end last": b"x\r\n",
}


def test_bytes_come_back_as_they_went_in(uploader):
    body = form(*(part(content, filename=name) for name, content in CONTENTS.items()))
    ids = send(uploader, body).json()
    for document_id, content in zip(ids, CONTENTS.values()):
        assert shown(uploader, document_id)["size_bytes"] == len(content)
        assert content_of(uploader, document_id) == content
    assert len(ids) == len(CONTENTS)


def test_the_same_bytes_twice_are_two_documents(uploader):
    first, second = upload(uploader, PDF, PDF)
    uploader.delete(f"/v1/documents/{first}?hard=true", expect=204)
    assert content_of(uploader, second) == PDF


# ---- type and name ----

@pytest.mark.parametrize("content_type, content, expected", [
    ("application/pdf", b"no pdf at all", "application/pdf"),
    ("image/png", PDF, "image/png"),
    ("Image/PNG", b"x", "image/png"),
    ("text/csv; charset=utf-8", b"a,b", "text/csv; charset=utf-8"),
    (None, PDF, "application/pdf"),
    (None, PNG, "image/png"),
    (None, b"plain words\n" * 9, "text/plain"),
    (None, b"", "application/octet-stream"),
    ("application/octet-stream", PDF, "application/pdf"),
    ("no type", PDF, "application/pdf"),
    ("application/pdf, text/html", PNG, "image/png"),
], ids=str)
def test_type(uploader, content_type, content, expected):
    body = form(part(content, content_type=content_type))
    (document_id,) = send(uploader, body).json()
    assert shown(uploader, document_id)["mime_type"] == expected


@pytest.mark.parametrize("sent, name", [
    ("a b (1).pdf", "a b (1).pdf"),
    ("\u00fcbung \u65e5\u672c \U0001f4c4.pdf", "\u00fcbung \u65e5\u672c \U0001f4c4.pdf"),
    ("a%22b%22.pdf", 'a"b".pdf'),
    ('a\\"b.pdf', 'a"b.pdf'),
    ("100%.txt", "100%.txt"),
    ("semi;colon=x.txt", "semi;colon=x.txt"),
    ("../../etc/passwd", "passwd"),
    ("/abs/olute", "olute"),
    ("C:\\Users\\me\\x.txt", "x.txt"),
    ("x" * 300, "x" * 255),
    ("\u00e9" * 300, "\u00e9" * 255),
    ("", "unnamed"),
    ("dir/", "unnamed"),
    ("<script>.html", "<script>.html"),
], ids=ascii)
def test_name(uploader, sent, name):
    (document_id,) = send(uploader, form(part(filename=sent))).json()
    assert shown(uploader, document_id)["name"] == name
    assert ".." not in shown(uploader, document_id)["storage_path"]
    assert content_of(uploader, document_id) == b"x"


def test_extended_name(uploader):
    head = (f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="u.txt"; '
            "filename*=UTF-8''%c3%bc%20b.txt\r\n\r\nx\r\n").encode()
    (document_id,) = send(uploader, form(head)).json()
    assert shown(uploader, document_id)["name"] == "\u00fc b.txt"


def test_other_fields_are_ignored(uploader):
    body = form(part(b"v", name="before", filename=None),
                part(b"other file", name="file", filename="o.txt"),
                part(b"first", filename="1"),
                part(b"\xff" * 70000, name="between", filename=None),
                part(b"second", filename="2"),
                part(b"", name="", filename=None), part(b"v", name="Files", filename="no"))
    ids = send(uploader, body).json()
    assert [content_of(uploader, i) for i in ids] == [b"first", b"second"]
    assert total(uploader) == 2 and usage(uploader)["bytes"] == 11


# ---- what stands around the document ----

def test_it_is_a_document_like_any_other(uploader, workspace):
    workspace.entity("deal", "d")
    (document_id,) = upload(uploader, ("a.pdf", PDF))
    document = shown(uploader, document_id)
    assert document["id"].startswith("doc_")
    assert shown(uploader, document["id"])["id"] == document["id"]
    data(uploader.post(f"/v1/documents/{document_id}/link",
                       json={"entity_type": "deal", "entity_id": "d", "role": "signed"}), 201)
    (listed,) = data(uploader.get("/v1/deals/d/documents"))["documents"]
    assert listed["id"] == document["id"]
    data(uploader.patch(f"/v1/documents/{document_id}", json={"folder": "/in"}))
    url = shown(uploader, document_id)["download_url"]
    uploader.delete(f"/v1/documents/{document_id}", expect=204)
    for path in (f"/v1/documents/{document_id}", f"/v1/documents/{document['id']}", url):
        refused(uploader.get(path), 404, "not_found")
    assert usage(uploader)["pending_purge_bytes"] == len(PDF)


def test_hard_delete_erases_it(uploader, server):
    marker = secrets.token_bytes(5000)
    (document_id,) = upload(uploader, marker)
    assert server.holds(marker)
    uploader.delete(f"/v1/documents/{document_id}?hard=true", expect=204)
    assert not server.holds(marker)


def test_a_registered_path_is_taken(uploader):
    (document_id,) = upload(uploader, PDF)
    path = shown(uploader, document_id)["storage_path"]
    refused(uploader.post("/v1/documents", json={"name": "n", "mime_type": "a/b",
                                                 "storage_path": path}), 409, "storage_conflict")


def test_one_audit_line_for_each_file(uploader):
    answer = uploader.post(PATH, files=[("files", b"a"), ("files", b"b")], expect=200)
    lines = uploader.audit(action="create", resource_type="documents")
    assert len(lines) == 2
    assert {line["request_id"] for line in lines} == {answer.headers["X-Request-ID"]}
    assert {line["resource_id"] for line in lines} == \
        {shown(uploader, document_id)["id"] for document_id in answer.json()}


def test_it_is_the_workspaces_own(uploader, server):
    (document_id,) = upload(uploader, PDF)
    foreign = server.workspace().api()
    refused(foreign.get(f"/v1/documents/{document_id}"), 404, "not_found")


# ---- 400 ----

WHOLE = form(part(b"content"))
BROKEN = {
    "nothing": b"",
    "no parts": form(),
    "no multipart": b"hello",
    "another boundary": WHOLE.replace(b"b0undary", b"bOundary"),
    "no closing delimiter": part(b"content"),
    "cut off in the content": WHOLE[:-25],
    "cut off in the delimiter": WHOLE[:-5],
    "cut off in a header": WHOLE[:40],
    "no line end in front of the delimiter": WHOLE.replace(b"content\r\n", b"content"),
    "no empty line behind the header": WHOLE.replace(b"\r\n\r\n", b"\r\n"),
    "bare line feeds": WHOLE.replace(b"\r\n", b"\n"),
    "no disposition": WHOLE.replace(b"Content-Disposition", b"X-Disposition"),
    "another disposition": WHOLE.replace(b"form-data;", b"attachment;"),
    "no name": WHOLE.replace(b'name="files"; ', b""),
    "an open quote": WHOLE.replace(b'a.txt"', b"a.txt"),
    "two names": WHOLE.replace(b'name="files"', b'name="files"; name="files"'),
    "a control character in the name": WHOLE.replace(b"a.txt", b"a\x01.txt"),
    "a NUL in the name": WHOLE.replace(b"a.txt", b"a\0.txt"),
    "a name that is no UTF-8": WHOLE.replace(b"a.txt", b"\xff.txt"),
    "base64": WHOLE.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n", 1),
    "a header without end": WHOLE.replace(b"a.txt", b"a" * 9000),
    "many headers": WHOLE.replace(b"\r\n\r\n", b"\r\nX: y" * 40 + b"\r\n\r\n", 1),
    "a long preamble": b"x" * 5000 + b"\r\n" + WHOLE,
    "a long epilogue": WHOLE + b"x" * 5000,
    "another field only": form(part(b"x", name="file")),
    "files that is no file": form(part(b"x", filename=None)),
    "a second part that is broken": form(part(b"x" * 90000), b"--" + BOUNDARY.encode() + b"\r\n"),
}


@pytest.mark.usefixtures("unchanged")
def test_broken_multipart(lone):
    for name, body in BROKEN.items():
        answer = send(lone[1], body)
        assert answer.status_code == 400, name
        told(answer, 400)


@pytest.mark.usefixtures("unchanged")
def test_broken_multipart_in_pieces(lone):
    """In chunks of any size the verdict is the same; what had arrived is not kept."""
    for name, body in BROKEN.items():
        for size in (1, 2, 3, 7, 4096):
            if len(body) > 3000 * size:
                continue
            pieces = [body[i:i + size] for i in range(0, len(body), size)]
            assert send(lone[1], iter(pieces)).status_code == 400, (name, size)


TYPES = [None, "", "application/json", "text/plain", "application/x-www-form-urlencoded",
         "multipart/form-data", "multipart/form-data; boundary=",
         'multipart/form-data; boundary=""',
         f"multipart/mixed; boundary={BOUNDARY}", "multipart/form-data; boundary=" + "x" * 71,
         f"multipart/form-data; boundary={BOUNDARY}; boundary=x",
         "multipart/form-data; boundary=a\tb",
         f"multipart/form-data-x; boundary={BOUNDARY}"]


@pytest.mark.parametrize("content_type", TYPES, ids=str)
def test_media_type_is_400_here(uploader, content_type):
    told(send(uploader, WHOLE, content_type), 400)
    assert total(uploader) == 0


@pytest.mark.parametrize("content_type", [
    f'multipart/form-data; boundary="{BOUNDARY}"', f"Multipart/Form-Data; Boundary={BOUNDARY}",
    f"multipart/form-data; charset=utf-8; boundary={BOUNDARY}",
    f"multipart/form-data;boundary={BOUNDARY}",
])
def test_good_media_type(uploader, content_type):
    assert len(send(uploader, WHOLE, content_type).json()) == 1


def test_encoded_body_is_400(uploader):
    told(send(uploader, WHOLE, Content_Encoding="gzip"), 400)


def test_no_length_and_no_chunks(server, uploader):
    answer = raw_request(server, "POST", PATH, [("X-API-Key", uploader.key),
                                                ("Content-Type", "x/y")])
    assert answer.status == 411 and set(json.loads(answer.body)) == {"detail"}


# ---- 401, 403, 429, 405 ----

def test_no_key_and_bad_keys(server, anonymous, workspace):
    key = workspace.key()
    for client in (anonymous, Api(server, "", header="X-API-Key"),
                   Api(server, "your_api_key_here", header="X-API-Key"),
                   Api(server, key[:-1], header="X-API-Key"), Api(server, "wbk_" + "a" * 52)):
        answer = told(send(client, WHOLE), 401)
        assert "X-RateLimit-Limit" not in answer.headers
    told(raw_post(server, WHOLE, [("X-API-Key", key), ("Authorization", "Bearer x")]), 401)


def test_both_headers_work(server, workspace):
    key = workspace.key(["extractions:write"])
    for header in ("X-API-Key", "Authorization"):
        assert len(upload(Api(server, key, header=header), b"x")) == 1
    both = Api(server, key)
    both.session.headers["X-API-Key"] = key
    assert len(upload(both, b"x")) == 1


@pytest.mark.parametrize("permission", ["write:documents", "admin:documents", "extractions:read",
                                        "admin:api_keys"])
def test_permission(workspace, permission):
    told(send(workspace.api(permission), WHOLE), 403)


def test_extractions_write_shows_nothing(workspace):
    api = workspace.api("extractions:write")
    (document_id,) = upload(api, PDF)
    refused(api.get(f"/v1/documents/{document_id}"), 403, "insufficient_permissions")


def test_rate_limit_counts_requests(server_factory):
    server = server_factory("--rate-standard", "2/1000")
    api = server.workspace().api(tier="standard")
    upload(api, b"a", b"b", b"c", b"d")
    send(api, b"broken")
    answer = told(send(api, WHOLE), 429)
    assert answer.headers["X-RateLimit-Remaining"] == "0"


def test_refused_before_the_body_is_read(server, anonymous):
    head = (f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n"
            f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n")
    answer = send_raw(server, head.encode() + part(b"x" * 1000))
    assert answer.status == 401 and json.loads(answer.body) == {"detail": DETAILS[401]}
    assert anonymous.get(PATH).status_code == 405


# ---- 413 ----

@pytest.mark.usefixtures("unchanged")
def test_caps(lone):
    api, full = lone[1], b"x" * 100000
    for parts in (
        [part(full + b"x")],                                        # a file
        [part(b"a" * 90000), part(full + b"x"), part(b"c")],        # the second file
        [part(full), part(full), part(full)],                       # the request
        [part(b"a" * 20000)] * 6,                                   # the parts
        [part(b"", name="x", filename=None)] * 5 + [part(b"a")],    # other fields are parts, too
    ):
        told(send(api, form(*parts)), 413)
        told(send(api, iter([form(*parts)])), 413)


def test_up_to_the_caps(lone):
    api = lone[1]
    assert len(upload(api, b"x" * 100000, b"x" * 100000)) == 2
    assert len(upload(api, *[b"x"] * 5)) == 5
    rest = 300000 - len(form(part(b""), part(b"", name="x")))
    answer = send(api, form(part(b"a" * 100000), part(b"b" * (rest - 100000), name="x")))
    assert answer.status_code == 200


def test_quota(server_factory):
    server = server_factory()
    api = server.workspace(quota_bytes=1000).api()
    upload(api, b"x" * 900)
    before, files = usage(api), server.place.blobs()
    told(send(api, form(part(b"a" * 50), part(b"b" * 51))), 413)
    assert usage(api) == before
    wait_for(lambda: server.place.blobs() == files)
    assert len(upload(api, b"a" * 50, b"b" * 50)) == 2
    told(send(api, WHOLE), 413)
    assert len(upload(api, b"")) == 1


# ---- idempotency ----

def replayed(first, again):
    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["X-Request-ID"] != first.headers["X-Request-ID"]


def test_replay_with_another_boundary(server_factory):
    server = server_factory()
    api = server.workspace().api()
    key = {"Idempotency-Key": unique("key")}
    parts = part(b"one", filename="1.txt"), part(b"two" * 30000, filename="2.bin")
    first = send(api, form(*parts), **key)
    files = server.place.blobs()
    assert first.status_code == 200 and "Idempotent-Replayed" not in first.headers
    body = form(*parts).replace(BOUNDARY.encode(), b"another")
    replayed(first, send(api, body, "multipart/form-data; boundary=another", **key))
    replayed(first, send(api, iter([form(*parts)]), **key))
    replayed(first, send(api, form(part(b"ignored", name="other"), *parts), **key))
    assert total(api) == 2
    wait_for(lambda: server.place.blobs() == files)
    assert len(api.audit(resource_type="documents")) == 2


def test_mismatch(uploader):
    key = {"Idempotency-Key": unique("key")}
    one, two = part(b"one", filename="1"), part(b"two", filename="2")
    first = send(uploader, form(one, two), **key)
    for parts in ((one,), (two, one), (one, part(b"twO", filename="2")),
                  (one, part(b"two", filename="3")), (one, two, two),
                  (one, part(b"", filename="2")),
                  (one, part(b"two", filename="2", content_type="text/csv"))):
        answer = send(uploader, form(*parts), **key)
        assert answer.status_code == 422 and list(answer.json()) == ["detail"], answer.text
    replayed(first, send(uploader, form(one, two), **key))
    assert total(uploader) == 2


def test_a_failed_upload_releases_the_key(uploader):
    key = {"Idempotency-Key": unique("key")}
    told(send(uploader, WHOLE[:-5], **key), 400)
    assert send(uploader, WHOLE, **key).status_code == 200


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "\u00e9"])
def test_bad_idempotency_key(uploader, key):
    told(send(uploader, WHOLE, Idempotency_Key=key.encode()), 400)
    assert total(uploader) == 0


def test_keys_are_shared_with_the_records_dialect(uploader):
    key = {"Idempotency-Key": unique("key")}
    send(uploader, WHOLE, **key)
    answer = uploader.post("/v1/documents", headers=key, json={
        "name": "n", "mime_type": "a/b", "storage_path": unique("p")})
    refused(answer, 422, "idempotency_mismatch")


@pytest.mark.concurrent
def test_one_key_many_uploads(server_factory):
    server = server_factory()
    workspace = server.workspace()
    key, body, name = workspace.key(), form(part(b"x" * 3000), part(b"y" * 70000)), unique("key")
    answers = at_once(24, lambda i: send(Api(server, key), body, Idempotency_Key=name))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    api = workspace.api()
    assert total(api) == 2
    wait_for(lambda: len(server.place.blobs()) == 2)


# ---- on the wire ----

def raw_post(server, body, headers, content_type=f"multipart/form-data; boundary={BOUNDARY}"):
    """As requests would hand it back."""
    got = raw_request(server, "POST", PATH, [*headers, ("Content-Type", content_type),
                                             ("Content-Length", len(body))], body)
    return Parsed(got)


class Parsed:
    def __init__(self, answer):
        self.status_code, self.headers, self.content = answer
        self.text = self.content.decode()

    def json(self):
        return json.loads(self.text)


def send_pieces(server, key, pieces, framing):
    """Sends each piece in a packet of its own; the answer."""
    head = (f"POST {PATH} HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\n{framing}\r\n"
            f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n").encode()
    with socket.create_connection(server.address, timeout=15) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(head)
        for piece in pieces:
            connection.sendall(piece)
        answer = HTTPResponse(connection)
        answer.begin()
        return Parsed((answer.status, answer.headers, answer.read()))


AWKWARD = b"\r\n--" + BOUNDARY.encode()[:-2] + b"\r\n--\r"


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("chunked", [False, True])
def test_cut_anywhere(server, uploader, size, chunked):
    body = form(part(AWKWARD, filename="1"), part(b"", filename="2"),
                part(AWKWARD * 2, filename="3"))
    pieces = [body[i:i + size] for i in range(0, len(body), size)]
    framing = f"Content-Length: {len(body)}"
    if chunked:
        framing = "Transfer-Encoding: chunked"
        pieces = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces] + [b"0\r\n\r\n"]
    ids = send_pieces(server, uploader.key, pieces, framing).json()
    assert [content_of(uploader, i) for i in ids] == [AWKWARD, b"", AWKWARD * 2]


def test_chunked(uploader):
    content = secrets.token_bytes(400000)
    body = form(part(content))
    pieces = (body[i:i + 50000] for i in range(0, len(body), 50000))
    (document_id,) = send(uploader, pieces).json()
    assert content_of(uploader, document_id) == content


@pytest.mark.concurrent
def test_chunks_faster_than_the_disk(server_factory):
    """Many at once, of one loop: what the library has read of each at a time are many chunks."""
    server = server_factory("--loops", "1")
    api = server.workspace().api()
    content = secrets.token_bytes(2_000_000)
    body = form(part(content))
    chunks = (body[i:i + 4096] for i in range(0, len(body), 4096))
    raw = b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in chunks) + b"0\r\n\r\n"
    headers = [("X-API-Key", api.key), ("Transfer-Encoding", "chunked"), ("Connection", "close"),
               ("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")]
    for answer in at_once(8, lambda _: raw_request(server, "POST", PATH, headers, raw, 60)):
        assert answer.status == 200
        (document_id,) = json.loads(answer.body)
        assert content_of(api, document_id) == content
    assert server.stop() == 0


def nameless_files(server):
    """Open files of the server that have no name (yet): what it is writing."""
    found = []
    for link in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found += [name for name in [os.readlink(link)] if name.endswith("(deleted)")]
    return found


@pytest.mark.embedded
@pytest.mark.usefixtures("unchanged")
def test_broken_off_upload_leaves_nothing(lone):
    server, api = lone
    # more than waits in memory
    pieces = 2 * part(b"x" * 90_000)
    framings = {"Content-Length: 290000": pieces,
                "Transfer-Encoding: chunked": b"30d40\r\n" + pieces}
    for framing, piece in framings.items():
        with socket.create_connection(server.address, timeout=15) as connection:
            connection.sendall((f"POST {PATH} HTTP/1.1\r\nHost: x\r\nX-API-Key: {api.key}\r\n"
                                f"{framing}\r\nContent-Type: multipart/form-data; "
                                f"boundary={BOUNDARY}\r\n\r\n").encode() + piece)
            wait_for(lambda: nameless_files(server))
        wait_for(lambda: not nameless_files(server))


def test_keep_alive_after_success_and_refusal(uploader):
    for _ in range(3):
        assert len(upload(uploader, PDF)) == 1
        told(send(uploader, WHOLE[:-5]), 400)


def test_continue_is_sent(server, uploader):
    body = form(part(b"x" * 5000))
    head = (f"POST {PATH} HTTP/1.1\r\nHost: x\r\nX-API-Key: {uploader.key}\r\n"
            f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n"
            f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n").encode()
    with socket.create_connection(server.address, timeout=15) as connection:
        connection.sendall(head)
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        connection.sendall(body)
        answer = HTTPResponse(connection)
        answer.begin()
        assert answer.status == 200 and len(json.loads(answer.read())) == 1


def test_no_query_or_body_of_another_dialect_matters(uploader):
    answer = uploader.post(PATH + "?name=x", files={"files": b"x"}, expect=200)
    assert shown(uploader, answer.json()[0])["name"] == "files"
    faulty(uploader.post("/v1/documents", json={}), "name", "mime_type", "storage_path")
