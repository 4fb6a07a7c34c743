# SPDX-License-Identifier: Apache-2.0
"""
One request under one fault, and what must hold afterwards: the common part of test_io_faults.py
and test_memory_faults.py.

WRITES has a row for every route of the binary's own table that changes something, READS for those
that only look. A Subject is a server with the saboteur preloaded; Subject.write() and .read() are
one trial each.
"""
import contextlib
import errno
import json
import pathlib
import signal
import sqlite3
import subprocess
from collections import Counter

import requests

from saboteur import Saboteur, harness
from harness import data, show, unique, wait_for
import test_v_matrix as matrix

FAIL_STOP = 70
ENDED = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)
KEEPS_ITS_OWN_KEYS = ("docs.create", "docs.update")


class Request:
    """A request that can be sent again: the same ids, the same body, the same key."""

    def __init__(self, side, method, path, options):
        self.side, self.method, self.path = side, method, path
        self.options = {"headers": {}, **options}
        self.options["headers"] = {"Idempotency-Key": unique("once"), **self.options["headers"]}

    def send(self):
        return self.side.api.request(self.method, self.path, **self.options)


def of_route(op, query=""):
    def make(side):
        row, route = matrix.ROWS[op], matrix.ROUTES[op]
        path = route["path"].format(**row.make(side)) + query
        return Request(side, route["method"], path, row.options())
    return make


def hard_delete(side):
    document = side.api.new_bytes(b"to be erased")
    return Request(side, "DELETE", f"/v1/documents/{document['id']}?hard=true", {})


def signed_upload(side):
    made = data(side.api.post("/v1/documents/upload-url", json={}), 201)
    path = made["upload_url"][len(side.api.base_url):]
    return Request(side, "PUT", path, {"data": b"signed", "headers": dict(made["headers"])})


def upload(side):
    """Its type is given."""
    return Request(side, "POST", "/api/v1/upload", {"files": [("files", ("a", b"x", "a/b"))]})


def large_upload(side):
    """Three files, more than one piece of the body each, whose type is to be found out."""
    files = [("files", (f"{i}", b"%PDF-1.4\n" + bytes([i]) * 150000)) for i in range(3)]
    return Request(side, "POST", "/api/v1/upload", {"files": files})


def download(side):
    document = side.api.new_bytes(bytes(range(256)) * 1200)
    url = data(side.api.get(f"/v1/documents/{document['id']}"))["download_url"]
    return Request(side, "GET", url[len(side.api.base_url):], {})


def docs_of_one(side):
    owner = unique("owner")
    side.api.post("/v1/docs", headers={"X-Idempotency-Key": owner}, expect=201,
                  json={"type": "full", "owner": {"externalId": owner}})
    return Request(side, "GET", f"/v1/docs?externalId={owner}", {})


WRITES = {op: of_route(op) for op, route in matrix.KEYED.items() if route["method"] != "GET"}
WRITES.update({"document.delete hard": hard_delete, "signed.upload": signed_upload,
               "upload.create": upload, "upload.create large": large_upload})
READS = {op: of_route(op) for op, route in matrix.KEYED.items() if route["method"] == "GET"}
READS.update({"signed.download": download, "docs.list": docs_of_one,
              "document.list": of_route("document.list", "?per_page=2"),
              "audit.list": of_route("audit.list", "?per_page=2"),
              "document.list search": of_route("document.list", "?per_page=2&search=N&tag=x")})


def test_every_route_that_changes_something_is_tried():
    """In both of the tests that use this table."""
    changing = {op for op, route in matrix.ROUTES.items() if route["method"] != "GET"}
    assert changing <= set(WRITES) and len(changing) >= 16


