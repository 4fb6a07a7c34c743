# SPDX-License-Identifier: Apache-2.0
"""Links to entities, and the references of workflows and templates that keep a document."""
import re

import pytest

from harness import data, faulty, refused
from test_d_documents import EARLIER, UNKNOWN

MEMBERS = ["link_id", "document_id", "entity_type", "entity_id", "role", "created_at"]


@pytest.fixture
def document(api, workspace):
    for kind, entity_id in (("contact", "c1"), ("deal", "d1"), ("deal", "d2")):
        workspace.entity(kind, entity_id)
    return api.new_document()


def link(api, document, kind="deal", entity_id="d1", **more):
    return api.post(f"/v1/documents/{document['id']}/link",
                    json={"entity_type": kind, "entity_id": entity_id, **more})


def links(api, document):
    return data(api.get(f"/v1/documents/{document['id']}/links"))["links"]


# ---- link ----

def test_new_link(api, document):
    made = data(link(api, document, role="signed"), 201)
    assert list(made) == MEMBERS
    assert re.fullmatch(r"dlnk_[0-9A-HJKMNP-TV-Z]{26}", made["link_id"])
    assert made["document_id"] == document["id"]
    assert (made["entity_type"], made["entity_id"], made["role"]) == ("deal", "d1", "signed")
    assert links(api, document) == [made]


@pytest.mark.parametrize("role", [None, "draft", "signed"])
def test_repeat_gives_the_first_link_unchanged(api, document, role):
    made = data(link(api, document, role="signed"), 201)
    assert data(link(api, document, role=role), 200) == made
    assert links(api, document) == [made]


def test_a_record_shows_its_first_thousand_links(server):
    """Entities named the other way round: as they are stored they come last first."""
    api = server.workspace(entities="open").api()
    document = api.new_document()
    names = [f"d{9999 - i}" for i in range(1003)]
    made = [data(link(api, document, entity_id=name), 201)["link_id"] for name in names]

    def shown():
        record = data(api.get(f"/v1/documents/{document['id']}"))
        return [entity["entity_id"] for entity in record["linked_entities"]]

    assert shown() == names[:1000]
    for link_id in made[:10]:
        api.delete(f"/v1/documents/{document['id']}/links/{link_id}", expect=204)
    assert shown() == names[10:]


def test_one_document_many_entities(api, document):
    made = [data(link(api, document, *place), 201)["link_id"]
            for place in (("deal", "d1"), ("deal", "d2"), ("contact", "c1"))]
    assert {item["link_id"] for item in links(api, document)} == set(made)
    assert len(set(made)) == 3


@pytest.mark.parametrize("role", ["x" * 64, "\u00fc" * 64, None])
def test_good_role(api, document, role):
    assert data(link(api, document, role=role), 201)["role"] == role


@pytest.mark.parametrize("body, fields", [
    ({}, ["entity_type", "entity_id"]),
    ({"entity_type": "deal"}, ["entity_id"]),
    ({"entity_id": "d1"}, ["entity_type"]),
    ({"entity_type": None, "entity_id": None}, ["entity_type", "entity_id"]),
    ({"entity_type": "person", "entity_id": "d1"}, ["entity_type"]),
    ({"entity_type": "Deal", "entity_id": "d1"}, ["entity_type"]),
    ({"entity_type": 1, "entity_id": 1}, ["entity_type", "entity_id"]),
    ({"entity_type": "deal", "entity_id": ""}, ["entity_id"]),
    ({"entity_type": "deal", "entity_id": "a b"}, ["entity_id"]),
    ({"entity_type": "deal", "entity_id": "x" * 129}, ["entity_id"]),
    ({"entity_type": "deal", "entity_id": "d1", "role": "x" * 65}, ["role"]),
    ({"entity_type": "deal", "entity_id": "d1", "role": 1}, ["role"]),
    ({"entity_type": "deal", "entity_id": "d1", "role": "a\nb"}, ["role"]),
], ids=str)
def test_bad_link(api, document, body, fields):
    faulty(api.post(f"/v1/documents/{document['id']}/link", json=body), *fields)
    faulty(api.post(f"/v1/documents/{UNKNOWN}/link", json=body), *fields)
    assert links(api, document) == []


def test_link_of_what_is_not_there(api, document, server):
    refused(link(api, {"id": EARLIER}), 404, "not_found")
    refused(link(api, document, "deal", "nobody"), 404, "not_found")
    refused(link(api, document, "contact", "d1"), 404, "not_found")
    other = server.workspace()
    other.entity("deal", "theirs")
    refused(link(api, document, "deal", "theirs"), 404, "not_found")
    refused(link(other.api(), document, "deal", "theirs"), 404, "not_found")


