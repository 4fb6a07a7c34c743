# SPDX-License-Identifier: Apache-2.0
"""
Random operations against the server and against model.py, which must agree on every answer.

A game is a list of moves drawn from one seed, played in two new workspaces: the same seed gives
the same moves. When the server and the model differ, seed and difference are told at once; then
moves are left out for as long as it still fails, within a time limit.

DOSSIER_MODEL_OPS   operations of the long run (20,000)
DOSSIER_MODEL_SEED  seed of its first game, the next has one more; random when not set. To repeat a
                    game that failed: its seed, with DOSSIER_MODEL_OPS=1
"""
import io
import itertools
import os
import random
import sys
import threading
import time
from collections import Counter

import pytest

import harness
from fresh import Disagreement, Fresh, match
from harness import PERMISSIONS, at_once, check_answer, code_of, show
from model import (OPS, TYPES, Document, Key, Link, Request, Workspace, wire)
from model_docs import Docs, Owner
from quick import Quick, memory_server, tell
from test_d_documents import EARLIER

STEPS = 100
GAMES_A_SERVER = 60     # then a new one: what is checked after a game grows with what is there
SHORT_OPS = 4000
SHORT_SECONDS = 15      # then the everyday run begins no further game
SHRINK_SECONDS = 60
LONG_OPS = int(os.environ.get("DOSSIER_MODEL_OPS", "20000"))
LONG_SEED = os.environ.get("DOSSIER_MODEL_SEED")
WORKERS = 2

GRANTS = [list(PERMISSIONS), [p for p in PERMISSIONS if p != "admin:api_keys"],
          ["read:documents", "read:entities"], ["write:documents"], ["admin:documents"],
          ["write:entities", "admin:api_keys"], ["read:docs", "extractions:write"]]
PATHS = ["a.pdf", "b/b.pdf", "c"]

# ---- what is drawn: small pools, so that operations meet ----


def one_of(*values):
    return lambda chance: chance.choice(values)


def number(end):
    return lambda chance: chance.randrange(end)


def some_of(always=(), share=.5, **optional):
    """A dictionary: all of `always`, each of the others in a share of cases."""
    def draw(chance):
        drawn = {name: one(chance) for name, one in dict(always).items()}
        drawn.update((name, one(chance)) for name, one in optional.items()
                     if chance.random() < share)
        return drawn
    return draw


def list_of(one, most):
    return lambda chance: [one(chance) for _ in range(chance.randint(1, most))]


def all_of(*parts):
    return lambda chance: tuple(part(chance) for part in parts)


ws, pick, hit = number(2), number(16), number(10)
keys = one_of(*[None] * 5, *[f"k{i}" for i in range(12)])
entity_types = one_of("deal", "contact", "deal", "person")
places = all_of(one_of("deal", "contact"), one_of("x", "y", "z"))
paths = one_of(*PATHS)
members = {
    "description": one_of(None, "", "about A", "B"),
    "folder": one_of(None, "/f", "/f/g/", "/ff", "f"),
    "tags": one_of(None, [], ["t"], ["u", "t", "u"], [""]),
}
names = one_of("a", "b.pdf", "\u00dc c", "a", "b.pdf", "")
types = one_of("a/b", "Text/Plain", "application/pdf", "none")
contents = one_of(b"", b"1", b"12345", b"x" * 60, b"y" * 90)
files = all_of(one_of("a.pdf", "n", "\u00fc.txt"), one_of("a/b", "Text/Plain"),
               one_of(b"", b"12345", b"x" * 60))
filters = {"folder": one_of("/f", "/f/g"), "tag": one_of("t", "u"),
           "search": one_of("A", "\u00fc", "about"), "mime_type": one_of("a/b")}
pages = one_of({}, {}, {"per_page": 2}, {"page": 2, "per_page": 1})
policies = some_of({"entities": one_of("registered", "open"), "bytes": one_of("trust", "verify"),
                    "quota_bytes": one_of(None, None, 100), "quota_documents": one_of(None, 2)})
owners = some_of(id=one_of("0" * 26, "1" * 20, "0" * 26, "short", "first"),
                 externalId=one_of("e1", "e2", "e1", ""))
