# SPDX-License-Identifier: Apache-2.0
"""Documents of the records dialect: create, get, change, delete. Lists: test_d_list.py."""
import re
import time
from datetime import datetime, timezone

import pytest

from harness import PERMISSIONS, data, faulty, refused, unique

ELEVEN = ["id", "name", "description", "mime_type", "size_bytes", "storage_path", "folder",
          "tags", "created_by", "created_at", "updated_at"]
FULL = ELEVEN + ["linked_entities", "download_url", "download_url_expires_at"]
UNKNOWN = "doc_01HY1"
EARLIER = "doc_01J00000000000000000000000"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def body(**members):
    return {"name": "a.pdf", "mime_type": "application/pdf",
            "storage_path": unique("path"), **members}


def create(api, **members):
    return api.post("/v1/documents", json=body(**members))


# ---- create ----

def test_answer_has_the_eleven_members_in_order(api):
    shown = data(create(api), 201)
    assert list(shown) == ELEVEN
    assert re.fullmatch(r"doc_[0-9A-HJKMNP-TV-Z]{26}", shown["id"])
    assert re.fullmatch(r"usr_[0-9A-HJKMNP-TV-Z]{26}", shown["created_by"])
    assert TIME.fullmatch(shown["created_at"]) and shown["created_at"] == shown["updated_at"]
    made = datetime.strptime(shown["created_at"], "%Y-%m-%dT%H:%M:%SZ")
    age = datetime.now(timezone.utc).replace(tzinfo=None) - made
    assert -2 < age.total_seconds() < 30


def test_absent_members(api):
    shown = data(create(api), 201)
    assert [shown[name] for name in ("description", "size_bytes", "folder", "tags")] == \
        [None, None, None, []]


@pytest.mark.parametrize("member", ["description", "size_bytes", "folder", "tags"])
def test_null_means_absent(api, member):
    assert data(create(api, **{member: None}), 201)[member] == ([] if member == "tags" else None)


def test_created_by_is_the_user_of_the_key(api):
    assert data(create(api), 201)["created_by"] == data(create(api), 201)["created_by"]


def test_unknown_members_are_ignored(api):
    assert list(data(create(api, id=UNKNOWN, colour="red", nested={"a": [1]}), 201)) == ELEVEN


