# SPDX-License-Identifier: Apache-2.0
"""
Mixed load with a ledger outside the server, for tests that end the server in the middle of it.

    world = World(server)                       # a workspace and eight clients
    world.load(lambda: time.sleep(1), server.kill)
    world.restart()
    world.verify()                              # what was acknowledged is so, and nothing else

What an answer acknowledged is entered before the next request is sent. So at a crash one request a
client is in doubt: it may have been done or not, but whole, and sent again with its idempotency key
it is done exactly once.
"""
import hashlib
import http.client
import json
import math
import random
import re
import threading
import time
import uuid
from collections import Counter, namedtuple
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

import requests

import engines
from harness import at_once, parse_output, run_binary, wait_for

CLIENTS = 8
PURGE_SECONDS = 1
LARGEST = 160_000       # some are small enough to share a sync, and some are not
MARK = re.compile(rb"MARK-[0-9a-f]{24}")
BOUNDARY = "7d1bd3a2c94e"
DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
BROKEN = (OSError, http.client.HTTPException)


def made_up(rng):
    """Bytes that begin with a mark of their own, by which a scan of the disk finds them."""
    size = rng.randrange(rng.choice((300, 5000, LARGEST)))
    return b"MARK-" + rng.randbytes(12).hex().encode() + rng.randbytes(size)


def mark(content):
    return content[:29]


def multipart(contents):
    head = "--%s\r\nContent-Disposition: form-data; name=\"files\"; filename=\"%d.bin\"\r\n\r\n"
    parts = [(head % (BOUNDARY, i)).encode() + content + b"\r\n"
             for i, content in enumerate(contents)]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def metric(server, name):
    """The value of a metric; `name` with its labels."""
    lines = requests.get(server.base_url + "/metrics", timeout=20).text.splitlines()
    return next(int(line.split()[-1]) for line in lines if line.startswith(name + " "))


def record_id(document_id):
    """The spelling of the lists, of an id in either spelling."""
    if document_id.startswith("doc_"):
        return document_id
    number = uuid.UUID(document_id).int
    return "doc_" + "".join(DIGITS[number >> shift & 31] for shift in range(125, -1, -5))


@dataclass
class Document:
    """What the answers so far have acknowledged of one document."""
    id: str
    content: bytes | None               # None: a record without bytes
    links: dict = field(default_factory=dict)   # link id -> entity id
    hard: bool = False                  # how it is being deleted

    @property
    def size(self):
        return None if self.content is None else len(self.content)


Deleted = namedtuple("Deleted", "id mark at hard")  # mark: None without bytes; at: of the 204


@dataclass
class Step:
    """One request, and what to enter into the ledger once it is acknowledged."""
    method: str
    path: str
    body: bytes
    headers: dict
    status: int
    enter: object
    subject: Document | None = None     # the document that it changes, when it changes one
    contents: tuple = ()                # the bytes that it brings