patches = one_of(*[[{"op": "replace", "path": "/status", "value": value}]
                   for value in ("active", "pending", "block", "gone", 1)],
                 [], [{"op": "remove", "path": "/status", "value": "block"}])
ways = one_of("records", "docs", "upload")

# name: (how often, what it draws)
MOVES = {
    "create": (4, {"ws": ws, "who": pick, "key": keys, "body": some_of(
        {"name": names, "mime_type": types, "storage_path": one_of(*PATHS, "/bad")},
        size_bytes=one_of(None, 0, 1, 5, 60, 90, -1), **members)}),
    "create_plain": (4, {"ws": ws, "path": paths, "size": one_of(None, 5)}),
    "create_again": (2, {"ws": ws, "n": pick, "who": pick, "path": paths,
                         "key": one_of("r1", "r2")}),
    "get": (4, {"n": pick, "stray": hit, "who": pick, "download": one_of("true", "true", "false")}),
    "patch": (4, {"n": pick, "stray": hit, "who": pick, "key": keys, "body": some_of(
        name=one_of("a", "new", None), mime_type=types, **members)}),
    "delete": (4, {"n": pick, "stray": hit, "who": pick, "key": keys,
                   "hard": one_of("", "?hard=true")}),
    "delete_in_use": (2, {"n": pick, "hard": one_of("", "?hard=true"),
                          "kept": one_of(True, False)}),
    "list": (4, {"ws": ws, "who": pick, "page": pages, "query": some_of(
        share=.25, sort=one_of("created_at", "-created_at", "name", "-name"), **filters)}),
    "walk": (8, {"ws": ws, "who": pick, "n": pick, "sort": one_of(
        {}, {}, {"sort": "created_at"}, {"sort": "name"}, {"sort": "-name"}),
        "query": some_of({"per_page": one_of(1, 1, 2, 25)}, share=.1, **filters)}),
    "link": (4, {"n": pick, "stray": hit, "who": pick, "key": keys, "kind": entity_types,
                 "entity": one_of("x", "y", "x y"), "role": one_of(None, "r", "s")}),
    "link_plain": (4, {"n": pick, "who": pick, "entity": one_of("x", "y")}),
    "unlink": (4, {"n": pick, "stray": hit, "who": pick, "key": keys, "crossed": hit}),
    "parts": (3, {"n": pick, "stray": hit, "who": pick, "op": one_of("links", "references")}),
    "reference": (4, {"n": pick, "stray": hit, "who": pick, "key": keys,
                      "op": one_of("refer", "unrefer"), "kind": one_of("workflow", "template"),
                      "ref": one_of("w1", "w2")}),
    "put_entity": (4, {"ws": ws, "who": pick, "key": keys, "place": places,
                       "body": one_of({}, {"name": "N"}, {"name": None}, {"name": ""})}),
    "get_entity": (2, {"ws": ws, "who": pick, "place": places}),
    "delete_entity": (3, {"ws": ws, "who": pick, "key": keys, "place": places}),
    "batch": (3, {"ws": ws, "who": pick, "key": keys, "items": list_of(some_of(
        {"entity_type": entity_types, "entity_id": one_of("x", "y", "z")},
        name=one_of(None, "M")), 3)}),
    "entity_documents": (4, {"ws": ws, "who": pick, "place": places, "query": pages,
                             "role": one_of({}, {"role": "r"})}),
    "upload_url": (3, {"ws": ws, "who": pick, "key": keys, "body": some_of(
        storage_path=paths, size_bytes=one_of(None, 5, 60))}),
    "receive": (4, {"n": number(4), "content": contents, "key": keys}),
    "send": (4, {"ws": ws, "path": paths, "content": contents, "size": one_of(None, 5, 60)}),
    "download": (4, {"n": pick}),
    "upload": (4, {"ws": ws, "who": pick, "key": keys, "files": list_of(files, 3)}),
    "usage": (2, {"ws": ws, "who": pick}),
    "make_key": (2, {"ws": ws, "who": pick, "key": keys, "grants": one_of(*GRANTS)}),
    "list_keys": (2, {"ws": ws, "who": pick, "revoked": one_of("true", "false")}),
    "revoke": (2, {"ws": ws, "who": pick, "key": keys, "n": pick, "stray": hit}),
    "docs_create": (5, {"ws": ws, "who": pick, "key": keys, "strange": hit, "body": some_of(
        {"type": one_of("full", "t-1", "full", "FULL", None)}, owner=owners)}),
    "docs_get": (3, {"n": pick, "stray": hit, "who": pick, "strange": hit, "way": ways}),
    "docs_list": (2, {"ws": ws, "who": pick, "strange": hit, "external": one_of("e1", "e2", "e3")}),
    "docs_patch": (3, {"n": pick, "stray": hit, "who": pick, "strange": hit, "way": ways,
                       "body": patches}),
    "again": (6, {"n": pick, "who": pick, "changed": hit}),
    "restart": (.2, {}),
}


