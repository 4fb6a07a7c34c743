# SPDX-License-Identifier: Apache-2.0
"""
Deletes, soft and hard, against links, downloads, uploads and the register, all of them at random
on a few documents: no 5xx, no short or foreign bytes, no link or total that is left over.

DOSSIER_MIX_OPS  operations of the long run (20,000)
"""
import os
import random
from collections import Counter

import pytest

from harness import at_once, data
from model import multipart
from quick import Quick

CLIENTS = 8
SLOTS = 6
ENTITIES = ["e0", "e1", "e2"]
SHORT_OPS = 2000
LONG_OPS = int(os.environ.get("DOSSIER_MIX_OPS", "20000"))

OFTEN = {"upload": 4, "link": 5, "unlink": 2, "download": 6, "part": 2, "delete": 2, "hard": 2,
         "put_entity": 2, "delete_entity": 1, "patch": 1, "list": 1}
ALLOWED = {"upload": {200}, "link": {200, 201, 404}, "unlink": {204, 404}, "download": {200, 404},
           "part": {206, 404}, "show": {200, 404}, "delete": {204, 404}, "hard": {204, 404},
           "put_entity": {200, 201}, "delete_entity": {204, 404}, "patch": {200, 404},
           "list": {200}, "linked": {200, 404}}


class Client:
    def __init__(self, server, key, seed, slots):
        self.quick, self.chance, self.slots = Quick(server, key), random.Random(seed), slots
        self.seen, self.gone, self.links, self.urls = Counter(), [], [], []

    def ask(self, op, method, target, body=None, **headers):
        answer = self.quick.ask(method, target, headers, body)   # raises when it is cut short
        assert answer.status_code in ALLOWED[op], f"{op}: {answer.status_code} {answer.text[:300]}"
        self.seen[op, answer.status_code] += 1
        return answer

    def run(self, count):
        try:
            for _ in range(count):
                op = self.chance.choices(list(OFTEN), OFTEN.values())[0]
                slot = self.chance.randrange(SLOTS)
                known = self.slots[slot]
                if op == "upload" or known is None:
                    self.upload(slot)
                else:
                    getattr(self, op)(f"/v1/documents/{known[0]}", *known)
        finally:
            self.quick.close()
        return self

    def upload(self, slot):
        content = self.chance.randbytes(self.chance.choice([0, 1, 3000, 200000]))
        kind, body = multipart([("a.bin", "a/b", content)])
        answer = self.ask("upload", "POST", "/api/v1/upload", body, **{"Content-Type": kind})
        self.slots[slot] = answer.json()[0], content

    def link(self, path, _document, _content):
        answer = self.ask("link", "POST", path + "/link", {
            "entity_type": "deal", "entity_id": self.chance.choice(ENTITIES)})
        if answer.status_code == 201:
            self.links.append(path + "/links/" + answer.json()["data"]["link_id"])

    def unlink(self, _path, _document, _content):
        if self.links:
            self.ask("unlink", "DELETE", self.chance.choice(self.links[-3:]))

    def url(self, path, content):
        """A download URL and what it must give: of this document, or one shown before."""
        answer = self.ask("show", "GET", path)
        if answer.status_code == 200:
            url = answer.json()["data"]["download_url"]
            self.urls.append((url[len(self.quick.server.base_url):], content))
        return self.chance.choice(self.urls[-4:]) if self.urls else (None, b"")

    def download(self, path, _document, content):
        url, content = self.url(path, content)
        if url:
            answer = self.ask("download", "GET", url)
            assert answer.status_code == 404 or answer.content == content

    def part(self, path, _document, content):
        url, content = self.url(path, content)
        if content:
            first = self.chance.randrange(len(content))
            answer = self.ask("part", "GET", url, Range=f"bytes={first}-")
            assert answer.status_code == 404 or answer.content == content[first:]

    def delete(self, path, document, _content, query="", op="delete"):
        if self.ask(op, "DELETE", path + query).status_code == 204:
            self.gone.append((document, op))
            self.ask("show", "GET", path)
            assert self.quick.ask("GET", path).status_code == 404, "it is back"

    def hard(self, path, document, content):
        self.delete(path, document, content, "?hard=true", "hard")

    def patch(self, path, _document, _content):
        self.ask("patch", "PATCH", path, {"description": "changed"})

    def list(self, *_known):
        self.ask("list", "GET", "/v1/documents")
        self.ask("linked", "GET", f"/v1/deals/{self.chance.choice(ENTITIES)}/documents")

    def put_entity(self, *_known):
        self.ask("put_entity", "PUT", "/v1/entities/deal/" + self.chance.choice(ENTITIES), {})

    def delete_entity(self, *_known):
        self.ask("delete_entity", "DELETE", "/v1/entities/deal/" + self.chance.choice(ENTITIES))


def every(api, path, name):
    found = []
    for page in range(1, 1000):
        answer = api.get(f"{path}?per_page=100&page={page}")
        found += data(answer)[name]
        if len(found) >= answer.json()["meta"]["total"]:
            return found
    raise AssertionError("no end of the list")


def at_rest(server, api, clients):
    """What is left fits together, and what was answered is so."""
    report = server.run("check")
    assert report["ok"] is True and report["dangling_links"] == [], report
    documents = every(api, "/v1/documents", "documents")
    usage = data(api.get("/v1/usage"))
    assert usage["documents"] == len(documents)
    assert usage["bytes"] == sum(document["size_bytes"] for document in documents)
    living = {document["id"] for document in documents}
    linked = {(document, entity) for entity in ENTITIES
              if api.get(f"/v1/entities/deal/{entity}").status_code == 200
              for document in (one["id"] for one in
                               every(api, f"/v1/deals/{entity}/documents", "documents"))}
    assert {document for document, _ in linked} <= living
    assert linked == {(document, link["entity_id"]) for document in living
                      for link in data(api.get(f"/v1/documents/{document}/links"))["links"]}
    softly = [document for client in clients for document, op in client.gone if op == "delete"]
    assert len(set(softly)) == len(softly), "deleted twice"
    made = sum(client.seen["upload", 200] for client in clients)
    gone = {document for client in clients for document, _ in client.gone}
    assert made == len(documents) + len(gone)


def play(server, ops, seed):
    workspace = server.workspace()
    key, slots = workspace.key(), [None] * SLOTS
    clients = at_once(CLIENTS, lambda i: Client(server, key, f"{seed}/{i}", slots).run(
        ops // CLIENTS))
    at_rest(server, workspace.api(), clients)
    return sum((client.seen for client in clients), Counter())


@pytest.mark.concurrent
def test_mix(server_factory):
    seen = play(server_factory("--purge-after", "0s"), SHORT_OPS, 1)
    for op, statuses in ALLOWED.items():
        for status in statuses:
            assert seen[op, status], f"{op} {status} never happened: {seen}"


@pytest.mark.slow
@pytest.mark.timeout(120 + LONG_OPS // 20)
def test_mix_at_length(server_factory):
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")   # shown when it fails; which meets which still differs
    print(play(server_factory("--purge-after", "0s"), LONG_OPS, seed))
