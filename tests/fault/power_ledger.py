# SPDX-License-Identifier: Apache-2.0
"""
What clients were told, and when, as the length of a recorder's log: the ledger beside power.py.

A client has a workspace of its own and sends one request after the other. So at any moment the
workspace is as the acknowledged requests have made it, or as the one under way makes it, and
Book.expected() tells both. read_library() tells what a database and the files beside it hold.
"""
import hashlib
import http.client
import json
import random
import sqlite3
import sys
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "api"))
import blob_files  # noqa: E402  (found by the line above)
from ledger import FORM, MARK, made_up, mark, multipart  # noqa: E402

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
AUDITED = ("create", "update", "link", "unlink", "delete", "revoke")


def plain_id(text):
    """The 32 hex digits behind any spelling of an id."""
    if len(text) == 36:
        return uuid.UUID(text).hex
    number = 0
    for letter in text.rpartition("_")[2]:
        number = number * 32 + CROCKFORD.index(letter)
    return f"{number:032x}"


@dataclass
class Library:
    """What a workspace holds."""
    documents: dict = field(default_factory=dict)   # id -> its members, with "links" and "sha256"
    objects: dict = field(default_factory=dict)     # storage path -> SHA-256
    keys: set = field(default_factory=set)
    audit: Counter = field(default_factory=Counter)     # (action, resource) -> lines

    def add(self, document_id, sha256, **members):
        self.documents[document_id] = {"sha256": sha256, "description": None, "folder": None,
                                       "tags": [], "links": {}, **members}
        self.note("create", document_id)

    def note(self, action, resource):
        self.audit[action, resource] += 1


@dataclass
class Event:
    """A request; it counts from `acked` on and may have happened from `sent` on."""
    sent: int
    acked: int
    enter: object               # puts its effect into a Library
    step: object = None

    def is_hard(self):
        return self.step is not None and "hard=true" in self.step.path


class Book:
    """The ledger of one workspace."""

    def __init__(self, workspace):
        self.workspace = workspace
        self.key = None         # the text of its first key
        self.events = []
        self.contents = {}      # SHA-256 -> bytes
        self.erased = []        # (acked, mark): of hard deletes

    def expected(self, position):
        """The two libraries that there may be, and the event in doubt. None for a library: the
        workspace itself is not there."""
        library = Library() if self.events and self.events[0].acked <= position else None
        other = Library()
        doubt = None
        for event in self.events:
            if event.acked <= position:
                event.enter(library)
                event.enter(other)
            elif event.sent < position:
                assert doubt is None, "one at a time"
                doubt = event
                event.enter(other)
        return library, (other if doubt else library), doubt

    def erased_before(self, position):
        return {marked for acked, marked in self.erased if acked <= position}

    def keep(self, content):
        sha256 = hashlib.sha256(content).hexdigest()
        self.contents[sha256] = content
        return sha256


@dataclass
class Step:
    method: str
    path: str
    body: bytes
    headers: dict
    status: int
    enter: object               # enter(library, answer): its effect
    told: object                # told(answer): once, when it is acknowledged