class Subject:
    """A server that can be made to fail, with one workspace. `named`: its temporary files have
    names, as on a file system without O_TMPFILE."""

    def __init__(self, directory, *options, named=False):
        self.named = named
        self.saboteur = Saboteur(directory)
        # no purge but those that are asked for: they would change what is counted below
        self.server = self.saboteur.server(*(options or ["--purge-after", "55m"]))
        self.start()
        self.side = matrix.Side(self.server)
        self.side.workspace.entity("deal", "always")
        self.restarts = Counter()   # exit status or signal of the process: how often

    def close(self):
        self.saboteur.disarm()
        self.server.remove()

    # ---- its life ----

    def start(self):
        if not self.named:
            self.server.start()
            return
        self.saboteur.arm("open", error=errno.EOPNOTSUPP, once=True, path="/blobs/tmp/.")
        self.server.start()
        assert self.saboteur.disarm().spoilt == 1

    def restart(self, allowed, why=()):
        """It has ended, or is about to. No signal, but those that are allowed."""
        try:
            status = self.server.process.wait(20)
        except subprocess.TimeoutExpired:
            status = "goes on"
        assert status in allowed, (status, why, self.server.log()[-3000:])
        if status == -signal.SIGABRT:   # by design, for small allocations: then it says where
            assert "dossier: BUG at " in self.server.log()[-1000:], self.server.log()[-3000:]
        self.restarts[status] += 1
        self.server.kill()
        self.start()
        left = list((self.server.data_dir / "blobs" / "tmp").iterdir())
        assert not left, left

    def ended(self):
        return self.server.process.poll() is not None

    def sound(self):
        done = harness.run_binary("check", "--data", self.server.data_dir)
        report = harness.parse_output(done.stdout)
        # bytes that no row names are what an end in the middle of an upload may leave to the sweep
        wrong = {name: n for name, n in report["counts"].items() if n and name != "orphans"}
        assert wrong == {} and report["ok"] is not (report["counts"]["orphans"] > 0), done.stdout
        assert self.server.run("audit", "verify")["ok"] is True
        return report

    # ---- what an effect can be seen by ----

    def state(self):
        usage = data(self.side.api.get("/v1/usage"))
        return {"lines": self.total("/v1/audit-logs"),
                "pdfs": self.total("/v1/documents", mime_type="application/pdf"),
                "documents": usage["documents"], "bytes": usage["bytes"]}

    def total(self, path, **filters):
        answer = self.side.api.get(path, params={"per_page": 1, **filters}, expect=200)
        return answer.json()["meta"]["total"]

    def unnamed(self):
        """
        How many files of bytes no row names. To remove small ones takes room, as all of rows does:
        where there is none, they are left to the sweep.
        """
        named = set()
        with contextlib.closing(sqlite3.connect(self.server.data_dir / "dossier.db")) as database:
            for table in "document", "object", "purge":
                named |= {row[0].hex() for row in database.execute(
                    f"SELECT blob_id FROM {table} WHERE blob_id IS NOT NULL")}
        return sum(isinstance(blob, pathlib.Path) and blob.name[-32:] not in named
                   for blob in self.server.place.blobs())

    def effect(self, make):
        """What a request does when nothing fails."""
        request, before = make(self.side), self.state()
        assert request.send().status_code < 300
        return difference(self.state(), before)

    # ---- trials ----

    def attempt(self, request, arm):
        """The answer, None when there was none, and what the saboteur saw."""
        arm()
        try:
            return request.send(), self.saboteur.disarm()
        except ENDED:
            return None, self.saboteur.disarm()

    def repeat(self, request, allowed):
        """The request again, without faults; the process may end, once, of what it met before."""
        refusals = []
        for _ in range(2):
            try:
                answer = request.send()
                if answer.status_code < 500:
                    return answer
                refusals.append(show(answer))
            except ENDED as error:
                refusals.append(repr(error))
            self.restart(allowed, refusals)
        raise AssertionError(("refused without a fault", refusals))

    def write(self, op, make, wanted, arm, allowed=(FAIL_STOP,)):
        """True when the fault touched it."""
        request = make(self.side)
        before, unnamed, ends = self.state(), self.unnamed(), self.restarts.total()
        first, seen = self.attempt(request, arm)
        where = (op, seen, first is not None and show(first))
        if first is not None:
            assert first.status_code < 300 or first.status_code >= 500, where
        again = self.repeat(request, allowed)
        same_outcome(op, first, again, where)
        found = difference(self.state(), before)
        assert found in effects(op, wanted), (where, found, wanted)
        # of what was refused the files go after the answer; the sweep has what cannot be removed
        # because the process ends
        if first is not None and first.status_code == 507 and self.restarts.total() == ends:
            wait_for(lambda: self.unnamed() <= unnamed, seconds=60)
        return bool(seen.spoilt)

    def read(self, op, make, arm, allowed=(FAIL_STOP,)):
        request = make(self.side)
        wanted = request.send()
        first, seen = self.attempt(request, arm)
        where = (op, seen, first is not None and show(first))
        if first is not None and first.status_code < 500:
            assert first.status_code == wanted.status_code == 200, where
            assert comparable(first) == comparable(wanted), where
        again = self.repeat(request, allowed)
        assert again.status_code == 200 and comparable(again) == comparable(wanted), where
        # a job may have met the fault as well; a write tells whether the process is about to end
        self.repeat(Request(self.side, "PUT", "/v1/entities/deal/always", {}), allowed)
        return bool(seen.spoilt)


def difference(after, before):
    return {name: after[name] - before[name] for name in before}


def effects(op, wanted):
    """What a request and its repetition may come to; only a PATCH of docs has no key."""
    return [wanted, {**wanted, "lines": 2}] if op == "docs.update" else [wanted]


def same_outcome(op, first, again, where):
    """The repeated request was done, or is answered as the first one was."""
    if op == "docs.create" and again.status_code == 409:
        made = again.json()["error"]["details"]["id"]
        assert first is None or first.status_code >= 500 or first.json()["id"] == made, where
        return
    assert again.status_code < 300, (where, show(again))
    if first is not None and first.status_code < 300 and op not in KEEPS_ITS_OWN_KEYS:
        assert again.content == first.content, where


def comparable(answer):
    """Without what is new each time: a signed URL and its end."""
    if not answer.headers.get("Content-Type", "").startswith("application/json"):
        return answer.content
    body = answer.json()
    with contextlib.suppress(KeyError, TypeError):
        for name in ("download_url", "download_url_expires_at"):
            body["data"].pop(name, None)
    return json.dumps(body)
