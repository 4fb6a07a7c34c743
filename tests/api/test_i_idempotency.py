# SPDX-License-Identifier: Apache-2.0
"""Idempotency keys of the records dialect. More: test_i_misuse.py, test_i_races.py."""
import pytest

from harness import Api, at_once, data, faulty, raw_request, refused, unique


def body(path=None, **more):
    return {"name": "n", "mime_type": "a/b", "storage_path": path or unique("p"), **more}


def with_key(key=None):
    return {"Idempotency-Key": key or unique("key")}


def documents(api):
    return data(api.get("/v1/documents"))["documents"]


def assert_replay(first, again):
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers.get("Idempotent-Replayed") == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["X-Request-ID"] != first.headers["X-Request-ID"]
    assert "X-RateLimit-Limit" in again.headers
    for name in ("Location", "Content-Type"):
        assert again.headers.get(name) == first.headers.get(name)


# ---- replay ----

def test_create_is_replayed(api):
    sent, headers = body(), with_key()
    first = api.post("/v1/documents", json=sent, headers=headers, expect=201)
    for _ in range(2):
        assert_replay(first, api.post("/v1/documents", json=sent, headers=headers))
    assert len(documents(api)) == 1


def every_change(api, workspace):
    """(method, path, json) of each kind of change."""
    workspace.entity("deal", "d")
    workspace.entity("deal", "gone")
    document, other = api.new_document(), api.new_document()
    path = f"/v1/documents/{document['id']}"
    linked = data(api.post(path + "/link", json={"entity_type": "deal", "entity_id": "gone"}), 201)
    return [
        ("PATCH", path, {"name": "new"}),
        ("POST", path + "/link", {"entity_type": "deal", "entity_id": "d"}),
        ("DELETE", f"{path}/links/{linked['link_id']}", None),
        ("PUT", path + "/references/workflow/w", None),
        ("DELETE", path + "/references/workflow/w", None),
        ("PUT", "/v1/entities/deal/new", {"name": "x"}),
        ("DELETE", "/v1/entities/deal/gone", None),
        ("POST", "/v1/entities/batch", {"entities": [{"entity_type": "deal", "entity_id": "z"}]}),
        ("POST", "/v1/documents/upload-url", {"name": "a.pdf"}),
        ("POST", "/v1/api-keys", {"name": "k", "permissions": ["read:documents"]}),
        ("DELETE", f"/v1/documents/{other['id']}", None),
        ("DELETE", path + "?hard=true", None),
    ]


def test_every_change_is_replayed(api, workspace):
    for method, path, sent in every_change(api, workspace):
        headers, options = with_key(), {} if sent is None else {"json": sent}
        first = api.request(method, path, headers=headers, **options)
        assert first.status_code < 300, (method, path, first.text)
        assert_replay(first, api.request(method, path, headers=headers, **options))


def test_delete_again_with_the_key_and_without(api):
    path = f"/v1/documents/{api.new_document()['id']}"
    headers = with_key()
    for _ in range(3):
        api.delete(path, headers=headers, expect=204)
    refused(api.delete(path), 404, "not_found")


def test_hard_delete_again_with_the_key(api):
    path = f"/v1/documents/{api.new_bytes(b'x')['id']}?hard=true"
    headers = with_key()
    first = api.delete(path, headers=headers, expect=204)
    assert_replay(first, api.delete(path, headers=headers))


def test_replay_outlives_a_restart(server_factory):
    server = server_factory()
    api = server.workspace().api()
    sent, headers = body(), with_key()
    first = api.post("/v1/documents", json=sent, headers=headers, expect=201)
    server.kill()
    server.start()
    assert_replay(first, api.post("/v1/documents", json=sent, headers=headers))


def test_replay_shows_the_answer_of_then(api):
    sent, headers = body(), with_key()
    first = api.post("/v1/documents", json=sent, headers=headers, expect=201)
    api.delete(f"/v1/documents/{data(first, 201)['id']}", expect=204)
    assert_replay(first, api.post("/v1/documents", json=sent, headers=headers))
    assert documents(api) == []


def test_key_is_forgotten_after_its_life(server_factory):
    import time
    server = server_factory("--idempotency-life", "1s")
    api = server.workspace().api()
    headers, path = with_key(), f"/v1/documents/{api.new_document()['id']}/references/workflow/w"
    api.put(path, headers=headers, expect=204)
    time.sleep(1.2)
    assert "Idempotent-Replayed" not in api.put(path, headers=headers, expect=204).headers


# ---- another request ----

def test_another_request_is_a_mismatch(api):
    sent, headers = body(), with_key()
    made = data(api.post("/v1/documents", json=sent, headers=headers), 201)
    path = f"/v1/documents/{made['id']}"
    for answer in (
            api.post("/v1/documents", json={**sent, "name": "other"}, headers=headers),
            api.post("/v1/documents/upload-url", json=sent, headers=headers),
            api.patch(path, json=sent, headers=headers),
            api.delete(path, headers=headers)):
        refused(answer, 422, "idempotency_mismatch")
    data(api.get(path))


