# SPDX-License-Identifier: Apache-2.0
"""What holds for every route: headers, methods, sizes, JSON, order of checks, rate budgets.

Headers of every answer are checked by harness.check_answer() on each exchange.
"""
import json
import re
import socket
import time

import pytest

from harness import ALIAS, Api, at_once, data, faulty, raw_request, refused, send_raw, unique
from test_d_documents import EARLIER

UNMETERED = "2147483647"
GOOD = {"name": "n", "mime_type": "a/b"}


def raw_error(answer, status, code):
    """A refused answer of send_raw() or raw_request()."""
    assert answer is not None, "no answer"
    assert answer.status == status, (answer.status, answer.body)
    assert json.loads(answer.body)["error"]["code"] == code
    assert answer.headers["X-Request-ID"].startswith("req_")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"


# ---- the log ----

def test_requests_are_logged_on_demand_without_what_is_secret(server_factory):
    server = server_factory("--log-requests")
    workspace = server.workspace()
    key = workspace.key()
    api = Api(server, key)
    marker = unique("secretive")
    record = api.new_bytes(b"bytes", name=marker)
    url = data(api.get(f"/v1/documents/{record['id']}"))["download_url"]
    assert api.get(url, expect=200).content == b"bytes"
    api.get(f"/v1/documents?search={marker}", expect=200)
    seen = api.get("/v1/no/such/route", expect=404)
    log = server.log()
    for op in ("document.create 201", "document.get 200", "document.list 200", "- 404"):
        assert re.search(rf"req_\w{{26}} 127\.0\.0\.1 {re.escape(op)} \d+ms", log), log
    assert seen.headers["X-Request-ID"] in log
    for secret in (key, key[20:44], url.rsplit("/", 1)[1], marker):
        assert secret not in log


def test_requests_are_not_logged_by_default(server, api):
    seen = api.get("/v1/usage", expect=200).headers["X-Request-ID"]
    assert seen not in server.log()


# ---- headers ----

def test_request_ids_differ_and_sort_by_time(api):
    ids = [api.get("/v1/usage").headers["X-Request-ID"] for _ in range(5)]
    assert ids == sorted(set(ids))


def test_a_client_cannot_choose_the_request_id(api):
    mine = "req_01J00000000000000000000000"
    assert api.get("/v1/usage", headers={"X-Request-ID": mine}).headers["X-Request-ID"] != mine


def test_rate_headers_of_an_unmetered_key(api):
    headers = api.get("/v1/usage").headers
    assert headers["X-RateLimit-Limit"] == headers["X-RateLimit-Remaining"] == UNMETERED
    reset = int(headers["X-RateLimit-Reset"])
    assert reset % 86400 == 0 and 0 < reset - time.time() <= 86400


def test_rate_headers_stand_on_errors_too(api):
    for answer in (api.get(f"/v1/documents/{EARLIER}"), api.post("/v1/documents", json={})):
        assert answer.headers["X-RateLimit-Limit"] == UNMETERED


def test_no_rate_headers_without_a_key(anonymous):
    for path in ("/healthz", "/v1/usage", "/nowhere"):
        assert "X-RateLimit-Limit" not in anonymous.get(path).headers


def cors(answer):
    return {name: value for name, value in answer.headers.items()
            if name.startswith("Access-Control-")}


def test_cors_is_off(api):
    sent = {"Origin": "https://x.example", "Access-Control-Request-Method": "GET"}
    assert cors(api.get("/v1/usage", headers=sent)) == {}
    assert cors(api.options("/v1/usage", headers=sent)) == {}


def test_cors_when_configured(server_factory):
    origin = "https://x.example"
    api = server_factory("--cors-origin", origin).workspace().api()
    sent = {"Origin": origin, "Access-Control-Request-Method": "PATCH",
            "Access-Control-Request-Headers": "authorization, content-type, idempotency-key"}
    assert cors(api.get("/v1/usage", headers=sent))["Access-Control-Allow-Origin"] == origin
    allowed_by = cors(api.options("/v1/documents/x", headers=sent, expect=204))
    assert allowed_by["Access-Control-Allow-Origin"] == origin
    assert "PATCH" in allowed_by["Access-Control-Allow-Methods"]
    for name in ("authorization", "content-type", "idempotency-key"):
        assert name in allowed_by["Access-Control-Allow-Headers"].lower()


# ---- paths and methods ----

