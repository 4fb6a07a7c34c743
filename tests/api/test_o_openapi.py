# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI document: the committed file is up to date, and what it says agrees with itself."""
import json
import os
import pathlib
import re
import subprocess

import jsonschema
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = os.environ.get("DOSSIER_BIN") or str(ROOT / "build" / "dossier")


def printed(*args):
    """What the command prints, read as JSON that may not say a thing twice."""

    def once(pairs):
        assert len({k for k, _ in pairs}) == len(pairs)
        return dict(pairs)

    out = subprocess.run([BIN, *args], check=True, capture_output=True, timeout=60).stdout
    return json.loads(out, object_pairs_hook=once)


@pytest.fixture(scope="module")
def doc():
    return printed("openapi")


@pytest.fixture(scope="module")
def routes():
    return printed("routes", "--json")


def walk(value, path=()):
    """All objects inside `value`, with the way to each."""
    if isinstance(value, dict):
        yield path, value
        for name, below in value.items():
            yield from walk(below, path + (name,))
    elif isinstance(value, list):
        for i, below in enumerate(value):
            yield from walk(below, path + (i,))


def schemas(doc):
    """Every schema with the examples that stand beside it or in it."""
    for path, part in walk(doc):
        if "schema" in part and isinstance(part["schema"], dict):
            shown = [part["example"]] if "example" in part else []
            shown += [e["value"] for e in part.get("examples", {}).values()]
            yield path, part["schema"], shown
        elif "type" in part and isinstance(part.get("examples"), list):
            yield path, part, part["examples"]


def operations(doc):
    for path, methods in doc["paths"].items():
        for method, op in methods.items():
            yield path, method, op


def response(doc, op, status):
    found = op["responses"][status]
    ref = found.get("$ref")
    return doc["components"]["responses"][ref.rsplit("/", 1)[1]] if ref else found


def test_the_committed_file_is_what_the_tables_say(doc):
    committed = (ROOT / "docs" / "openapi.json").read_text(encoding="utf-8")
    wanted = json.dumps(doc, ensure_ascii=False, indent=2) + "\n"
    assert committed == wanted, "docs/openapi.json is out of date: run script/openapi"


def test_the_head(doc):
    assert doc["openapi"] == "3.1.0"
    assert doc["info"]["title"] == "Dossier"
    assert doc["info"]["license"]["identifier"] == "Apache-2.0"
    assert "/functions/v1/api-gateway" in doc["info"]["description"]
    assert set(doc["components"]["securitySchemes"]) == {"bearerKey", "apiKeyHeader", "docsEntity"}


def test_every_example_fits_its_schema(doc):
    checked = 0
    for path, schema, shown in schemas(doc):
        whole = {**schema, "components": doc["components"]}
        jsonschema.Draft202012Validator.check_schema(schema)
        validator = jsonschema.Draft202012Validator(
            whole, format_checker=jsonschema.FormatChecker()
        )
        for example in shown:
            problems = [e.message for e in validator.iter_errors(example)]
            assert not problems, (path, example, problems)
            checked += 1
    assert checked > 200


def test_every_operation_shows_its_answer(doc):
    for _, _, op in operations(doc):
        for status in op["responses"]:
            for kind, media in response(doc, op, status).get("content", {}).items():
                if kind != "application/json" or media["schema"] == {"type": "object"}:
                    continue
                assert "example" in media or media.get("examples"), (op["operationId"], status)


def test_every_reference_leads_somewhere_and_nothing_is_left_over(doc):
    used = {part["$ref"] for _, part in walk(doc) if "$ref" in part}
    there = {
        f"#/components/{kind}/{name}"
        for kind in ("schemas", "responses", "headers")
        for name in doc["components"][kind]
    }
    assert used == there


def test_answers_are_closed_and_bodies_open(doc):
    for name, schema in doc["components"]["schemas"].items():
        assert schema["additionalProperties"] is False, name
    for _, _, op in operations(doc):
        for media in op.get("requestBody", {}).get("content", {}).values():
            for path, part in walk(media["schema"]):
                assert "additionalProperties" not in part, (op["operationId"], path)


def test_the_list_of_routes_and_the_document_agree(doc, routes):
    listed = {(r["path"], r["method"].lower()): r for r in routes}
    assert len(listed) == len(routes)
    assert len({r["op"] for r in routes}) == len(routes)
    assert {(p, m) for p, m, _ in operations(doc)} == set(listed)
    for path, method, op in operations(doc):
        route = listed[path, method]
        params = {(p["in"], p["name"]) for p in op.get("parameters", [])}
        assert op["operationId"] == route["op"]
        assert {n for i, n in params if i == "query"} == set(route["query"])
        assert [n for n in re.findall(r"{(\w+)}", path)] == route["path_ids"]
        assert {n for i, n in params if i == "path"} == set(route["path_ids"])
        assert ("requestBody" in op) == route["body"]
        assert any("Idempotency-Key" in n for _, n in params) == route["idempotency"]
        assert bool(op["security"]) == (route["access"] == "key")
        statuses = {*route["replies"], *(e["status"] for e in route["errors"])}
        assert {int(s) for s in op["responses"]} == statuses


def test_permissions_are_told(doc, routes):
    told = {op["operationId"]: op["description"] for _, _, op in operations(doc)}
    for route in routes:
        assert (route["permission"] is None) == (route["access"] != "key")
        if route["permission"]:
            assert f"`{route['permission']}`" in told[route["op"]]
        if route["elevated"]:
            assert f"`{route['elevated']['permission']}`" in told[route["op"]]


def test_each_dialect_words_its_own_errors(doc, routes):
    names = {"records": "RecordsError", "upload": "UploadError", "docs": "DocsError"}
    dialect = {r["op"]: r["dialect"] for r in routes}
    replies = {r["op"]: r["replies"] for r in routes}
    for _, _, op in operations(doc):
        for status in op["responses"]:
            if int(status) < 400 or int(status) in replies[op["operationId"]]:
                continue
            media = response(doc, op, status)["content"]["application/json"]
            name = names[dialect[op["operationId"]]]
            assert media["schema"] == {"$ref": f"#/components/schemas/{name}"}
            assert media["examples"]


def test_every_answer_has_a_request_id_and_budgets_are_shown(doc):
    for _, _, op in operations(doc):
        for status in op["responses"]:
            headers = response(doc, op, status)["headers"]
            assert "X-Request-ID" in headers
            assert ("X-RateLimit-Limit" in headers) == (bool(op["security"]) and status != "401")