class Client:
    """Sends one request after the other, and keeps the ledger of them."""

    def __init__(self, number, key):
        self.rng = random.Random(number)
        self.number = number
        self.key = key
        self.living = {}        # id -> Document
        self.deleted = []
        self.touched = set()    # ids of living documents that are to be looked at
        self.unseen = 0         # from which of `deleted` on the same holds
        self.linked = 0         # links made, those of deleted documents included
        self.acknowledged = 0   # requests
        self.urls = []          # asked for, not yet used: (path, storage_path)
        self.received = []      # acknowledged bytes without a document: (storage_path, content)
        self.doubt = None       # the step whose answer has not come
        self.strays = set()     # marks of bytes that a crash may have left without a row
        self.halves = 0         # answers that broke off
        self.count = 0
        self.hard_share = 0.5   # of the deletes
        self.interval = 0       # seconds from one step to the next, when the server keeps up
        self.connection = None

    # ---- the wire ----

    def connect(self, server):
        self.connection = http.client.HTTPConnection(*server.address, timeout=20)

    def call(self, method, path, body=b"", headers=()):
        self.connection.request(method, path, body,
                                {"X-API-Key": self.key, "Content-Length": str(len(body)),
                                 **dict(headers)})
        answer = self.connection.getresponse()
        try:
            return answer.status, answer.read()
        except BROKEN:
            self.halves += 1
            raise

    def read(self, path, expect=200):
        status, body = self.call("GET", path)
        assert status == expect, (path, status, body[:300])
        return json.loads(body)["data"] if status == 200 else None

    def take(self, step):
        """Sends a step; once it is acknowledged it stands in the ledger."""
        self.doubt = step
        status, body = self.call(step.method, step.path, step.body, step.headers)
        assert status == step.status, (step.method, step.path, status, body[:300])
        step.enter(json.loads(body) if body else None)
        self.doubt = None
        self.acknowledged += 1

    def load(self, stop):
        """Steps until the server is gone or the load has lasted long enough."""
        due = time.monotonic()
        try:
            while not stop.is_set():
                self.take(self.next_step())
                due = max(due + self.interval, time.monotonic() - self.interval)
                if due > time.monotonic():
                    stop.wait(due - time.monotonic())
        except BROKEN:
            pass

    # ---- the steps ----

    def step(self, method, path, body, status, enter, subject=None, headers=(), contents=()):
        self.count += 1
        key = f"{self.number}-{self.count}-{self.rng.randbytes(6).hex()}"
        if isinstance(body, dict):
            body = json.dumps(body).encode()
        return Step(method, path, body, {"Idempotency-Key": key, **dict(headers)}, status, enter,
                    subject, tuple(contents))

    def next_step(self):
        choices = [self.create, self.upload, self.ask]
        if self.living:
            choices += [self.link, self.link]
            choices += [self.delete] * (1 + len(self.living) // 25)  # so that it levels off
        if self.urls:
            choices += [self.put] * 3
        if self.received:
            choices += [self.register] * 3
        return self.rng.choice(choices)()

    def record(self, path):
        return {"name": "a.bin", "mime_type": "application/octet-stream", "storage_path": path}

    def create(self):
        def enter(answer):
            self.add(Document(answer["data"]["id"], None))

        path = f"records/{self.number}/{self.count}"
        return self.step("POST", "/v1/documents", self.record(path), 201, enter)

    def link(self):
        document = self.any_living()
        entity = f"e{self.count}"

        def enter(answer):
            self.linked += 1
            document.links[answer["data"]["link_id"]] = entity

        return self.step("POST", f"/v1/documents/{document.id}/link",
                         {"entity_type": "deal", "entity_id": entity}, 201, enter, document)

    def ask(self):
        def enter(answer):
            made = answer["data"]
            self.urls.append((urlsplit(made["upload_url"]).path, made["storage_path"]))

        return self.step("POST", "/v1/documents/upload-url", {}, 201, enter)

    def put(self):
        url, path = self.urls[0]
        content = made_up(self.rng)

        def enter(answer):
            assert answer["data"]["sha256"] == hashlib.sha256(content).hexdigest()
            self.urls.pop(0)
            self.received.append((path, content))

        return self.step("PUT", url, content, 200, enter, contents=[content])

    def register(self):
        path, content = self.received[0]

        def enter(answer):
            assert answer["data"]["size_bytes"] == len(content)
            self.received.pop(0)
            self.add(Document(answer["data"]["id"], content))

        return self.step("POST", "/v1/documents", self.record(path), 201, enter)

    def upload(self):
        contents = [made_up(self.rng) for _ in range(self.rng.randrange(1, 4))]

        def enter(answer):
            assert len(answer) == len(contents)
            for pair in zip(answer, contents):
                self.add(Document(*pair))

        return self.step("POST", "/api/v1/upload", multipart(contents), 200, enter,
                         contents=contents, headers=FORM)

    def delete(self):
        document = self.any_living()
        document.hard = self.rng.random() < self.hard_share

        def enter(_answer):
            del self.living[document.id]
            self.deleted.append(Deleted(document.id, document.content and mark(document.content),
                                        time.time(), document.hard))

        query = "?hard=true" if document.hard else ""
        return self.step("DELETE", f"/v1/documents/{document.id}{query}", b"", 204, enter, document)

    def any_living(self):
        """One that exists; it is touched."""
        document = self.living[self.rng.choice(list(self.living))]
        self.touched.add(document.id)
        return document

    def add(self, document):
        self.living[document.id] = document
        self.touched.add(document.id)

    # ---- after the restart ----

    def verify(self, sample=None):
        """Looks at what was touched since the last time, and at `sample` others of the living and
        of the deleted; without it at all."""
        deleted = self.deleted[self.unseen:]
        if sample is None:
            living, deleted = list(self.living), self.deleted
        else:
            living = self.touched & set(self.living)
            living.update(self.rng.sample(list(self.living), min(sample, len(self.living))))
            deleted += self.rng.sample(self.deleted, min(sample, len(self.deleted)))
        for name in living:
            self.verify_living(self.living[name])
        for document in deleted:
            self.read(f"/v1/documents/{document.id}", expect=404)
        self.touched.clear()
        self.unseen = len(self.deleted)

    def verify_living(self, document):
        doubt = self.doubt if self.doubt and self.doubt.subject is document else None
        status, body = self.call("GET", f"/v1/documents/{document.id}")
        if doubt and doubt.method == "DELETE" and status == 404:
            return
        assert status == 200, (document.id, status, body[:300])
        links = {link["link_id"]: link["entity_id"]
                 for link in self.read(f"/v1/documents/{document.id}/links")["links"]}
        more = set(links) - set(document.links)
        assert len(more) <= (1 if doubt and doubt.method == "POST" else 0), "an extra link"
        assert {name: links.get(name) for name in document.links} == document.links
        found = json.loads(body)["data"]
        assert found["size_bytes"] == document.size
        if document.content is None:
            assert found["download_url"] is None
            return
        status, body = self.call("GET", urlsplit(found["download_url"]).path)
        assert status == 200 and body == document.content, (document.id, status, len(body))

    def retry(self):
        """What is in doubt, sent again with its key, is acknowledged; and a third time, too."""
        step = self.doubt
        if step is None:
            return
        self.strays.update(map(mark, step.contents))
        self.take(step)
        status, _ = self.call(step.method, step.path, step.body, step.headers)
        assert status == step.status


class World:
    """One server, one workspace, eight clients, and what must hold between them."""

    def __init__(self, server, kind=Client):
        self.server = server
        self.workspace = server.workspace(entities="open")
        key = self.workspace.key()
        self.clients = [kind(i, key) for i in range(CLIENTS)]
        self.doubts = 0     # requests that an end of the server left without an answer

    def load(self, wait, end):
        """Mixed load, `end` in the middle of it, after wait(); what `end` returned."""
        stop = threading.Event()
        for client in self.clients:
            client.connect(self.server)
        threads = [threading.Thread(target=client.load, args=[stop]) for client in self.clients]
        for thread in threads:
            thread.start()
        wait()
        result = end()
        stop.set()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive(), "a client got no answer and no end"
        self.doubts += sum(client.doubt is not None for client in self.clients)
        return result

    # ---- sums over the clients ----

    def acknowledged(self):
        return sum(client.acknowledged for client in self.clients)

    def living(self):
        return [d for client in self.clients for d in client.living.values()]

    def deleted(self):
        return [d for client in self.clients for d in client.deleted]

    def objects(self):
        return [content for client in self.clients for _, content in client.received]

    # ---- bytes on the disk ----

    def marks_on_disk(self):
        return {mark for content in self.server.place.contents() for mark in MARK.findall(content)}

    def marks_due(self, now):
        """Of acknowledged deletes whose bytes must be gone at this time. Not of bytes that were
        in doubt once: the copy of the run that a crash ended goes with the sweep of orphans."""
        due = {d.mark for d in self.deleted()
               if d.mark and (d.hard or d.at + PURGE_SECONDS <= now)}
        return due.difference(*(client.strays for client in self.clients))

    def verify_at_rest(self):
        """Before the restart: the bytes of hard deletes were gone before the 204."""
        left = self.marks_due(0) & self.marks_on_disk()
        assert not left, "bytes of an acknowledged hard delete are there"

    def restart(self, scan=True):
        before = time.time()
        self.server.start()
        left = scan and self.marks_due(before) & self.marks_on_disk()
        assert not left, "due bytes are there after readiness"

    # ---- what the server says ----

    def verify(self, sample=None, full=True):
        """After a restart. Samples as Client.verify(). `full`: waits for the sweep of what a crash
        left, then reads every row and byte, the audit trail, and the disk."""
        for client in self.clients:
            client.connect(self.server)
        at_once(CLIENTS, lambda i: self.clients[i].verify(sample))
        if full:
            self.await_sweep()
            in_flight = self.check()["in_flight"]
            # elsewhere, bytes without a row may be another node's until they are old
            assert in_flight == 0 or not engines.EMBEDDED
        at_once(CLIENTS, lambda i: self.clients[i].retry())
        self.verify_list()
        if full and engines.EMBEDDED:
            for client in self.clients:
                client.strays.clear()   # the sweep is behind them
            self.verify_effects()
            wait_for(lambda: not self.marks_due(time.time() - 5) & self.marks_on_disk(), 60)

    def await_sweep(self):
        """Until the sweep of this start is through, which begins two seconds after it."""
        wait_for(lambda: metric(self.server, 'dossier_job_last_run_seconds{job="sweep"}'), 60)

    def check(self, *options):
        done = run_binary("check", "--data", self.server.data_dir, *options, seconds=300)
        report = parse_output(done.stdout)
        assert done.returncode == 0 and report["ok"] is True, done.stdout + done.stderr
        assert self.server.run("audit", "verify")["ok"] is True
        return report

    def listed(self):
        """(id, size) of every document, by the pages of the list."""
        found, cursor = [], ""
        while cursor is not None:
            status, body = self.clients[0].call(
                "GET", f"/v1/documents?per_page=100&cursor={quote(cursor)}")
            assert status == 200, body[:300]
            page = json.loads(body)
            found += [(d["id"], d["size_bytes"]) for d in page["data"]["documents"]]
            cursor = page["meta"]["next_cursor"]
        return found

    def verify_list(self):
        """With nothing in doubt the list is the ledger: none lost, doubled, or back."""
        wanted = Counter((record_id(d.id), d.size) for d in self.living())
        found = Counter(self.listed())
        assert found == wanted, {"lost": wanted - found, "too many": found - wanted}
        sizes = [d.size for d in self.living() if d.content]
        usage = self.clients[0].read("/v1/usage")
        assert usage["documents"] == sum(wanted.values())
        assert usage["bytes"] == sum(sizes) + sum(map(len, self.objects()))

    def verify_effects(self):
        """Every effect happened exactly once: the audit trail says so."""
        assert self.effects() == Counter(
            {"create": sum(len(c.living) + len(c.deleted) for c in self.clients),
             "link": sum(c.linked for c in self.clients), "delete": len(self.deleted())})

    def effects(self):
        counts = Counter()
        for action in ("create", "link", "delete"):
            page = f"/v1/audit-logs?resource_type=documents&action={action}&per_page=1"
            status, body = self.clients[0].call("GET", page)
            assert status == 200, body[:300]
            counts[action] = json.loads(body)["meta"]["total"]
        return counts

    def verify_repair(self):
        """Instead of a restart: what a crash left without a row is removed, and nothing else is."""
        assert self.server.place.blobs(), "the bytes are not where this test looks for them"
        self.server.place.age_blobs()
        # what is in a bucket cannot be made older: for a minute it counts as under way
        wait_for(lambda: self.check("--repair", "--orphan-age", "0s")["in_flight"] == 0, 120, 5)
        for client in self.clients:
            client.strays.clear()
        self.server.start()
        self.verify()
        wait_for(lambda: not self.marks_due(math.inf) & self.marks_on_disk(), 60)
        wanted = sum(d.content is not None for d in self.living()) + len(self.objects())
        assert self.check()["blobs"] == wanted == len(self.server.place.blobs())
