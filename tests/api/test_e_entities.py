# SPDX-License-Identifier: Apache-2.0
"""The register of entities, and the documents of one."""
import time

import pytest

from harness import data, faulty, refused, unique

TYPES = {"contact": "contacts", "company": "companies", "deal": "deals", "event": "events",
         "matter": "matters", "task": "tasks"}
MEMBERS = ["entity_type", "entity_id", "name", "created_at", "updated_at"]
LINKED = ["id", "name", "mime_type", "size_bytes", "folder", "tags", "role", "linked_at",
          "created_at"]


def link(api, document, kind, entity_id, role=None):
    return data(api.post(f"/v1/documents/{document['id']}/link",
                         json={"entity_type": kind, "entity_id": entity_id, "role": role}), 201)


# ---- one entity ----

@pytest.mark.parametrize("kind", TYPES)
def test_register_read_rename_remove(api, kind):
    path = f"/v1/entities/{kind}/e1"
    made = data(api.put(path, json={"name": "Acme"}), 201)
    assert list(made) == MEMBERS
    assert (made["entity_type"], made["entity_id"], made["name"]) == (kind, "e1", "Acme")
    assert data(api.get(path)) == made
    again = data(api.put(path, json={"name": "Acme GmbH"}), 200)
    assert again["name"] == "Acme GmbH" and again["created_at"] == made["created_at"]
    assert api.delete(path, expect=204).content == b""
    refused(api.get(path), 404, "not_found")
    refused(api.delete(path), 404, "not_found")


def test_put_without_a_name_keeps_it(api):
    path = "/v1/entities/deal/e1"
    assert data(api.put(path, json={}), 201)["name"] is None
    data(api.put(path, json={"name": "n"}))
    assert data(api.put(path, json={}))["name"] == "n"
    assert data(api.put(path, json={"name": None}))["name"] is None


@pytest.mark.parametrize("entity_id", ["a", "A.b_c:d-9", "x" * 128,
                                       "123e4567-e89b-12d3-a456-426614174000"])
def test_well_formed_ids(api, entity_id):
    path = f"/v1/entities/contact/{entity_id}"
    assert data(api.put(path, json={}), 201)["entity_id"] == entity_id


@pytest.mark.parametrize("path", ["deal/a%20b", "deal/" + "x" * 129, "deal/%C3%BC", "deal/a%2Fb",
                                  "Deal/x", "deals/x", "person/x", "deal/a@b"])
def test_what_cannot_exist_does_not(api, path):
    for answer in (api.get(f"/v1/entities/{path}"), api.put(f"/v1/entities/{path}", json={}),
                   api.delete(f"/v1/entities/{path}")):
        assert answer.status_code in (400, 404)
        refused(answer, answer.status_code,
                {400: "validation_error", 404: "not_found"}[answer.status_code])


@pytest.mark.parametrize("name", ["x" * 256, 1, [], "a\nb"], ids=str)
def test_bad_name(api, name):
    faulty(api.put("/v1/entities/deal/e", json={"name": name}), "name")
    refused(api.get("/v1/entities/deal/e"), 404, "not_found")


def test_entities_are_the_workspaces_own(api, server):
    api.put("/v1/entities/deal/shared", json={"name": "mine"}, expect=201)
    other = server.workspace().api()
    refused(other.get("/v1/entities/deal/shared"), 404, "not_found")
    data(other.put("/v1/entities/deal/shared", json={}), 201)
    assert data(api.get("/v1/entities/deal/shared"))["name"] == "mine"


def test_command_line_registers_too(api, workspace):
    workspace.entity("matter", "m1", name="Case")
    assert data(api.get("/v1/entities/matter/m1"))["name"] == "Case"


def test_delete_detaches_links(api):
    api.put("/v1/entities/deal/gone", json={}, expect=201)
    document = api.new_document()
    link(api, document, "deal", "gone")
    api.delete("/v1/entities/deal/gone", expect=204)
    assert data(api.get(f"/v1/documents/{document['id']}/links"))["links"] == []
    assert data(api.get(f"/v1/documents/{document['id']}"))["linked_entities"] == []


# ---- batch ----

def batch(api, *entities):
    return api.post("/v1/entities/batch", json={"entities": list(entities)})


def entity(kind="deal", entity_id="x", **more):
    return {"entity_type": kind, "entity_id": entity_id, **more}


def test_batch(api):
    answer = batch(api, entity("deal", "a", name="A"), entity("contact", "a"))
    assert data(answer) == {"created": 2, "updated": 0}
    answer = batch(api, entity("deal", "a", name="B"), entity("deal", "b"))
    assert data(answer) == {"created": 1, "updated": 1}
    assert data(api.get("/v1/entities/deal/a"))["name"] == "B"


def test_batch_of_a_thousand(api):
    many = [entity("task", f"t{i}") for i in range(1000)]
    assert data(batch(api, *many)) == {"created": 1000, "updated": 0}
    faulty(batch(api, *many, entity()), "entities")


