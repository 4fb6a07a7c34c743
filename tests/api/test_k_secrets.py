# SPDX-License-Identifier: Apache-2.0
"""
Where secrets and deleted text turn up: nowhere.

A server with all logging on gets marked secrets by every door; then every byte that it has written
or says is searched for them.
"""
import secrets

import pytest
import requests

import engines
from harness import CommandFailed, Server, data, refused, wait_for

WINDOW, STEP = 14, 7    # so much of a secret is looked for, beginning at each so many characters
CLEARED_SECONDS = 180


def marker(kind):
    return f"{kind}{secrets.token_hex(12)}"


def token_of(url):
    return url.rsplit("/", 1)[1]


def files(*roots):
    """path -> content of every file but secret.key and the reserve, which is nothing but zeros."""
    found = {}
    for root in roots:
        for path in [root, *root.rglob("*")]:
            if path.is_file() and path.name not in ("secret.key", "ballast"):
                found[str(path)] = path.read_bytes()
    return found


def leaks(texts, name, secret):
    """Where a part of the secret stands."""
    parts = [secret[i:i + WINDOW].encode() for i in range(0, len(secret) - WINDOW + 1, STEP)]
    assert parts
    return [(name, place) for place, text in texts.items() if any(part in text for part in parts)]


@pytest.fixture
def talkative():
    server = Server("--log-requests", "--log-level", "debug", "--purge-after", "1s")
    yield server.start()
    server.remove()


def copies(server, tmp_path):
    """What holds its rows and bytes besides its own directory."""
    if engines.EMBEDDED:
        server.run("backup", tmp_path / "backup")
        return files(tmp_path / "backup")
    return {"engines": b"".join(server.place.contents())}


def said(server, workspace, api, tmp_path):
    """All that the server has written or tells, but the answers in which a secret is given out."""
    texts = {**files(server.data_dir, server.log_path), **copies(server, tmp_path)}
    for path in ("/metrics", "/healthz", "/readyz", "/openapi.json", "/v1/audit-logs?per_page=200",
                 "/v1/usage", "/v1/api-keys", "/v1/documents?per_page=100"):
        texts[path] = api.get(path).content
    for argv in (("key", "list", "--workspace", workspace.id), ("check",), ("audit", "verify")):
        texts[" ".join(argv)] = repr(server.run(*argv)).encode()
    for name in ("cmdline", "status", "maps"):
        with open(f"/proc/{server.process.pid}/{name}", "rb") as file:
            texts[name] = file.read()
    return texts


def use_secrets(server, workspace):
    """name -> secret, each sent or received once at least; a client that works."""
    found = {}

    def secret_of(key, prefix):
        assert key.startswith(prefix)
        return key[len(prefix):]

    made = workspace.new_key()
    api = server.api(made["key"])
    found["key of the operator"] = secret_of(made["key"], made["prefix"])
    found["idempotency key"] = marker("idem")
    repeat = {"Idempotency-Key": found["idempotency key"]}
    body = {"name": "k", "permissions": ["read:documents"]}
    for _ in range(2):
        made = data(api.post("/v1/api-keys", json=body, headers=repeat), 201)
    found["key by the API"] = secret_of(made["key"], made["prefix"])
    refused(api.post("/v1/api-keys", json={**body, "name": "l"}, headers=repeat), 422,
            "idempotency_mismatch")
    found["wrong key"] = marker("wbk_")
    found["forged key"] = "wbk_" + secrets.token_hex(24)
    found["other scheme"] = marker("basic")
    for name in ("wrong key", "forged key"):
        assert server.api(found[name]).get("/v1/usage").status_code == 401
        assert server.api(found[name], header="X-API-Key").get("/v1/usage").status_code == 401
    assert requests.get(server.base_url + "/v1/usage", timeout=30, headers={
        "Authorization": f"Basic {found['other scheme']}"}).status_code == 401
    found["key in the query"] = marker("query")
    for path in ("/v1/usage", "/nowhere"):
        api.get(f"{path}?api_key={found['key in the query']}")
    found["bad idempotency key"] = marker("bad") * 12      # too long
    api.post("/v1/documents/upload-url", json={}, headers={"Idempotency-Key": "a b"})
    api.post("/v1/api-keys", json=body, headers={
        "Idempotency-Key": found["bad idempotency key"]})
    asked = data(api.post("/v1/documents/upload-url", json={}), 201)
    found["upload token"] = token_of(asked["upload_url"])
    for status in (200, 403):
        api.put(asked["upload_url"], data=b"x", expect=status)
    document = api.new_document(storage_path=asked["storage_path"])
    url = data(api.get(f"/v1/documents/{document['id']}"))["download_url"]
    found["download token"] = token_of(url)
    for target, status in ((url, 200), (url + "?x=1", 400), (url + "AAAA", 403)):
        api.get(target, expect=status)
    found["docs idempotency key"] = marker("docs")
    entity = marker("entity")
    workspace.docs_entity(entity)
    for status in (201, 409):
        api.post("/v1/docs", json={"type": "full", "owner": {"externalId": "u"}}, expect=status,
                 headers={"Docs-Entity-ID": entity,
                          "X-Idempotency-Key": found["docs idempotency key"]})
    found["upload idempotency key"] = marker("file")
    api.post("/api/v1/upload", files=[("files", b"x")], expect=200,
             headers={"Idempotency-Key": found["upload idempotency key"]})
    return found, api


