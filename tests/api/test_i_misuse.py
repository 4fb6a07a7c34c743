# SPDX-License-Identifier: Apache-2.0
"""
An idempotency key used again in every way it can be meant or mistaken, and keys of requests that
failed, which are free again once the cause is gone.
"""
import json
import socket
from contextlib import contextmanager

import pytest

from fresh import respell
from harness import ALIAS, data, raw_request, refused, unique
from quick import Quick, memory_server

BODY = {"name": "n", "mime_type": "a/b", "tags": ["t"]}


class First:
    """A POST that was answered 201 under a key, and what repeats it with something changed."""

    def __init__(self, workspace):
        self.workspace, self.server = workspace, workspace.server
        self.api_key, self.key = workspace.key(), unique("Key")
        self.body = json.dumps({**BODY, "storage_path": unique("p")}).encode()
        self.answer = self.send()
        assert self.answer.status_code == 201

    def send(self, method="POST", target="/v1/documents?a=1&b=2", body=None, key=None,
             api_key=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return Quick(self.server, api_key or self.api_key).ask(
            method, target, {"Idempotency-Key": key or self.key,
                             "Content-Type": "application/json", **headers}, body or self.body)

    def path(self):
        return f"/v1/documents/{data(self.answer, 201)['id']}"


def other_bytes(first, **dumped):
    return first.send(body=json.dumps(json.loads(first.body), **dumped).encode())


def mistyped(first):
    upper = first.key.upper()
    assert upper != first.key
    return first.send(key=upper)


# what is done with the key -> the status that answers it; 201: the first answer, replayed
REPEATS = {
    "the same": (lambda f: f.send(), 201),
    "quoted": (lambda f: f.send(key=f'"{f.key}"'), 201),
    "another API key of the workspace": (lambda f: f.send(api_key=f.workspace.key()), 201),
    "a younger API key that may no more than this": (
        lambda f: f.send(api_key=f.workspace.key(("write:documents",))), 201),
    "the key in the other header": (
        lambda f: f.send(Authorization=f"Bearer {f.api_key}", X_API_Key=f.api_key), 201),
    "the alias of the path": (
        lambda f: f.send(target=ALIAS + "/v1/documents?a=1&b=2"), 201),
    "an escaped parameter": (lambda f: f.send(target="/v1/documents?%61=1&b=2"), 201),
    "parameters in another order": (lambda f: f.send(target="/v1/documents?b=2&a=1"), 201),
    "another media type": (lambda f: f.send(Content_Type="application/x+json"), 201),
    "another body": (lambda f: f.send(body=f.body.replace(b'"n"', b'"m"')), 422),
    "other spaces": (lambda f: other_bytes(f, indent=1), 422),
    "members in another order": (lambda f: other_bytes(f, sort_keys=True), 422),
    "an unknown member more": (lambda f: f.send(body=f.body[:-1] + b',"unknown":1}'), 422),
    "another value of a parameter": (lambda f: f.send(target="/v1/documents?a=1&b=3"), 422),
    "no parameters": (lambda f: f.send(target="/v1/documents"), 422),
    "another path": (lambda f: f.send(target="/v1/documents/upload-url?a=1&b=2"), 422),
    "another method": (lambda f: f.send("PATCH", f.path(), b"{}"), 422),
    "a delete": (lambda f: f.send("DELETE", f.path()), 422),
    "a weaker API key": (lambda f: f.send(api_key=f.workspace.key(("read:documents",))), 403),
    "an unknown API key": (lambda f: f.send(api_key="wbk_" + "0" * 52), 401),
    "the API key of nobody, in the other header": (
        lambda f: f.send(Authorization="Bearer wbk_" + "0" * 52), 401),
    "in other letters": (mistyped, 409),
    "empty": (lambda f: f.send(Idempotency_Key=""), 400),
    "quoted and empty": (lambda f: f.send(key='""'), 400),
    "256 characters": (lambda f: f.send(key="k" * 256), 400),
    "258, quoted": (lambda f: f.send(key='"' + "k" * 256 + '"'), 400),
    "with a space": (lambda f: f.send(key="a b"), 400),
    "a broken body": (lambda f: f.send(body=b"{"), 400),
    "a faulty body": (lambda f: f.send(body=b'{"name":1}'), 400),
}


@pytest.fixture(scope="module")
def one_server():
    with memory_server() as server:
        yield server


@pytest.mark.parametrize("name", REPEATS)
def test_a_key_used_again(one_server, name):
    first = First(one_server.workspace())
    send, status = REPEATS[name]
    answer = send(first)
    assert answer.status_code == status, answer.text
    if status == 201:
        assert answer.content == first.answer.content
        assert answer.headers["Idempotent-Replayed"] == "true"
        assert answer.headers["Location"] == first.answer.headers["Location"]
    else:
        assert "Idempotent-Replayed" not in answer.headers
        assert answer.content != first.answer.content
    # whatever was sent, the first answer stands, and nothing more was done
    assert first.send().content == first.answer.content
    api = first.workspace.api()
    assert data(api.get("/v1/usage"))["documents"] == 1
    assert len(api.audit(resource_type="documents")) == 1


def test_of_a_key_that_was_revoked(one_server):
    first = First(one_server.workspace())
    admin = first.workspace.api()
    made = data(admin.post("/v1/api-keys", json={
        "name": "k", "permissions": ["write:documents"], "rate_limit_tier": "unmetered"}), 201)
    assert first.send(api_key=made["key"]).status_code == 201
    admin.delete(f"/v1/api-keys/{made['id']}", expect=204)
    refused(first.send(api_key=made["key"]), 401, "invalid_key")
    assert first.send().headers["Idempotent-Replayed"] == "true"


def test_in_another_workspace_it_is_another_key(one_server):
    first, other = First(one_server.workspace()), one_server.workspace().key()
    answer = first.send(api_key=other)
    assert answer.status_code == 201 and answer.content != first.answer.content
    assert "Idempotent-Replayed" not in answer.headers
    again = first.send(api_key=other)
    assert again.content == answer.content and again.headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize("twice", [("a", "a"), ("a", "b")])
def test_header_given_twice(one_server, twice):
    key = one_server.workspace().key()
    headers = [("X-API-Key", key), ("Content-Length", "2"),
               *[("Idempotency-Key", text) for text in twice]]
    assert raw_request(one_server, "POST", "/v1/documents", headers, b"{}").status == 400


def test_longest_key(one_server):
    first = First(one_server.workspace())
    new = first.body.replace(b'"n"', b'"m"')
    path = json.loads(first.body)["storage_path"].encode()
    new = new.replace(path, path + b"-longest")
    for key in ("k" * 255, '"' + "k" * 255 + '"'):
        assert first.send(body=new, key=key).status_code == 201


def test_an_id_in_another_spelling_is_another_request(one_server):
    """As the ids stand in the path, so they are compared: a client repeats what it has sent."""
    first = First(one_server.workspace())
    path, key = first.path(), unique("key")
    assert first.send("DELETE", path, key=key).status_code == 204
    respelled = "/v1/documents/" + respell(path.rsplit("/", 1)[1], "upload")
    refused(first.send("DELETE", respelled, key=key), 422, "idempotency_mismatch")
    assert first.send("DELETE", path, key=key).status_code == 204


def test_of_the_docs_dialect_it_is_another_key(one_server):
    first = First(one_server.workspace())
    first.workspace.docs_entity(first.key)
    body = b'{"type":"full","owner":{"externalId":"e"}}'
    statuses = [first.send(target="/v1/docs", body=body, Docs_Entity_ID=first.key,
                           X_Idempotency_Key=first.key).status_code for _ in range(2)]
    assert statuses == [201, 409]
    assert first.send().headers["Idempotent-Replayed"] == "true"


# ---- what fails releases its key ----

class Try:
    """A request under one key. It failed; then what was wrong is repaired, and it succeeds."""

    def __init__(self, server, **policy):
        self.server, self.workspace = server, server.workspace(**policy)
        self.api, self.key = self.workspace.api(), unique("key")

    def send(self, method="POST", target="/v1/documents", body=None, api_key=None):
        return Quick(self.server, api_key or self.api.key).ask(
            method, target, {"Idempotency-Key": self.key}, body)

    def done(self, send, status):
        """It is done now, once, and then replayed."""
        answer = send()
        assert answer.status_code == status, answer.text
        assert "Idempotent-Replayed" not in answer.headers
        again = send()
        assert again.headers["Idempotent-Replayed"] == "true"
        assert again.content == answer.content


def record(path="p", **more):
    return {"name": "n", "mime_type": "a/b", "storage_path": path, **more}


def after_400(server):
    one = Try(server, bytes="verify")
    refused(one.send(body=record()), 400, "validation_error")
    url = data(one.api.post("/v1/documents/upload-url", json={"storage_path": "p"}), 201)
    one.api.put(url["upload_url"], data=b"x", expect=200)
    one.done(lambda: one.send(body=record()), 201)


def after_403(server):
    one = Try(server)
    weak = one.workspace.key(("read:documents",))
    refused(one.send(body=record(), api_key=weak), 403, "insufficient_permissions")
    one.done(lambda: one.send(body=record()), 201)


def after_404(server):
    one = Try(server)
    path, body = f"/v1/documents/{one.api.new_document()['id']}/link", {
        "entity_type": "deal", "entity_id": "later"}
    refused(one.send(target=path, body=body), 404, "not_found")
    one.workspace.entity("deal", "later")
    one.done(lambda: one.send(target=path, body=body), 201)


def after_409(server):
    one = Try(server)
    path = f"/v1/documents/{one.api.new_document()['id']}"
    one.api.put(path + "/references/workflow/w", expect=204)
    refused(one.send("DELETE", path), 409, "in_use")
    one.api.delete(path + "/references/workflow/w", expect=204)
    one.done(lambda: one.send("DELETE", path), 204)


def after_413(server):
    one = Try(server, quota_documents=1)
    path = f"/v1/documents/{one.api.new_document()['id']}"
    refused(one.send(body=record()), 413, "quota_exceeded")
    one.api.delete(path, expect=204)
    one.done(lambda: one.send(body=record()), 201)


def after_429(server):
    one = Try(server)
    slow = one.workspace.key(tier="standard")
    for _ in range(2):
        assert Quick(server, slow).ask("GET", "/v1/usage").status_code == 200
    refused(one.send(body=record(), api_key=slow), 429, "rate_limited")
    one.done(lambda: one.send(body=record()), 201)


LARGE = b"bytes" * 20000     # small ones would be no file


@contextmanager
def no_place_for_bytes(server):
    """Files stand where the directories of the bytes would be made."""
    objects = server.data_dir / "blobs" / "objects"
    made = [objects / f"{number:02x}" for number in range(256)]
    for path in made:
        path.touch(exist_ok=False)
    yield
    for path in made:
        path.unlink()


def after_500(server):
    one = Try(server)
    url = data(one.api.post("/v1/documents/upload-url", json={"storage_path": "p"}), 201)
    target = url["upload_url"][len(server.base_url):]
    with no_place_for_bytes(server):
        refused(one.send("PUT", target, LARGE), 500, "internal_error")
    one.done(lambda: one.send("PUT", target, LARGE), 200)
    document = one.api.new_document(storage_path="p")
    url = data(one.api.get(f"/v1/documents/{document['id']}"))["download_url"]
    assert one.api.get(url, expect=200).content == LARGE


def crowd_of_writers(server, key, burst):
    """64 that have written and do not wait for the answer."""
    crowd = [socket.create_connection(server.address, timeout=20) for _ in range(64)]
    for i, connection in enumerate(crowd):
        body = json.dumps(record(f"{burst}/{i}")).encode()
        connection.sendall(f"POST /v1/documents HTTP/1.1\r\nHost: h\r\nX-API-Key: {key}\r\n"
                           f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return crowd


def after_503(server):
    """The queue of the workspace is full; it is not any more."""
    one = Try(server)
    for burst in range(500):
        one.key, body = unique("key"), record(unique("p"))
        crowd = crowd_of_writers(server, one.api.key, burst)
        answer = one.send(body=body)
        for connection in crowd:  # each is answered: nothing of this burst is queued any more
            assert connection.recv(9) == b"HTTP/1.1 "
            connection.close()
        if answer.status_code != 201:
            break
    refused(answer, 503, "unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    one.done(lambda: one.send(body=body), 201)


FAILURES = [after_400, after_403, after_404, after_409, after_413, after_429,
            pytest.param(after_500, marks=pytest.mark.embedded), after_503]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda one: one.__name__)
def test_a_failure_releases_the_key(failure):
    with memory_server("--rate-standard", "2/1000", "--lane-max", "4") as server:
        failure(server)
