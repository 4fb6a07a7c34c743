# SPDX-License-Identifier: Apache-2.0
"""
A large library moves: embedded, PostgreSQL and S3, embedded again, with deaths on the way.

It starts servers of its own. DOSSIER_MOVE_DOCUMENTS says how many documents.
"""
import contextlib
import json
import os
import random
import signal
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import harness
from bed import ceph, postgres
from harness import Api, data, unique
from library import Library, ODD_NAMES
from test_y_move import Place, assert_same, assert_trails

DOCUMENTS = int(os.environ.get("DOSSIER_MOVE_DOCUMENTS", "600"))
KILLS = 4       # of each command that may be killed
MEMORY_MIB = 256    # more than a command needs for a library of any size
PART = 100      # documents an upload


# ---- what is in it ----

def size_of(rng):
    """Most are small; some are empty, some take several parts of a store."""
    kind = rng.random()
    if kind < 0.02:
        return 0
    if kind < 0.93:
        return rng.randrange(1, 8192)
    return rng.randrange(8192, 65536) if kind < 0.998 else rng.randrange(65536, 6 << 20)


def content_of(rng):
    size = size_of(rng)
    return rng.randbytes(min(size, 65536)).ljust(size, b"\2")


def upload(api, rng, number):
    """The ids of one upload; every other one is kept for a retry."""
    same = content_of(rng)      # several documents have the same bytes
    names = [f"{rng.choice(ODD_NAMES)[:40]} {number}-{i}.bin".replace("\"", "'").replace("\\", "-")
             for i in range(PART)]
    files = [("files", (name.replace("/", "-").replace("\0", ""),
                        same if i % 25 == 24 else content_of(rng)))
             for i, name in enumerate(names)]
    headers = {"Idempotency-Key": unique("key")} if number % 2 else {}
    return api.post("/api/v1/upload", files=files, headers=headers, expect=200).json()


def surround(api, rng, ids):
    """Folders, tags, links, references, and some that are deleted, for a part of the documents."""
    for i, name in enumerate(ids):
        path = f"/v1/documents/{name}"
        if i % 8 == 0:
            api.patch(path, json={"tags": [rng.choice(ODD_NAMES)[:64], f"t{i}"],
                                  "folder": f"/{rng.randrange(50)}/\u00e4 {rng.randrange(50)}"},
                      expect=200)
        if i % 16 == 1:
            data(api.post(path + "/link", json={"entity_type": rng.choice(("deal", "contact")),
                                                "entity_id": f"e-{rng.randrange(1000)}"}), 201)
        if i % 32 == 2:
            api.put(f"{path}/references/workflow/w-{rng.randrange(100)}", expect=204)
        if i % 50 == 3:
            api.delete(path, expect=204)
    data(api.post("/v1/documents/upload-url", json={}), 201)
    api.new_document(name=rng.choice(ODD_NAMES))        # one without bytes


def fill(server, library, count):
    key = library.keys[library.full.id]

    def part(thread):
        api = Api(server, key)
        for number in range(thread, count // PART * 21 // 20, 4):   # some are deleted
            rng = random.Random(number)
            surround(api, rng, upload(api, rng, number))

    harness.at_once(4, part)


def sample(server, key, ids):
    """What it answers about some documents, with their bytes."""
    api = Api(server, key)
    answers = []
    for name in ids:
        path = f"/v1/documents/{name}"
        document = data(api.get(path))
        url = document.pop("download_url", None)    # signed anew each time
        document.pop("download_url_expires_at", None)
        answers.append((document, data(api.get(path + "/links")),
                        data(api.get(path + "/references")),
                        url and api.get(url, expect=200).content))
    lists = [data(api.get(path, params={"per_page": 200, "page": page}))
             for path in ("/v1/documents", "/v1/audit-logs") for page in (1, 7)]
    return answers, lists, data(api.get("/v1/usage"))


# ---- commands, with what they cost ----

class Run:
    """A command on its way."""

    def __init__(self, where, *argv):
        self.argv, self.peak = argv, 0
        # files: nobody has to read while it runs
        self.out, self.errors = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [harness.BINARY, *map(str, argv), "--data", str(where.data_dir)], env=where.env,
            stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.errors)

    def wait(self, seconds):
        """False when it still runs then."""
        until = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < until:
            with contextlib.suppress(OSError), open(f"/proc/{self.process.pid}/status") as status:
                self.peak = max([self.peak] + [int(line.split()[1]) >> 10 for line in status
                                               if line.startswith("VmHWM")])
            time.sleep(0.1)
        return self.process.poll() is not None

    def result(self):
        self.errors.seek(0)
        self.out.seek(0)
        assert self.process.returncode == 0, f"{self.argv}: {self.errors.read()}{self.out.read()}"
        return json.loads(self.out.read())


def say(text):
    print(f"\n{text}", end="", flush=True)