@pytest.mark.parametrize("path", ["/", "/v1", "/v1/", "/v1/nothing", "/v2/documents",
                                  "/v1/documents/", "/v1/documents//links", "//v1/documents",
                                  "/V1/documents", "/v1/Documents", "/documents", ALIAS,
                                  ALIAS + "/healthz", ALIAS + "/api/v1/upload", "/api/v1/documents",
                                  "/v1/%64ocuments/x/y/z", "/favicon.ico", "/v1/documents%2Fx",
                                  "/v1/documents/%ZZ", "/v1/documents/%00"])
def test_unknown_path(api, server, path):
    answer = raw_request(server, "GET", path, [("X-API-Key", api.key)])
    raw_error(answer, 404, "not_found")


def test_unknown_path_needs_no_key(anonymous):
    refused(anonymous.get("/v1/nothing"), 404, "not_found")


def test_alias(api):
    made = data(api.post(ALIAS + "/v1/documents", json={**GOOD, "storage_path": "p"}), 201)
    assert data(api.get(f"{ALIAS}/v1/documents/{made['id']}"))["id"] == made["id"]
    assert data(api.get(f"/v1/documents/{made['id']}"))["id"] == made["id"]


ALLOW = [
    ("/v1/documents", "GET, HEAD, OPTIONS, POST"),
    (ALIAS + "/v1/documents", "GET, HEAD, OPTIONS, POST"),
    ("/v1/documents/x", "DELETE, GET, HEAD, OPTIONS, PATCH"),
    ("/v1/documents/x/link", "OPTIONS, POST"),
    ("/v1/documents/x/links/y", "DELETE, OPTIONS"),
    ("/v1/documents/x/references/workflow/y", "DELETE, OPTIONS, PUT"),
    ("/v1/documents/upload-url", "OPTIONS, POST"),
    ("/v1/entities/deal/x", "DELETE, GET, HEAD, OPTIONS, PUT"),
    ("/v1/entities/batch", "OPTIONS, POST"),
    ("/v1/deals/x/documents", "GET, HEAD, OPTIONS"),
    ("/v1/api-keys", "GET, HEAD, OPTIONS, POST"),
    ("/v1/audit-logs", "GET, HEAD, OPTIONS"),
    ("/api/v1/upload", "OPTIONS, POST"),
    ("/v1/docs", "GET, HEAD, OPTIONS, POST"),
    ("/v1/docs/x", "GET, HEAD, OPTIONS, PATCH"),
    ("/healthz", "GET, HEAD, OPTIONS"),
]


def allowed(answer):
    return ", ".join(sorted(answer.headers["Allow"].split(", ")))


@pytest.mark.parametrize("path, allow", ALLOW)
def test_options_needs_no_key(anonymous, path, allow):
    answer = anonymous.options(path, expect=204)
    assert allowed(answer) == allow and answer.content == b""


@pytest.mark.parametrize("path, allow", ALLOW)
def test_method_not_allowed(anonymous, path, allow):
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - set(allow.split(", ")):
        answer = anonymous.request(method, path)
        assert answer.status_code == 405 and allowed(answer) == allow
        # each dialect words it in its own way
        if path.startswith("/api/"):
            assert list(answer.json()) == ["detail"]
        elif path == "/v1/docs" or path.startswith("/v1/docs/"):
            assert answer.json()["error"]["code"] == "METHOD_NOT_ALLOWED"
            assert answer.json()["error"]["details"] == {}
        else:
            refused(answer, 405, "method_not_allowed")


def test_options_of_nothing(anonymous):
    refused(anonymous.options("/v1/nothing"), 404, "not_found")


@pytest.mark.parametrize("path", ["/v1/documents", "/v1/documents/{id}?download=false",
                                  "/v1/documents/{id}/links", "/v1/usage", "/v1/audit-logs",
                                  "/v1/api-keys", "/healthz", "/readyz", "/openapi.json"])
def test_head(api, path):
    path = path.format(id=api.new_document()["id"])
    got, head = api.get(path), api.head(path)
    assert head.status_code == got.status_code == 200 and head.content == b""
    assert head.headers["Content-Type"] == got.headers["Content-Type"]
    # the first of these grows meanwhile, the other learns when the key was used
    if "Content-Length" in head.headers and path not in ("/v1/audit-logs", "/v1/api-keys"):
        assert head.headers["Content-Length"] == got.headers["Content-Length"]


def test_head_of_an_error(api):
    assert api.head(f"/v1/documents/{EARLIER}").status_code == 404
    assert api.get("/v1/usage").status_code == 200


