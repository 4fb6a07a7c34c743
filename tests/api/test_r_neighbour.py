# SPDX-License-Identifier: Apache-2.0
"""
Nothing that a workspace holds or does can be learnt in another.

Two workspaces use the same words. The neighbour does something; what the other asks, with words and
ids of the neighbour's, is answered byte for byte as before, and names nothing of the neighbour's.

DOSSIER_NEIGHBOUR_EXAMPLES  examples of the long run (20,000)
DOSSIER_NEIGHBOUR_SEED      seed of its first hundred; random, and shown on failure, when not set
"""
import os
import random
import re
from urllib.parse import quote, urlencode

import pytest

from fresh import respell
from harness import PERMISSIONS
from model import TYPES, multipart
from quick import Quick, memory_server, tell

SHORT = 1000
LONG = int(os.environ.get("DOSSIER_NEIGHBOUR_EXAMPLES", "20000"))
SEED = os.environ.get("DOSSIER_NEIGHBOUR_SEED")
EXAMPLES_A_PAIR = 100   # then two new workspaces: lists of thousands say no more

SECRET = "neighbour"    # in every word that is the neighbour's alone; too long to turn up by chance
WORDS = ["report", "a"]
OWN = [f"{SECRET}1", f"{SECRET}2"]
ID = re.compile(r"\b(?:doc|docs|dlnk|usr|key|log|upl)_([0-9A-HJKMNP-TV-Z]{26})")
LAST_USED = re.compile(r'"last_used_at":[^,]*,')     # moves by itself
UNKNOWN = "doc_01J00000000000000000000000"


class Side:
    """A workspace and everything it can do; what it has is remembered by kind."""

    def __init__(self, server):
        made = tell(server, "workspace", "create", "w", "--entities", "open")
        self.id, self.entity = made["id"], "of-" + made["id"]
        tell(server, "docs-entity", "add", self.entity, "--workspace", self.id)
        key = tell(server, "key", "create", "--workspace", self.id, "--tier", "unmetered",
                   "--permissions", ",".join(PERMISSIONS))
        self.quick = Quick(server, key["key"])
        self.known = {"doc": [], "docs": [], "dlnk": [], "key": [key["id"]], "cursor": [],
                      "request": []}
        self.foreign = lambda text: None    # what must not stand in an answer

    def ask(self, method, path, body=None, **headers):
        headers = {"Docs-Entity-ID": self.entity,
                   **{name.replace("_", "-"): value for name, value in headers.items()}}
        answer = self.quick.ask(method, path, headers, body)
        assert answer.status_code < 500, answer.text
        assert not self.foreign(answer.text), f"{method} {path}: {answer.text[:2000]}"
        self.known["request"].append(answer.headers["X-Request-ID"])
        return answer

    def one(self, kind, n):
        """The n-th newest of what is known of a kind; an id that never was when there is none."""
        found = self.known[kind]
        return found[-1 - n % len(found)] if found else UNKNOWN

    def act(self, act, word, n):
        """A change. Its words are those of an action; what it made is remembered."""
        record = {"name": f"{word} report", "description": word, "mime_type": f"a/{word}",
                  "storage_path": f"{word}/{n}", "folder": f"/{word}", "tags": [word, "t"],
                  "size_bytes": n}
        doc = self.one("doc", n)
        if act == "create":
            self.keep("doc", self.ask("POST", "/v1/documents", record,
                                      Idempotency_Key=f"{word}-{n}-{len(self.known['doc'])}"))
        elif act == "upload":
            kind, body = multipart([(f"{word}.txt", "text/plain", word.encode())])
            answer = self.ask("POST", "/api/v1/upload", body, Content_Type=kind)
            self.known["doc"] += answer.json() if answer.status_code == 200 else []
        elif act == "patch":
            self.ask("PATCH", f"/v1/documents/{doc}", {"name": word, "tags": [word]})
        elif act == "delete":
            self.ask("DELETE", f"/v1/documents/{doc}" + ("?hard=true" if n % 2 else ""))
        elif act == "link":
            self.keep("dlnk", self.ask("POST", f"/v1/documents/{doc}/link", {
                "entity_type": "deal", "entity_id": word, "role": word}), "link_id")
        elif act == "entity":
            self.ask("PUT", f"/v1/entities/deal/{word}", {"name": word})
        elif act == "refer":
            self.ask("PUT", f"/v1/documents/{doc}/references/workflow/{word}")
        elif act == "bytes":
            url = self.ask("POST", "/v1/documents/upload-url", {
                "storage_path": f"{word}/{len(self.known['request'])}"})  # replaces nothing
            path = url.json()["data"]["upload_url"][len(self.quick.server.base_url):]
            self.ask("PUT", path, word.encode())
        elif act == "docs":
            answer = self.ask("POST", "/v1/docs", {"type": "full", "owner": {"externalId": word}},
                              X_Idempotency_Key=f"{word}-{len(self.known['docs'])}")
            self.known["docs"] += [answer.json()["id"]] if answer.status_code == 201 else []
        elif act == "key":
            self.keep("key", self.ask("POST", "/v1/api-keys", {
                "name": word, "permissions": ["read:documents"]}))
        elif act == "walk":
            answer = self.ask("GET", "/v1/documents?cursor=&per_page=1&sort=name")
            self.known["cursor"] += [answer.json()["meta"]["next_cursor"] or ""]

    def keep(self, kind, answer, name="id"):
        if answer.status_code == 201:
            self.known[kind].append(answer.json()["data"][name])


