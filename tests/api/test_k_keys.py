# SPDX-License-Identifier: Apache-2.0
"""API keys: their text, their headers, how they are made, listed, revoked and run out."""
import re
import time
import zlib
from datetime import datetime, timedelta, timezone

import pytest

from harness import Api, CommandFailed, PERMISSIONS, data, faulty, refused, wait_for
from test_d_documents import EARLIER

MADE = {"id", "key", "prefix", "name", "description", "permissions", "rate_limit_tier",
        "expires_at", "created_at"}
LISTED = MADE - {"key"} | {"created_by", "last_used_at", "revoked_at"}


ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


def make(api, **members):
    return api.post("/v1/api-keys", json={"name": "job", "permissions": ["read:documents"],
                                          **members})


def after(**delta):
    return (datetime.now(timezone.utc) + timedelta(**delta)).strftime("%Y-%m-%dT%H:%M:%SZ")


def listed(api, **params):
    return data(api.get("/v1/api-keys", params=params))["api_keys"]


def works(server, key):
    return Api(server, key).get("/v1/documents").status_code == 200


# ---- the header ----

@pytest.mark.parametrize("headers, status", [
    ({"Authorization": "Bearer {key}"}, 200),
    ({"Authorization": "bearer {key}"}, 200),
    ({"X-API-Key": "{key}"}, 200),
    ({"Authorization": "Bearer {key}", "X-API-Key": "{key}"}, 200),
    ({"Authorization": "Bearer {key}", "X-API-Key": "{other}"}, 401),
    ({"Authorization": "Bearer {other}", "X-API-Key": "{key}"}, 401),
    ({"Authorization": "Bearer {key}", "X-API-Key": ""}, 401),
    ({"Authorization": "Basic {key}"}, 401),
    ({"Authorization": "Basic {key}", "X-API-Key": "{key}"}, 401),
    ({"Authorization": "{key}"}, 401),
    ({"Authorization": "Bearer"}, 401),
    ({"Authorization": ""}, 401),
    ({"X-API-Key": "Bearer {key}"}, 401),
    ({"X-API-Key": ""}, 401),
    ({}, 401),
], ids=str)
def test_where_the_key_stands(workspace, anonymous, headers, status):
    keys = {"key": workspace.key(), "other": workspace.key()}
    sent = {name: value.format(**keys) for name, value in headers.items()}
    answer = anonymous.get("/v1/documents", headers=sent)
    assert answer.status_code == status
    if status == 401:
        refused(answer, 401, "invalid_key")
        assert "X-RateLimit-Limit" not in answer.headers


def broken(key):
    """What is nearly a key."""
    swap = {"a": "b"}
    return [key[:-1], key + "a", key.upper(), key[4:], "wbk_", "wbk_" + "a" * 52,
            key[:30] + swap.get(key[30], "a") + key[31:], key[:-1] + swap.get(key[-1], "a"),
            key[:4] + swap.get(key[4], "a") + key[5:], "wbk_" + "\u00fc" * 26, "a" * 4000]


def test_all_bad_keys_answer_alike(server, workspace):
    key = workspace.key()
    assert works(server, key)
    answers = set()
    for text in broken(key):
        answer = Api(server, text.encode().decode("latin-1")).get("/v1/documents")
        refused(answer, 401, "invalid_key")
        answers.add(answer.content)
    assert len(answers) == 1


def with_secret_of(key, other):
    """`key` with the secret of `other` and a checksum that is right for it."""
    covered, check = key[:18] + other[18:49], ""
    crc = zlib.crc32(covered.encode())
    for _ in range(7):
        crc, digit = divmod(crc, 36)
        check = ALPHABET[digit] + check
    return covered + check


def test_a_key_is_no_key_with_another_secret(server, workspace):
    """Well formed, with the handle of a key that exists: only the secret tells."""
    key, other = workspace.key(), workspace.key()
    assert with_secret_of(key, key) == key
    for _ in range(2):  # the second time the key is remembered
        answer = Api(server, with_secret_of(key, other)).get("/v1/documents")
        refused(answer, 401, "invalid_key")
        assert answer.content == Api(server, "x").get("/v1/documents").content
        assert works(server, key)


def test_text_of_a_key(workspace):
    made = workspace.new_key("read:documents")
    assert re.fullmatch(r"wbk_[a-z0-9]{52}", made["key"])


# ---- create ----