def test_another_id_or_query_is_a_mismatch(api):
    first, second = (f"/v1/documents/{api.new_document()['id']}" for _ in range(2))
    headers = with_key()
    api.delete(first, headers=headers, expect=204)
    refused(api.delete(second, headers=headers), 422, "idempotency_mismatch")
    refused(api.delete(first + "?hard=true", headers=headers), 422, "idempotency_mismatch")


def test_validation_comes_before_the_replay(api):
    headers = with_key()
    api.post("/v1/documents", json=body(), headers=headers, expect=201)
    faulty(api.post("/v1/documents", json=body(name=""), headers=headers), "name")


def test_keys_are_the_workspaces_own(api, server):
    headers = with_key()
    api.post("/v1/documents", json=body(), headers=headers, expect=201)
    other = server.workspace().api()
    answer = other.post("/v1/documents", json=body(), headers=headers, expect=201)
    assert "Idempotent-Replayed" not in answer.headers


def test_two_api_keys_share_the_workspaces_keys(api, workspace):
    sent, headers = body(), with_key()
    first = api.post("/v1/documents", json=sent, headers=headers, expect=201)
    assert_replay(first, workspace.api().post("/v1/documents", json=sent, headers=headers))


def test_permission_is_that_of_the_moment(api, workspace):
    sent, headers = body(), with_key()
    api.post("/v1/documents", json=sent, headers=headers, expect=201)
    reader = workspace.api("read:documents")
    refused(reader.post("/v1/documents", json=sent, headers=headers), 403,
            "insufficient_permissions")


# ---- a failed run ----

def test_a_failed_run_releases_the_key(api):
    headers = with_key()
    taken = documents(api) or api.new_document(storage_path="taken")
    assert taken
    refused(api.post("/v1/documents", json=body("taken"), headers=headers), 409,
            "storage_conflict")
    faulty(api.post("/v1/documents", json={}, headers=headers),
           "name", "mime_type", "storage_path")
    answer = api.post("/v1/documents", json=body("free"), headers=headers, expect=201)
    assert "Idempotent-Replayed" not in answer.headers


def test_a_404_is_not_kept(api, workspace):
    headers = with_key()
    path = f"/v1/documents/{api.new_document()['id']}/link"
    sent = {"entity_type": "deal", "entity_id": "later"}
    refused(api.post(path, json=sent, headers=headers), 404, "not_found")
    workspace.entity("deal", "later")
    api.post(path, json=sent, headers=headers, expect=201)


# ---- syntax ----

@pytest.mark.parametrize("key", ["k", "x" * 255, "123e4567-e89b-12d3-a456-426614174000", "!~:/@"])
def test_good_key(api, key):
    api.post("/v1/documents", json=body(), headers=with_key(key), expect=201)


@pytest.mark.parametrize("key", [b"", b"x" * 256, b"a b", b"\xc3\xbc", b"a\tb"], ids=repr)
def test_bad_key(api, key):
    answer = api.post("/v1/documents", json=body(), headers={"Idempotency-Key": key})
    refused(answer, 400, "validation_error")
    assert documents(api) == []


def test_repeated_key_header(server, api):
    headers = [("X-API-Key", api.key), ("Idempotency-Key", "a"), ("Idempotency-Key", "a"),
               ("Content-Length", "2")]
    assert raw_request(server, "POST", "/v1/documents", headers, b"{}").status == 400


def test_reads_take_no_key(api):
    for _ in range(2):
        answer = api.get("/v1/documents", headers=with_key("same"), expect=200)
        assert "Idempotent-Replayed" not in answer.headers


def test_secrets_in_kept_answers_are_not_on_disk(server, api):
    headers, sent = with_key(), {"name": "k", "permissions": ["read:documents"]}
    first = api.post("/v1/api-keys", json=sent, headers=headers)
    secret = data(first, 201)["key"]
    assert_replay(first, api.post("/v1/api-keys", json=sent, headers=headers))
    assert not server.holds(secret.encode())


# ---- at once ----

def clients(server, workspace, count):
    """A client a thread, connected already, so that the requests meet."""
    key = workspace.key()
    made = [Api(server, key) for _ in range(count)]
    for one in made:
        one.get("/healthz", expect=200)
    return made


@pytest.mark.concurrent
def test_one_key_many_hard_deletes(server, workspace, api):
    threads = clients(server, workspace, 16)
    headers, made = with_key(), api.new_bytes(b"x")
    answers = at_once(16, lambda i: threads[i].delete(f"/v1/documents/{made['id']}?hard=true",
                                                      headers=headers))
    assert {answer.status_code for answer in answers} == {204}
    assert len(api.audit(action="delete", resource_id=made["id"])) == 1
    assert len(api.audit(action="purge", resource_id=made["id"])) == 1


@pytest.mark.concurrent
def test_quota_holds_against_many(server):
    workspace = server.workspace(quota_documents=10)
    threads = clients(server, workspace, 32)
    statuses = at_once(32, lambda i: threads[i].post("/v1/documents", json=body()).status_code)
    assert sorted(statuses) == [201] * 10 + [413] * 22