# ---- unlink ----

def test_unlink(api, document):
    made = data(link(api, document), 201)
    path = f"/v1/documents/{document['id']}/links/{made['link_id']}"
    assert api.delete(path, expect=204).content == b""
    assert links(api, document) == []
    refused(api.delete(path), 404, "not_found")
    assert data(link(api, document), 201)["link_id"] != made["link_id"]


def test_unlink_needs_the_right_document(api, document):
    made = data(link(api, document), 201)
    other = api.new_document()
    for doc_id in (other["id"], EARLIER, UNKNOWN):
        refused(api.delete(f"/v1/documents/{doc_id}/links/{made['link_id']}"), 404, "not_found")
    refused(api.delete(f"/v1/documents/{document['id']}/links/{document['id']}"), 404, "not_found")
    assert len(links(api, document)) == 1


def test_links_go_with_the_document(api, document):
    link(api, document)
    api.delete(f"/v1/documents/{document['id']}", expect=204)
    refused(api.get(f"/v1/documents/{document['id']}/links"), 404, "not_found")
    assert data(api.get("/v1/deals/d1/documents"))["documents"] == []


def test_links_of_what_is_not_there(api):
    for doc_id in (EARLIER, UNKNOWN):
        refused(api.get(f"/v1/documents/{doc_id}/links"), 404, "not_found")


# ---- references ----

def reference_path(document, kind="workflow", ref_id="w1"):
    return f"/v1/documents/{document['id']}/references/{kind}/{ref_id}"


def references(api, document):
    found = data(api.get(f"/v1/documents/{document['id']}/references"))["references"]
    assert all(list(item) == ["type", "id", "created_at"] for item in found)
    return sorted((item["type"], item["id"]) for item in found)


@pytest.mark.parametrize("kind", ["workflow", "template"])
def test_reference_comes_and_goes(api, document, kind):
    for _ in range(2):
        assert api.put(reference_path(document, kind), expect=204).content == b""
        assert references(api, document) == [(kind, "w1")]
    for _ in range(2):
        api.delete(reference_path(document, kind), expect=204)
        assert references(api, document) == []


@pytest.mark.parametrize("query", ["", "?hard=true"])
def test_in_use(api, document, query):
    for kind, ref_id in (("workflow", "w1"), ("template", "t1")):
        api.put(reference_path(document, kind, ref_id), expect=204)
    error = refused(api.delete(f"/v1/documents/{document['id']}{query}"), 409, "in_use")
    shown = sorted((item["type"], item["id"]) for item in error["details"]["references"])
    assert shown == [("template", "t1"), ("workflow", "w1")]
    assert all(sorted(item) == ["id", "type"] for item in error["details"]["references"])
    data(api.get(f"/v1/documents/{document['id']}"))
    for kind, ref_id in shown:
        api.delete(reference_path(document, kind, ref_id), expect=204)
    api.delete(f"/v1/documents/{document['id']}{query}", expect=204)


def test_in_use_shows_at_most_ten(api, document):
    for i in range(12):
        api.put(reference_path(document, "workflow", f"w{i}"), expect=204)
    error = refused(api.delete(f"/v1/documents/{document['id']}"), 409, "in_use")
    assert len(error["details"]["references"]) == 10
    assert len(references(api, document)) == 12


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize("path", ["documents/{id}/references/job/w1",
                                  "documents/{id}/references/workflow/a%20b",
                                  f"documents/{EARLIER}/references/workflow/w1",
                                  f"documents/{UNKNOWN}/references/workflow/w1"])
def test_reference_of_what_is_not_there(api, document, method, path):
    refused(api.request(method, "/v1/" + path.format(id=document["id"])), 404, "not_found")


def test_references_of_what_is_not_there(api):
    for doc_id in (EARLIER, UNKNOWN):
        refused(api.get(f"/v1/documents/{doc_id}/references"), 404, "not_found")


@pytest.mark.parametrize("permission, reads, writes", [
    ("read:documents", 200, 403), ("write:documents", 403, 204), ("read:entities", 403, 403)])
def test_permissions(api, workspace, document, permission, reads, writes):
    made = data(link(api, document), 201)
    one = workspace.api(permission)
    path = f"/v1/documents/{document['id']}"
    assert one.get(path + "/links").status_code == reads
    assert one.get(path + "/references").status_code == reads
    assert one.put(reference_path(document)).status_code == writes
    assert one.delete(reference_path(document)).status_code == writes
    assert link(one, document).status_code == (200 if writes == 204 else 403)
    assert one.delete(f"{path}/links/{made['link_id']}").status_code == writes
