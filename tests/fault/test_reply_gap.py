# SPDX-License-Identifier: Apache-2.0
"""
The process dies between a commit and its answer, for each kind of change: the client has heard
nothing, and its retry gets the answer that was kept with the commit, byte for byte, any number of
times. The change has happened once.

Crash build: see test_crash_points.py. DOSSIER_GAP_ROUNDS: deaths (20).
"""
import os

import pytest
import requests

import test_crash_points
from test_crash_points import DIED, crash_binary  # noqa: F401  (the second is a fixture)

import harness
from harness import data

pytestmark = pytest.mark.timeout(300)  # the first test may build

ROUNDS = int(os.environ.get("DOSSIER_GAP_ROUNDS", "20"))
TRIES = 5   # a commit of a job may come first: then the death was not where it should be
FILES = [("files", (f"{i}.txt", b"x" * i)) for i in range(2)]


def changes(api):
    """name: (audit lines, method, path, what else the request has); none done yet."""
    document, other = (f"/v1/documents/{api.new_document()['id']}" for _ in range(2))
    entity = "/v1/entities/deal/" + harness.unique("e")
    api.put(entity, json={}, expect=201)
    linked = data(api.post(document + "/link", json={"entity_type": "deal", "entity_id": "l"}), 201)
    api.put(document + "/references/workflow/gone", expect=204)
    url = data(api.post("/v1/documents/upload-url", json={}), 201)["upload_url"]
    key = data(api.post("/v1/api-keys", json={"name": "k", "permissions": ["read:documents"]}), 201)
    return {
        "create": (1, "POST", "/v1/documents", {"json": {
            "name": "n", "mime_type": "a/b", "storage_path": harness.unique("gap")}}),
        "patch": (1, "PATCH", document, {"json": {"name": "new"}}),
        "link": (1, "POST", document + "/link", {"json": {
            "entity_type": "deal", "entity_id": harness.unique("e")}}),
        "unlink": (1, "DELETE", f"{document}/links/{linked['link_id']}", {}),
        "refer": (1, "PUT", document + "/references/workflow/w", {}),
        "unrefer": (1, "DELETE", document + "/references/workflow/gone", {}),
        "entity": (1, "PUT", f"/v1/entities/deal/{harness.unique('e')}", {"json": {"name": "x"}}),
        "no entity": (1, "DELETE", entity, {}),
        "batch": (2, "POST", "/v1/entities/batch", {"json": {"entities": [
            {"entity_type": "deal", "entity_id": harness.unique("e")} for _ in range(2)]}}),
        "upload url": (0, "POST", "/v1/documents/upload-url", {"json": {"name": "a.pdf"}}),
        "signed upload": (1, "PUT", url[len(api.base_url):], {"data": b"bytes"}),
        "upload": (2, "POST", "/api/v1/upload", {"files": FILES}),
        "key": (1, "POST", "/v1/api-keys", {"json": {
            "name": "k", "permissions": ["read:documents"]}}),
        "revoke": (1, "DELETE", f"/v1/api-keys/{key['id']}", {}),
        "delete": (1, "DELETE", other, {}),
    }


class Gap:
    def __init__(self, binary):
        self.binary, self.server = binary, harness.Server().start()
        self.api_key = self.server.workspace(entities="open").key()

    def api(self):
        return self.server.api(self.api_key)

    def lines(self):
        return self.api().get("/v1/audit-logs?per_page=1").json()["meta"]["total"]

    def send(self, key, method, path, options):
        return requests.request(method, self.server.base_url + path, timeout=20, headers={
            "X-API-Key": self.api_key, "Idempotency-Key": key}, **options)

    def die_on(self, *request):
        """The binary with crash points gets the request and ends behind the first commit."""
        self.server.kill()
        plain, harness.BINARY = harness.BINARY, self.binary
        self.server.env["DOSSIER_CRASH_AT"] = "engine.after-commit"
        try:
            self.server.start()
        finally:
            harness.BINARY = plain
            del self.server.env["DOSSIER_CRASH_AT"]
        with pytest.raises(requests.ConnectionError):
            self.send(*request)
        assert self.server.process.wait(20) == DIED, self.server.log()[-2000:]
        self.server.kill()
        self.server.start()

    def round(self, name):
        """True when the commit that it died behind was that of the request."""
        lines, method, path, options = changes(self.api())[name]
        request, before = (harness.unique("key"), method, path, options), self.lines()
        self.die_on(*request)
        hit = self.lines() - before
        assert hit in (0, lines), "a part of it"
        answers = [self.send(*request) for _ in range(3)]
        assert {answer.status_code < 300 for answer in answers} == {True}, answers[0].text
        assert len({(answer.status_code, answer.content) for answer in answers}) == 1
        replayed = [answer.headers.get("Idempotent-Replayed") == "true" for answer in answers]
        assert replayed[1:] == [True, True] and (replayed[0] or not hit)
        assert self.lines() - before == lines
        return replayed[0]


@pytest.fixture
def gap(crash_binary):  # noqa: F811
    made = Gap(crash_binary)
    yield made
    made.server.remove()


def test_commit_without_an_answer(gap):
    names = list(changes(gap.api()))
    for n in range(ROUNDS):
        name = names[n % len(names)]
        assert any(gap.round(name) for _ in range(TRIES)), f"{name}: never behind its own commit"
    report = gap.server.run("check")
    assert report["ok"] is True and report["counts"]["missing"] == 0, report
    assert gap.server.run("audit", "verify")["ok"] is True


def test_every_route_that_takes_a_key_is_here(gap):
    """But hard deletes, whose second act has points of its own in test_crash_points.py."""
    tried = {gap.server.openapi().operation(method, path.split("?")[0]).id
             for _, method, path, _ in changes(gap.api()).values()}
    every = {op.id for op in gap.server.openapi().operations
             if op.method != "get" and not op.path.startswith("/v1/docs")}
    assert tried == every
    assert test_crash_points.PROVOKED_BY["exchange.in-after"] == "hard"