@pytest.mark.parametrize("member, value", [
    ("name", "x"),
    ("name", "x" * 255),
    ("name", "\u00fc" * 255),
    ("name", "\U0001f4c4" * 255),
    ("name", " quotes\" and \\ and / "),
    ("mime_type", "image/png"),
    ("mime_type", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("mime_type", "a" * 127 + "/" + "b" * 127),
    ("storage_path", "x"),
    ("storage_path", "a/b c/\u00fc.pdf"),
    ("storage_path", "..a/...b/.c"),
    ("storage_path", "p" * 1024),
    ("size_bytes", 0),
    ("size_bytes", 2**53 - 1),
    ("description", ""),
    ("description", "d" * 4000),
    ("description", "two\nlines"),
    ("folder", "/a"),
    ("folder", "/" + "f" * 255),
    ("folder", "/a" * 32),
    ("folder", "/Kunden/M\u00fcller & S\u00f6hne"),
    ("tags", []),
    ("tags", [f"t{i}" for i in range(50)]),
    ("tags", ["t" * 64]),
    ("tags", ["z", "a", "M"]),
], ids=str)
def test_accepted_as_it_is(api, member, value):
    shown = data(create(api, **{member: value}), 201)
    assert shown[member] == value
    assert data(api.get(f"/v1/documents/{shown['id']}"))[member] == value


@pytest.mark.parametrize("member, value, kept", [
    ("folder", "/clients/acme/", "/clients/acme"),
    ("tags", ["b", "a", "b", "c", "a"], ["b", "a", "c"]),
    ("mime_type", "Application/PDF", "application/pdf"),
    ("mime_type", "Text/Plain; Charset=utf-8", "text/plain; charset=utf-8"),
], ids=str)
def test_accepted_and_normalised(api, member, value, kept):
    assert data(create(api, **{member: value}), 201)[member] == kept


@pytest.mark.parametrize("member, value", [
    *[("name", v) for v in (None, "", 1, True, [], {}, "x" * 256, "\U0001f4c4" * 256, "a\nb",
                            "a\u007fb", "a\u0085b", "a\u202eb", "a\u2066b")],
    *[("mime_type", v) for v in (None, "", "pdf", "a/", "/b", "a/b/c", "a b/c", 1,
                                 "a" * 128 + "/b", "a/" + "b" * 128, "\u00fc/b", "a/b; x")],
    *[("storage_path", v) for v in (None, "", "/a", "a//b", "a/", "./a", "a/./b", "a/..", "../a",
                                    "a\\b", "a\nb", "a\u007fb", "p" * 1025,
                                    "\u00fc" * 513, 1, [])],
    *[("size_bytes", v) for v in (-1, 2**53, 1.5, "1", True, [])],
    *[("description", v) for v in ("d" * 4001, 1, [], "a\u202eb")],
    *[("folder", v) for v in ("", "a", "a/b", "/", "//", "/a//b", "/a/./b", "/..", "/a\nb",
                              "/" + "f" * 256, "/a" * 33, "/" + "/".join(["f" * 200] * 6), 1)],
    *[("tags", v) for v in ("nda", {}, [1], [None], [""], ["t" * 65], ["a\nb"],
                            [f"t{i}" for i in range(51)], [["a"]])],
], ids=str)
def test_refused(api, member, value):
    faulty(create(api, **{member: value}), member)


@pytest.mark.parametrize("member, value", [
    ("name", "a\u0000b"), ("storage_path", "a\u0000b"), ("description", "a\u0000b"),
    ("size_bytes", 10**30), ("colour", "a\u0000b")], ids=str)
def test_refused_by_the_parser(api, member, value):
    refused(create(api, **{member: value}), 400, "validation_error")


@pytest.mark.parametrize("member", ["name", "mime_type", "storage_path"])
def test_required(api, member):
    sent = body()
    del sent[member]
    faulty(api.post("/v1/documents", json=sent), member)


def test_all_faults_come_back_at_once(api):
    wrong = {"name": "", "mime_type": 7, "size_bytes": "1", "description": [], "folder": "x",
             "tags": [1]}
    faulty(api.post("/v1/documents", json=wrong), "storage_path", *wrong)


@pytest.mark.parametrize("sent", ["[]", "1", "null", '"text"', "true"])
def test_body_must_be_an_object(api, sent):
    refused(api.post("/v1/documents", data=sent), 400, "validation_error")


def test_storage_conflict(api):
    path = unique("path")
    create(api, storage_path=path)
    refused(create(api, storage_path=path), 409, "storage_conflict")
    assert data(create(api, storage_path=path + "x"), 201)


def test_storage_path_is_free_again_after_deletion(api):
    first = data(create(api, storage_path="again"), 201)
    api.delete(f"/v1/documents/{first['id']}", expect=204)
    assert data(create(api, storage_path="again"), 201)["id"] != first["id"]


def test_storage_path_is_the_workspaces_own(server):
    path = unique("path")
    for _ in range(2):
        data(create(server.workspace().api(), storage_path=path), 201)


def test_policy_verify_wants_the_bytes(server):
    api = server.workspace(bytes="verify").api()
    faulty(create(api), "storage_path")
    api.new_bytes(b"here they are")


# ---- get ----

def test_get_shows_all_members_in_order(api):
    made = api.new_document()
    shown = data(api.get(f"/v1/documents/{made['id']}"))
    assert list(shown) == FULL
    assert shown["linked_entities"] == []
    assert shown["download_url"] is None and shown["download_url_expires_at"] is None


@pytest.mark.parametrize("value, members", [
    ("true", FULL), ("1", FULL), ("false", FULL[:-2]), ("0", FULL[:-2])])
def test_download_parameter(api, value, members):
    made = api.new_document()
    assert list(data(api.get(f"/v1/documents/{made['id']}?download={value}"))) == members


@pytest.mark.parametrize("value", ["", "yes", "TRUE", "2"])
def test_bad_download_parameter(api, value):
    made = api.new_document()
    faulty(api.get(f"/v1/documents/{made['id']}?download={value}"), "download")


def test_linked_entities(api, workspace):
    made = api.new_document()
    workspace.entity("deal", "d1")
    api.post(f"/v1/documents/{made['id']}/link",
             json={"entity_type": "deal", "entity_id": "d1", "role": "signed"}, expect=201)
    assert data(api.get(f"/v1/documents/{made['id']}"))["linked_entities"] == \
        [{"entity_type": "deal", "entity_id": "d1", "role": "signed"}]


def spellings(doc_id):
    """The three spellings of one id."""
    number = 0
    for c in doc_id[len("doc_"):]:
        number = number * 32 + "0123456789ABCDEFGHJKMNPQRSTVWXYZ".index(c)
    hexadecimal = f"{number:032x}"
    parts = re.fullmatch(r"(.{8})(.{4})(.{4})(.{4})(.{12})", hexadecimal).groups()
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    base36 = ""
    while number:
        number, digit = divmod(number, 36)
        base36 = digits[digit] + base36
    return [doc_id, "-".join(parts), base36.rjust(26, "0")]


def test_every_spelling_of_an_id_is_accepted(api):
    made = api.new_document()
    for text in spellings(made["id"]):
        assert data(api.get(f"/v1/documents/{text}"))["id"] == made["id"]


NOT_IDS = [UNKNOWN, EARLIER, "doc_", "x", "0", "doc_01J0000000000000000000000U", "%F0%9F%93%84",
           "00000000-0000-0000-0000-000000000000", "doc_" + "Z" * 26, "a" * 2000, "%27%20OR%201=1",
           "usr_01J00000000000000000000000"]


@pytest.mark.parametrize("text", NOT_IDS, ids=lambda text: text[:20])
def test_any_other_id_does_not_exist(api, text):
    answers = [api.get(f"/v1/documents/{text}"), api.delete(f"/v1/documents/{text}"),
               api.patch(f"/v1/documents/{text}", json={"name": "x"}),
               api.post(f"/v1/documents/{text}/link",
                        json={"entity_type": "deal", "entity_id": "d"})]
    for answer in answers:
        refused(answer, 404, "not_found")
        assert text[:20] not in answer.text
    assert len({answer.content for answer in answers}) == 1


def test_another_workspaces_id_is_an_unknown_id(server, api):
    foreign = server.workspace().api().new_document()["id"]
    assert api.get(f"/v1/documents/{foreign}").content == \
        api.get(f"/v1/documents/{EARLIER}").content


# ---- change ----

@pytest.mark.parametrize("member, value, kept", [
    ("name", "new.pdf", "new.pdf"),
    ("description", "new", "new"), ("description", None, None),
    ("folder", "/new/", "/new"), ("folder", None, None),
    ("tags", ["b", "a", "b"], ["b", "a"]), ("tags", None, []), ("tags", [], []),
    ("mime_type", "Image/PNG", "image/png"),
], ids=str)
def test_patch_changes_one_member(api, member, value, kept):
    made = api.new_document(description="d", folder="/f", tags=["t"], size_bytes=5)
    shown = data(api.patch(f"/v1/documents/{made['id']}", json={member: value}))
    assert list(shown) == ELEVEN and shown[member] == kept
    again = data(api.get(f"/v1/documents/{made['id']}?download=false"))
    for name in set(ELEVEN) - {member, "updated_at"}:
        assert shown[name] == made[name] == again[name]
    assert again[member] == kept


def test_patch_moves_updated_at(api):
    made = api.new_document()
    time.sleep(1.1)
    shown = data(api.patch(f"/v1/documents/{made['id']}", json={"name": "n"}))
    assert shown["updated_at"] > made["updated_at"] and shown["created_at"] == made["created_at"]


def test_patch_takes_nothing_else(api):
    made = api.new_document(size_bytes=5)
    sent = {"name": "n", "storage_path": "other", "size_bytes": 6, "id": "x", "created_at": "y"}
    shown = data(api.patch(f"/v1/documents/{made['id']}", json=sent))
    for name in ("id", "storage_path", "size_bytes", "created_at"):
        assert shown[name] == made[name]


@pytest.mark.parametrize("sent", [
    {"name": None}, {"name": ""}, {"mime_type": None}, {"mime_type": "x"}, {"folder": "x"},
    {"tags": "x"}, {"description": 1}, {"name": 1, "tags": 1, "mime_type": 1},
    {"name": None, "mime_type": None}, {"name": None, "tags": [""]}], ids=str)
def test_patch_refused(api, sent):
    made = api.new_document()
    faulty(api.patch(f"/v1/documents/{made['id']}", json=sent), *sent)
    assert data(api.get(f"/v1/documents/{made['id']}"))["updated_at"] == made["updated_at"]


def test_patch_checks_the_body_before_the_id(api):
    faulty(api.patch(f"/v1/documents/{UNKNOWN}", json={"name": ""}), "name")
    faulty(api.patch(f"/v1/documents/{UNKNOWN}", json={"name": None}), "name")


# ---- delete ----

def test_delete(api):
    made = api.new_document()
    answer = api.delete(f"/v1/documents/{made['id']}", expect=204)
    assert answer.content == b""
    refused(api.get(f"/v1/documents/{made['id']}"), 404, "not_found")
    refused(api.delete(f"/v1/documents/{made['id']}"), 404, "not_found")
    assert data(api.get("/v1/documents"))["documents"] == []


@pytest.mark.parametrize("value", ["true", "1", "false", "0"])
def test_hard_parameter(api, value):
    made = api.new_document()
    api.delete(f"/v1/documents/{made['id']}?hard={value}", expect=204)


@pytest.mark.parametrize("value", ["", "yes", "True", "2", "-1", "null"])
def test_bad_hard_parameter(api, value):
    made = api.new_document()
    faulty(api.delete(f"/v1/documents/{made['id']}?hard={value}"), "hard")
    data(api.get(f"/v1/documents/{made['id']}"))


@pytest.mark.parametrize("permissions, query, status", [
    (["write:documents"], "", 204),
    (["write:documents"], "?hard=false", 204),
    (["write:documents"], "?hard=true", 403),
    (["write:documents"], "?hard=1", 403),
    (["admin:documents"], "?hard=true", 204),
    (["admin:documents"], "", 403),
    (["admin:documents"], "?hard=0", 403),
    (["read:documents"], "", 403),
    ([p for p in PERMISSIONS if p not in ("write:documents", "admin:documents")], "?hard=1", 403),
], ids=str)
def test_who_may_delete(api, workspace, permissions, query, status):
    made = api.new_document()
    answer = workspace.api(*permissions).delete(f"/v1/documents/{made['id']}{query}")
    assert answer.status_code == status
    if status == 403:
        refused(answer, 403, "insufficient_permissions")
        data(api.get(f"/v1/documents/{made['id']}"))
