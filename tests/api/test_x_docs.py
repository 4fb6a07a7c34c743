# SPDX-License-Identifier: Apache-2.0
"""The docs dialect: Docs objects, their owners, and who may ask."""
import json
import re
import uuid

import pytest

from harness import ALIAS, Api, at_once, data, raw_request, unique

PATH = "/v1/docs"
BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
CODES = {400: "BAD_REQUEST", 401: "UNAUTHORIZED", 403: "FORBIDDEN", 404: "NOT_FOUND",
         405: "METHOD_NOT_ALLOWED", 409: "CONFLICT", 411: "BAD_REQUEST", 413: "PAYLOAD_TOO_LARGE",
         415: "UNSUPPORTED_MEDIA_TYPE", 422: "UNPROCESSABLE_ENTITY", 429: "RATE_LIMITED"}
OWNER = {"id": "0f5ly1v7p3gqj5ii56e6k6q61x", "externalId": "unique-customer-code"}
FULL = {"type": "full", "owner": OWNER}


class Caller:
    """A Docs entity of a workspace; trusted unless told otherwise."""

    def __init__(self, workspace, trust_header=True, key=None):
        self.workspace = workspace
        self.entity = unique("entity")
        workspace.docs_entity(self.entity, trust_header)
        self.api = Api(workspace.server, key)
        self.api.session.headers["Docs-Entity-ID"] = self.entity

    def post(self, body=None, key=None, expect=None, **options):
        headers = {"X-Idempotency-Key": key or unique("key"), **options.pop("headers", {})}
        if "data" not in options:
            options["json"] = FULL if body is None else body
        return self.api.post(PATH, headers=headers, expect=expect, **options)

    def create(self, kind="full", **owner):
        return self.post({"type": kind, "owner": owner}, expect=201).json()

    def get(self, docs_id, **options):
        return self.api.get(f"{PATH}/{docs_id}", **options)

    def listed(self, external_id):
        return self.api.get(PATH, params={"externalId": external_id}, expect=200).json()

    def patch(self, docs_id, value="active", **options):
        steps = options.pop("steps", [{"op": "replace", "path": "/status", "value": value}])
        return self.api.patch(f"{PATH}/{docs_id}", json=steps, **options)


@pytest.fixture
def caller(workspace):
    return Caller(workspace)