# ---- sizes and framing ----

def document_body(size=None):
    text = json.dumps({**GOOD, "storage_path": unique("p")})
    return text.encode() if size is None else (text + " " * (size - len(text))).encode()


def test_body_of_a_mebibyte(api):
    api.post("/v1/documents", data=document_body(2**20), expect=201)
    refused(api.post("/v1/documents", data=document_body(2**20 + 1)), 413, "payload_too_large")


def test_chunked_json_is_refused(api):
    answer = api.post("/v1/documents", data=iter([document_body()]))
    refused(answer, 411, "length_required")


def test_no_length(server, api):
    answer = raw_request(server, "POST", "/v1/documents", [("X-API-Key", api.key)])
    raw_error(answer, 411, "length_required")


@pytest.mark.parametrize("content_type, status", [
    ("application/json", 201), ("application/json; charset=utf-8", 201),
    ("Application/JSON", 201), ("application/vnd.api+json", 201), (None, 201),
    ("text/plain", 415), ("application/x-www-form-urlencoded", 415), ("multipart/form-data", 415),
    ("json", 415), ("", 415)])
def test_media_type(api, content_type, status):
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = api.post("/v1/documents", data=document_body(), headers=headers)
    assert answer.status_code == status
    if status == 415:
        refused(answer, 415, "unsupported_media_type")


def test_encoded_json_is_refused(api):
    answer = api.post("/v1/documents", data=document_body(), headers={"Content-Encoding": "gzip"})
    refused(answer, 415, "unsupported_media_type")


def test_long_target(server, api):
    key = ("X-API-Key", api.key)
    assert raw_request(server, "GET", "/v1/usage?x=" + "y" * 8000, [key]).status == 200
    raw_error(raw_request(server, "GET", "/v1/usage?x=" + "y" * 8192, [key]), 414, "uri_too_long")


@pytest.mark.parametrize("query", ["&" * 1200, "a=b&" * 1500, "tag=x&" * 10, "%26" * 900])
def test_many_arguments_are_answered(server, api, query):
    """The parser underneath has no say in them."""
    target = f"/v1/documents?{query}"
    answer = raw_request(server, "GET", target, [("X-API-Key", api.key)])
    assert answer is not None and answer.status in (200, 400), answer


@pytest.mark.parametrize("headers", [
    [(f"X-{i}", "v") for i in range(101)],
    [("X-Big", "v" * 33000)],
    [(f"X-{i}", "v" * 1000) for i in range(40)],
], ids=["many", "long", "together"])
def test_large_header_block(server, headers):
    raw_error(raw_request(server, "GET", "/v1/usage", headers), 431, "headers_too_large")


def test_header_block_within_the_limits(server, api):
    headers = [("X-API-Key", api.key), ("X-Big", "v" * 20000)]
    headers += [(f"X-{i}", "v") for i in range(90)]
    assert raw_request(server, "GET", "/v1/usage", headers).status == 200


