# SPDX-License-Identifier: Apache-2.0
"""
Every route of the binary's own table with every kind of key and every kind of id.

ROWS says how to call each one, and which permission it must want; a route without a row fails.
"""
import json
import re
import time
import uuid
from datetime import datetime, timezone

import pytest

from harness import Api, PERMISSIONS, Server, data, run_binary, show, unique, wait_for

ROUTES = {row["op"]: row for row in json.loads(run_binary("routes", "--json").stdout)}
KEYED = {op: row for op, row in ROUTES.items() if row["access"] == "key"}
PLURALS = {"contact": "contacts", "company": "companies", "deal": "deals", "event": "events",
           "matter": "matters", "task": "tasks"}
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
TEN = "01J00000000000000000000000"
FORM = ("--x\r\nContent-Disposition: form-data; name=\"files\"; filename=\"a\"\r\n\r\n"
        "x\r\n--x--")


class Side:
    """A workspace with a Docs entity, and how to make one of everything in it."""

    def __init__(self, server):
        self.workspace = server.workspace()
        self.entity = unique("entity")
        self.workspace.docs_entity(self.entity)
        self.api = self.client()

    def client(self, *permissions, key=None, entity=None):
        api = Api(self.workspace.server, key or self.workspace.key(permissions))
        api.session.headers["Docs-Entity-ID"] = entity or self.entity
        return api

    def document(self):
        return {"id": self.api.new_document()["id"]}

    def linked(self):
        made = data(self.api.post(f"/v1/documents/{self.document()['id']}/link", json={
            "entity_type": "deal", "entity_id": self.thing()["id"]}), 201)
        return {"id": made["document_id"], "link_id": made["link_id"]}

    def referenced(self):
        args = {**self.document(), "type": "workflow", "ref_id": unique("flow")}
        self.api.put("/v1/documents/{id}/references/{type}/{ref_id}".format(**args), expect=204)
        return args

    def thing(self, kind="deal"):
        made = unique("thing")
        self.api.put(f"/v1/entities/{kind}/{made}", expect=201)
        return {"type": kind, "id": made}

    def key(self):
        return {"id": self.workspace.new_key("read:docs")["id"]}

    def docs(self):
        made = self.api.post("/v1/docs", headers={"X-Idempotency-Key": unique("k")},
                             json={"type": "full", "owner": {"externalId": "c"}}, expect=201)
        return {"id": made.json()["id"]}


class Row:
    """
    How to call a route: `make(side)` gives the ids of its path, `options()` the rest.
    ids     parameters that name an object of ours: kind of the object
    words   parameters of a fixed set or form
    """

    def __init__(self, permission, make=lambda side: {}, ids=None, words=(), **options):
        self.permission, self.make = permission, make
        self.ids, self.words, self.given = ids or {}, words, options

    def options(self):
        return {name: value() if callable(value) else value for name, value in self.given.items()}