class Client:
    """Mixed load in one workspace. `clock()` is the length of the log."""

    def __init__(self, number, book, clock):
        self.rng = random.Random(number)
        self.book, self.clock = book, clock
        self.library = book.expected(clock())[0]
        self.urls = []          # asked for, not yet used: (path, storage_path)
        self.count = 0
        self.connection = None

    def connect(self, server):
        self.connection = http.client.HTTPConnection(*server.address, timeout=30)

    def send(self, step):
        self.connection.request(step.method, step.path, step.body, {
            "X-API-Key": self.book.key, "Content-Length": str(len(step.body)), **step.headers})
        answer = self.connection.getresponse()
        body = answer.read()
        assert answer.status == step.status, (step.method, step.path, answer.status, body[:300])
        return json.loads(body) if body else None

    def take(self):
        """One request, and what it did goes into the ledger."""
        step = self.next_step()
        sent = self.clock()
        answer = self.send(step)
        event = Event(sent, self.clock(), lambda library: step.enter(library, answer), step)
        event.enter(self.library)
        self.book.events.append(event)
        step.told(answer)

    # ---- the steps ----

    def step(self, method, path, body, status, enter, headers=(), told=lambda answer: None):
        self.count += 1
        key = {"Idempotency-Key": self.rng.randbytes(12).hex()}
        if isinstance(body, dict):
            body = json.dumps(body).encode()
        return Step(method, path, body, {**key, **dict(headers)}, status, enter, told)

    def next_step(self):
        choices = [self.create, self.create, self.upload, self.ask, self.make_key]
        if self.library.documents:
            choices += [self.link, self.link, self.patch, self.delete, self.delete_hard]
        if any(document["links"] for document in self.library.documents.values()):
            choices.append(self.unlink)
        if self.urls:
            choices += [self.put] * 3
        if self.library.objects:
            choices += [self.register] * 3
        return self.rng.choice(choices)()

    def some_document(self):
        return self.rng.choice(sorted(self.library.documents))

    def create(self):
        members = {"name": f"{self.count}.bin", "folder": f"/a/{self.count % 7}",
                   "tags": ["x", f"t{self.count % 5}"], "description": "d" * (self.count % 900)}

        def enter(library, answer):
            library.add(plain_id(answer["data"]["id"]), None, **members)

        body = {**members, "mime_type": "a/b", "storage_path": f"records/{self.count}"}
        return self.step("POST", "/v1/documents", body, 201, enter)

    def upload(self):
        contents = [made_up(self.rng) for _ in range(self.rng.randrange(1, 4))]

        def enter(library, answer):
            for i, (name, content) in enumerate(zip(answer, contents)):
                library.add(plain_id(name), self.book.keep(content), name=f"{i}.bin")

        return self.step("POST", "/api/v1/upload", multipart(contents), 200, enter, FORM)

    def ask(self):
        def told(answer):
            self.urls.append((urlsplit(answer["data"]["upload_url"]).path,
                              answer["data"]["storage_path"]))

        return self.step("POST", "/v1/documents/upload-url", {}, 201, lambda library, answer: None,
                         told=told)

    def put(self):
        url, path = self.urls.pop()
        content = made_up(self.rng)

        def enter(library, _answer):
            library.objects[path] = self.book.keep(content)

        return self.step("PUT", url, content, 200, enter)

    def register(self):
        path = self.rng.choice(sorted(self.library.objects))

        def enter(library, answer):
            library.add(plain_id(answer["data"]["id"]), library.objects.pop(path), name="r")

        body = {"name": "r", "mime_type": "a/b", "storage_path": path}
        return self.step("POST", "/v1/documents", body, 201, enter)

    def link(self):
        document, entity = self.some_document(), f"e{self.count}"

        def enter(library, answer):
            link = plain_id(answer["data"]["link_id"])
            library.documents[document]["links"][link] = (entity, "r")
            library.note("link", document)

        body = {"entity_type": "deal", "entity_id": entity, "role": "r"}
        return self.step("POST", f"/v1/documents/{uuid.UUID(document)}/link", body, 201, enter)

    def unlink(self):
        document, link = self.rng.choice([(d, link) for d, members in
                                          sorted(self.library.documents.items())
                                          for link in sorted(members["links"])])

        def enter(library, _answer):
            del library.documents[document]["links"][link]
            library.note("unlink", document)

        path = f"/v1/documents/{uuid.UUID(document)}/links/{uuid.UUID(link)}"
        return self.step("DELETE", path, b"", 204, enter)

    def patch(self):
        document = self.some_document()
        members = {"name": f"p{self.count}", "folder": None, "tags": [f"t{self.count % 5}", "y"],
                   "description": "p"}

        def enter(library, _answer):
            library.documents[document].update(members)
            library.note("update", document)

        return self.step("PATCH", f"/v1/documents/{uuid.UUID(document)}", members, 200, enter)

    def delete(self, hard=False):
        document = self.some_document()
        sha256 = self.library.documents[document]["sha256"]

        def enter(library, _answer):
            del library.documents[document]
            library.note("delete", document)

        def told(_answer):
            if hard and sha256:
                self.book.erased.append((self.clock(), mark(self.book.contents[sha256])))

        query = "?hard=true" if hard else ""
        return self.step("DELETE", f"/v1/documents/{uuid.UUID(document)}{query}", b"", 204, enter,
                         told=told)

    def delete_hard(self):
        return self.delete(hard=True)

    def make_key(self):
        def enter(library, answer):
            key = plain_id(answer["data"]["id"])
            library.keys.add(key)
            library.note("create", key)

        body = {"name": f"k{self.count}", "permissions": ["read:documents"]}
        return self.step("POST", "/v1/api-keys", body, 201, enter)


# ---- what is there ----

def read_library(data_dir, database, public_id):
    """The Library that stands in a data directory whose log has been moved into the database; None
    without the workspace. Fails when bytes are not what their row says."""
    found = database.execute("SELECT workspace_id FROM workspace WHERE public_id = ?",
                             [public_id]).fetchone()
    if found is None:
        return None
    library, number = Library(), found[0]

    def rows(text):
        return database.execute(text + " WHERE workspace_id = ?", [number])

    for document, name, description, folder, tags, size, blob, sha256 in rows(
            "SELECT id, name, description, folder, tags, size_bytes, blob_id, sha256"
            " FROM document"):
        check_bytes(data_dir, number, blob, size, sha256)
        library.documents[document.hex()] = {
            "sha256": sha256 and sha256.hex(), "name": name, "description": description,
            "folder": folder, "tags": tags.split("\n") if tags else [], "links": {}}
    for path, size, blob, sha256 in rows("SELECT storage_path, size_bytes, blob_id, sha256"
                                         " FROM object"):
        check_bytes(data_dir, number, blob, size, sha256)
        library.objects[path] = sha256.hex()
    for document, link, entity, role in rows("SELECT document_id, id, entity_id, role FROM link"):
        library.documents[document.hex()]["links"][link.hex()] = (entity, role)
    library.keys = {key.hex() for key, in rows("SELECT id FROM api_key")}
    for action, resource in rows("SELECT action, resource_id FROM audit"):
        if action in AUDITED and resource.startswith(("doc_", "key_")):
            library.note(action, plain_id(resource))
    return library


def check_bytes(data_dir, number, blob, size, sha256):
    if blob is None:
        return
    name = blob_files.name_of(number, blob)
    path = blob_files.path_of(data_dir, name)
    content = path.read_bytes() if path.exists() else blob_files.one(data_dir, name)
    assert len(content) == size and hashlib.sha256(content).digest() == sha256, name


def open_database(data_dir):
    return sqlite3.connect(f"file:{data_dir}/dossier.db?immutable=1", uri=True)


def marks_in(directory):
    """The marks of all bytes in all files, whatever they are."""
    return {found for path in Path(directory).rglob("*") if path.is_file()
            for found in MARK.findall(path.read_bytes())}
