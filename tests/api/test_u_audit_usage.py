# SPDX-License-Identifier: Apache-2.0
"""The audit trail, the counts of a workspace and its quotas."""
import re
from datetime import datetime, timedelta, timezone

import pytest

from harness import data, faulty, refused, unique
from test_d_documents import EARLIER, spellings


def lines(api, **filters):
    """(action, resource_type, resource_id), oldest first; without what the fixtures made."""
    return [(line["action"], line["resource_type"], line["resource_id"])
            for line in reversed(api.audit(**filters))
            if line["resource_type"] not in ("api_keys", "workspaces")]


def usage(api):
    return data(api.get("/v1/usage"))


# ---- lines ----

def test_one_line_for_each_effect(api):
    document = api.new_document()
    path, doc_id = f"/v1/documents/{document['id']}", document["id"]
    api.patch(path, json={"name": "n"}, expect=200)
    api.put("/v1/entities/deal/d", json={"name": "D"}, expect=201)
    body = {"entity_type": "deal", "entity_id": "d"}
    link = data(api.post(path + "/link", json=body), 201)["link_id"]
    api.delete(f"{path}/links/{link}", expect=204)
    api.put("/v1/entities/deal/d", json={"name": "E"}, expect=200)
    api.delete("/v1/entities/deal/d", expect=204)
    api.delete(path, expect=204)
    assert lines(api) == [
        ("create", "documents", doc_id), ("update", "documents", doc_id),
        ("create", "entities", "deal/d"), ("link", "documents", doc_id),
        ("unlink", "documents", doc_id), ("update", "entities", "deal/d"),
        ("delete", "entities", "deal/d"), ("delete", "documents", doc_id)]
    details = [line["details"] for line in api.audit(resource_id=doc_id)]
    assert {"link_id": link} in details


def test_keys_leave_lines(api):
    made = data(api.post("/v1/api-keys", json={"name": "k", "permissions": ["read:docs"]}), 201)
    api.delete(f"/v1/api-keys/{made['id']}", expect=204)
    found = api.audit(resource_id=made["id"])
    assert [(line["action"], line["resource_type"]) for line in found] == \
        [("delete", "api_keys"), ("create", "api_keys")]


def test_refused_requests_leave_none(api, workspace):
    document = api.new_document(storage_path="taken")
    path = f"/v1/documents/{document['id']}"
    before = lines(api)
    api.post("/v1/documents", json={}, expect=400)
    api.post("/v1/documents", expect=409, json={"name": "n", "mime_type": "a/b",
                                                "storage_path": "taken"})
    api.delete(f"/v1/documents/{EARLIER}", expect=404)
    api.post(path + "/link", json={"entity_type": "deal", "entity_id": "none"}, expect=404)
    workspace.api("read:documents").delete(path, expect=403)
    api.delete(path + "/references/workflow/absent", expect=204)
    api.get(path, expect=200)
    assert lines(api) == before


def test_a_repeated_link_leaves_no_second_line(api, workspace):
    workspace.entity("deal", "d")
    path = f"/v1/documents/{api.new_document()['id']}/link"
    for status in (201, 200, 200):
        api.post(path, json={"entity_type": "deal", "entity_id": "d"}, expect=status)
    assert len(api.audit(action="link")) == 1


def test_a_replay_leaves_no_second_line(api):
    headers = {"Idempotency-Key": unique("key")}
    body = {"name": "n", "mime_type": "a/b", "storage_path": "p"}
    for _ in range(3):
        api.post("/v1/documents", json=body, headers=headers, expect=201)
    assert len(api.audit(action="create", resource_type="documents")) == 1