@pytest.mark.parametrize("head", [
    "POST /v1/documents HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
    "POST /v1/documents HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n"
    "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST /v1/documents HTTP/1.1\r\nHost: h\r\nContent-Length: -2\r\n\r\n{}",
    "POST /v1/documents HTTP/1.1\r\nHost: h\r\nContent-Length: 0x2\r\n\r\n{}",
    "POST /v1/documents HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "GET /v1/usage HTTP/1.1\r\n\r\n",
    "GET /v1/usage HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "GET usage HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET /v1/usage HTTP/2.0\r\nHost: h\r\n\r\n",
    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
], ids=lambda head: head.split("\r\n")[-4:][0][:30])
def test_broken_framing_is_refused_and_the_connection_closed(server, head):
    answer = send_raw(server, head.encode("latin-1") + b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
    if answer is not None:
        assert answer.status in (400, 431, 501, 505), answer
        assert answer.headers.get("Connection") == "close"


@pytest.mark.slow
@pytest.mark.parametrize("start, seconds", [
    (b"GET /v1/usage HTTP/1.1\r\nHost: h\r\nX-Slow: ", 20),
    (b"POST /v1/documents HTTP/1.1\r\nHost: h\r\nX-API-Key: KEY\r\n"
     b"Content-Length: 99\r\n\r\n", 25),
], ids=["header", "body"])
def test_slow_senders_are_dropped(server, api, start, seconds):
    """A header takes at most 10 s; a body comes at 1 KiB/s once 10 s are over."""
    begin = time.monotonic()
    with socket.create_connection(server.address, timeout=seconds) as connection:
        connection.settimeout(1)
        connection.sendall(start.replace(b"KEY", api.key.encode()))
        while time.monotonic() - begin < seconds:
            try:
                connection.sendall(b"x")
                if connection.recv(1000) == b"":
                    return
            except socket.timeout:
                continue
            except OSError:
                return
    pytest.fail(f"still open after {seconds} s")


def test_keep_alive_after_an_error(api):
    for _ in range(3):
        api.post("/v1/documents", json={"name": "x" * 1000}, expect=400)
        api.post("/v1/documents", data="x" * 100000, headers={"Content-Type": "text/plain"},
                 expect=415)
    api.get("/v1/usage", expect=200)


# ---- JSON ----

@pytest.mark.parametrize("text", [
    b"", b" ", b"{", b"}", b'{"name":"n",}', b'{"name":"n"} x', b'{"name":"n"}{}', b"{'a':1}",
    b'{"name":"n","name":"n"}', b'{"x":{"a":1,"a":2}}', b'{"name":"\xff"}', b'{"name":"\xc0\x80"}',
    b'{"name":"\xed\xa0\x80"}', b'{"name":"\\ud800"}', b'{"name":NaN}', b'{"a":01}',
    b'\xef\xbb\xbf{"name":"n"}', b'{"x":' + b"[" * 32 + b"]" * 32 + b"}", b"[" * 100000,
    b'{"name":"n"}\x00',
], ids=lambda text: repr(text[:24]))
def test_broken_json(api, text):
    answer = api.post("/v1/documents", data=text)
    error = refused(answer, 400, "validation_error")
    assert "details" not in error or "fields" not in error["details"]


def test_depth_of_thirty_two(api):
    deep = json.dumps({**GOOD, "storage_path": unique("p"), "x": 0})
    nested = deep.replace('"x": 0', '"x": ' + "[" * 31 + "]" * 31)
    api.post("/v1/documents", data=nested, expect=201)


def test_white_space_around_json(api):
    api.post("/v1/documents", data=b" \r\n\t" + document_body() + b"\n ", expect=201)


def test_errors_never_echo_the_input(api):
    marker = "Zq7xEcho"
    answers = [
        api.post("/v1/documents", json={"name": marker + "\n", "mime_type": marker,
                                        "storage_path": "/" + marker, "folder": marker,
                                        "tags": [marker + "\n"]}),
        api.post("/v1/documents", data=marker),
        api.get(f"/v1/documents/{marker}"), api.get(f"/{marker}"),
        api.get(f"/v1/documents?sort={marker}&cursor={marker}"),
        api.post("/v1/documents", json={}, headers={"Idempotency-Key": marker + "\u00fc"}),
        api.post("/v1/api-keys", json={"name": "n", "permissions": [marker]}),
        api.put(f"/v1/signed/upload/{marker}", data=b"x"),
        api.get(f"/v1/signed/download/{marker}"),
    ]
    for answer in answers:
        assert answer.status_code >= 400 and marker not in answer.text
        assert marker not in str(answer.headers)


# ---- order of checks ----

@pytest.fixture(scope="module")
def strangers(server):
    workspace = server.workspace()
    return {"nobody": server.api(), "wrong": server.api("wbk_" + "a" * 52),
            "reader": workspace.api("read:documents"), "writer": workspace.api("write:documents")}


ORDER = [
    # who, method, path, options -> status, code: of two faults the earlier one is told
    ("nobody", "GET", "/v1/nothing", {}, 404, "not_found"),
    ("nobody", "PUT", "/v1/documents", {"data": b"{"}, 405, "method_not_allowed"),
    ("wrong", "POST", "/v1/documents", {"data": b"{"}, 401, "invalid_key"),
    ("nobody", "POST", "/v1/documents", {"data": b"x" * (2**20 + 1)}, 401, "invalid_key"),
    ("nobody", "GET", "/v1/documents?sort=x", {}, 401, "invalid_key"),
    ("reader", "POST", "/v1/documents", {"data": b"{"}, 403, "insufficient_permissions"),
    ("reader", "POST", "/v1/documents", {"data": b"x" * (2**20 + 1)}, 403,
     "insufficient_permissions"),
    ("reader", "POST", "/v1/documents", {"data": b"{}", "headers": {"Content-Type": "a/b"}}, 403,
     "insufficient_permissions"),
    ("reader", "DELETE", "/v1/documents/x", {}, 403, "insufficient_permissions"),
    ("writer", "DELETE", "/v1/documents/x?hard=true", {}, 403, "insufficient_permissions"),
    ("writer", "DELETE", "/v1/documents/x?hard=perhaps", {}, 400, "validation_error"),
    ("writer", "POST", "/v1/documents", {"data": b"x" * (2**20 + 1),
                                         "headers": {"Content-Type": "a/b"}}, 413,
     "payload_too_large"),
    ("writer", "POST", "/v1/documents", {"data": b"{", "headers": {"Content-Type": "a/b"}}, 415,
     "unsupported_media_type"),
    ("writer", "PATCH", "/v1/documents/x", {"json": {"name": ""}}, 400, "validation_error"),
    ("writer", "PATCH", "/v1/documents/x", {"json": {}, "headers": {"Idempotency-Key": ""}}, 400,
     "validation_error"),
    ("writer", "POST", "/v1/documents/x/link", {"json": {"entity_type": "x"}}, 400,
     "validation_error"),
    ("reader", "GET", f"/v1/documents/{EARLIER}?download=x", {}, 400, "validation_error"),
]


@pytest.mark.parametrize("who, method, path, options, status, code", ORDER,
                         ids=[f"{row[0]}-{row[1]}-{row[4]}-{i}" for i, row in enumerate(ORDER)])
def test_order_of_checks(strangers, who, method, path, options, status, code):
    refused(strangers[who].request(method, path, **options), status, code)


def test_all_faults_come_together(api):
    made = api.new_document()
    faulty(api.patch(f"/v1/documents/{made['id']}", json={"tags": 1, "name": 1}), "tags", "name")


# ---- the rate budgets ----

def test_minute_budget(server_factory):
    server = server_factory("--rate-standard", "5/1000", "--rate-high", "7/1000")
    workspace = server.workspace()
    for tier, count in (("standard", 5), ("high", 7)):
        api = workspace.api(tier=tier)
        for i in range(count):
            headers = api.get("/v1/usage", expect=200).headers
            assert headers["X-RateLimit-Limit"] == "1000"
            assert headers["X-RateLimit-Remaining"] == str(999 - i)
        answer = api.get("/v1/usage")
        refused(answer, 429, "rate_limited")
        assert answer.headers["X-RateLimit-Limit"] == str(count)
        assert answer.headers["X-RateLimit-Remaining"] == "0"
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
        assert 0 <= int(answer.headers["X-RateLimit-Reset"]) - time.time() <= 61


def test_day_budget(server_factory):
    server = server_factory("--rate-standard", "100/8")
    workspace = server.workspace()
    api = workspace.api(tier="standard")
    remaining = [int(api.get("/v1/usage", expect=200).headers["X-RateLimit-Remaining"])
                 for _ in range(8)]
    assert remaining == [7, 6, 5, 4, 3, 2, 1, 0]
    answer = api.get("/v1/usage")
    refused(answer, 429, "rate_limited")
    assert answer.headers["X-RateLimit-Limit"] == "8"
    assert answer.headers["X-RateLimit-Remaining"] == "0"
    assert int(answer.headers["X-RateLimit-Reset"]) % 86400 == 0
    assert 1 <= int(answer.headers["Retry-After"]) <= 86400
    server.stop()
    server.start()
    refused(api.get("/v1/usage"), 429, "rate_limited")
    workspace.api(tier="standard").get("/v1/usage", expect=200)


def test_errors_cost_too_but_not_401_404_405(server_factory):
    server = server_factory("--rate-standard", "3/1000")
    api = server.workspace().api("read:documents", tier="standard")
    for _ in range(5):
        Api(server, api.key[:-1] + ("a" if api.key[-1] != "a" else "b")).get("/v1/usage",
                                                                            expect=401)
        api.get("/v1/nothing", expect=404)
        api.put("/v1/usage", expect=405)
    api.get("/v1/audit-logs", expect=403)
    api.get("/v1/documents?sort=x", expect=400)
    api.get(f"/v1/documents/{EARLIER}", expect=404)
    refused(api.get("/v1/audit-logs"), 429, "rate_limited")


@pytest.mark.concurrent
def test_budget_is_exact_under_load(server_factory):
    server = server_factory("--rate-standard", "20/1000")
    key = server.workspace().key(tier="standard")
    statuses = at_once(32, lambda i: Api(server, key).get("/v1/usage").status_code)
    assert sorted(statuses) == [200] * 20 + [429] * 12