def test_create(api, server):
    answer = make(api, description="nightly", rate_limit_tier="high", expires_at=after(days=1))
    made = data(answer, 201)
    assert set(made) == MADE
    assert re.fullmatch(r"key_[0-9A-HJKMNP-TV-Z]{26}", made["id"])
    assert re.fullmatch(r"wbk_[a-z0-9]{52}", made["key"])
    assert made["key"].startswith(made["prefix"]) and len(made["prefix"]) < 20
    assert made["permissions"] == ["read:documents"]
    assert (made["name"], made["description"], made["rate_limit_tier"]) == \
        ("job", "nightly", "high")
    assert works(server, made["key"])
    refused(Api(server, made["key"]).post("/v1/documents", json={}), 403,
            "insufficient_permissions")


def test_create_with_the_least(api):
    made = data(make(api), 201)
    assert (made["description"], made["rate_limit_tier"], made["expires_at"]) == \
        (None, "standard", None)


@pytest.mark.parametrize("member, value", [
    ("name", None), ("name", ""), ("name", "x" * 121), ("name", 1), ("name", "a\nb"),
    ("permissions", None), ("permissions", []), ("permissions", "read:documents"),
    ("permissions", ["read:everything"]), ("permissions", ["read:documents", 1]),
    ("permissions", ["Read:Documents"]), ("permissions", [""]), ("permissions", ["*"]),
    ("description", 1), ("rate_limit_tier", "huge"), ("rate_limit_tier", 1),
    ("expires_at", "tomorrow"), ("expires_at", "2020-01-01T00:00:00Z"), ("expires_at", 1),
], ids=str)
def test_create_refused(api, member, value):
    before = len(listed(api))
    faulty(make(api, **{member: value}), member)
    assert len(listed(api)) == before


def test_unknown_permission_is_refused_on_the_command_line(workspace):
    with pytest.raises(CommandFailed):
        workspace.key(["read:everything"])


@pytest.mark.parametrize("synonym", ["write:extractions", "write_extractions"])
def test_synonyms(api, workspace, synonym):
    assert data(make(api, permissions=[synonym]), 201)["permissions"] == ["extractions:write"]
    assert workspace.key([synonym])


@pytest.mark.parametrize("held, granted, status", [
    (["admin:api_keys"], ["admin:api_keys"], 201),
    (["admin:api_keys", "read:documents"], ["read:documents"], 201),
    (["admin:api_keys"], ["read:documents"], 403),
    (["admin:api_keys", "admin:documents"], ["write:documents"], 403),
    (["admin:api_keys", "read:documents"], ["read:documents", "write:documents"], 403),
    ([p for p in PERMISSIONS if p != "admin:api_keys"], ["read:documents"], 403),
], ids=str)
def test_nobody_grants_what_they_do_not_hold(api, workspace, held, granted, status):
    one = workspace.api(*held)
    before = len(listed(api))
    answer = make(one, permissions=granted)
    assert answer.status_code == status
    if status == 403:
        refused(answer, 403, "insufficient_permissions")
        assert len(listed(api)) == before


@pytest.mark.parametrize("held, granted, status", [
    ("standard", "standard", 201), ("standard", "high", 403), ("high", "high", 201),
    ("high", "unmetered", 403), ("unmetered", "high", 201),
])
def test_nobody_grants_a_wider_budget_than_theirs(api, workspace, held, granted, status):
    one = Api(workspace.server, workspace.key(["admin:api_keys", "read:documents"], tier=held))
    before = len(listed(api))
    answer = make(one, rate_limit_tier=granted)
    assert answer.status_code == status
    assert len(listed(api)) == before + (status == 201)


# ---- list ----

def test_a_replay_is_no_way_around_that(api, workspace):
    """The kept answer holds a key: whoever asks again must hold what it was given."""
    lesser = workspace.api("admin:api_keys", "read:documents")
    wanted = {"name": "all", "permissions": list(PERMISSIONS)}
    headers = {"Idempotency-Key": "escalation"}
    made = api.post("/v1/api-keys", json=wanted, headers=headers)
    assert made.status_code == 201
    refused(lesser.post("/v1/api-keys", json=wanted, headers=headers), 403,
            "insufficient_permissions")
    assert api.post("/v1/api-keys", json=wanted, headers=headers).content == made.content


@pytest.mark.parametrize("moment", ["1969-12-31", "1970-01-01T00:00:00Z", "2020-01-01"])
def test_a_key_cannot_be_born_expired(api, moment):
    faulty(make(api, expires_at=moment), "expires_at")