def draw(seed):
    """The moves of a game."""
    chance = random.Random(seed)
    chosen = chance.choices(list(MOVES), [often for often, _ in MOVES.values()], k=STEPS)
    return [("begin", {"first": policies(chance), "second": policies(chance)})] + \
        [(name, {arg: one(chance) for arg, one in MOVES[name][1].items()}) for name in chosen]


class Game:
    """Two workspaces of a server and their models."""

    def __init__(self, server):
        self.server, self.quick = server, Quick(server)
        self.done = Counter()   # answers, of which operation and status
        self.noted = []
        nowhere = Document({}, Fresh("usr"), id=Fresh("doc", EARLIER))
        self.docs, self.urls, self.cursors = [nowhere], [], []
        self.linked = [Link(nowhere, ("deal", "x"), None, 0, Fresh("dlnk", "dlnk_" + "0" * 26))]
        self.docs_objects = [Docs(Owner("", ""), id=Fresh("docs", "docs_" + EARLIER[4:]))]
        self.sent, self.spaces, self.before = [], [], []

    def play(self, moves):
        try:
            for name, args in moves:
                getattr(self, name)(**args)
            self.compare_all()
        finally:
            self.quick.close()

    def begin(self, first, second):
        for i, policy in enumerate((first, second)):
            self.new_workspace(i, policy)

    def new_workspace(self, ws, policy):
        argv = [text for name, value in policy.items() if value is not None
                for text in ("--" + name.replace("_", "-"), value)]
        real = tell(self.server, "workspace", "create", "w", *argv)
        made = tell(self.server, "key", "create", "--workspace", real["id"], "--tier", "unmetered",
                    "--permissions", ",".join(PERMISSIONS))
        space = Workspace(policy["entities"], policy["bytes"] == "verify", policy["quota_bytes"],
                          policy["quota_documents"])
        space.docs_entity = "of-" + real["id"]
        tell(self.server, "docs-entity", "add", space.docs_entity, "--workspace", real["id"])
        space.keys.append(Key(Fresh("key", made["id"]), Fresh("secret", made["key"]),
                              list(PERMISSIONS)))
        self.spaces.append(space)
        self.before.append({line["id"] for line in self.lines(ws, 0)})
        for grants in GRANTS[1:]:
            self.at("make_key", ws, 0, body={"name": "k", "permissions": grants,
                                             "rate_limit_tier": "unmetered"})
        self.furnish(ws)

    def furnish(self, ws):
        """A document with bytes, a link and a download URL; a Docs object."""
        self.send(ws, PATHS[0], b"12345")
        self.create_plain(ws, PATHS[0], None)
        self.at("put_entity", ws, 0, place=("deal", "x"), body={"name": "X"})
        self.at("link", ws, 0, doc=self.docs[-1],
                body={"entity_type": "deal", "entity_id": "x", "role": "first"})
        self.at("get", ws, 0, doc=self.docs[-1], download="true")
        self.docs_create(ws, 0, "first", 0, {"type": "full", "owner": {"externalId": "e1"}})

    # ---- one operation ----

    def ask(self, api_key, method, target, headers=(), body=None):
        if api_key is not None:
            headers = {**dict(headers), "X-API-Key": api_key}
        return self.quick.ask(method, target, headers, body)

    def run(self, request):
        """Sends it, compares what comes back; the model's answer."""
        space = self.spaces[request.ws]
        method, target, headers, body = wire(request)
        expected = space.answer(request)
        api_key = None
        if OPS[request.op].permission is not None:
            api_key = space.keys[request.who].secret.value
        self.noted.append(f"ws {request.ws} key {request.who}: {method} {target} {headers} "
                          f"{body!r} -> {expected.status} {expected.code or ''}")
        actual = self.ask(api_key, method, target, headers, body)
        seen = request.op, actual.status_code
        self.done[seen] += 1
        try:
            if self.done[seen] % 16 == 1:   # much work, and what is documented changes little
                check_answer(self.server, method, actual.url, actual)
            if not space.request.accepts(actual.headers["X-Request-ID"]):
                raise Disagreement("no request id")
            match_answers(expected, actual)
        except AssertionError as difference:
            raise Disagreement(f"{difference}\nmodel: {expected}\nserver: {show(actual)}") from None
        return expected

    # ---- who and what ----

    def doc(self, n):
        """A document; 0 is the newest, the last of them all one that never was."""
        return self.docs[-1 - n % len(self.docs)]

    def home(self, thing, stray=0):
        """The workspace of a document or Docs object; or, seldom, the other."""
        found = next((i for i, space in enumerate(self.spaces)
                      if any(thing is one for one in (*space.documents, *space.docs))), 0)
        return 1 - found if stray == 9 else found

    def who(self, ws, n):
        """A key of a workspace: mostly one that may do all."""
        everyone = self.spaces[ws].keys
        if n < 10:
            return next((i for i, key in enumerate(everyone)
                         if not key.revoked and len(key.permissions) >= 10), 0)
        return (n * 7) % len(everyone)

    def on(self, op, n, stray, who, key=None, **args):
        """An operation on a document."""
        doc = self.doc(n)
        return self.at(op, self.home(doc, stray), who, key, doc=doc, **args)

    def at(self, op, ws, who, key=None, **args):
        """An operation in a workspace."""
        return self.keep(Request(op, ws, self.who(ws, who), args, key))

    def keep(self, request):
        """Runs it, and remembers what it has made and what may be sent again."""
        space = self.spaces[request.ws]
        documents = len(space.documents)
        answer = self.run(request)
        if request.key is not None:
            self.sent.append(request)
        self.docs += space.documents[documents:]
        new = answer.status < 300 and not answer.replayed
        if request.op == "link" and answer.status == 201 and new:
            self.linked.append(request.args["doc"].links[-1])
        if request.op == "ask" and new:
            self.urls.append((request.ws, answer.made))
        if request.op == "walk" and answer.made:
            self.cursors.append(answer.made)
        if request.op == "docs_create" and new:
            self.docs_objects.append(answer.made)
        if request.op == "get" and answer.status == 200 and answer.data.get("download_url"):
            request.args["doc"].url = answer.data["download_url"].value
        return answer

    # ---- documents ----

    def create(self, ws, who, body, key):
        self.at("create", ws, who, key, body=body)

    def create_plain(self, ws, path, size):
        self.at("create", ws, 0, body={"name": "n", "mime_type": "a/b", "storage_path": path,
                                       "size_bytes": size})

    def create_again(self, ws, n, who, path, key):
        """Nearly the same request, twice."""
        for size in (None, None if n else 5):
            self.at("create", ws, who, key, body={"name": "n", "mime_type": "a/b",
                                                  "storage_path": path, "size_bytes": size})

    def get(self, n, stray, who, download):
        self.on("get", n, stray, who, download=download)

    def patch(self, n, stray, who, key, body):
        self.on("patch", n, stray, who, key, body=body)

    def delete(self, n, stray, who, key, hard):
        self.on("delete", n, stray, who, key, hard=hard)

    def delete_in_use(self, n, hard, kept):
        self.on("refer", n, 0, 0, kind="template", ref="t")
        self.on("delete", n, 0, 0, hard=hard)
        if not kept:
            self.on("unrefer", n, 0, 0, kind="template", ref="t")

    def list(self, ws, who, page, query):
        self.at("list", ws, who, query={**query, **page})

    def walk(self, ws, who, n, sort, query):
        """A page by cursor: the first one, or what comes after a page seen before, anywhere."""
        after = self.cursors[-1 - n % len(self.cursors)] if self.cursors and n < 10 else None
        if after and n % 5:     # seldom in another order than its own
            sort = {"sort": after.sort}
        self.at("walk", ws, who, query={**query, **sort}, after=after)

    # ---- links, references, entities ----

    def link(self, n, stray, who, key, kind, entity, role):
        self.on("link", n, stray, who, key,
                body={"entity_type": kind, "entity_id": entity, "role": role})

    def link_plain(self, n, who, entity):
        self.on("link", n, 0, who, body={"entity_type": "deal", "entity_id": entity})

    def unlink(self, n, stray, who, key, crossed):
        link = self.linked[-1 - n % len(self.linked)]
        doc = self.doc(n) if crossed == 9 else link.document
        self.at("unlink", self.home(doc, stray), who, key, doc=doc, link=link)

    def parts(self, n, stray, who, op):
        self.on(op, n, stray, who)

    def reference(self, n, stray, who, key, op, kind, ref):
        self.on(op, n, stray, who, key, kind=kind, ref=ref)

    def put_entity(self, ws, who, key, place, body):
        self.at("put_entity", ws, who, key, place=place, body=body)

    def get_entity(self, ws, who, place):
        self.at("get_entity", ws, who, place=place)

    def delete_entity(self, ws, who, key, place):
        self.at("delete_entity", ws, who, key, place=place)

    def batch(self, ws, who, key, items):
        self.at("batch", ws, who, key, body={"entities": items})

    def entity_documents(self, ws, who, place, query, role):
        self.at("entity_documents", ws, who, plural=TYPES[place[0]], entity_id=place[1],
                query={**query, **role})

    # ---- bytes ----

    def upload_url(self, ws, who, key, body):
        self.at("ask", ws, who, key, body=body)

    def receive(self, n, content, key=None):
        if self.urls:
            ws, url = self.urls[-1 - n % len(self.urls)]
            self.at("receive", ws, 0, key, url=url, content=content)

    def send(self, ws, path, content, size=None):
        if self.at("ask", ws, 0, body={"storage_path": path, "size_bytes": size}).status == 201:
            self.receive(0, content)

    def download(self, n):
        if self.doc(n).url:
            self.on("download", n, 0, 0)

    def upload(self, ws, who, key, files):
        self.at("upload", ws, who, key, files=files)

    # ---- the docs dialect ----

    def entity_of(self, ws, strange):
        return self.spaces[1 - ws if strange == 9 else ws].docs_entity

    def docs_create(self, ws, who, key, strange, body):
        owner = body.get("owner")
        if owner and owner.get("id") == "first":    # one that the server has made up
            owner = {**owner, "id": self.spaces[ws].docs[0].owner.id.value}
            body = {**body, "owner": owner}
        self.at("docs_create", ws, who, key, body=body, entity=self.entity_of(ws, strange))

    def docs_on(self, op, n, stray, who, strange, way, **args):
        docs = self.docs_objects[-1 - n % len(self.docs_objects)]
        ws = self.home(docs, stray)
        self.at(op, ws, who, docs=docs, spelling=way, entity=self.entity_of(ws, strange), **args)

    def docs_get(self, n, stray, who, strange, way):
        self.docs_on("docs_get", n, stray, who, strange, way)

    def docs_patch(self, n, stray, who, strange, way, body):
        self.docs_on("docs_patch", n, stray, who, strange, way, body=body)

    def docs_list(self, ws, who, strange, external):
        self.at("docs_list", ws, who, query={"externalId": external},
                entity=self.entity_of(ws, strange))

    # ---- the rest ----

    def usage(self, ws, who):
        self.at("usage", ws, who)

    def make_key(self, ws, who, key, grants):
        self.at("make_key", ws, who, key, body={"name": "k", "permissions": grants,
                                                "rate_limit_tier": "unmetered"})

    def list_keys(self, ws, who, revoked):
        self.at("list_keys", ws, who, revoked=revoked)

    def revoke(self, ws, who, key, n, stray):
        everyone = self.spaces[1 - ws if stray == 9 else ws].keys
        self.at("revoke", ws, who, key, target=everyone[-1 - n % len(everyone)])

    def again(self, n, who, changed):
        """A request with an idempotency key once more, maybe from another key holder."""
        if self.sent:
            request = self.sent[-1 - n % len(self.sent)]
            if changed >= 7:
                request = otherwise(request)
            self.keep(request._replace(who=self.who(request.ws, who)))

    def restart(self):
        """A crash between two operations: nothing of what was answered may be lost."""
        self.noted.append("kill -9, start")
        self.server.kill()
        self.server.start()
        self.quick.close()
        self.done["restart", 0] += 1

    # ---- what holds after a game ----

    def compare_all(self):
        for ws, space in enumerate(self.spaces):
            who = next((i for i, key in enumerate(space.keys)
                        if not key.revoked and len(key.permissions) >= 10), None)
            if who is None:     # no key is left that may read it all
                continue
            self.totals(ws, who)
            self.trail(ws, who)

    def totals(self, ws, who):
        space = self.spaces[ws]
        for op, args in [("usage", {}), ("list", {"query": {"per_page": 100}}),
                         ("docs_list", {"query": {"externalId": "e1"},
                                        "entity": space.docs_entity})]:
            self.run(Request(op, ws, who, args))
        for doc in space.living():
            self.run(Request("get", ws, who, {"doc": doc, "download": "true"}))
            self.run(Request("links", ws, who, {"doc": doc}))
        for kind, name in {("deal", "x"), ("contact", "x"), *space.entities}:
            self.run(Request("entity_documents", ws, who, {
                "plural": TYPES[kind], "entity_id": name, "query": {"per_page": 100}}))

    def lines(self, ws, who):
        """The audit lines of a workspace, oldest first."""
        found, key = [], self.spaces[ws].keys[who].secret.value
        for page in itertools.count(1):
            answer = self.ask(key, "GET", f"/v1/audit-logs?per_page=200&page={page}")
            found += harness.data(answer)["logs"]
            if len(found) >= answer.json()["meta"]["total"]:
                return found[::-1]

    def trail(self, ws, who):
        """One line an effect: who, what, by which request. Dropped uploads are purged any time."""
        space = self.spaces[ws]
        lines = [line for line in self.lines(ws, who) if line["id"] not in self.before[ws]]
        dropped = [line["resource_id"] for line in lines
                   if (line["action"], line["resource_type"]) == ("purge", "uploads")]
        lines = [line for line in lines
                 if (line["action"], line["resource_type"]) != ("purge", "uploads")]
        match([[line.action, line.kind, line.resource, line.details, line.request]
               for line in space.lines],
              [[line["action"], line["resource_type"], line["resource_id"], line["details"],
                line["request_id"]] for line in lines], "audit")
        match([line.key for line in space.lines if line.key],
              [line["user"]["key_id"] for line, ours in zip(lines, space.lines) if ours.key],
              "audit keys")
        assert len(set(dropped)) == len(dropped)
        assert set(dropped) <= {upload.value for upload in space.dropped}