def timed(what, where, *argv):
    """Runs it to its end and says what it took; its report."""
    begun = time.monotonic()
    run = Run(where, *argv)
    run.wait(4 * 3600)
    report, took = run.result(), time.monotonic() - begun
    rate = ""
    if report.get("copied_blobs"):
        rate = (f", {report['copied_blobs'] / took:.0f} blobs/s,"
                f" {report['copied_bytes'] / took / 2 ** 20:.1f} MiB/s")
    say(f"{what}: {took:.1f} s, at most {run.peak} MiB{rate}")
    assert run.peak < MEMORY_MIB or harness.instrumented()
    return report


def killed(rng, longest, where, *argv):
    """Kills it some times at random moments, unless it comes to its end; how often it did not."""
    deaths = 0
    for _ in range(KILLS):
        run = Run(where, *argv)
        if run.wait(rng.uniform(0, longest)):
            run.result()
            break
        run.process.send_signal(signal.SIGKILL)
        run.process.wait()
        deaths += 1
    say(f"killed {argv[0]}: {deaths} times")
    return deaths


@contextlib.contextmanager
def read_beside(server, key, ids):
    """Asks all the time for documents and their bytes; each has to come. Says how long it took."""
    ended, took = threading.Event(), []

    def ask(number):
        api, rng = Api(server, key), random.Random(number)
        while not ended.is_set():
            begun = time.monotonic()
            document = data(api.get(f"/v1/documents/{rng.choice(ids)}"))
            if document.get("download_url"):
                assert len(harness.requests.get(document["download_url"], timeout=30).content) \
                    == document["size_bytes"]
            took.append(time.monotonic() - begun)
            time.sleep(0.02)

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(ask, number) for number in range(2)]
        try:
            yield
        finally:
            ended.set()
        for reader in readers:
            reader.result()
    took.sort()
    say(f"  meanwhile {len(took)} reads, the slowest {took[-1] * 1000:.0f} ms")
    assert len(took) > 10


# ---- the move ----

@contextlib.contextmanager
def places():
    """here, there and back."""
    with postgres.Postgres(durable=True) as rows, ceph.Ceph() as store:
        scaled = {"DOSSIER_DATABASE": rows.url, "DOSSIER_BLOBS": store.url, **store.credentials}
        made = [Place("embedded"), Place("scaled", env=scaled), Place("embedded")]
        # what falls due while nobody serves is overdue, and rightly so: here nothing does
        for place in made:
            place.server.options += ["--purge-after", "55m", "--url-life", "1h"]
        try:
            yield made
        finally:
            for place in made:
                place.remove()


def begin(here):
    """(the library, the ids of documents to look at, what is told of them)"""
    begun = time.monotonic()
    with here.served() as server:
        library = Library(server, quota_documents=2 * DOCUMENTS + 5000)
        fill(server, library, DOCUMENTS)
        key, rng = library.keys[library.full.id], random.Random(1)
        pages = [data(Api(server, key).get("/v1/documents", params={"per_page": 200, "page": page}))
                 for page in range(1, 6)]
        ids = [document["id"] for page in pages for document in page["documents"]]
        ids = rng.sample(ids, min(200, len(ids)))
        told = sample(server, key, ids)
    say(f"filled in {time.monotonic() - begun:.0f} s")
    return library, ids, told


@pytest.mark.slow
@pytest.mark.timeout(900 + DOCUMENTS / 5)
def test_large_library(tmp_path):
    """The three exports are the same, all is whole at each end, and reads are served meanwhile."""
    rng = random.Random(5)
    with places() as (here, there, back):
        library, ids, told = begin(here)
        key = library.keys[library.full.id]
        with here.served() as server, read_beside(server, key, ids):
            report = timed("export, served", here, "export", tmp_path / "one")
            begun = time.monotonic()
            deaths = killed(rng, DOCUMENTS / 2000, there, "import", tmp_path / "one")
            timed("import to PostgreSQL and S3", there, "import", tmp_path / "one")
            say(f"with its deaths {time.monotonic() - begun:.1f} s")
        say(f"{sum(report['rows'].values())} rows, {report['blobs']} blobs,"
            f" {report['bytes'] >> 20} MiB")
        examine("PostgreSQL and S3", there, library)
        timed("export from there", there, "export", tmp_path / "two")
        assert_same(tmp_path / "one", tmp_path / "two")
        with there.served() as server:
            assert sample(server, key, ids) == told
            with read_beside(server, key, ids):
                deaths += killed(rng, DOCUMENTS / 2000, there, "export", tmp_path / "beside")
                timed("export from there, served", there, "export", tmp_path / "beside")
            library.resume(server)
        deaths += killed(rng, DOCUMENTS / 4000, back, "import", tmp_path / "two")
        timed("import back", back, "import", tmp_path / "two")
        examine("embedded", back, library)
        timed("export back", back, "export", tmp_path / "three")
        assert_same(tmp_path / "one", tmp_path / "three")
        with back.served() as server:
            assert sample(server, key, ids) == told
            library.resume(server)
        assert deaths > 0


def examine(what, where, library):
    assert timed(f"check, {what}", where, "check")["ok"] is True
    assert timed(f"audit verify, {what}", where, "audit", "verify")["ok"] is True
    assert_trails(where, library)
