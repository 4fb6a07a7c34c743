# SPDX-License-Identifier: Apache-2.0
"""
The process dies at each named point of the sources (base/crash.h).

A binary built with crash points is started on a copy of a prepared directory and provoked until it
dies. Then the plain binary starts on the same files: the check finds no fault, the audit chain is
whole, and the same request with its idempotency key has exactly one effect, however far the first
try had come.

DOSSIER_CRASH_BIN: the binary with crash points; without it `script/build crash` makes it.
DOSSIER_CRASH_ROUNDS: how often at each point (1).
"""
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "api"))

import blob_files  # noqa: E402  (found by the line above)
import harness  # noqa: E402
from harness import data, wait_for  # noqa: E402

pytestmark = pytest.mark.timeout(300)  # the first test builds

DIED = 137
ROUNDS = int(os.environ.get("DOSSIER_CRASH_ROUNDS", "1"))
POINT = re.compile(r'CRASH_POINT\("([a-z.-]+)"\)')
IDEMPOTENT = {"Idempotency-Key": "crash-1"}
BYTES = b"MARK-of-the-document"
LARGE_BYTES = b"MARK-of-a-large-one "
RECORD = {"name": "n", "mime_type": "text/plain", "storage_path": "new"}

# point -> what provokes it; ":n" where an earlier passage would be less telling
PROVOKED_BY = {
    "engine.before-begin": "upload", "engine.before-commit": "upload",
    "engine.after-commit": "upload", "engine.after-done": "upload",
    "engine.after-work": "together",
    "blob.after-open": "upload:2", "blob.after-write": "large:2", "blob.before-sync": "large:2",
    "blob.after-sync": "large:2", "blob.after-link": "large:2", "blob.after-dir-sync": "large:3",
    "pack.before-commit": "upload:2", "pack.after-commit": "upload:2", "pack.after-emptied": "hard",
    "journal.in-replay": "replay:2", "journal.after-replay": "replay",
    "exchange.after-settle": "upload", "exchange.before-submit": "upload",
    "blob.before-unlink": "large_hard", "blob.after-unlink": "large_hard",
    "exchange.before-outside": "hard",
    "exchange.after-outside": "hard", "exchange.in-after": "hard", "exchange.after-after": "hard",
    "key.before-insert": "key", "key.after-insert": "key",
    "purge.after-select": "purge", "purge.after-delete": "purge", "purge.before-forget": "purge",
    "purge.after-forget": "purge",
    "sweep.before-erase": "sweep", "sweep.after-erase": "sweep",
    "migration.after-script": "first", "migration.before-commit": "first",
    "migration.after-step": "first",
    "secret.before-write": "first", "secret.before-rename": "first", "secret.after-rename": "first",
    "backup.before-snapshot": "backup", "backup.after-snapshot": "backup",
    "backup.after-blobs": "backup", "backup.before-database": "backup",
    "backup.before-manifest": "backup", "backup.after-manifest": "backup",
    "export.after-rows": "export", "export.after-bytes": "export",
    "export.after-retire": "export", "export.before-manifest": "export",
    "import.before-note": "import", "import.after-note": "import", "import.after-bytes": "import",
    "import.before-commit": "import:9", "import.after-rows": "import",
    "import.before-finish": "import", "import.after-finish": "import",
}
# passages that others lead to as well
ALSO = [("pack.before-commit", "hard"), ("pack.after-commit", "hard"),
        ("pack.after-commit", "purge"), ("pack.after-emptied", "sweep")]


def points_in_sources():
    return sorted(name for path in (ROOT / "src").rglob("*.c")
                  for name in POINT.findall(path.read_text()))


@pytest.fixture(scope="module")
def crash_binary():
    given = os.environ.get("DOSSIER_CRASH_BIN")
    if given:
        return given
    built = subprocess.run([ROOT / "script" / "build", "crash"], check=False, timeout=280,
                           text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT)
    assert built.returncode == 0, built.stdout[-3000:]
    return str(ROOT / "build" / "crash" / "dossier")