def otherwise(request):
    """Nearly the same request: another one to the server, whether it has a part in it or not."""
    args = dict(request.args)
    if request.op == "upload":
        args["files"] = [(name, {"a/b": "Text/Plain"}.get(kind, "a/b"), content)
                         for name, kind, content in args["files"]]
    elif request.op == "delete":
        args["hard"] = "" if args["hard"] else "?hard=true"
    elif request.op == "receive":
        args["content"] += b"!"
    elif isinstance(args.get("body"), dict):
        args["body"] = {**args["body"], "unknown": 1}
    else:
        return request._replace(ws=1 - request.ws)
    return request._replace(args=args)


def match_answers(expected, actual):
    code = code_of(actual)
    if (actual.status_code, code) in expected.also:
        return
    match([expected.status, expected.code], [actual.status_code, code], "answer")
    match(expected.replayed, actual.headers.get("Idempotent-Replayed") == "true", "replayed")
    if expected.bare:
        match(expected.data, actual.json())
    elif expected.status >= 400:
        details = actual.json()["error"].get("details", {})
        if expected.fields:
            match(sorted(expected.fields), sorted(details["fields"]), "fields")
        if expected.details:
            match(expected.details, details, "details")
    elif isinstance(expected.data, bytes) or expected.data is None:
        match(expected.data or b"", actual.content, "content")
    else:
        match(expected.data, actual.json()["data"])
        if expected.meta:
            match(expected.meta, actual.json()["meta"], "meta")