ACTS = ["create", "create", "upload", "patch", "delete", "link", "entity", "refer", "bytes",
        "docs", "key", "walk"]

# What is asked, with {word} of either, and ids of the neighbour's.
QUERIES = [
    "/v1/documents?{words}", "/v1/documents?per_page=1&{words}", "/v1/documents?sort=name",
    "/v1/documents?cursor={cursor}&sort=name", "/v1/documents?cursor=&per_page=2",
    "/v1/documents/{doc}?download=false", "/v1/documents/{doc}/links",
    "/v1/documents/{doc}/references",
    *[f"/v1/{plural}/{{word}}/documents" for plural in TYPES.values()],
    "/v1/deals/{word}/documents?role={word}", "/v1/entities/deal/{word}",
    "/v1/usage", "/v1/api-keys?include_revoked=true",
    "/v1/audit-logs?per_page=200", "/v1/audit-logs?resource_id={doc}",
    "/v1/audit-logs?resource_type=docs", "/v1/audit-logs?action=delete",
    "/v1/docs?externalId={word}", "/v1/docs/{docs}",
]
# What is tried on things of the neighbour's: refused as on things that never were.
TRIES = [
    ("PATCH", "/v1/documents/{doc}", {"name": "mine"}), ("DELETE", "/v1/documents/{doc}", None),
    ("DELETE", "/v1/documents/{doc}?hard=true", None),
    ("POST", "/v1/documents/{doc}/link", {"entity_type": "deal", "entity_id": "x"}),
    ("DELETE", "/v1/documents/{doc}/links/{dlnk}", None),
    ("PUT", "/v1/documents/{doc}/references/workflow/w", None),
    ("DELETE", "/v1/api-keys/{key}", None),
    ("PATCH", "/v1/docs/{docs}", [{"op": "replace", "path": "/status", "value": "block"}]),
]
FILTERS = ["search", "tag", "folder", "mime_type"]


class Pair:
    def __init__(self, server):
        self.server, self.a, self.b = server, Side(server), Side(server)
        for n, act in enumerate(["create", "upload", "link", "entity", "docs", "walk"]):
            for side in (self.a, self.b):
                side.act(act, WORDS[0], n)
        self.a.foreign = self.foreign

    def close(self):
        self.a.quick.close()
        self.b.quick.close()

    def foreign(self, text):
        """What of an answer is the neighbour's."""
        theirs = {one.split("_")[-1] for kind in ("doc", "dlnk", "key", "request")
                  for one in self.b.known[kind]} | set(self.b.known["docs"])
        found = {one for one in ID.findall(text) if one in theirs}
        found |= {one for one in self.b.known["doc"] + self.b.known["docs"] if one in text}
        return found | {word for word in (SECRET, self.b.id) if word in text}

    def fill(self, path, word, n, filters):
        words = urlencode([(name, f"/{word}" if name == "folder" else
                            f"a/{word}" if name == "mime_type" else word) for name in filters])
        return path.format(word=quote(word), words=words, cursor=self.b.one("cursor", n),
                           **{kind: self.b.one(kind, n) for kind in ("doc", "docs", "dlnk", "key")})

    def query(self, path):
        answer = self.a.ask("GET", path)
        return answer.status_code, LAST_USED.sub("", answer.text)

    def tried(self, method, path, body, n):
        """On what is theirs, and on what never was."""
        wanted = {kind: self.b.one(kind, n) for kind in ("doc", "docs", "dlnk", "key")}
        never = {"doc": UNKNOWN, "dlnk": "dlnk_" + UNKNOWN[4:], "key": "key_" + UNKNOWN[4:],
                 "docs": respell(UNKNOWN, "docs")}
        answers = [self.a.ask(method, path.format(**ids), body) for ids in (wanted, never)]
        assert {answer.status_code for answer in answers} == {404}, answers[0].text
        assert answers[0].content == answers[1].content


def example(pair, chance):
    n, word = chance.randrange(9), chance.choice(WORDS + OWN)
    if chance.random() < .8:
        pair.a.act(chance.choice(ACTS), chance.choice(WORDS), n)
    filters = [name for name in FILTERS if chance.random() < .4]
    path = pair.fill(chance.choice(QUERIES), word, n, filters)
    act, before = chance.choice(ACTS), pair.query(path)
    pair.b.act(act, chance.choice(OWN + WORDS), n)
    assert pair.query(path) == before, f"{path}: changed by a neighbour's {act}"
    pair.tried(*chance.choice(TRIES), n)


def check_examples(count, first):
    with memory_server() as server:
        for seed in range(first, first + count // EXAMPLES_A_PAIR):
            print(f"DOSSIER_NEIGHBOUR_SEED={seed}")     # the last one is shown when it fails
            pair, chance = Pair(server), random.Random(seed)
            for _ in range(EXAMPLES_A_PAIR):
                example(pair, chance)
            pair.close()
        assert server.run("check")["ok"] is True


def test_neighbours():
    check_examples(SHORT, 0)


@pytest.mark.slow
@pytest.mark.timeout(120 + LONG // 20)
def test_neighbours_at_length():
    check_examples(LONG, int(SEED) if SEED else random.SystemRandom().randrange(2**32))