class Prepared:
    """A directory with a workspace, its key, a document with bytes, and one that is deleted; its
    bytes wait to be erased. There are bytes that no row names, too."""

    def __init__(self):
        server = harness.Server().start()
        workspace = server.workspace(entities="open")
        self.server, self.workspace, self.key = server, workspace.id, workspace.key()
        api = server.api(self.key)
        self.document = api.new_bytes(BYTES)["id"]
        self.deleted = api.new_bytes(b"deleted bytes")["id"]
        api.delete(f"/v1/documents/{self.deleted}", expect=204)
        assert server.stop() == 0
        self.data_dir = server.data_dir
        name = next(iter(blob_files.small(self.data_dir)))
        self.orphan = name[:-32] + "0" * 28 + name[-4:]
        blob_files.put(self.data_dir, self.orphan, b"a row that no document names")
        blob_files.put_file(self.data_dir, self.orphan[:-1] + "0", b"and a file" * 10000)


@pytest.fixture(scope="module")
def prepared():
    made = Prepared()
    yield made
    made.server.remove()


@pytest.fixture
def stage(prepared, crash_binary):
    made = Stage(prepared, crash_binary)
    yield made
    made.server.remove()


class Stage:
    """One point's run: a copy of the prepared directory."""

    def __init__(self, prepared, crash_binary):
        self.prepared, self.crash_binary = prepared, crash_binary
        self.server = harness.Server("--purge-after", "55m")
        shutil.copytree(prepared.data_dir, self.server.data_dir)
        # what no document names is a finding once it is older than a minute
        for blob in (self.server.data_dir / "blobs").rglob("*"):
            blob.touch()
        blob_files.age(self.server.data_dir, time.time())
        self.key = prepared.key

    def url(self, path):
        return self.server.base_url + path

    def headers(self, more=IDEMPOTENT):
        return {"X-API-Key": self.key, **more}

    # ---- dying ----

    def die(self, point, provoke):
        """Starts the binary with crash points and provokes it until it is dead."""
        plain, harness.BINARY = harness.BINARY, self.crash_binary
        self.server.env["DOSSIER_CRASH_AT"] = point
        try:
            self.server.start()
        finally:
            harness.BINARY = plain
            del self.server.env["DOSSIER_CRASH_AT"]
        provoke()
        assert self.server.process.wait(20) == DIED, self.server.log()[-2000:]
        self.server.kill()

    def run_to_death(self, point, *argv):
        """A command, or a start, that dies before it is ready."""
        done = subprocess.run(
            [self.crash_binary, *argv, "--data", self.server.data_dir], timeout=30, check=False,
            env={**os.environ, "DOSSIER_CRASH_AT": point}, capture_output=True)
        assert done.returncode == DIED, (done.returncode, done.stdout, done.stderr)

    def send(self, method, path, **options):
        """A request that gets no answer; or one, when the point lies behind it."""
        try:
            return requests.request(method, self.url(path), headers=self.headers(), timeout=20,
                                    **options)
        except requests.ConnectionError:
            return None

    # ---- afterwards ----

    def sound(self):
        report = self.server.run("check")
        assert report["ok"] is True and report["counts"]["missing"] == 0, report
        assert self.server.run("audit", "verify")["ok"] is True

    def api(self):
        api = self.server.api(self.key)
        api.session.headers.update(IDEMPOTENT)
        return api

    def lines(self, action, kind="documents"):
        """How many lines of the audit trail there are."""
        answer = self.server.api(self.key).get("/v1/audit-logs", params={
            "action": action, "resource_type": kind, "per_page": 1})
        assert answer.status_code == 200
        return answer.json()["meta"]["total"]


FILES = [("files", (f"{i}.txt", f"file {i}".encode())) for i in range(3)]


LARGE = [("files", (name, content * 20_000)) for _, (name, content) in FILES]


def run_upload(stage, point, files=FILES):
    stage.die(point, lambda: stage.send("POST", "/api/v1/upload", files=files))
    stage.server.start()
    stage.sound()
    before = stage.lines("create")
    assert before in (2, 5), "all of them or none"
    first = stage.api().post("/api/v1/upload", files=files, expect=200).json()
    again = stage.api().post("/api/v1/upload", files=files, expect=200).json()
    assert first == again and len(set(first)) == 3
    assert stage.lines("create") == 5
    usage = data(stage.server.api(stage.key).get("/v1/usage"))
    assert usage["documents"] == 4 and usage["bytes"] == len(BYTES) + 3 * len(files[0][1][1])