# ---- games ----

def failure_of(server, moves):
    """What goes wrong in a game, and its transcript; None when nothing does."""
    game = Game(server)
    try:
        game.play(moves)
    except Exception as error:  # whatever it is, it is not what the model says
        return error, game.noted
    return None


def shrink(server, moves, seconds=SHRINK_SECONDS):
    """Fewer moves that fail as well; as few as are found in time."""
    deadline, size = time.monotonic() + seconds, len(moves) // 2
    while size:
        i = 1   # the first move makes the workspaces
        while i < len(moves) and time.monotonic() < deadline:
            fewer = moves[:i] + moves[i + size:]
            if failure_of(server, fewer):
                moves = fewer
            else:
                i += size
        size //= 2
    return moves


class Campaign:
    """Games of consecutive seeds, until so many operations are done or the time is up."""

    def __init__(self, first, ops, seconds=None, out=sys.__stderr__):
        self.ops, self.out = ops, out
        self.until = None if seconds is None else time.monotonic() + seconds
        self.seeds, self.lock = itertools.count(first), threading.Lock()
        self.done, self.failed = Counter(), None

    def over(self):
        return self.failed or sum(self.done.values()) >= self.ops or \
            (self.until and time.monotonic() > self.until)

    def work(self, _worker=0):
        while not self.over():
            with memory_server() as server:
                for _ in range(GAMES_A_SERVER):
                    if self.over():
                        break
                    self.game(server)
                report = server.run("check")
                assert report["ok"] is True, report
                assert server.run("audit", "verify")["ok"] is True

    def game(self, server):
        with self.lock:
            seed = next(self.seeds)
        moves, game = draw(seed), Game(server)
        try:
            game.play(moves)
        except Exception as error:
            self.failed = seed
            self.explain(server, seed, moves, error)
        with self.lock:
            self.done.update(game.done)

    def explain(self, server, seed, moves, error):
        told = f"DOSSIER_MODEL_SEED={seed}: {type(error).__name__}: {error}\n"
        self.out.write("\n" + told)     # past pytest, before anything takes time or is cut short
        self.out.flush()
        if server.process.poll() is not None:
            raise AssertionError(told + "the server has ended\n" + server.log()[-4000:])
        moves = shrink(server, moves)
        last, noted = failure_of(server, moves) or (error, ["it did not fail again"])
        raise AssertionError(f"{told}in fewer moves: {last}\n" + "\n".join(noted) +
                             "\n" + server.log()[-1000:])


