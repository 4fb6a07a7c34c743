# SPDX-License-Identifier: Apache-2.0
"""Signed URLs: bytes in by PUT, out by GET, without a key."""
import hashlib
import re
import time

import pytest

from harness import data, faulty, raw_request, refused, unique

PDF = b"%PDF-1.7\n" + bytes(range(256)) * 40
ASKED = ["upload_url", "method", "headers", "storage_path", "expires_at"]
MEMBERS = ["storage_path", "size_bytes", "sha256"]


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def ask(api, **members):
    return data(api.post("/v1/documents/upload-url", json=members), 201)


def send(api, asked, content=PDF, **headers):
    sent = {**asked["headers"], **{name.replace("_", "-"): v for name, v in headers.items()}}
    return api.put(asked["upload_url"], data=content, headers=sent)


def download_url(api, document):
    return data(api.get(f"/v1/documents/{document['id']}"))["download_url"]


def usage(api):
    found = data(api.get("/v1/usage"))
    return found["documents"], found["bytes"]


# ---- what no upload may be ----

def test_upload_without_length(api, server):
    target = ask(api)["upload_url"][len(server.base_url):]
    answer = raw_request(server, "PUT", target)
    assert (answer.status, answer.json()["error"]["code"]) == (411, "length_required")


def test_encoded_upload(api):
    refused(send(api, ask(api), Content_Encoding="gzip"), 415, "unsupported_media_type")


# ---- asking ----

