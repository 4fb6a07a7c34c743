# SPDX-License-Identifier: Apache-2.0
"""
Random operations against the server and against model.py, which must agree on every answer.

DOSSIER_MODEL_OPS   operations of the long run (20,000)
DOSSIER_MODEL_SEED  its seed; random, and shown on failure, when not set
"""
import os
import random
import time
from collections import Counter

import pytest
from hypothesis import HealthCheck, Verbosity, note, seed, settings, strategies as st
from hypothesis.stateful import (RuleBasedStateMachine, initialize, rule,
                                 run_state_machine_as_test)

import harness
from harness import PERMISSIONS, code_of, data, show
from model import (OPS, TYPES, Disagreement, Document, Fresh, Key, Link, Request, Workspace,
                   match, wire)
from test_d_documents import EARLIER

STEPS = 60
SHORT_RUNS = 50
SHORT_SECONDS = 15      # then the everyday run begins no further one
LONG_OPS = int(os.environ.get("DOSSIER_MODEL_OPS", "20000"))
LONG_SEED = os.environ.get("DOSSIER_MODEL_SEED")

GRANTS = [list(PERMISSIONS), [p for p in PERMISSIONS if p != "admin:api_keys"],
          ["read:documents", "read:entities"], ["write:documents"], ["admin:documents"],
          ["write:entities", "admin:api_keys"]]
PATHS = ["a.pdf", "b/b.pdf", "c"]
DONE = Counter()    # operations, of which kind

# ---- what is drawn: small pools, so that operations meet ----

pick = st.integers(0, 15)
hit = st.integers(0, 9)
keys = st.sampled_from([None] * 5 + [f"k{i}" for i in range(9)])
entity_types = st.sampled_from(["deal", "contact", "deal", "person"])
places = st.tuples(st.sampled_from(["deal", "contact"]), st.sampled_from(["x", "y", "z"]))
members = {
    "name": st.sampled_from(["a", "b.pdf", "\u00dc c", ""]),
    "mime_type": st.sampled_from(["a/b", "Text/Plain", "application/pdf", "none"]),
    "description": st.sampled_from([None, "", "about A", "B"]),
    "folder": st.sampled_from([None, "/f", "/f/g/", "/ff", "f"]),
    "tags": st.sampled_from([None, [], ["t"], ["u", "t", "u"], [""]]),
}
sizes = st.sampled_from([None, 0, 1, 5, 60, 90, -1])
contents = st.sampled_from([b"", b"1", b"12345", b"x" * 60, b"y" * 90])
creation = st.fixed_dictionaries(
    {"name": members["name"], "mime_type": members["mime_type"],
     "storage_path": st.sampled_from(PATHS + ["/bad"])},
    optional={"size_bytes": sizes, **{m: members[m] for m in ("description", "folder", "tags")}})
policies = st.fixed_dictionaries({
    "entities": st.sampled_from(["registered", "open"]),
    "bytes": st.sampled_from(["trust", "trust", "verify"]),
    "quota_bytes": st.sampled_from([None, 100]), "quota_documents": st.sampled_from([None, 2])})
pages = st.sampled_from([{}, {}, {"per_page": 2}, {"page": 2, "per_page": 1}])


