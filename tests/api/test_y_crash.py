# SPDX-License-Identifier: Apache-2.0
"""
kill -9 in the middle of mixed load: what was acknowledged is so after the restart.

Each of eight clients keeps a ledger outside the server: what an answer acknowledged is entered
before the next request is sent. So at a crash one request a client is in doubt: it may have been
done or not, but whole, and sent again with its idempotency key it is done exactly once.

DOSSIER_KILLS: how often the slow test kills (20).
"""
import hashlib
import http.client
import json
import os
import random
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest

from harness import at_once, run_binary, parse_output, wait_for

KILLS = int(os.environ.get("DOSSIER_KILLS", "20"))
CLIENTS = 8
PURGE_SECONDS = 1
LARGEST = 60000
MARK = re.compile(rb"MARK-[0-9a-f]{24}")
BOUNDARY = "7d1bd3a2c94e"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
BROKEN = (OSError, http.client.HTTPException)


def made_up(rng):
    """Bytes that begin with a mark of their own, by which a scan of the disk finds them."""
    return b"MARK-" + rng.randbytes(12).hex().encode() + rng.randbytes(rng.randrange(LARGEST))


def mark(content):
    return content[:29]


def multipart(contents):
    head = "--%s\r\nContent-Disposition: form-data; name=\"files\"; filename=\"%d.bin\"\r\n\r\n"
    parts = [(head % (BOUNDARY, i)).encode() + content + b"\r\n"
             for i, content in enumerate(contents)]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


@dataclass
class Document:
    """What the answers so far have acknowledged of one document."""
    id: str
    content: bytes | None               # None: a record without bytes
    links: dict = field(default_factory=dict)   # link id -> entity id
    deleted_at: float | None = None     # when the 204 came
    hard: bool = False


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
        self.documents = []
        self.urls = []          # asked for, not yet used: (path, storage_path)
        self.received = []      # acknowledged bytes without a document: (storage_path, content)
        self.doubt = None       # the step whose answer has not come
        self.strays = set()     # marks of bytes that a crash may have left without a row
        self.halves = 0         # answers that broke off
        self.count = 0
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

    def load(self, stop):
        """Steps until the server is gone or the load has lasted long enough."""
        try:
            while not stop.is_set():
                self.take(self.next_step())
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
        living = [d for d in self.documents if d.deleted_at is None]
        choices = [self.create, self.upload, self.ask]
        if living:
            choices += [self.link, self.link, self.delete]
        if self.urls:
            choices += [self.put] * 3
        if self.received:
            choices += [self.register] * 3
        return self.rng.choice(choices)()

    def record(self, path):
        return {"name": "a.bin", "mime_type": "application/octet-stream", "storage_path": path}

    def create(self):
        def enter(answer):
            self.documents.append(Document(answer["data"]["id"], None))

        path = f"records/{self.number}/{self.count}"
        return self.step("POST", "/v1/documents", self.record(path), 201, enter)

    def link(self):
        document = self.living()
        entity = f"e{self.count}"

        def enter(answer):
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
            self.documents.append(Document(answer["data"]["id"], content))

        return self.step("POST", "/v1/documents", self.record(path), 201, enter)

    def upload(self):
        contents = [made_up(self.rng) for _ in range(self.rng.randrange(1, 4))]

        def enter(answer):
            assert len(answer) == len(contents)
            self.documents += [Document(*pair) for pair in zip(answer, contents)]

        return self.step("POST", "/api/v1/upload", multipart(contents), 200, enter,
                         contents=contents, headers=FORM)

    def delete(self):
        document = self.living()
        document.hard = self.rng.random() < 0.5

        def enter(_answer):
            document.deleted_at = time.time()

        query = "?hard=true" if document.hard else ""
        return self.step("DELETE", f"/v1/documents/{document.id}{query}", b"", 204, enter, document)

    def living(self):
        return self.rng.choice([d for d in self.documents if d.deleted_at is None])

    # ---- after the restart ----

    def verify(self):
        for document in self.documents:
            if document.deleted_at is not None:
                self.read(f"/v1/documents/{document.id}", expect=404)
            else:
                self.verify_living(document)

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
        if document.content is None:
            assert found["download_url"] is None
            return
        assert found["size_bytes"] == len(document.content)
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

    def __init__(self, server):
        self.server = server
        self.workspace = server.workspace(entities="open")
        key = self.workspace.key()
        self.clients = [Client(i, key) for i in range(CLIENTS)]

    def load(self, seconds, end):
        """Mixed load, `end` in the middle of it; what `end` returned."""
        stop = threading.Event()
        for client in self.clients:
            client.connect(self.server)
        threads = [threading.Thread(target=client.load, args=[stop]) for client in self.clients]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        result = end()
        stop.set()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive(), "a client got no answer and no end"
        return result

    def marks_on_disk(self):
        found = set()
        for path in self.server.data_dir.rglob("*"):
            if path.is_file() and not path.is_socket():
                found.update(MARK.findall(path.read_bytes()))
        return found

    def marks_due(self, now):
        """Of acknowledged deletes whose bytes must be gone at this time. Not of bytes that were
        in doubt once: the copy of the run that a crash ended goes with the sweep of orphans."""
        due = {mark(d.content) for client in self.clients for d in client.documents
               if d.deleted_at is not None and d.content
               and (d.hard or d.deleted_at + PURGE_SECONDS <= now)}
        return due.difference(*(client.strays for client in self.clients))

    def verify_at_rest(self):
        """Before the restart: the bytes of hard deletes were gone before the 204."""
        left = self.marks_due(0) & self.marks_on_disk()
        assert not left, "bytes of an acknowledged hard delete are there"

    def restart(self):
        before = time.time()
        self.server.start()
        left = self.marks_due(before) & self.marks_on_disk()
        assert not left, "due bytes are there after readiness"

    def verify(self):
        for client in self.clients:
            client.connect(self.server)
        at_once(CLIENTS, lambda i: self.clients[i].verify())
        self.check()
        at_once(CLIENTS, lambda i: self.clients[i].retry())
        wait_for(lambda: not self.marks_due(time.time() - 5) & self.marks_on_disk())

    def check(self, *options):
        done = run_binary("check", "--data", self.server.data_dir, *options)
        report = parse_output(done.stdout)
        assert done.returncode == 0 and report["ok"] is True, done.stdout + done.stderr
        assert self.server.run("audit", "verify")["ok"] is True
        return report

    def living(self):
        return [d for client in self.clients for d in client.documents if d.deleted_at is None]

    def objects(self):
        return [content for client in self.clients for _, content in client.received]

    def verify_effects(self):
        """Every effect happened exactly once: the totals and the audit trail say so."""
        client = self.clients[0]
        usage = client.read("/v1/usage")
        sizes = [len(d.content) for d in self.living() if d.content]
        assert usage["documents"] == len(self.living())
        assert usage["bytes"] == sum(sizes) + sum(map(len, self.objects()))
        assert self.effects() == Counter(
            {"create": sum(len(c.documents) for c in self.clients),
             "link": sum(len(d.links) for c in self.clients for d in c.documents),
             "delete": sum(d.deleted_at is not None for c in self.clients for d in c.documents)})

    def effects(self):
        counts = Counter()
        for action in ("create", "link", "delete"):
            page = f"/v1/audit-logs?resource_type=documents&action={action}&per_page=1"
            status, body = self.clients[0].call("GET", page)
            assert status == 200, body[:300]
            counts[action] = json.loads(body)["meta"]["total"]
        return counts

    def verify_repair(self):
        """At the end: what a crash left without a row is found, removed, and nothing else is."""
        wait_for(lambda: not self.marks_due(time.time()) & self.marks_on_disk())
        assert self.server.stop() == 0
        blobs = [path for path in (self.server.data_dir / "blobs").rglob("*") if path.is_file()]
        assert blobs, "the bytes are not where this test looks for them"
        for path in blobs:
            os.utime(path, (time.time() - 7200, time.time() - 7200))
        self.check("--repair", "--orphan-age", "0s")
        for client in self.clients:
            client.strays.clear()
        left = self.marks_due(time.time()) & self.marks_on_disk()
        assert not left, "deleted bytes are there after the repair"
        report = self.check()
        wanted = sum(d.content is not None for d in self.living()) + len(self.objects())
        assert report["blobs"] == wanted and report["in_flight"] == 0
        assert not report["orphans"]
        self.server.start()
        self.verify()