def run_large(stage, point):
    run_upload(stage, point, LARGE)


def run_replay(stage, point):
    """A program of before was killed, or lost power: its journal has what its files lack."""
    stage.server.start()
    ids = stage.api().post("/api/v1/upload", files=FILES, expect=200).json()
    assert stage.server.stop() == 0
    held = {name: content for name, content in blob_files.to_files(stage.server.data_dir).items()
            if content.startswith(b"file ")}
    lost, torn, kept = (blob_files.path_of(stage.server.data_dir, name) for name in sorted(held))
    lost.unlink()
    torn.write_bytes(b"")
    assert kept.exists()
    erased = stage.prepared.orphan[:-4] + "aaaa"
    journal = blob_files.write_journal(stage.server.data_dir, {erased: None, **held})
    stage.run_to_death(point, "serve", "--listen", "127.0.0.1:0")
    stage.server.start()
    stage.sound()
    assert not journal.exists() and erased not in blob_files.files(stage.server.data_dir)
    for name, (_, (_, content)) in zip(ids, FILES):
        url = data(stage.server.api(stage.key).get(f"/v1/documents/{name}"))["download_url"]
        assert requests.get(url, timeout=10).content == content


def run_together(stage, point):
    """Two works in one transaction: savepoints are for those only."""
    def provoke():
        def one(i):
            try:
                requests.post(stage.url("/v1/documents"), timeout=20,
                              headers=stage.headers({"Idempotency-Key": f"t{i}"}),
                              json={**RECORD, "storage_path": f"t{i}"})
            except requests.ConnectionError:
                pass
        for _ in range(20):
            harness.at_once(8, one)
            if stage.server.process.poll() is not None:
                return

    stage.die(point, provoke)
    stage.server.start()
    stage.sound()
    for i in range(8):
        api = stage.server.api(stage.key)
        api.session.headers["Idempotency-Key"] = f"t{i}"
        data(api.post("/v1/documents", json={**RECORD, "storage_path": f"t{i}"}), 201)
    assert stage.lines("create") == 2 + 8


def run_hard(stage, point, document=None):
    path = f"/v1/documents/{document or stage.prepared.document}"
    stage.die(point, lambda: stage.send("DELETE", path + "?hard=true"))
    stage.server.start()
    stage.sound()
    for _ in range(2):
        stage.api().delete(path + "?hard=true", expect=204)
    assert document or not stage.server.holds(BYTES), "the bytes are there"
    assert not stage.server.holds(LARGE_BYTES), "the bytes are there"
    stage.server.api(stage.key).get(path, expect=404)
    assert stage.lines("delete") == 2
    wait_for(lambda: stage.lines("purge") >= 1)
    assert stage.lines("purge") == 1


def run_large_hard(stage, point):
    stage.server.start()
    document = stage.server.api(stage.key).new_bytes(LARGE_BYTES * 5000)["id"]
    assert stage.server.holds(LARGE_BYTES) and stage.server.stop() == 0
    run_hard(stage, point, document)


def run_key(stage, point):
    body = {"name": "second", "permissions": ["read:documents"]}
    stage.die(point, lambda: stage.send("POST", "/v1/api-keys", json=body))
    stage.server.start()
    stage.sound()
    keys = {data(stage.api().post("/v1/api-keys", json=body), 201)["key"] for _ in range(2)}
    assert len(keys) == 1
    assert len(stage.server.run("key", "list", "--workspace",
                                stage.prepared.workspace)["keys"]) == 2
    assert stage.lines("create", "api_keys") == 2


def make_due(stage):
    """Deleted again with no grace, so that its bytes are due at the next start."""
    stage.server.options = ["--purge-after", "0s"]
    stage.server.start()
    stage.server.api(stage.key).delete(f"/v1/documents/{stage.prepared.document}", expect=204)
    assert stage.server.stop() == 0