class Machine(RuleBasedStateMachine):
    server = None   # of the test that runs it
    until = None    # no further operations after this moment

    @initialize(first=policies, second=policies)
    def begin(self, first, second):
        self.stopped = self.until is not None and time.monotonic() > self.until
        if self.stopped:
            return
        self.spaces, self.apis, self.before = [], [], []
        self.noted = False      # what comes now is the same in every run
        nowhere = Document({}, Fresh("usr"), id=Fresh("doc", EARLIER))
        self.docs, self.urls = [nowhere], []
        self.linked = [Link(nowhere, ("deal", "x"), None, 0, Fresh("dlnk", "dlnk_" + "0" * 26))]
        self.sent = []
        for policy in (first, second):
            self.new_workspace(policy)
        self.noted = True

    def new_workspace(self, policy):
        real = self.server.workspace(**{k: v for k, v in policy.items() if v is not None})
        space = Workspace(policy["entities"], policy["bytes"] == "verify", policy["quota_bytes"],
                          policy["quota_documents"])
        made = real.new_key()
        space.keys.append(Key(Fresh("key", made["id"]), Fresh("secret", made["key"]),
                              list(PERMISSIONS)))
        self.spaces.append(space)
        self.apis.append([harness.Api(self.server, made["key"])])
        self.before.append({line["id"] for line in self.apis[-1][0].audit()})
        for grants in GRANTS[1:]:
            self.ask("make_key", len(self.spaces) - 1, 0, body={
                "name": "k", "permissions": grants, "rate_limit_tier": "unmetered"})
        self.furnish(len(self.spaces) - 1)

    def furnish(self, ws):
        """A document with bytes, a link and a download URL."""
        self.upload(ws, PATHS[0], b"12345")
        self.create_plain(ws, PATHS[0], None)
        self.at("put_entity", ws, 0, place=("deal", "x"), body={"name": "X"})
        self.at("link", ws, 0, doc=self.docs[-1],
                body={"entity_type": "deal", "entity_id": "x", "role": "first"})
        self.at("get", ws, 0, doc=self.docs[-1], download="true")

    # ---- one operation ----

    def ask(self, op, ws, who, key=None, **args):
        return self.run(Request(op, ws, who, args, key))

    def run(self, request):
        """Sends it, compares what comes back; the model's answer."""
        space = self.spaces[request.ws]
        method, target, body = wire(request)
        expected = space.answer(request)
        headers = {} if request.key is None else {"Idempotency-Key": request.key}
        if body is not None and request.op != "receive":
            headers["Content-Type"] = "application/json"
        api = self.apis[request.ws][request.who]
        if OPS[request.op].permission is None:
            api = self.server.api()
        if self.noted:
            note(f"ws {request.ws} key {request.who}: {method} {target} {body!r} "
                 f"{headers} -> {expected.status} {expected.code or ''}")
        DONE[request.op] += 1
        try:
            actual = api.request(method, target, data=body, headers=headers)
            space.request.accepts(actual.headers["X-Request-ID"])
            self.compare(expected, actual)
        except AssertionError:
            self.stopped, type(self).until = True, None     # the end; shrinking takes its time
            raise
        for key in space.keys[len(self.apis[request.ws]):]:
            self.apis[request.ws].append(harness.Api(self.server, key.secret.value))
        return expected

    @staticmethod
    def compare(expected, actual):
        try:
            Machine.match_answers(expected, actual)
        except Disagreement as difference:
            raise Disagreement(f"{difference}\nmodel: {expected}\nserver: {show(actual)}") \
                from None

    @staticmethod
    def match_answers(expected, actual):
        if (actual.status_code, code_of(actual)) in expected.also:
            return
        match([expected.status, expected.code], [actual.status_code, code_of(actual)], "answer")
        match(expected.replayed, actual.headers.get("Idempotent-Replayed") == "true", "replayed")
        if expected.status >= 400:
            details = actual.json()["error"].get("details", {})
            if expected.fields:
                match(sorted(expected.fields), sorted(details["fields"]), "fields")
            if expected.details:
                shown = sorted(details["references"], key=lambda one: (one["type"], one["id"]))
                match(expected.details["references"], shown, "references")
        elif isinstance(expected.data, bytes):
            match(expected.data, actual.content, "content")
        elif expected.data is None:
            match(b"", actual.content, "content")
        else:
            match(expected.data, actual.json()["data"])
            if expected.meta:
                match(expected.meta, actual.json()["meta"], "meta")

    # ---- who and what ----

    def doc(self, n):
        """A document; 0 is the newest, the last of them all one that never was."""
        return self.docs[-1 - n % len(self.docs)]

    def home(self, doc, stray=0):
        """The workspace of a document; or, seldom, the other."""
        found = next((i for i, space in enumerate(self.spaces)
                      if any(doc is one for one in space.documents)), 0)
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
        if self.stopped:
            return None
        doc = self.doc(n)
        ws = self.home(doc, stray)
        request = Request(op, ws, self.who(ws, who), {"doc": doc, **args}, key)
        return self.keep(request)

    def at(self, op, ws, who, key=None, **args):
        """An operation in a workspace."""
        if self.stopped:
            return None
        return self.keep(Request(op, ws, self.who(ws, who), args, key))

    def keep(self, request):
        """Runs it, and remembers what it has made and what may be sent again."""
        space = self.spaces[request.ws]
        documents = len(space.documents)
        answer = self.run(request)
        if request.key is not None:
            self.sent.append(request)
        self.docs += space.documents[documents:]
        if request.op == "link" and answer.status == 201 and not answer.replayed:
            self.linked.append(request.args["doc"].links[-1])
        if request.op == "ask" and answer.status == 201 and not answer.replayed:
            self.urls.append((request.ws, answer.made))
        if request.op == "get" and answer.status == 200 and answer.data.get("download_url"):
            request.args["doc"].url = answer.data["download_url"].value
        return answer

    # ---- documents ----

    @rule(ws=st.integers(0, 1), who=pick, body=creation, key=keys)
    def create(self, ws, who, body, key):
        self.at("create", ws, who, key, body=body)

    @rule(ws=st.integers(0, 1), path=st.sampled_from(PATHS), size=st.sampled_from([None, 5]))
    def create_plain(self, ws, path, size):
        self.at("create", ws, 0, body={"name": "n", "mime_type": "a/b", "storage_path": path,
                                       "size_bytes": size})

    @rule(n=pick, stray=hit, who=pick, download=st.sampled_from(["true", "true", "false"]))
    def get(self, n, stray, who, download):
        self.on("get", n, stray, who, download=download)

    @rule(n=pick, stray=hit, who=pick, key=keys,
          body=st.fixed_dictionaries({}, optional={
              **members, "name": st.sampled_from(["a", "new", None])}))
    def patch(self, n, stray, who, key, body):
        self.on("patch", n, stray, who, key, body=body)

    @rule(n=pick, stray=hit, who=pick, key=keys,
          hard=st.sampled_from(["", "", "?hard=true", "?hard=true"]))
    def delete(self, n, stray, who, key, hard):
        self.on("delete", n, stray, who, key, hard=hard)

    @rule(ws=st.integers(0, 1), who=pick, page=pages, query=st.fixed_dictionaries({}, optional={
        "folder": st.sampled_from(["/f", "/f/g"]), "tag": st.sampled_from(["t", "u"]),
        "search": st.sampled_from(["A", "\u00fc", "about"]),
        "mime_type": st.just("a/b")}))
    def list(self, ws, who, page, query):
        self.at("list", ws, who, query={**query, **page})

    # ---- links, references, entities ----

    @rule(n=pick, stray=hit, who=pick, key=keys, kind=entity_types,
          entity=st.sampled_from(["x", "y", "x y"]), role=st.sampled_from([None, "r", "s"]))
    def link(self, n, stray, who, key, kind, entity, role):
        self.on("link", n, stray, who, key,
                body={"entity_type": kind, "entity_id": entity, "role": role})

    @rule(n=pick, who=pick, entity=st.sampled_from(["x", "y"]))
    def link_plain(self, n, who, entity):
        self.on("link", n, 0, who, body={"entity_type": "deal", "entity_id": entity})

    @rule(n=pick, stray=hit, who=pick, key=keys, crossed=hit)
    def unlink(self, n, stray, who, key, crossed):
        if self.stopped:
            return
        link = self.linked[-1 - n % len(self.linked)]
        doc = self.doc(n) if crossed == 9 else link.document
        ws = self.home(doc, stray)
        self.keep(Request("unlink", ws, self.who(ws, who), {"doc": doc, "link": link}, key))

    @rule(n=pick, stray=hit, who=pick, op=st.sampled_from(["links", "references"]))
    def parts(self, n, stray, who, op):
        self.on(op, n, stray, who)

    @rule(n=pick, stray=hit, who=pick, key=keys, op=st.sampled_from(["refer", "unrefer"]),
          kind=st.sampled_from(["workflow", "template"]), ref=st.sampled_from(["w1", "w2"]))
    def reference(self, n, stray, who, key, op, kind, ref):
        self.on(op, n, stray, who, key, kind=kind, ref=ref)

    @rule(n=pick, hard=st.sampled_from(["", "?hard=true"]), kept=st.booleans())
    def delete_in_use(self, n, hard, kept):
        self.on("refer", n, 0, 0, kind="template", ref="t")
        self.on("delete", n, 0, 0, hard=hard)
        if not kept:
            self.on("unrefer", n, 0, 0, kind="template", ref="t")

    @rule(ws=st.integers(0, 1), who=pick, key=keys, place=places,
          body=st.sampled_from([{}, {"name": "N"}, {"name": None}, {"name": ""}]))
    def put_entity(self, ws, who, key, place, body):
        self.at("put_entity", ws, who, key, place=place, body=body)

    @rule(ws=st.integers(0, 1), who=pick, place=places)
    def get_entity(self, ws, who, place):
        self.at("get_entity", ws, who, place=place)

    @rule(ws=st.integers(0, 1), who=pick, key=keys, place=places)
    def delete_entity(self, ws, who, key, place):
        self.at("delete_entity", ws, who, key, place=place)

    @rule(ws=st.integers(0, 1), who=pick, key=keys, items=st.lists(st.fixed_dictionaries(
        {"entity_type": entity_types, "entity_id": st.sampled_from(["x", "y", "z"])},
        optional={"name": st.sampled_from([None, "M"])}), min_size=1, max_size=3))
    def batch(self, ws, who, key, items):
        self.at("batch", ws, who, key, body={"entities": items})

    @rule(ws=st.integers(0, 1), who=pick, place=places, query=pages,
          role=st.sampled_from([{}, {"role": "r"}]))
    def entity_documents(self, ws, who, place, query, role):
        self.at("entity_documents", ws, who, plural=TYPES[place[0]], entity_id=place[1],
                query={**query, **role})

    # ---- bytes ----

    @rule(ws=st.integers(0, 1), who=pick, key=keys, body=st.fixed_dictionaries({}, optional={
        "storage_path": st.sampled_from(PATHS), "size_bytes": st.sampled_from([None, 5, 60])}))
    def upload_url(self, ws, who, key, body):
        self.at("ask", ws, who, key, body=body)

    @rule(n=st.integers(0, 3), content=contents)
    def receive(self, n, content):
        if self.stopped or not self.urls:
            return
        ws, url = self.urls[-1 - n % len(self.urls)]
        self.keep(Request("receive", ws, 0, {"url": url, "content": content}))

    @rule(ws=st.integers(0, 1), path=st.sampled_from(PATHS), content=contents,
          size=st.sampled_from([None, 5, 60]))
    def upload(self, ws, path, content, size=None):
        if self.stopped:
            return
        asked = self.at("ask", ws, 0, body={"storage_path": path, "size_bytes": size})
        if asked.status == 201:
            self.keep(Request("receive", ws, 0, {"url": self.urls[-1][1], "content": content}))

    @rule(n=pick)
    def download(self, n):
        if not self.stopped and self.doc(n).url:
            self.on("download", n, 0, 0)

    # ---- the rest ----

    @rule(ws=st.integers(0, 1), who=pick)
    def usage(self, ws, who):
        self.at("usage", ws, who)

    @rule(ws=st.integers(0, 1), who=pick, key=keys, grants=st.sampled_from(GRANTS))
    def make_key(self, ws, who, key, grants):
        self.at("make_key", ws, who, key, body={"name": "k", "permissions": grants,
                                                "rate_limit_tier": "unmetered"})

    @rule(ws=st.integers(0, 1), who=pick, revoked=st.sampled_from(["true", "false"]))
    def list_keys(self, ws, who, revoked):
        self.at("list_keys", ws, who, revoked=revoked)

    @rule(ws=st.integers(0, 1), who=pick, key=keys, n=pick, stray=hit)
    def revoke(self, ws, who, key, n, stray):
        if not self.stopped:
            everyone = self.spaces[1 - ws if stray == 9 else ws].keys
            self.at("revoke", ws, who, key, target=everyone[-1 - n % len(everyone)])

    @rule(n=pick, who=pick, path=st.sampled_from(PATHS), key=st.sampled_from(["r1", "r2"]))
    def create_again(self, n, who, path, key):
        """Nearly the same request, twice."""
        for size in (None, None if n else 5):
            self.at("create", n % 2, who, key, body={"name": "n", "mime_type": "a/b",
                                                     "storage_path": path, "size_bytes": size})

    @rule(n=pick, who=pick)
    def again(self, n, who):
        """A request with an idempotency key once more, maybe from another key holder."""
        if not self.stopped and self.sent:
            request = self.sent[-1 - n % len(self.sent)]
            self.keep(request._replace(who=self.who(request.ws, who)))

    # ---- what holds after a run ----

    def teardown(self):
        if getattr(self, "stopped", True):
            return
        for ws, space in enumerate(self.spaces):
            if any("read:audit_logs" in key.permissions for key in space.keys_in_force()):
                who = next(i for i, key in enumerate(space.keys)
                           if not key.revoked and "read:audit_logs" in key.permissions)
                self.totals(ws, who)
        report = self.server.run("check")
        assert report["ok"] is True, report

    def totals(self, ws, who):
        space = self.spaces[ws]
        self.ask("usage", ws, who)
        self.ask("list", ws, who, query={"per_page": 100})
        for doc in space.living():
            self.ask("get", ws, who, doc=doc, download="true")
            self.ask("links", ws, who, doc=doc)
        for kind, plural in TYPES.items():
            for place in {("deal", "x"), ("contact", "x"), *space.entities}:
                if place[0] == kind:
                    self.ask("entity_documents", ws, who, plural=plural, entity_id=place[1],
                             query={"per_page": 100})
        self.trail(space, self.apis[ws][who], self.before[ws])

    @staticmethod
    def trail(space, api, before):
        """One line an effect: who, what, by which request. Dropped uploads are purged any time."""
        found, page = [], 1
        while page == 1 or len(found) % 200 == 0:
            found += data(api.get(f"/v1/audit-logs?per_page=200&page={page}"))["logs"]
            page += 1
        lines = [line for line in reversed(found) if line["id"] not in before]
        purged = [line["resource_id"] for line in lines
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
        assert len(set(purged)) == len(purged)
        assert set(purged) <= {upload.value for upload in space.dropped}


def run(server, examples, seconds=None, chosen=None):
    """Runs `examples` of STEPS each; how many operations were done."""
    class Run(Machine):
        pass

    Run.server = server
    Run.until = None if seconds is None else time.monotonic() + seconds
    before = DONE.total()
    run_state_machine_as_test(
        Run if chosen is None else seed(chosen)(Run),
        settings=settings(max_examples=examples, stateful_step_count=STEPS, deadline=None,
                          database=None, derandomize=chosen is None, print_blob=False,
                          verbosity=Verbosity.normal, suppress_health_check=list(HealthCheck)))
    return DONE.total() - before


@pytest.mark.timeout(900)   # only shrinking what failed takes long
def test_model(server):
    done = run(server, SHORT_RUNS, SHORT_SECONDS)
    assert done > 100
    assert server.run("audit", "verify") is not None


@pytest.mark.slow
@pytest.mark.skipif("DOSSIER_MODEL_OPS" not in os.environ,
                    reason="a campaign of minutes: set DOSSIER_MODEL_OPS, and -m slow")
@pytest.mark.timeout(1800)
def test_model_at_length(server):
    chosen = int(LONG_SEED) if LONG_SEED else random.SystemRandom().randrange(2**32)
    done = 0
    while done < LONG_OPS:
        print(f"DOSSIER_MODEL_SEED={chosen}")   # shown when it fails
        examples = max(1, (LONG_OPS - done) // STEPS)
        done += run(server, examples, chosen=chosen)
        chosen += 1
    assert set(DONE) == set(OPS)