def kill_often(server_factory, kills):
    world = World(server_factory("--purge-after", f"{PURGE_SECONDS}s"))
    rng = random.Random(kills)
    for _ in range(kills):
        world.load(rng.uniform(0.05, 0.8), world.server.kill)
        world.verify_at_rest()
        world.restart()
        world.verify()
    world.verify_effects()
    world.verify_repair()
    assert sum(client.count for client in world.clients) > 20 * kills


@pytest.mark.timeout(300)
def test_kill_in_the_middle(server_factory):
    kill_often(server_factory, 5)


@pytest.mark.slow
@pytest.mark.timeout(max(1800, 60 * KILLS))
def test_kill_in_the_middle_often(server_factory):
    kill_often(server_factory, KILLS)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("drain", ["10s", "0s"])
def test_terminate_under_load(server_factory, drain):
    world = World(server_factory("--purge-after", f"{PURGE_SECONDS}s", "--drain", drain))
    for _ in range(3):
        assert world.load(0.7, world.server.stop) == 0, world.server.log()[-2000:]
        world.verify_at_rest()
        world.restart()
        world.verify()
    if drain != "0s":
        assert sum(client.halves for client in world.clients) == 0, "half an answer"
    world.verify_effects()


@pytest.mark.timeout(120)
def test_terminate_waits_for_an_upload(server_factory):
    """An upload that is under way when the order to stop comes is finished and acknowledged."""
    world = World(server_factory("--drain", "15s"))
    client = world.clients[0]
    client.connect(world.server)
    content = made_up(client.rng) * 20
    body = multipart([content])
    client.connection.putrequest("POST", "/api/v1/upload")
    for name, value in [("X-API-Key", client.key), ("Content-Length", str(len(body))),
                        *FORM.items()]:
        client.connection.putheader(name, value)
    client.connection.endheaders(body[:5000])
    ended = []
    thread = threading.Thread(target=lambda: ended.append(world.server.stop()))
    time.sleep(0.3)
    thread.start()
    time.sleep(0.5)
    client.connection.send(body[5000:])
    answer = client.connection.getresponse()
    assert answer.status == 200
    client.documents.append(Document(json.loads(answer.read())[0], content))
    thread.join(30)
    assert ended == [0]
    world.server.start()
    world.verify()