def test_a_line_says_who_and_when(api):
    answer = api.post("/v1/documents", json={"name": "n", "mime_type": "a/b",
                                             "storage_path": "p"})
    made = data(answer, 201)
    (line,) = api.audit(resource_id=made["id"])
    assert re.fullmatch(r"log_[0-9A-HJKMNP-TV-Z]{26}", line["id"])
    assert line["request_id"] == answer.headers["X-Request-ID"]
    assert line["ip_address"] == "127.0.0.1"
    assert line["timestamp"] == made["created_at"]
    assert line["user"]["id"] == made["created_by"]
    (key,) = data(api.get("/v1/api-keys"))["api_keys"]
    assert line["user"]["key_id"] == key["id"]


@pytest.mark.parametrize("query, details", [("", {}), ("?hard=true", {"hard": True})])
def test_delete_says_how(api, query, details):
    made = api.new_bytes(b"x")
    api.delete(f"/v1/documents/{made['id']}{query}", expect=204)
    (line,) = api.audit(resource_id=made["id"], action="delete")
    assert line["details"] == details


def test_lines_outlive_their_document(api):
    made = api.new_document()
    api.delete(f"/v1/documents/{made['id']}", expect=204)
    assert len(api.audit(resource_id=made["id"])) == 2


# ---- filters ----

@pytest.fixture(scope="module")
def trail(server):
    """A client whose workspace has seen: two documents, one deleted, an entity."""
    api = server.workspace().api()
    api.made = [api.new_document(), api.new_document()]
    api.delete(f"/v1/documents/{api.made[0]['id']}", expect=204)
    api.put("/v1/entities/task/t", json={}, expect=201)
    return api


@pytest.mark.parametrize("filters, count", [
    ({"resource_type": "documents"}, 3),
    ({"resource_type": "documents", "action": "create"}, 2),
    ({"action": "delete"}, 1),
    ({"action": "purge"}, 0),
    ({"resource_type": "entities"}, 1),
    ({"resource_id": "task/t"}, 1),
    ({"resource_id": "nobody"}, 0),
    ({"from_date": "2020-01-01", "resource_type": "documents"}, 3),
    ({"from_date": "2100-01-01"}, 0),
    ({"to_date": "2100-01-01T00:00:00Z", "resource_type": "documents"}, 3),
    ({"to_date": "2020-01-01"}, 0),
], ids=str)
def test_filter(trail, filters, count):
    answer = trail.get("/v1/audit-logs", params=filters, expect=200).json()
    assert answer["meta"]["total"] == len(answer["data"]["logs"]) == count


def test_resource_id_in_every_spelling(trail):
    for text in spellings(trail.made[0]["id"])[:2]:
        found = trail.audit(resource_id=text)
        assert [line["action"] for line in found] == ["delete", "create"]
        assert {line["resource_id"] for line in found} == {trail.made[0]["id"]}


def test_dates_are_inclusive(trail):
    (line,) = trail.audit(resource_id="task/t")
    stamp = line["timestamp"]
    at = datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    later, earlier = ((at + timedelta(seconds=s)).isoformat() for s in (1, -1))

    def found(**dates):
        return len(trail.audit(resource_id="task/t", **dates))

    assert found(from_date=stamp) == found(to_date=stamp) == 1
    assert found(from_date=later) == found(to_date=earlier) == 0
    assert found(from_date=stamp[:10]) == found(to_date=stamp[:10]) == 1


def test_newest_first_and_pages(trail):
    everything = trail.audit()
    assert [line["id"] for line in everything] == \
        sorted((line["id"] for line in everything), reverse=True)
    first = trail.get("/v1/audit-logs?per_page=2&page=2", expect=200).json()
    assert first["data"]["logs"] == everything[2:4]
    assert first["meta"] == {"page": 2, "per_page": 2, "total": len(everything)}
    metas = [trail.get(f"/v1/audit-logs?{query}").json()["meta"]
             for query in ("", "per_page=1000", "page=0&per_page=0")]
    assert [(meta["page"], meta["per_page"]) for meta in metas] == [(1, 50), (1, 200), (1, 1)]


@pytest.mark.parametrize("parameter", ["from_date", "to_date"])
@pytest.mark.parametrize("value", ["yesterday", "", "2026-02-31"])
def test_bad_date(trail, parameter, value):
    faulty(trail.get("/v1/audit-logs", params={parameter: value}), parameter)