def test_secrets_are_written_nowhere(talkative, tmp_path):
    workspace = talkative.workspace()
    found, api = use_secrets(talkative, workspace)
    with pytest.raises(CommandFailed):
        talkative.run("key", "create", "--workspace", workspace.id, "--permissions", "no:such")
    texts = said(talkative, workspace, api, tmp_path)
    assert len(texts) > 15 and b"signed.upload" in texts[str(talkative.log_path)]
    assert [leak for name, secret in found.items() for leak in leaks(texts, name, secret)] == []
    assert talkative.stop() == 0
    texts = files(talkative.home)
    assert [leak for name, secret in found.items() for leak in leaks(texts, name, secret)] == []


# ---- what was deleted ----

TEXTS = ("name", "renamed", "description", "tag", "role", "path")


def make_document(api, number):
    """A document full of markers, in all it is made of; its id and the markers."""
    marks = {kind: marker(f"{kind}{number}") for kind in (*TEXTS, "bytes")}
    content = marks["bytes"].encode() * 300
    (document,) = api.post("/api/v1/upload", files=[("files", (marks["path"] + ".txt", content))],
                           expect=200).json()
    path = f"/v1/documents/{document}"
    data(api.patch(path, json={"name": marks["name"], "description": marks["description"],
                               "tags": [marks["tag"]]}), 200)
    data(api.patch(path, json={"name": marks["renamed"]}))
    data(api.post(path + "/link", json={"entity_type": "deal", "entity_id": "d",
                                        "role": marks["role"]}), 201)
    api.put(path + "/references/workflow/w", expect=204)
    assert data(api.get(path))["name"] == marks["renamed"]
    api.delete(path + "/references/workflow/w", expect=204)
    return path, marks


def test_names_and_contents_are_in_no_log(talkative):
    workspace = talkative.workspace(entities="open")
    api = workspace.api()
    path, marks = make_document(api, 0)
    for body in ({"name": marks["name"] * 20}, {"tags": [marks["tag"] * 9]}, {"name": 1,
                 "description": {marks["description"]: 1}}, [marks["name"]]):
        assert api.patch(path, json=body).status_code == 400
    api.patch(path, data=b'{"name":"' + marks["name"].encode(), headers={
        "Content-Type": "application/json"}, expect=400)
    api.get("/v1/documents", params={"search": marks["name"], "sort": marks["tag"]}, expect=400)
    texts = {"log": talkative.log().encode(), "audit": api.get("/v1/audit-logs").content,
             "metrics": api.get("/metrics").content}
    assert b"document.update 400" in texts["log"]
    assert [leak for kind, text in marks.items() for leak in leaks(texts, kind, text)] == []


def delete_two(server):
    """The markers of a document deleted at once and of one purged later."""
    api = server.workspace(entities="open").api()
    (hard_path, hard), (soft_path, soft) = make_document(api, 1), make_document(api, 2)
    api.delete(hard_path + "?hard=true", expect=204)
    assert not server.holds(hard["bytes"].encode())
    api.delete(soft_path, expect=204)
    wait_for(lambda: not server.holds(soft["bytes"].encode()), seconds=30)
    return [(kind, text) for marks in (hard, soft) for kind, text in marks.items()]


def test_nothing_of_deleted_documents_is_left_behind_a_stop(talkative, tmp_path):
    marks = delete_two(talkative)
    texts = copies(talkative, tmp_path)
    assert talkative.stop() == 0
    texts.update(files(talkative.home))
    assert [leak for kind, text in marks for leak in leaks(texts, kind, text)] == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nothing_of_deleted_documents_is_left_soon(talkative):
    """While the server runs, also in its log of writes. About 70 s, of waiting."""
    marks = delete_two(talkative)
    wait_for(lambda: not [leak for kind, text in marks
                          for leak in leaks(files(talkative.data_dir), kind, text)],
             seconds=CLEARED_SECONDS, pause=1)