def test_ask(api, workspace, server):
    before = time.time()
    asked = ask(api, name="Acme NDA.PDF", mime_type="application/pdf")
    assert list(asked) == ASKED
    assert asked["upload_url"].startswith(server.base_url + "/") and asked["method"] == "PUT"
    assert asked["headers"] == {"Content-Type": "application/pdf"}
    assert re.fullmatch(rf"workspaces/{workspace.id}/documents/[0-9A-HJKMNP-TV-Z]{{26}}\.pdf",
                        asked["storage_path"])
    until = time.mktime(time.strptime(asked["expires_at"], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
    assert 15 * 60 - 2 <= until - before <= 15 * 60 + 2


def test_ask_for_nothing_in_particular(api):
    for options in ({"json": {}}, {"json": {"name": None, "size_bytes": None}}):
        asked = data(api.post("/v1/documents/upload-url", **options), 201)
        assert asked["headers"] == {} and asked["storage_path"].startswith("workspaces/")
    assert ask(api)["storage_path"] != ask(api)["storage_path"]


def test_ask_for_a_path(api):
    assert ask(api, storage_path="mine/a.pdf")["storage_path"] == "mine/a.pdf"


@pytest.mark.parametrize("member, value", [
    ("name", ""), ("name", 1), ("name", "x" * 256), ("mime_type", "pdf"), ("size_bytes", -1),
    ("size_bytes", "1"), ("size_bytes", 2**53), ("sha256", "x"), ("sha256", "g" * 64),
    ("sha256", "a" * 63), ("storage_path", "/a"), ("storage_path", "../a"), ("storage_path", ""),
], ids=str)
def test_ask_refused(api, member, value):
    faulty(api.post("/v1/documents/upload-url", json={member: value}), member)


def test_ask_for_more_than_a_file_may_be(server_factory):
    api = server_factory("--max-upload-file", "1000").workspace().api()
    refused(api.post("/v1/documents/upload-url", json={"size_bytes": 1001}), 413,
            "payload_too_large")
    refused(send(api, ask(api), b"x" * 1001), 413, "payload_too_large")
    refused(send(api, ask(api), iter([b"x" * 600] * 2)), 413, "payload_too_large")
    data(send(api, ask(api), b"x" * 1000))


# ---- sending ----

@pytest.mark.parametrize("content", [b"", b"x", PDF, b"\0" * 300000], ids=len)
def test_bytes_come_back_as_they_went_in(api, anonymous, content):
    asked = ask(api)
    received = data(send(anonymous, asked, content))
    assert list(received) == MEMBERS
    assert received == {"storage_path": asked["storage_path"], "size_bytes": len(content),
                        "sha256": sha256(content)}
    document = api.new_document(storage_path=asked["storage_path"])
    assert document["size_bytes"] == len(content)
    answer = anonymous.get(download_url(api, document), expect=200)
    assert answer.content == content and answer.headers["Content-Length"] == str(len(content))


def test_bytes_in_chunks(api):
    asked = ask(api, size_bytes=len(PDF), sha256=sha256(PDF))
    parts = [PDF[i:i + 1000] for i in range(0, len(PDF), 1000)]
    assert data(send(api, asked, iter(parts)))["sha256"] == sha256(PDF)


def test_url_works_once(api):
    asked = ask(api)
    data(send(api, asked, b"first"))
    refused(send(api, asked, b"second"), 403, "invalid_signature")
    document = api.new_document(storage_path=asked["storage_path"])
    assert api.get(download_url(api, document)).content == b"first"


@pytest.mark.parametrize("declared, content, content_type, status, code", [
    ({"size_bytes": 3}, b"ab", None, 400, "validation_error"),
    ({"size_bytes": 3}, b"abcd", None, 413, "payload_too_large"),
    ({"size_bytes": 0}, b"a", None, 413, "payload_too_large"),
    ({"sha256": sha256(b"abc")}, b"abd", None, 400, "validation_error"),
    ({"mime_type": "image/png"}, b"abc", "image/jpeg", 400, "validation_error"),
    ({"mime_type": "image/png"}, b"abc", "", 400, "validation_error"),
], ids=str)
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_what_was_declared_is_enforced(api, declared, content, content_type, status, code,
                                       chunked):
    asked = ask(api, **declared)
    headers = dict(asked["headers"])
    if content_type is not None:
        headers = {"Content-Type": content_type}
    body = iter([content]) if chunked else content
    refused(api.put(asked["upload_url"], data=body, headers=headers), status, code)
    assert usage(api) == (0, 0) and api.audit(resource_type="uploads") == []
    right = b"abc" if declared.get("size_bytes") != 0 else b""
    data(send(api, asked, right))


@pytest.mark.parametrize("declared, headers", [
    ({"mime_type": "text/plain"}, {"Content-Type": "Text/Plain; charset=utf-8"}),
    ({"sha256": sha256(b"abc").upper()}, {}),
    ({}, {"Content-Type": "anything/at-all"}),
], ids=str)
def test_what_is_as_declared(api, declared, headers):
    data(api.put(ask(api, **declared)["upload_url"], data=b"abc", headers=headers))


def changed(url, i):
    return url[:i] + ("A" if url[i] != "A" else "B") + url[i + 1:]


def test_tampered_urls(api):
    asked = ask(api, size_bytes=3)
    url, start = asked["upload_url"], asked["upload_url"].rindex("/") + 1
    broken = [changed(url, i) for i in range(start, len(url) - 1, 7)]
    broken += [url[:-4], url + "AAAA", url[:start] + "x", url + "?x=1",
               url.replace("/upload/", "/download/")]
    for text in broken:
        answer = api.put(text, data=b"abc")
        assert answer.status_code in (400, 403, 404, 405), text
        if text.count("/upload/") and "?" not in text:
            refused(answer, 403, "invalid_signature")
    data(send(api, asked, b"abc"))


def test_urls_of_one_verb_do_not_serve_the_other(api):
    asked, document = ask(api), api.new_bytes(b"x")
    up, down = asked["upload_url"], download_url(api, document)
    refused(api.get(up.replace("/upload/", "/download/")), 403, "invalid_signature")
    refused(api.put(down.replace("/download/", "/upload/"), data=b"y"), 403, "invalid_signature")


def test_expired_urls(server_factory):
    api = server_factory("--url-life", "1s").workspace().api()
    asked = ask(api)
    document = api.new_bytes(b"x")
    url = download_url(api, document)
    assert api.get(url).status_code in (200, 403)
    time.sleep(2.1)
    refused(send(api, asked, b"x"), 403, "invalid_signature")
    refused(api.get(url), 403, "invalid_signature")


def test_urls_of_another_installation(server_factory, api):
    other = server_factory().workspace().api()
    url = ask(other)["upload_url"].replace(other.base_url, api.base_url)
    refused(api.put(url, data=b"x"), 403, "invalid_signature")


def test_broken_off_upload_leaves_nothing(server, api):
    marker = unique("half-an-upload").encode() * 10
    asked = ask(api)
    target = asked["upload_url"][len(api.base_url):]
    with pytest.raises(AssertionError, match="in time"):
        raw_request(server, "PUT", target, [("Content-Length", "100000")], marker, seconds=1)
    assert usage(api) == (0, 0)
    data(send(api, asked, b"whole"))


# ---- where the bytes belong ----

def test_bytes_for_a_waiting_record(api):
    document = api.new_document(storage_path="later.pdf", size_bytes=5)
    assert download_url(api, document) is None
    data(send(api, ask(api, storage_path="later.pdf"), PDF))
    shown = data(api.get(f"/v1/documents/{document['id']}"))
    assert shown["size_bytes"] == len(PDF) and api.get(shown["download_url"]).content == PDF
    assert usage(api) == (1, len(PDF))


def test_create_adopts_the_bytes(api):
    asked = ask(api)
    data(send(api, asked, b"12345"))
    body = {"name": "n", "mime_type": "a/b", "storage_path": asked["storage_path"]}
    faulty(api.post("/v1/documents", json={**body, "size_bytes": 4}), "size_bytes")
    assert data(api.post("/v1/documents", json={**body, "size_bytes": 5}), 201)["size_bytes"] == 5
    assert usage(api) == (1, 5)


def test_a_registered_object_is_never_overwritten(api):
    asked, second = ask(api, storage_path="o"), ask(api, storage_path="o")
    data(send(api, asked, b"first"))
    document = api.new_document(storage_path="o")
    refused(send(api, second, b"second"), 409, "storage_conflict")
    assert api.get(download_url(api, document)).content == b"first"
    assert usage(api) == (1, 5)


def test_a_newer_upload_replaces_bytes_that_nobody_registered(api):
    first, second = ask(api, storage_path="o"), ask(api, storage_path="o")
    data(send(api, first, b"first"))
    data(send(api, second, b"second!"))
    document = api.new_document(storage_path="o")
    assert api.get(download_url(api, document)).content == b"second!"
    assert usage(api) == (1, 7)


def test_paths_are_the_workspaces_own(api, server):
    other = server.workspace().api()
    for one, content in ((api, b"mine"), (other, b"theirs")):
        data(send(one, ask(one, storage_path="same"), content))
    for one, content in ((api, b"mine"), (other, b"theirs")):
        document = one.new_document(storage_path="same")
        assert one.get(download_url(one, document)).content == content


def test_who_may_ask(workspace):
    refused(workspace.api("read:documents").post("/v1/documents/upload-url", json={}), 403,
            "insufficient_permissions")
    assert ask(workspace.api("write:documents"))


# ---- fetching ----

@pytest.fixture(scope="module")
def shelf(server):
    """A client with .url, a download of PDF."""
    api = server.workspace().api()
    asked = ask(api)
    data(send(api, asked))
    document = api.new_document(storage_path=asked["storage_path"], name="Acme \u00fc \"1\".pdf")
    api.url = download_url(api, document)
    return api


def test_download_headers(shelf, anonymous):
    headers = anonymous.get(shelf.url, expect=200).headers
    assert headers["Content-Type"] == "application/pdf"
    assert headers["ETag"] == f'"{sha256(PDF)}"' and headers["Accept-Ranges"] == "bytes"
    assert "sandbox" in headers["Content-Security-Policy"]
    disposition = headers["Content-Disposition"]
    assert disposition.startswith("attachment; filename=\"")
    assert "filename*=UTF-8''Acme%20%C3%BC%20%221%22.pdf" in disposition
    assert disposition.isascii()


def test_a_download_takes_no_parameters(shelf):
    refused(shelf.get(shelf.url + "?x=1"), 400, "validation_error")


def test_head_of_a_download(shelf):
    head = shelf.head(shelf.url, expect=200)
    assert head.headers["Content-Length"] == str(len(PDF)) and head.headers["ETag"]


SIZE = len(PDF)


@pytest.mark.parametrize("value, first, last", [
    ("bytes=0-0", 0, 0),
    ("bytes=0-99", 0, 99),
    ("bytes=100-", 100, SIZE - 1),
    (f"bytes={SIZE - 1}-", SIZE - 1, SIZE - 1),
    (f"bytes=10-{SIZE + 5}", 10, SIZE - 1),
    ("bytes=10-99999999999999999999999", 10, SIZE - 1),
    ("bytes=-5", SIZE - 5, SIZE - 1),
    (f"bytes=-{SIZE + 5}", 0, SIZE - 1),
    ("Bytes=0-1", 0, 1),
])
def test_range(shelf, value, first, last):
    answer = shelf.get(shelf.url, headers={"Range": value}, expect=206)
    assert answer.content == PDF[first:last + 1]
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{SIZE}"
    assert answer.headers["Content-Length"] == str(last - first + 1)
    assert answer.headers["ETag"] == f'"{sha256(PDF)}"'


@pytest.mark.parametrize("value", [f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE + 1}", "bytes=-0",
                                   "bytes=99999999999999999999999-"])
def test_range_not_satisfiable(shelf, value):
    answer = shelf.get(shelf.url, headers={"Range": value})
    refused(answer, 416, "range_not_satisfiable")
    assert answer.headers["Content-Range"] == f"bytes */{SIZE}"


@pytest.mark.parametrize("value", ["bytes=5-3", "bytes=x-y", "lines=0-1", "bytes", "bytes=",
                                   "bytes=0-0,2-2", "bytes=--1", ""])
def test_range_that_is_ignored(shelf, value):
    assert shelf.get(shelf.url, headers={"Range": value}, expect=200).content == PDF


def test_all_ranges_together_are_the_whole(shelf):
    got = b"".join(shelf.get(shelf.url, headers={"Range": f"bytes={i}-{i + 999}"},
                             expect=206).content for i in range(0, SIZE, 1000))
    assert got == PDF


@pytest.mark.parametrize("value, status", [
    ("{etag}", 304), ("W/{etag}", 304), ("*", 304), ('"x", {etag}', 304),
    ('"x"', 200), ("x", 200), ("", 200)])
def test_if_none_match(shelf, value, status):
    etag = f'"{sha256(PDF)}"'
    answer = shelf.get(shelf.url, headers={"If-None-Match": value.format(etag=etag)},
                       expect=status)
    assert answer.headers["ETag"] == etag
    assert answer.content == (PDF if status == 200 else b"")


@pytest.mark.parametrize("value, status", [
    ("{etag}", 206), ('"x"', 200), ("W/{etag}", 200), ("Sat, 01 Jan 2050 00:00:00 GMT", 200)])
def test_if_range(shelf, value, status):
    headers = {"Range": "bytes=0-9", "If-Range": value.format(etag=f'"{sha256(PDF)}"')}
    answer = shelf.get(shelf.url, headers=headers, expect=status)
    assert answer.content == (PDF[:10] if status == 206 else PDF)


def test_range_of_an_empty_document(api):
    url = download_url(api, api.new_bytes(b""))
    assert api.get(url, expect=200).content == b""
    refused(api.get(url, headers={"Range": "bytes=0-"}), 416, "range_not_satisfiable")


@pytest.mark.parametrize("mime_type, served", [
    ("application/pdf", "application/pdf"), ("image/png", "image/png"),
    ("text/plain", "text/plain"), ("text/html", "application/octet-stream"),
    ("image/svg+xml", "application/octet-stream"), ("text/xml", "application/octet-stream"),
    ("application/javascript", "application/octet-stream"),
    ("application/x-made-up", "application/octet-stream")])
def test_served_type_comes_from_a_list(api, mime_type, served):
    url = download_url(api, api.new_bytes(b"<script>", mime_type=mime_type))
    assert api.get(url, expect=200).headers["Content-Type"].split(";")[0] == served


@pytest.mark.parametrize("name", ["plain.pdf", "a\"b\\c;d.pdf", "\u65e5\u672c\u8a9e.pdf",
                                  "\U0001f4c4", "..", "%41.pdf", "a/b.pdf"])
def test_disposition_is_one_clean_header(api, name):
    answer = api.get(download_url(api, api.new_bytes(b"x", name=name)), expect=200)
    disposition = answer.headers["Content-Disposition"]
    assert disposition.isascii() and disposition.startswith("attachment")
    quoted = re.search(r'filename="((?:[^"\\]|\\.)*)"', disposition)
    assert quoted and "/" not in quoted[1]


def test_download_lives_and_dies_with_the_document(api):
    document = api.new_bytes(b"x")
    shown = data(api.get(f"/v1/documents/{document['id']}"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", shown["download_url_expires_at"])
    api.get(shown["download_url"], expect=200)
    api.delete(f"/v1/documents/{document['id']}", expect=204)
    refused(api.get(shown["download_url"]), 404, "not_found")


def test_bytes_cut_short_on_disk_are_no_answer(server_factory):
    server = server_factory()
    api = server.workspace().api()
    document = api.new_bytes(b"y" * 6000)
    url = data(api.get(f"/v1/documents/{document['id']}"))["download_url"]
    [blob] = server.place.blobs()
    server.place.cut_blob(blob, 3)
    refused(api.get(url), 500, "internal_error")


def test_download_of_a_foreign_or_missing_document_differs_in_nothing(api, server):
    other = server.workspace().api()
    document = other.new_bytes(b"x")
    refused(api.get(f"/v1/documents/{document['id']}"), 404, "not_found")


def test_signed_routes_take_no_other_method(api):
    asked = ask(api)
    assert api.post(asked["upload_url"], data=b"x").status_code == 405
    assert api.get(asked["upload_url"]).status_code == 405