def test_both_bad_dates_come_back_at_once(trail):
    faulty(trail.get("/v1/audit-logs?from_date=x&to_date=y"), "from_date", "to_date")


def test_trail_is_the_workspaces_own(trail, api):
    assert api.audit(resource_id=trail.made[0]["id"]) == []


def test_only_with_the_permission(workspace):
    refused(workspace.api("read:documents").get("/v1/audit-logs"), 403,
            "insufficient_permissions")
    workspace.api("read:audit_logs").get("/v1/audit-logs", expect=200)


# ---- usage and quota ----

def test_usage(api):
    nothing = {"documents": 0, "bytes": 0, "quota_documents": None, "quota_bytes": None,
               "pending_purge_bytes": 0}
    assert usage(api) == nothing and list(usage(api)) == list(nothing)
    declared = api.new_document(size_bytes=100)
    api.new_document()
    real = api.new_bytes(b"x" * 10)
    assert usage(api) == {**nothing, "documents": 3, "bytes": 110}
    api.delete(f"/v1/documents/{declared['id']}", expect=204)
    api.delete(f"/v1/documents/{real['id']}", expect=204)
    assert usage(api) == {**nothing, "documents": 1, "pending_purge_bytes": 10}


def test_real_size_takes_the_place_of_the_declared_one(api):
    made = data(api.post("/v1/documents/upload-url", json={}), 201)
    document = api.new_document(storage_path=made["storage_path"], size_bytes=1000)
    api.put(made["upload_url"], data=b"x" * 7, expect=200)
    assert usage(api)["bytes"] == 7
    assert data(api.get(f"/v1/documents/{document['id']}"))["size_bytes"] == 7


def test_hard_delete_leaves_nothing_pending(api):
    made = api.new_bytes(b"x" * 10)
    api.delete(f"/v1/documents/{made['id']}?hard=true", expect=204)
    assert (usage(api)["bytes"], usage(api)["pending_purge_bytes"]) == (0, 0)


def test_quota_of_bytes(server):
    api = server.workspace(quota_bytes=100).api()
    body = {"name": "n", "mime_type": "a/b"}
    made = api.new_document(size_bytes=60)
    refused(api.post("/v1/documents", json={**body, "storage_path": "p", "size_bytes": 41}),
            413, "quota_exceeded")
    url = data(api.post("/v1/documents/upload-url", json={}), 201)["upload_url"]
    refused(api.put(url, data=b"x" * 41), 413, "quota_exceeded")
    assert usage(api)["bytes"] == 60 and usage(api)["quota_bytes"] == 100
    api.new_document(size_bytes=40)
    api.delete(f"/v1/documents/{made['id']}", expect=204)
    api.new_document(size_bytes=60)


def test_quota_of_documents(server):
    api = server.workspace(quota_documents=2).api()
    made = [api.new_document() for _ in range(2)]
    refused(api.post("/v1/documents", json={"name": "n", "mime_type": "a/b",
                                            "storage_path": "p"}), 413, "quota_exceeded")
    assert usage(api)["quota_documents"] == 2
    api.delete(f"/v1/documents/{made[0]['id']}", expect=204)
    api.new_document()


def test_usage_needs_read_documents(workspace):
    workspace.api("read:documents").get("/v1/usage", expect=200)
    refused(workspace.api("read:entities").get("/v1/usage"), 403, "insufficient_permissions")


def test_sums_do_not_overflow(api):
    """Without a quota the bytes of a workspace are bounded by what can be added up."""
    biggest = 2**53 - 1
    for _ in range(512):
        api.new_document(size_bytes=biggest)
    refused(api.post("/v1/documents", json={"name": "n", "mime_type": "a/b", "storage_path": "p",
                                            "size_bytes": biggest}), 413, "quota_exceeded")
    assert data(api.get("/v1/usage"))["bytes"] == 512 * biggest