def told(answer, status):
    """An error of this dialect; its `details`."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert list(body) == ["error"] and list(body["error"]) == ["code", "message", "details"]
    assert body["error"]["code"] == CODES[status] and body["error"]["message"]
    assert isinstance(body["error"]["details"], dict)
    return body["error"]["details"]


def spell(number, digits):
    text = ""
    for _ in range(26):
        number, rest = divmod(number, len(digits))
        text = digits[rest] + text
    return text


def spellings(docs_id):
    """The three spellings of an id given in base36."""
    number = int(docs_id, 36)
    return docs_id, str(uuid.UUID(int=number)), "docs_" + spell(number, CROCKFORD)


# ---- the sample ----

def test_sample(caller):
    answer = caller.post(data=b'{\n"type": "full",\n"owner": {\n"id": "0f5ly1v7p3gqj5ii56e6k6q61x",'
                              b'\n"externalId": "unique-customer-code"\n}\n}',
                         key="9c8c-123abc-99", headers={"Content-Type": "application/json"},
                         expect=201)
    made = answer.json()
    assert list(made) == ["id", "status", "owner"]
    assert re.fullmatch("[0-9a-z]{26}", made["id"])
    assert made["status"] == "created" and made["owner"] == OWNER
    assert list(made["owner"]) == ["id", "externalId"]
    assert answer.headers["X-RateLimit-Limit"] == "100000"
    assert caller.get(made["id"]).json() == {
        "id": made["id"], "status": "created", "owner": {"type": "User", **OWNER}}


def test_alias(caller):
    answer = caller.api.post(ALIAS + PATH, json=FULL, headers={"X-Idempotency-Key": "k"})
    assert caller.api.get(f"{ALIAS}{PATH}/{answer.json()['id']}", expect=200)


def test_a_docs_object_is_no_document(caller, api):
    made = caller.create(externalId="c")
    assert data(api.get("/v1/usage"))["documents"] == 0
    assert api.get(f"/v1/documents/{made['id']}").status_code == 404


# ---- who may ----

def test_docs_entity_is_wanted(workspace, caller):
    docs_id = caller.create(externalId="c")["id"]
    closed = Caller(workspace, trust_header=False)
    answers = []
    for entity, key in ((None, None), ("", None), ("no-such-entity", None), (closed.entity, None),
                        (None, workspace.key()), ("no-such-entity", workspace.key()),
                        (caller.entity, "wbk_" + "a" * 52), (closed.entity, "x")):
        api = Api(workspace.server, key)
        headers = {} if entity is None else {"Docs-Entity-ID": entity}
        answers += [api.post(PATH, json=FULL, headers={"X-Idempotency-Key": "k", **headers}),
                    api.get(f"{PATH}/{docs_id}", headers=headers),
                    api.get(PATH + "?externalId=c", headers=headers),
                    api.patch(f"{PATH}/{docs_id}", json=[], headers=headers)]
    for answer in answers:
        told(answer, 401)
        assert "X-RateLimit-Limit" not in answer.headers
    assert len({answer.content for answer in answers}) == 1
    assert caller.listed("unique-customer-code") == []


def test_entity_without_trust_needs_a_key(workspace):
    closed = Caller(workspace, trust_header=False, key=workspace.key(["read:docs", "write:docs"]))
    answer = closed.post(expect=201)
    assert answer.headers["X-RateLimit-Limit"] == "2147483647"
    closed.get(answer.json()["id"], expect=200)


@pytest.mark.parametrize("header", ["Authorization", "X-API-Key"])
def test_either_header_of_a_key(workspace, header):
    closed = Caller(workspace, trust_header=False)
    value = workspace.key()
    closed.api.session.headers[header] = f"Bearer {value}" if header[0] == "A" else value
    closed.post(expect=201)


@pytest.mark.parametrize("trust_header", [True, False])
@pytest.mark.parametrize("permission, reads, writes", [
    ("read:docs", 200, 403), ("write:docs", 403, 201), ("read:documents", 403, 403),
    ("admin:documents", 403, 403),
])
def test_permission_of_a_key(workspace, caller, trust_header, permission, reads, writes):
    docs_id = caller.create(externalId="c")["id"]
    keyed = Caller(workspace, trust_header, workspace.key([permission]))
    for answer, status in ((keyed.get(docs_id), reads), (keyed.post(), writes),
                           (keyed.api.get(PATH + "?externalId=c"), reads),
                           (keyed.patch(docs_id), min(writes, 403) if writes == 403 else 200)):
        if status == 403:
            told(answer, 403)
        else:
            assert answer.status_code == status


def test_key_and_entity_must_be_of_one_workspace(workspace, server):
    foreign = server.workspace().key()
    for trust_header in (True, False):
        told(Caller(workspace, trust_header, foreign).post(), 401)


def test_an_entity_belongs_to_one_workspace(caller, server):
    made = caller.create(externalId="c")
    other = Caller(server.workspace())
    for docs_id in spellings(made["id"]):
        told(other.get(docs_id), 404)
        told(other.patch(docs_id), 404)
    assert other.listed("c") == []
    assert other.create(externalId="c")["owner"]["id"] != made["owner"]["id"]
    assert other.post(expect=201).json()["owner"] == OWNER == \
        caller.post(expect=201).json()["owner"]


def test_budget_of_an_entity(server_factory):
    workspace = server_factory("--rate-standard", "3/1000").workspace()
    caller, other = Caller(workspace), Caller(workspace)
    docs_id = caller.create(externalId="c")["id"]
    assert caller.get(docs_id).headers["X-RateLimit-Remaining"] == "998"
    told(caller.post({}), 400)
    answer = caller.get(docs_id)
    told(answer, 429)
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.headers["X-RateLimit-Remaining"] == "0"
    assert other.get(docs_id, expect=200).headers["X-RateLimit-Remaining"] == "999"
    caller.get(docs_id, headers={"X-API-Key": workspace.key()}, expect=200)


# ---- 400 and 422 ----

ID20, EXTERNAL = "0123456789abcdefghij", {"externalId": "c"}
INVALID = [
    # body -> status, faulty fields
    ({}, 400, ["owner", "type"]),
    ({"owner": EXTERNAL}, 400, ["type"]),
    ({"type": None, "owner": EXTERNAL}, 400, ["type"]),
    ({"type": "full"}, 400, ["owner"]),
    ({"type": "full", "owner": None}, 400, ["owner"]),
    ({"type": "full", "owner": {}}, 400, ["owner"]),
    ({"type": "full", "owner": {"id": None, "externalId": None}}, 400, ["owner"]),
    ({"type": "full", "owner": {"external_id": "c"}}, 400, ["owner"]),
    ({"type": "full", "owner": {"id": ID20}}, 400, ["owner.id"]),
    ({"type": 1, "owner": EXTERNAL}, 422, ["type"]),
    ({"type": True, "owner": EXTERNAL}, 422, ["type"]),
    ({"type": ["full"], "owner": EXTERNAL}, 422, ["type"]),
    ({"type": "", "owner": EXTERNAL}, 422, ["type"]),
    ({"type": "Full", "owner": EXTERNAL}, 422, ["type"]),
    ({"type": "1st", "owner": EXTERNAL}, 422, ["type"]),
    ({"type": "a b", "owner": EXTERNAL}, 422, ["type"]),
    ({"type": "full\n", "owner": EXTERNAL}, 422, ["type"]),
    ({"type": "a" * 65, "owner": EXTERNAL}, 422, ["type"]),
    ({"type": "full", "owner": "c"}, 422, ["owner"]),
    ({"type": "full", "owner": [EXTERNAL]}, 422, ["owner"]),
    ({"type": "full", "owner": {"id": 1}}, 422, ["owner.id"]),
    ({"type": "full", "owner": {"id": ""}}, 422, ["owner.id"]),
    ({"type": "full", "owner": {"id": "a" * 19}}, 422, ["owner.id"]),
    ({"type": "full", "owner": {"id": "a" * 33}}, 422, ["owner.id"]),
    ({"type": "full", "owner": {"id": "a" * 99}}, 422, ["owner.id"]),
    ({"type": "full", "owner": {"id": ID20.upper(), **EXTERNAL}}, 422, ["owner.id"]),
    ({"type": "full", "owner": {"id": ID20[:-1] + "-"}}, 422, ["owner.id"]),
    ({"type": "full", "owner": {"externalId": 1}}, 422, ["owner.externalId"]),
    ({"type": "full", "owner": {"externalId": {}}}, 422, ["owner.externalId"]),
    ({"type": "full", "owner": {"externalId": ""}}, 422, ["owner.externalId"]),
    ({"type": "full", "owner": {"externalId": "x" * 256}}, 422, ["owner.externalId"]),
    ({"type": "full", "owner": {"externalId": "a\nb"}}, 422, ["owner.externalId"]),
    ({"type": "Full", "owner": {"id": 1, "externalId": ""}}, 422,
     ["owner.externalId", "owner.id", "type"]),
]


@pytest.mark.parametrize("body, status, fields", INVALID, ids=lambda value: str(value)[:60])
def test_invalid_body(caller, body, status, fields):
    details = told(caller.post(body), status)
    assert sorted(details["fields"]) == fields
    assert caller.listed("c") == []


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'"x"', b"null", b"{}x", b'{"type":"\xff"}',
                                  b'{"type":"full","type":"full","owner":{"externalId":"c"}}',
                                  b"[" * 40 + b"]" * 40], ids=str)
def test_malformed_json(caller, text):
    told(caller.post(data=text), 400)


@pytest.mark.parametrize("body", [
    {"type": "a" * 64, "owner": {"externalId": "c"}}, {"type": "a", "owner": {"externalId": "c"}},
    {"type": "a-b_9", "owner": {"id": ID20, "externalId": "\u65e5" * 255}},
    {"type": "full", "owner": {"id": "a" * 32, "externalId": "c", "x": 1}, "y": []},
    {"type": "full", "owner": {"id": None, "externalId": "c"}},
], ids=lambda body: str(body)[:40])
def test_valid_body(caller, body):
    owner = caller.post(body, expect=201).json()["owner"]
    assert owner["externalId"] == body["owner"]["externalId"]
    assert owner["id"] == body["owner"].get("id") or re.fullmatch("[0-9a-z]{26}", owner["id"])


def test_missing_and_bad_idempotency_key(caller, server):
    told(caller.api.post(PATH, json=FULL), 400)
    told(caller.api.post(PATH, json=FULL, headers={"Idempotency-Key": "k"}), 400)
    for key in (b"", b"x" * 256, b"a b", b"\xff"):
        told(caller.api.post(PATH, json=FULL, headers={"X-Idempotency-Key": key}), 400)
    caller.post(key="x" * 255, expect=201)
    sent = b'{"type":"full","owner":{"externalId":"c"}}'
    answer = raw_request(server, "POST", PATH, [
        ("Docs-Entity-ID", caller.entity), ("Content-Length", len(sent)),
        ("X-Idempotency-Key", "a"), ("X-Idempotency-Key", "b")], sent)
    assert answer.status == 400 and caller.listed("c") == []


def test_repeated_entity_header(workspace, caller, server):
    answer = raw_request(server, "GET", PATH + "?externalId=c", [
        ("Docs-Entity-ID", caller.entity), ("Docs-Entity-ID", Caller(workspace).entity)])
    assert answer.status in (400, 401)


def test_framing_errors_wear_the_envelope(caller, server):
    told(caller.post(data=b"{}", headers={"Content-Type": "text/plain"}), 415)
    told(caller.post(data=b" " * (2**20 + 1)), 413)
    answer = raw_request(server, "POST", PATH, [("Docs-Entity-ID", caller.entity),
                                                ("Transfer-Encoding", "chunked")],
                         b"2\r\n{}\r\n0\r\n\r\n")
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (411, "BAD_REQUEST")
    answer = caller.api.delete(PATH)
    assert answer.status_code == 405 and "POST" in answer.headers["Allow"]


# ---- idempotency ----

def test_a_used_key_is_a_conflict(caller):
    key = unique("key")
    made = caller.post(key=key, expect=201).json()
    for body in (FULL, {"type": "other", "owner": EXTERNAL}):
        answer = caller.post(body, key=key)
        assert told(answer, 409) == {"id": made["id"]}
        assert "Idempotent-Replayed" not in answer.headers
    assert len(caller.listed(OWNER["externalId"])) == 1 and caller.listed("c") == []


def test_validation_comes_before_the_conflict(caller):
    key = unique("key")
    caller.post(key=key, expect=201)
    told(caller.post({"type": "full"}, key=key), 400)
    told(caller.post({"type": "Full", "owner": EXTERNAL}, key=key), 422)


def test_a_failed_attempt_does_not_use_the_key_up(caller):
    key = unique("key")
    caller.create(id="a" * 26, externalId="a")
    caller.create(id="b" * 26, externalId="b")
    told(caller.post(data=b"{", key=key), 400)
    told(caller.post({"type": "full"}, key=key), 400)
    told(caller.post({"type": "full", "owner": {"id": ID20}}, key=key), 400)
    told(caller.post({"type": "", "owner": EXTERNAL}, key=key), 422)
    told(caller.post({"type": "full", "owner": {"id": "a" * 26, "externalId": "b"}}, key=key), 422)
    caller.post(key=key, expect=201)
    told(caller.post(key=key), 409)


def test_keys_are_the_workspaces_own(caller, server):
    key = unique("key")
    caller.post(key=key, expect=201)
    Caller(server.workspace()).post(key=key, expect=201)


def test_conflict_outlives_a_restart(server_factory):
    server = server_factory()
    caller = Caller(server.workspace())
    made = caller.post(key="k", expect=201).json()
    server.kill()
    server.start()
    assert told(caller.post(key="k"), 409) == {"id": made["id"]}


def at_once_as(caller, count, body_of, key_of):
    def run(i):
        api = Api(caller.workspace.server)
        return api.post(PATH, json=body_of(i), headers={"Docs-Entity-ID": caller.entity,
                                                        "X-Idempotency-Key": key_of(i)})
    return at_once(count, run)


@pytest.mark.concurrent
def test_one_key_many_requests(caller):
    answers = at_once_as(caller, 64, lambda i: FULL, lambda i: "one")
    made = [answer.json() for answer in answers if answer.status_code == 201]
    assert len(made) == 1
    for answer in answers:
        if answer.status_code != 201:
            assert told(answer, 409) == {"id": made[0]["id"]}
    assert len(caller.listed(OWNER["externalId"])) == 1


@pytest.mark.concurrent
def test_one_new_owner_many_requests(caller):
    answers = at_once_as(caller, 32, lambda i: {"type": "full", "owner": EXTERNAL}, str)
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["owner"]["id"] for answer in answers}) == 1
    assert len({answer.json()["id"] for answer in answers}) == 32 == len(caller.listed("c"))


# ---- owners ----

def test_new_owner_by_both(caller):
    assert caller.create(**OWNER)["owner"] == OWNER
    for given in (OWNER, {"id": OWNER["id"]}, {"externalId": OWNER["externalId"]}):
        assert caller.create(**given)["owner"] == OWNER
    assert len(caller.listed(OWNER["externalId"])) == 4


def test_new_owner_by_external_id(caller):
    owner = caller.create(externalId="c")["owner"]
    assert re.fullmatch("[0-9a-z]{26}", owner["id"]) and owner["externalId"] == "c"
    assert caller.create(externalId="c")["owner"] == owner
    assert caller.create(id=owner["id"])["owner"] == owner
    assert caller.create(externalId="C")["owner"] != owner


def test_two_different_users(caller):
    caller.create(id="a" * 26, externalId="a")
    caller.create(id="b" * 26, externalId="b")
    for owner in ({"id": "a" * 26, "externalId": "b"}, {"id": "b" * 26, "externalId": "a"},
                  {"id": "a" * 26, "externalId": "new"}, {"id": "c" * 26, "externalId": "a"}):
        told(caller.post({"type": "full", "owner": owner}), 422)
    assert [len(caller.listed(name)) for name in ("a", "b", "new")] == [1, 1, 0]


def test_unknown_id_alone(caller):
    told(caller.post({"type": "full", "owner": {"id": ID20}}), 400)
    caller.create(id=ID20, externalId="c")
    caller.create(id=ID20)


# ---- reading ----

def test_get_in_all_spellings(caller):
    made = caller.create(externalId="c")
    whole = caller.get(made["id"], expect=200)
    assert list(whole.json()) == ["id", "status", "owner"]
    assert list(whole.json()["owner"]) == ["id", "type", "externalId"]
    for docs_id in spellings(made["id"]):
        assert caller.get(docs_id, expect=200).content == whole.content
    for docs_id in spellings(made["id"]):
        assert caller.patch(docs_id, expect=200).json()["id"] == made["id"]
    head = caller.api.head(f"{PATH}/{made['id']}", expect=200)
    assert head.content == b""


def test_get_of_what_is_not_there(caller, api):
    made = caller.create(externalId="c")
    answers = [caller.get(docs_id) for docs_id in (
        "0f5w7ir5wcqj8ydeih3wpv0807", "x", "0" * 26, "z" * 26, made["id"][:-1], made["id"] + "0",
        made["id"].upper() + "-", made["owner"]["id"], api.new_document()["id"],
        spellings(made["id"])[2].replace("docs_", "doc_"), "%25", "a%20b")]
    for answer in answers:
        told(answer, 404)
    assert len({answer.content for answer in answers}) == 1


def test_list_of_an_owner(caller):
    made = [caller.create(externalId="c", kind=kind)["id"] for kind in ("full", "part", "full")]
    caller.create(externalId="d")
    found = caller.listed("c")
    assert sorted(item["id"] for item in found) == sorted(made)
    assert found == [caller.get(item["id"]).json() for item in found]


def test_list_of_nobody(caller):
    answer = caller.api.get(PATH + "?externalId=nobody", expect=200)
    assert answer.content == b"[]"


@pytest.mark.parametrize("query, status", [
    ("", 400), ("?other=x", 400), ("?externalId=", 422), ("?externalId=" + "x" * 256, 422),
])
def test_bad_list(caller, query, status):
    assert list(told(caller.api.get(PATH + query), status)["fields"]) == ["externalId"]


def test_list_of_an_awkward_external_id(caller):
    for name in ("a b&c=d", "\u65e5\u672c", "100%", "'; --", "a+b"):
        caller.create(externalId=name)
        assert [item["owner"]["externalId"] for item in caller.listed(name)] == [name]


# ---- changing ----

@pytest.mark.parametrize("content_type", ["application/json", "application/json-patch+json"])
def test_patch(caller, content_type):
    made = caller.create(externalId="c")
    for value in ("active", "pending", "block", "active", "active"):
        answer = caller.patch(made["id"], value, headers={"Content-Type": content_type})
        assert answer.status_code == 200
        assert answer.json() == {**caller.get(made["id"]).json(), "status": value}


STEP = {"op": "replace", "path": "/status", "value": "active"}


@pytest.mark.parametrize("steps, status", [
    ({}, 400), ([], 400), (STEP, 400), ([STEP, STEP], 400), ("x", 400), ([1], 400), ([None], 400),
    ([{**STEP, "op": "add"}], 400), ([{**STEP, "op": "remove"}], 400), ([{**STEP, "op": 1}], 400),
    ([{**STEP, "path": "/owner"}], 400), ([{**STEP, "path": "status"}], 400),
    ([{**STEP, "path": "/status/"}], 400), ([{"op": "replace", "path": "/status"}], 400),
    ([{"op": "replace", "value": "active"}], 400), ([{"path": "/status", "value": "active"}], 400),
    ([{**STEP, "value": "created"}], 422), ([{**STEP, "value": "Active"}], 422),
    ([{**STEP, "value": ""}], 422), ([{**STEP, "value": 1}], 422), ([{**STEP, "value": []}], 422),
    ([{**STEP, "value": None}], 422),
], ids=str)
def test_bad_patch(caller, steps, status):
    made = caller.create(externalId="c")
    told(caller.patch(made["id"], steps=steps), status)
    assert caller.get(made["id"]).json()["status"] == "created"


def test_patch_of_what_is_not_there(caller):
    for docs_id in ("0f5w7ir5wcqj8ydeih3wpv0807", "x"):
        told(caller.patch(docs_id), 404)
    told(caller.patch("x", "created"), 422)
    told(caller.api.patch(f"{PATH}/x", data=b"["), 400)


# ---- audit ----

def test_audit(caller, api):
    made = caller.create(externalId="c")
    caller.patch(made["id"], "block", expect=200)
    caller.post({}, expect=400)
    records_id = spellings(made["id"])[2]
    lines = api.audit(resource_type="docs")[:2]  # the third: the Docs entity itself
    assert [(line["action"], line["resource_id"]) for line in lines] == \
        [("update", records_id), ("create", records_id)]
    assert api.audit(resource_id=made["id"]) == lines