DOCUMENT, ENTITY = {"id": "document"}, {"id": "entity"}
READ, WRITE = "read:documents", "write:documents"
REFERENCE = ("type", "ref_id")
ROWS = {
    "document.create": Row(WRITE, json=lambda: {"name": "n", "mime_type": "a/b",
                                                "storage_path": unique("p")}),
    "document.list": Row(READ),
    "document.get": Row(READ, Side.document, DOCUMENT),
    "document.update": Row(WRITE, Side.document, DOCUMENT, json={"name": "new"}),
    "document.delete": Row(WRITE, Side.document, DOCUMENT),
    "link.create": Row(WRITE, Side.document, DOCUMENT,
                       json={"entity_type": "deal", "entity_id": "always"}),
    "link.list": Row(READ, Side.linked, DOCUMENT),
    "link.delete": Row(WRITE, Side.linked, {"id": "document", "link_id": "link"}),
    "reference.list": Row(READ, Side.referenced, DOCUMENT),
    "reference.put": Row(WRITE, Side.referenced, DOCUMENT, REFERENCE),
    "reference.delete": Row(WRITE, Side.referenced, DOCUMENT, REFERENCE),
    "entity.batch": Row("write:entities", json=lambda: {
        "entities": [{"entity_type": "deal", "entity_id": unique("e")}]}),
    "entity.put": Row("write:entities", Side.thing, ENTITY, ("type",), json={"name": "x"}),
    "entity.get": Row("read:entities", Side.thing, ENTITY, ("type",)),
    "entity.delete": Row("write:entities", Side.thing, ENTITY, ("type",)),
    **{f"{kind}.documents": Row(READ, lambda side, kind=kind: side.thing(kind), ENTITY)
       for kind in PLURALS},
    "upload_url.create": Row(WRITE, json={}),
    "api_key.create": Row("admin:api_keys",
                          json={"name": "n", "permissions": ["admin:api_keys"]}),
    "api_key.list": Row("admin:api_keys"),
    "api_key.revoke": Row("admin:api_keys", Side.key, {"id": "key"}),
    "audit.list": Row("read:audit_logs"),
    "usage.get": Row(READ),
    "upload.create": Row("extractions:write", data=FORM, headers={
        "Content-Type": "multipart/form-data; boundary=x"}),
    "docs.create": Row("write:docs", json={"type": "full", "owner": {"externalId": "c"}},
                       headers=lambda: {"X-Idempotency-Key": unique("k")}),
    "docs.list": Row("read:docs", params={"externalId": "c"}),
    "docs.get": Row("read:docs", Side.docs, {"id": "docs"}),
    "docs.update": Row("write:docs", Side.docs, {"id": "docs"},
                       json=[{"op": "replace", "path": "/status", "value": "active"}]),
}
KEYS = [pytest.param(op, id=op) for op in KEYED]


@pytest.fixture(scope="module")
def home(server):
    side = Side(server)
    side.workspace.entity("deal", "always")
    return side


@pytest.fixture(scope="module")
def foreign(server):
    side = Side(server)
    side.workspace.entity("deal", "always")
    return side


@pytest.fixture(scope="module")
def made(home):
    """op -> the ids of its path, made once: for calls that must be refused."""
    return {op: row.make(home) for op, row in ROWS.items()}


def call(api, op, args, query=None):
    row = ROUTES[op]
    path = row["path"].format(**args)
    return api.request(row["method"], path + (f"?{query}" if query else ""), **ROWS[op].options())


def told(answer, op, status, code):
    """A refusal in the words of the route's dialect; its body."""
    assert answer.status_code == status, show(answer)
    body, dialect = answer.json(), ROUTES[op]["dialect"]
    if dialect == "upload":
        texts = {401: "Invalid or missing API key", 403: "Insufficient permissions"}
        assert body == {"detail": texts[status]}
    elif dialect == "docs":
        assert body["error"]["code"] == {401: "UNAUTHORIZED", 403: "FORBIDDEN"}[status]
        assert body["error"]["details"] == {}
    else:
        assert body["error"]["code"] == code
    return answer.content


# ---- the table ----

def test_every_route_has_a_row():
    assert sorted(KEYED) == sorted(ROWS)
    for op, row in ROWS.items():
        assert set(ROUTES[op]["path_ids"]) == {*row.ids, *row.words}, op


def test_the_table_wants_the_documented_permissions():
    assert {op: row["permission"] for op, row in KEYED.items()} == \
        {op: row.permission for op, row in ROWS.items()}
    assert {op: row["elevated"] for op, row in ROUTES.items() if row["elevated"]} == \
        {"document.delete": {"query": "hard", "permission": "admin:documents"}}


def test_access_without_a_key_is_for_these_only():
    assert {op for op, row in ROUTES.items() if row["access"] == "public"} == \
        {"healthz", "readyz", "metrics", "openapi"}
    assert {op for op, row in ROUTES.items() if row["access"] == "signed"} == \
        {"signed.upload", "signed.download"}


@pytest.mark.parametrize("op", [op for op, row in ROUTES.items() if row["access"] == "public"])
def test_public_routes_look_at_no_key(server, op):
    for key in (None, "x"):
        Api(server, key).get(ROUTES[op]["path"], expect=200)


@pytest.mark.parametrize("op", [op for op, row in ROUTES.items() if row["access"] == "signed"])
def test_signed_routes_look_at_the_url_only(server, home, op):
    for token in ("x", "A" * 98, TEN, home.document()["id"], "a%20b"):
        for key in (None, home.api.key):
            answer = Api(server, key).request(ROUTES[op]["method"],
                                              ROUTES[op]["path"].format(token=token))
            assert (answer.status_code, answer.json()["error"]["code"]) == \
                (403, "invalid_signature"), token


