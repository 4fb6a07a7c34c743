# SPDX-License-Identifier: Apache-2.0
"""The same fault on every route that can have it, from the server's own list of routes."""
import re

import pytest

from harness import ALIAS, data, raw_request, unique

USED = {"entity_type": "deal", "entity_id": "e"}
# A body that passes every check, for the routes that want one.
BODIES = {
    "document.create": {"name": "n", "mime_type": "a/b", "storage_path": "p"},
    "link.create": USED,
    "entity.batch": {"entities": [USED]},
    "api_key.create": {"name": "k", "permissions": ["read:documents"]},
}
# Their keys are asked for, and refused, in their own way: test_m_multipart.py, test_x_docs.py.
OTHER_KEYS = ("docs.create", "docs.update")


def fill(path):
    return re.sub(r"\{[^}]*\}", "x", path)


def operations(server):
    return server.openapi().operations


def takes_json(op):
    body = op.tree.get("requestBody")
    return body is not None and "multipart/form-data" not in body["content"] \
        and op.id != "signed.upload"


def changes(op):
    return op.method != "get" and op.secured and op.id not in OTHER_KEYS


def call(api, op, **options):
    """A request that no check but the one in question stops; `options` win."""
    if not options.keys() & {"data", "json", "files"}:
        if op.path == "/api/v1/upload":
            options["files"] = {"files": ("a.txt", b"x")}
        elif takes_json(op):
            options["json"] = BODIES.get(op.id, {})
    return api.request(op.method.upper(), fill(op.path), **options)


def odd(answers, status):
    """The operations that answered something else."""
    return {op.id: answer.status_code for op, answer in answers if answer.status_code != status}


@pytest.fixture(scope="module")
def everyone(server):
    """A client with every permission, and a Docs entity named in each of its requests."""
    workspace = server.workspace()
    entity = unique("entity")
    workspace.docs_entity(entity)
    api = workspace.api()
    api.workspace, api.entity = workspace, {"Docs-Entity-ID": entity}
    api.session.headers.update(api.entity)
    return api


def test_there_are_routes(server):
    assert len([op for op in operations(server) if op.secured]) > 30


def test_without_a_key(server, anonymous):
    answers = [(op, call(anonymous, op)) for op in operations(server) if op.secured]
    assert odd(answers, 401) == {}


def test_without_the_permission(server, everyone):
    permissions = ("extractions:read", "read:docs")
    for permission, others in zip(permissions, permissions[::-1]):
        api = everyone.workspace.api(permission)
        api.session.headers.update(everyone.entity)
        spared = {"read:docs": ("docs.get", "docs.list")}.get(permission, ())
        answers = [(op, call(api, op)) for op in operations(server)
                   if op.secured and op.id not in spared]
        assert odd(answers, 403) == {}, f"{permission}, not {others}"


def test_beyond_the_rate(server_factory):
    server = server_factory("--rate-standard", "1/1000")
    workspace = server.workspace()
    workspace.docs_entity("e")
    api = workspace.api(tier="standard")
    api.session.headers["Docs-Entity-ID"] = "e"
    api.get("/v1/usage", expect=200)
    answers = [(op, call(api, op)) for op in operations(server) if op.secured]
    assert odd(answers, 429) == {}


@pytest.mark.parametrize("status, options", [
    (411, lambda: {"data": iter([b"{}"])}),
    (413, lambda: {"data": b" " * (2**20 + 1)}),
    (415, lambda: {"data": b"{}", "headers": {"Content-Type": "text/plain"}}),
    (400, lambda: {"data": b"{"}),
], ids=["chunked", "large", "type", "broken"])
def test_bad_body(server, everyone, status, options):
    wanted = [op for op in operations(server) if takes_json(op)]
    assert len(wanted) >= 9
    answers = [(op, call(everyone, op, **options())) for op in wanted]
    assert odd(answers, status) == {}


def test_bad_idempotency_key(server, everyone):
    answers = [(op, call(everyone, op, headers={"Idempotency-Key": ""}))
               for op in operations(server) if changes(op)]
    assert odd(answers, 400) == {}


def test_idempotency_key_of_another_request(server, everyone):
    """Told before a document or an entity is looked for."""
    headers = {"Idempotency-Key": unique("key")}
    everyone.put("/v1/entities/deal/used", json={}, headers=headers, expect=201)
    answers = [(op, call(everyone, op, headers=headers))
               for op in operations(server) if changes(op)]
    assert odd(answers, 422) == {}


def test_signed_upload_honours_the_key_too(everyone):
    headers = {"Idempotency-Key": unique("key")}
    urls = [data(everyone.post("/v1/documents/upload-url", json={}), 201)["upload_url"]
            for _ in range(2)]
    first = everyone.put(urls[0], data=b"x", headers=headers, expect=200)
    again = everyone.put(urls[0], data=b"x", headers=headers, expect=200)
    assert again.content == first.content and again.headers["Idempotent-Replayed"] == "true"
    assert everyone.put(urls[1], data=b"x", headers=headers).status_code == 422
    assert everyone.put(urls[1], data=b"x", headers={"Idempotency-Key": ""}).status_code == 400


def test_what_does_not_exist(server, everyone):
    answers = [(op, call(everyone, op)) for op in operations(server)
               if "{" in op.path and op.secured and not op.path.startswith("/v1/docs")]
    assert odd(answers, 404) == {}


def test_broken_escape_in_the_query(server, everyone):
    """A 400, and one that the document names."""
    headers = [("X-API-Key", everyone.key), *everyone.entity.items()]
    for op in operations(server):
        if op.secured and op.method == "get":
            answer = raw_request(server, "GET", fill(op.path) + "?x=%ZZ", headers)
            assert answer.status == 400 and 400 in op.statuses, (op.id, answer.status)


def test_alias_serves_what_stands_below_v1(server, everyone):
    for op in operations(server):
        if op.secured and op.method == "get":
            plain = everyone.get(fill(op.path))
            alias = everyone.get(ALIAS + fill(op.path))
            assert alias.status_code == (plain.status_code if op.path.startswith("/v1/") else 404)