@pytest.mark.parametrize("bad, field", [
    (entity("person"), "entities[1].entity_type"),
    ({"entity_id": "x"}, "entities[1].entity_type"),
    ({"entity_type": "deal"}, "entities[1].entity_id"),
    (entity("deal", "a b"), "entities[1].entity_id"),
    (entity("deal", ""), "entities[1].entity_id"),
    (entity("deal", "y" * 129), "entities[1].entity_id"),
    (entity("deal", 7), "entities[1].entity_id"),
    (entity("deal", "y", name="n" * 256), "entities[1].name"),
], ids=str)
def test_batch_is_all_or_none(api, bad, field):
    faulty(batch(api, entity("deal", "first"), bad), field)
    refused(api.get("/v1/entities/deal/first"), 404, "not_found")


@pytest.mark.parametrize("body", [{}, {"entities": None}, {"entities": []}, {"entities": {}},
                                  {"entities": "x"}, {"entities": [1]}], ids=str)
def test_batch_of_nothing(api, body):
    faulty(api.post("/v1/entities/batch", json=body), "entities")


# ---- policy ----

def test_registered_entities_only(api):
    document = api.new_document()
    answer = api.post(f"/v1/documents/{document['id']}/link", json=entity("deal", "nobody"))
    refused(answer, 404, "not_found")
    refused(api.get("/v1/deals/nobody/documents"), 404, "not_found")


def test_open_policy(server):
    api = server.workspace(entities="open").api()
    document = api.new_document()
    link(api, document, "deal", "anybody")
    assert len(data(api.get("/v1/deals/anybody/documents"))["documents"]) == 1
    assert data(api.get("/v1/deals/nobody/documents"))["documents"] == []
    refused(api.get("/v1/deals/no%20body/documents"), 404, "not_found")


# ---- documents of an entity ----

@pytest.mark.parametrize("kind, plural", TYPES.items())
def test_documents_of_an_entity(api, workspace, kind, plural):
    workspace.entity(kind, "e")
    document = api.new_document(size_bytes=5, folder="/f", tags=["t"])
    made = link(api, document, kind, "e", "signed")
    answer = api.get(f"/v1/{plural}/e/documents")
    assert answer.json()["meta"] == {"page": 1, "per_page": 25, "total": 1}
    (shown,) = data(answer)["documents"]
    assert list(shown) == LINKED
    assert shown["role"] == "signed" and shown["linked_at"] == made["created_at"]
    for member in set(LINKED) - {"role", "linked_at"}:
        assert shown[member] == document[member]
    faulty(api.get(f"/v1/{plural}/e/documents?page=x&per_page=y"), "page", "per_page")
    refused(api.get(f"/v1/{plural}/nobody/documents"), 404, "not_found")


def test_role_filter_and_pages(api, workspace):
    workspace.entity("deal", "d")
    for i, role in enumerate(["draft", "signed", None, "signed", "Signed"]):
        link(api, api.new_document(name=f"n{i}"), "deal", "d", role)

    def names(**params):
        answer = api.get("/v1/deals/d/documents", params=params, expect=200).json()
        return sorted(item["name"] for item in answer["data"]["documents"]), answer["meta"]

    assert names(role="signed") == (["n1", "n3"], {"page": 1, "per_page": 25, "total": 2})
    assert names(role="none")[0] == []
    pages = [names(page=page, per_page=2) for page in (1, 2, 3, 4)]
    assert [len(page[0]) for page in pages] == [2, 2, 1, 0]
    assert sorted(sum((page[0] for page in pages), [])) == ["n0", "n1", "n2", "n3", "n4"]
    assert names(page=0, per_page=1000)[1] == {"page": 1, "per_page": 100, "total": 5}


def test_documents_of_a_foreign_entity(api, server):
    other = server.workspace()
    name = unique("deal")
    other.entity("deal", name)
    assert api.get(f"/v1/deals/{name}/documents").content == \
        api.get("/v1/deals/nobody/documents").content


# ---- who may ----

@pytest.mark.parametrize("permission, method, path, status", [
    ("read:entities", "GET", "/v1/entities/deal/e", 200),
    ("read:entities", "PUT", "/v1/entities/deal/e", 403),
    ("read:entities", "GET", "/v1/deals/e/documents", 403),
    ("write:entities", "PUT", "/v1/entities/deal/e", 200),
    ("write:entities", "POST", "/v1/entities/batch", 200),
    ("write:entities", "GET", "/v1/entities/deal/e", 403),
    ("write:documents", "PUT", "/v1/entities/deal/e", 403),
    ("read:documents", "GET", "/v1/deals/e/documents", 200),
    ("read:documents", "GET", "/v1/entities/deal/e", 403),
])
def test_permissions(workspace, permission, method, path, status):
    workspace.entity("deal", "e")
    body = {"entities": [entity("deal", "e")]} if path.endswith("batch") else {}
    options = {} if method == "GET" else {"json": body}
    assert workspace.api(permission).request(method, path, **options).status_code == status


def test_put_moves_updated_at(api):
    made = data(api.put("/v1/entities/deal/e", json={"name": "a"}), 201)
    time.sleep(1.1)
    again = data(api.put("/v1/entities/deal/e", json={"name": "b"}))
    assert again["updated_at"] > made["updated_at"] == made["created_at"]