def operations(done):
    return {op for op, _ in done}


@pytest.mark.timeout(300)   # only shrinking what failed takes long
def test_model():
    campaign = Campaign(0, SHORT_OPS, SHORT_SECONDS)
    campaign.work()
    assert sum(campaign.done.values()) > 100


@pytest.mark.slow
@pytest.mark.timeout(120 + LONG_OPS // 20)
def test_model_at_length():
    first = int(LONG_SEED) if LONG_SEED else random.SystemRandom().randrange(2**32)
    campaign = Campaign(first, LONG_OPS)
    began = time.monotonic()
    at_once(WORKERS, campaign.work)
    done, seconds = campaign.done, time.monotonic() - began
    print(f"{sum(done.values())} operations in {seconds:.0f} s, seeds {first} to "
          f"{next(campaign.seeds) - 1}, {done['restart', 0]} restarts, 0 differences")
    if LONG_OPS >= 20000:
        assert operations(done) == {*OPS, "restart"}


def test_a_difference_is_told_and_shrunk(monkeypatch):
    """With a model that is wrong about PATCH the game fails, and that PATCH is what is left."""
    monkeypatch.setattr(Document, "touch", lambda self: self.members.update(name="wrong"))
    out = io.StringIO()
    with pytest.raises(AssertionError, match="expected 'wrong', got") as caught:
        Campaign(0, SHORT_OPS, out=out).work()
    told, left = str(caught.value).split("in fewer moves: ")
    assert told.startswith("DOSSIER_MODEL_SEED=") and told in out.getvalue()
    left = [line for line in left.splitlines() if line.startswith("ws ")]
    assert " PATCH " in left[-1] and not any(" PATCH " in line for line in left[:-1])
    assert len(left) < 30, left     # most of it makes the workspaces