def test_list(api, server):
    made = data(make(api, name="Import job", description="Nightly"), 201)
    (shown,) = listed(api, search="IMPORT")
    assert set(shown) == LISTED
    assert {name: shown[name] for name in MADE - {"key"}} == \
        {name: made[name] for name in MADE - {"key"}}
    assert shown["revoked_at"] is None and shown["last_used_at"] is None
    assert listed(api, search="nightly")[0]["id"] == made["id"]
    assert listed(api, search="%") == []
    assert made["key"] not in api.get("/v1/api-keys").text
    assert works(server, made["key"])
    assert wait_for(lambda: listed(api, search="import")[0]["last_used_at"])


def test_list_pages(api):
    for i in range(4):
        make(api, name=f"k{i}")
    answer = api.get("/v1/api-keys?page=2&per_page=2", expect=200).json()
    assert answer["meta"] == {"page": 2, "per_page": 2, "total": 5}
    assert len(answer["data"]["api_keys"]) == 2
    assert api.get("/v1/api-keys?per_page=1000").json()["meta"]["per_page"] == 100


def test_list_is_the_workspaces_own(api, server):
    server.workspace().key()
    assert len(listed(api)) == 1


@pytest.mark.parametrize("value", ["yes", "", "2"])
def test_bad_include_revoked(api, value):
    faulty(api.get(f"/v1/api-keys?include_revoked={value}"), "include_revoked")


# ---- revoke ----

def test_revoke(api, server):
    made = data(make(api), 201)
    assert works(server, made["key"])
    assert api.delete(f"/v1/api-keys/{made['id']}", expect=204).content == b""
    refused(Api(server, made["key"]).get("/v1/documents"), 401, "invalid_key")
    assert made["id"] not in [key["id"] for key in listed(api)]
    shown = [key for key in listed(api, include_revoked="true") if key["id"] == made["id"]]
    assert shown[0]["revoked_at"]


def test_revoked_on_the_command_line_within_a_second(api, server):
    made = data(make(api), 201)
    assert works(server, made["key"])
    server.run("key", "revoke", made["id"])
    wait_for(lambda: not works(server, made["key"]), seconds=1.2)


def test_revoke_of_what_is_not_there(api, server):
    foreign = server.workspace().new_key("read:documents")["id"]
    for key_id in (foreign, EARLIER, "x", "key_01J00000000000000000000000"):
        refused(api.delete(f"/v1/api-keys/{key_id}"), 404, "not_found")


def test_last_admin_key_stays(workspace):
    made = workspace.new_key("admin:api_keys")
    first = Api(workspace.server, made["key"])
    refused(first.delete(f"/v1/api-keys/{made['id']}"), 403, "insufficient_permissions")
    second = data(make(first, permissions=["admin:api_keys"]), 201)
    first.delete(f"/v1/api-keys/{made['id']}", expect=204)
    refused(Api(workspace.server, second["key"]).delete(f"/v1/api-keys/{second['id']}"), 403,
            "insufficient_permissions")


def test_an_expired_admin_key_does_not_count(workspace):
    made = workspace.new_key("admin:api_keys")
    first = Api(workspace.server, made["key"])
    data(make(first, permissions=["admin:api_keys"], expires_at=after(seconds=1)), 201)
    time.sleep(2.1)
    refused(first.delete(f"/v1/api-keys/{made['id']}"), 403, "insufficient_permissions")


# ---- expiry ----

def test_expiry(api, server):
    made = data(make(api, expires_at=after(seconds=2)), 201)
    assert works(server, made["key"])
    time.sleep(2.1)
    refused(Api(server, made["key"]).get("/v1/documents"), 401, "invalid_key")


def test_expiry_on_the_command_line(workspace):
    key = workspace.key(["read:documents"], expires_at=after(seconds=2))
    assert works(workspace.server, key)
    time.sleep(2.1)
    assert not works(workspace.server, key)


@pytest.mark.parametrize("permission", [p for p in PERMISSIONS if p != "admin:api_keys"])
def test_only_key_admins_see_keys(workspace, permission):
    one = workspace.api(permission)
    for answer in (one.get("/v1/api-keys"), make(one), one.delete(f"/v1/api-keys/{EARLIER}")):
        refused(answer, 403, "insufficient_permissions")


def test_secrets_are_nowhere_on_disk_or_in_the_log(server, workspace, api):
    made = data(make(api), 201)["key"]
    other = workspace.key()
    assert works(server, made) and works(server, other)
    for key in (made, other):
        assert not server.holds(key.encode()) and not server.holds(key[20:44].encode())
        assert key[20:44] not in server.log()