def run_purge(stage, point):
    make_due(stage)
    stage.run_to_death(point, "serve", "--listen", "127.0.0.1:0")
    stage.server.start()
    stage.sound()
    # what was deleted before with more grace than any delete has now is due as well
    assert stage.lines("purge") == stage.lines("delete")
    assert data(stage.server.api(stage.key).get("/v1/usage"))["documents"] == 0


def run_sweep(stage, point):
    stage.die(point, lambda: None)  # the job runs two seconds after the start
    stage.server.start()
    stage.sound()
    orphan = "-" + "0" * 28
    wait_for(lambda: not any(orphan in name for name in blob_files.all_of(stage.server.data_dir)))
    stage.sound()
    url = data(stage.server.api(stage.key).get(
        f"/v1/documents/{stage.prepared.document}"))["download_url"]
    assert requests.get(url, timeout=10).content == BYTES


def run_first(stage, point):
    """The first start of all."""
    shutil.rmtree(stage.server.data_dir)
    stage.run_to_death(point, "serve", "--listen", "127.0.0.1:0")
    stage.server.start()
    stage.sound()
    workspace = stage.server.workspace()
    workspace.api().new_document()
    stage.sound()


def run_backup(stage, point):
    target = stage.server.home / "backup"
    stage.run_to_death(point, "backup", target)
    finished = (target / "manifest.json").exists()
    assert finished == (point == "backup.after-manifest")
    if not finished:
        restored = harness.run_binary("restore", target, "--data", stage.server.home / "none")
        assert restored.returncode != 0, "restored from an unfinished backup"
    stage.server.run("backup", target)
    stage.run_to_death(point, "backup", target)  # brought up to date: the earlier one counts
    if point not in ("backup.before-database", "backup.before-manifest"):
        earlier = harness.run_binary("restore", target, "--data", stage.server.home / "earlier")
        assert earlier.returncode == 0, earlier.stderr
    stage.server.run("backup", target)
    stage.server.data_dir = stage.server.home / "restored"
    stage.server.run("restore", target)
    stage.server.start()
    stage.sound()
    url = data(stage.server.api(stage.key).get(
        f"/v1/documents/{stage.prepared.document}"))["download_url"]
    assert requests.get(url, timeout=10).content == BYTES


def moved(stage, export):
    """The server is on what an import makes of the export, and has all of it."""
    stage.server.data_dir = stage.server.home / "moved"
    stage.server.run("import", export)
    stage.server.start()
    stage.sound()
    url = data(stage.server.api(stage.key).get(
        f"/v1/documents/{stage.prepared.document}"))["download_url"]
    assert requests.get(url, timeout=10).content == BYTES


def run_export(stage, point):
    export, none = stage.server.home / "export", stage.server.home / "none"
    stage.run_to_death(point, "export", export)
    assert harness.run_binary("import", export, "--data", none).returncode == 2
    stage.server.run("export", export)
    first = (export / "manifest.json").read_bytes()
    stage.run_to_death(point, "export", export)     # brought up to date: the earlier one counts
    assert (export / "manifest.json").exists() == (point in ("export.after-rows",
                                                             "export.after-bytes"))
    stage.server.run("export", export)
    assert (export / "manifest.json").read_bytes() == first
    moved(stage, export)


def run_import(stage, point):
    export = stage.server.home / "export"
    stage.server.run("export", export)
    stage.server.data_dir = stage.server.home / "moved"
    stage.run_to_death(point, "import", export)
    if point != "import.after-finish":      # then it is whole, only nobody has heard so
        served = harness.run_binary("serve", "--data", stage.server.data_dir)
        assert served.returncode == 1, "serves half a library"
    moved(stage, export)


RUN = {name[4:]: function for name, function in globals().items() if name.startswith("run_")}


def test_every_point_has_its_case():
    points = points_in_sources()
    assert sorted(PROVOKED_BY) == points, "each name once in the sources, and once here"
    assert len(points) >= 25


@pytest.mark.parametrize("point, by", (sorted(PROVOKED_BY.items()) + ALSO) * ROUNDS)
def test_crash_at(stage, point, by):
    kind, _, passage = by.partition(":")
    RUN[kind](stage, f"{point}:{passage}" if passage else point)