# ---- keys ----

@pytest.fixture(scope="module")
def bad_keys(home):
    """name -> a client whose key is none."""
    expires = datetime.fromtimestamp(time.time() + 1.5, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    late = home.workspace.key(expires_at=expires)
    revoked = home.workspace.new_key(*PERMISSIONS)
    home.client(key=revoked["key"]).get("/v1/usage", expect=200)
    home.api.delete(f"/v1/api-keys/{revoked['id']}", expect=204)
    elsewhere = Server()
    try:
        other_installation = elsewhere.start().workspace().key()
    finally:
        elsewhere.remove()
    good = home.workspace.key()
    texts = {"empty": "", "malformed": "your_api_key_here", "cut": good[:-1], "expired": late,
             "changed": good[:20] + ("a" if good[20] != "a" else "b") + good[21:],
             "revoked": revoked["key"], "of another installation": other_installation}
    clients = {name: home.client(key=text or " ") for name, text in texts.items()}
    clients["none"] = home.client()
    del clients["none"].session.headers["Authorization"]
    clients["basic"] = home.client()
    clients["basic"].session.headers["Authorization"] = f"Basic {good}"
    clients["two"] = home.client()
    clients["two"].session.headers["X-API-Key"] = good
    wait_for(lambda: clients["expired"].get("/v1/usage").status_code == 401, seconds=5)
    return clients


@pytest.mark.parametrize("op", KEYS)
def test_bad_keys(bad_keys, made, op):
    bodies = {told(call(api, op, made[op]), op, 401, "invalid_key") for api in bad_keys.values()}
    assert len(bodies) == 1
    assert all("X-RateLimit-Limit" not in call(api, op, made[op]).headers
               for api in list(bad_keys.values())[:2])


@pytest.fixture(scope="module")
def holders(home):
    """permission -> a client with that one."""
    return {permission: home.client(permission) for permission in PERMISSIONS}


@pytest.mark.parametrize("op", KEYS)
def test_each_permission_alone(home, holders, made, op):
    bodies = {told(call(api, op, made[op]), op, 403, "insufficient_permissions")
              for permission, api in holders.items() if permission != ROWS[op].permission}
    assert len(bodies) == 1
    answer = call(holders[ROWS[op].permission], op, ROWS[op].make(home))
    assert answer.status_code in ROUTES[op]["replies"], show(answer)


@pytest.mark.parametrize("op", KEYS)
def test_all_permissions_but_the_one(home, made, op):
    api = home.client(*(name for name in PERMISSIONS if name != ROWS[op].permission))
    told(call(api, op, made[op]), op, 403, "insufficient_permissions")


ELEVATED = [op for op, row in KEYED.items() if row["elevated"]]


@pytest.mark.parametrize("op", ELEVATED)
def test_elevated(home, holders, op):
    query, elevated = (ROUTES[op]["elevated"][name] for name in ("query", "permission"))
    args = ROWS[op].make(home)
    for value, wanted in (("true", elevated), ("1", elevated), ("false", ROWS[op].permission),
                          ("0", ROWS[op].permission)):
        for permission, api in holders.items():
            if permission != wanted:
                told(call(api, op, args, f"{query}={value}"), op, 403, "insufficient_permissions")
        fresh = ROWS[op].make(home)
        answer = call(holders[wanted], op, fresh, f"{query}={value}")
        assert answer.status_code in ROUTES[op]["replies"], show(answer)
    home.api.get(f"/v1/documents/{args['id']}", expect=200)


@pytest.mark.parametrize("op", ELEVATED)
def test_elevated_in_disguise(home, holders, op):
    """Nobody gets more, or gets by with another permission, by an odd query."""
    args = ROWS[op].make(home)
    query, elevated = (ROUTES[op]["elevated"][name] for name in ("query", "permission"))
    hidden = f"%{ord(query[0]):02x}{query[1:]}"
    for permission in (ROWS[op].permission, elevated):
        for text in (f"{query}=false&{query}=true", f"{query}=true&{query}=false",
                     f"{hidden}=true&{query}=false", f"{query}=%74rue&{query}=0", f"{query}=TRUE",
                     f"{query}", f"{query}=", f"{query}=true%00", f"{query}[]=true&{query}=yes"):
            answer = call(holders[permission], op, args, text)
            assert answer.status_code in (400, 403), (permission, text, answer.status_code)
    told(call(holders[ROWS[op].permission], op, args, f"{hidden}=%74rue"), op, 403,
         "insufficient_permissions")
    home.api.get(f"/v1/documents/{args['id']}", expect=200)


@pytest.mark.parametrize("op", KEYS)
def test_key_of_another_workspace(home, foreign, made, op):
    if ROUTES[op]["dialect"] == "docs":
        stray = foreign.client(entity=home.entity)
        body = told(call(stray, op, made[op]), op, 401, "invalid_key")
        none = Api(home.workspace.server)
        none.session.headers["Docs-Entity-ID"] = home.entity
        assert told(call(none, op, made[op]), op, 401, "invalid_key") == body
        return
    answer = call(foreign.api, op, made[op])
    if ROWS[op].ids and op != "entity.put":
        assert answer.status_code == 404, show(answer)
    else:
        assert answer.status_code in ROUTES[op]["replies"], show(answer)
        shown = [text for key, args in made.items() for name, text in args.items()
                 if name != "type" and key != "entity.put" and text in answer.text]
        assert shown == []


def test_refusals_changed_nothing(home, bad_keys, made):
    """After all of the above, what was made for it still stands."""
    for op, args in made.items():
        if ROWS[op].ids.get("id") == "document":
            home.api.get(f"/v1/documents/{args['id']}", expect=200)
    assert "new" not in {data(home.api.get(f"/v1/documents/{args['id']}"))["name"]
                         for op, args in made.items() if op.startswith("document") and args}


# ---- ids ----

def uuid_of(text):
    """The UUID spelling of one of our ids."""
    digits = text.split("_")[-1]
    if len(digits) != 26:
        return text
    alphabet = CROCKFORD if "_" in text else "0123456789abcdefghijklmnopqrstuvwxyz"
    number = 0
    for digit in digits:
        number = number * len(alphabet) + alphabet.index(digit)
    return str(uuid.UUID(int=number))


UNKNOWN = {"document": "doc_" + TEN, "link": "dlnk_" + TEN, "key": "key_" + TEN,
           "docs": "0f5w7ir5wcqj8ydeih3wpv0807", "entity": "nobody"}
OURS = ["x", "doc_", TEN, "doc_" + TEN[:-1], "doc_" + TEN + "0", "usr_" + TEN, "a" * 400, "%25",
        "00000000-0000-0000-0000-000000000000", "01a20086-0801-7000-89df-9eb19eb71e0g", "%C3%BC",
        "'%20OR%201=1--", "a%20b", "doc_" + "Z" * 26]
MALFORMED = {"document": OURS, "link": OURS, "key": OURS, "docs": OURS,
             "entity": ["a%20b", "%C3%BC", "a" * 129, "a,b", "%25", "'"]}


def remove(side, kind, args):
    """Deletes the object that args name; False for what stays: Docs objects, revoked keys."""
    paths = {"document": "/v1/documents/{id}?hard=true",
             "link": "/v1/documents/{id}/links/{link_id}"}
    if kind == "entity":
        for name in PLURALS:
            side.api.delete(f"/v1/entities/{name}/{args['id']}")
        return True
    if kind not in paths:
        return False
    if kind == "document" and "ref_id" in args:
        side.api.delete("/v1/documents/{id}/references/{type}/{ref_id}".format(**args), expect=204)
    side.api.delete(paths[kind].format(**args), expect=204)
    return True


def plain(answer, text):
    """Status, header lines and body without what tells one request from another."""
    volatile = re.compile("Date|X-Request-ID|X-RateLimit-.*")
    lines = [(name, value) for name, value in answer.raw.headers.items()
             if not volatile.fullmatch(name)]
    body = answer.text.replace(text, "*")
    if answer.status_code < 300:  # only where an unknown id is made: entity.put
        body = re.sub(r"\d{4}-\d\d-\d\dT[\d:]{8}Z", "*", body)
        lines = [line for line in lines if line[0] not in ("Content-Length", "Location")]
    return answer.status_code, lines, body


def strangers(home, foreign, op, name):
    """(what, args) of each way in which the object of one parameter is not there."""
    row, kind = ROWS[op], ROWS[op].ids[name]
    own, far, gone = row.make(home), row.make(foreign), row.make(home)
    yield "random", {**own, name: unique("nobody") if kind == "entity" else UNKNOWN[kind]}
    yield "foreign", {**own, name: far[name]}
    if len(row.ids) > 1:
        yield "all foreign", far
    if kind != "entity":
        yield "foreign UUID", {**own, name: uuid_of(far[name])}
    if remove(home, kind, gone):
        yield "deleted", {**own, name: gone[name]}
    if op != "entity.put":
        far_gone = row.make(foreign)
        if remove(foreign, kind, far_gone):
            yield "foreign and deleted", {**own, name: far_gone[name]}


ID_CASES = [pytest.param(op, name, id=f"{op}-{name}") for op, row in ROWS.items()
            for name in row.ids]


@pytest.mark.parametrize("op, name", ID_CASES)
def test_what_is_not_there_answers_alike(home, foreign, op, name):
    answers = {what: plain(call(home.api, op, args), args[name])
               for what, args in strangers(home, foreign, op, name)}
    expected = answers["random"]
    assert expected[0] == (201 if op == "entity.put" else 404)
    for what, found in answers.items():
        assert found == expected, what


@pytest.mark.parametrize("op, name", ID_CASES)
def test_malformed_ids_answer_as_unknown_ones(home, op, name):
    row, kind = ROWS[op], ROWS[op].ids[name]
    own = row.make(home)
    unknown = call(home.api, op if op != "entity.put" else "entity.get",
                   {**own, name: UNKNOWN[kind]})
    for text in MALFORMED[kind]:
        found = call(home.api, op, {**own, name: text})
        assert plain(found, text) == plain(unknown, text) and found.status_code == 404, text


# any text may be the id of an entity
OWN_ID_CASES = [pytest.param(op, name, id=f"{op}-{name}") for op, row in ROWS.items()
                for name, kind in row.ids.items() if kind != "entity"]


@pytest.mark.parametrize("op, name", OWN_ID_CASES)
def test_an_id_of_another_kind_is_unknown(home, op, name):
    kind = ROWS[op].ids[name]
    own = ROWS[op].make(home)
    others = {"document": home.document()["id"], "link": home.linked()["link_id"],
              "key": home.key()["id"], "docs": home.docs()["id"]}
    for other, text in others.items():
        if other != kind:
            for spelled in {text, uuid_of(text)}:
                assert call(home.api, op, {**own, name: spelled}).status_code == 404, other


@pytest.mark.parametrize("op, name", ID_CASES)
def test_own_ids_in_every_spelling(home, op, name):
    spellings = {str, uuid_of}
    for spell in spellings:
        args = ROWS[op].make(home)
        answer = call(home.api, op, {**args, name: spell(args[name])})
        assert answer.status_code in ROUTES[op]["replies"], show(answer)


@pytest.mark.parametrize("op, name", [pytest.param(op, name, id=f"{op}-{name}")
                                      for op, row in ROWS.items() for name in row.words])
def test_words_of_a_path(home, op, name):
    for text in ("x", "Workflow", "deals", "workflow%20", "contact,deal") \
            if name == "type" else ("a%20b", "a" * 200, "%C3%BC"):
        own = ROWS[op].make(home)
        answer = call(home.api, op, {**own, name: text})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found"), text


def test_foreign_ids_in_queries_and_bodies(home, foreign):
    """What is named elsewhere than in a path is no way round either."""
    far = foreign.linked()
    for text in (far["id"], uuid_of(far["id"])):
        assert home.api.audit(resource_id=text) == []
    thing, document = foreign.thing(), home.document()["id"]
    answers = [home.api.post(f"/v1/documents/{document}/link", json={
        "entity_type": "deal", "entity_id": name}) for name in (thing["id"], unique("nobody"))]
    assert plain(answers[0], "") == plain(answers[1], "") and answers[0].status_code == 404
    answers = [home.api.post("/v1/documents", json={
        "name": "n", "mime_type": "a/b", "storage_path": path}) for path in
        (data(foreign.api.get(f"/v1/documents/{far['id']}"))["storage_path"], unique("p"))]
    assert [answer.status_code for answer in answers] == [201, 201]
