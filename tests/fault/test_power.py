# SPDX-License-Identifier: Apache-2.0
"""
Power loss: of what was not synced anything may be on disk, and what was acknowledged is.

The real server runs under recorder.c while clients keep a ledger (power_ledger.py). power.py then
makes of the recording what a power loss at some moment could leave on disk. From each such
directory the service starts, its check finds no fault, and each workspace is as its client was
told, with the request under way done or not done, and the bytes of acknowledged hard deletes are
gone.

DOSSIER_POWER_STATES: how many states the longest test tries (60).
DOSSIER_POWER_KEEP: a directory for what is lost: the log, and each such state. From the log
`power.py LOG POSITION POLICY SEED DIRECTORY` makes a state again.
"""
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import uuid
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import requests

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "api")]

import harness  # noqa: E402  (found by the line above)
import power  # noqa: E402
from harness import data, parse_output, run_binary  # noqa: E402
from power_ledger import (  # noqa: E402
    Book, Client, Event, marks_in, open_database, plain_id, read_library)

pytestmark = pytest.mark.timeout(300)

STATES = int(os.environ.get("DOSSIER_POWER_STATES", "60"))
KEEP = os.environ.get("DOSSIER_POWER_KEEP")     # where to put states that are lost
STATES_EACH = 1000          # of one recording
WAL_MAGIC = b"\x37\x7f\x06"
# bytes without a row are none: a crash may leave some, for the sweep
FAULTS = ("missing", "wrong_size", "wrong_hash", "unreadable", "strangers", "usage_drift",
          "dangling_links", "audit_broken")


# ---- recording ----

@pytest.fixture(scope="module")
def library(tmp_path_factory):
    path = tmp_path_factory.mktemp("recorder") / "recorder.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", path, HERE / "recorder.c", "-ldl"],
                   check=True, timeout=60)
    return path


class Recording:
    """A service on a disk of its own, which may begin as a copy of another, and the ledger of its
    clients."""

    def __init__(self, library, disk=None):
        self.home = Path(tempfile.mkdtemp(prefix="dossier-power-"))
        self.disk = self.home / "disk"
        self.log_path = self.home / "log"
        if disk:
            shutil.copytree(disk, self.disk)
        else:
            self.disk.mkdir()
        self.before = power.Disk.of_directory(self.disk)
        self.books = []
        # a sanitizer's runtime wants to be the first library; it works as the second, too
        options = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        self.env = {"LD_PRELOAD": str(library), "RECORD_ROOT": str(self.disk),
                    "RECORD_LOG": str(self.log_path), "ASAN_OPTIONS": options}
        self.server = harness.Server("--purge-after", "55m", data_dir=self.disk / "data",
                                     env=self.env)
        self._log = None

    def remove(self):
        self.server.remove()
        shutil.rmtree(self.home, ignore_errors=True)

    def clock(self):
        return self.log_path.stat().st_size if self.log_path.exists() else 0

    def log(self):
        """Once everything has ended."""
        if self._log is None:
            self._log = power.Log(self.log_path)
        return self._log

    # ---- commands ----

    def new_book(self):
        """A workspace, made by a command, and its ledger."""
        sent = self.clock()
        made = self.server.run("workspace", "create", "w", "--entities", "open")
        book = Book(made["id"])
        book.events.append(Event(sent, self.clock(), lambda library: None))
        self.books.append(book)
        return book

    def new_key(self, book):
        """A key, made by a command."""
        sent = self.clock()
        made = self.server.run("key", "create", "--workspace", book.workspace, "--tier",
                               "unmetered", "--permissions", ",".join(harness.PERMISSIONS))

        def enter(library):
            library.keys.add(plain_id(made["id"]))
            library.note("create", plain_id(made["id"]))

        book.events.append(Event(sent, self.clock(), enter))
        book.key = book.key or made["key"]

    # ---- load ----

    def clients(self, count, seed=0):
        made = []
        for number in range(count):
            book = self.new_book()
            self.new_key(book)
            made.append(Client(f"{seed}-{number}", book, self.clock))
        return made

    def load(self, clients, steps):
        """So many requests of each client, all clients at once."""
        def run(client):
            client.connect(self.server)
            for _ in range(steps):
                client.take()
            client.connection.close()

        with ThreadPoolExecutor(len(clients)) as pool:
            list(pool.map(run, clients))

    def checkpoints(self):
        """How often a running server has begun the log of its database anew."""
        records = self.log().records
        begun = sum(record.op == power.WRITE and record.at == 0 and
                    bytes(record.data[:3]) == WAL_MAGIC for record in records)
        return begun - sum(record.op == power.CREATE and record.name == "dossier.db-wal"
                           for record in records)

    def secret(self):
        return (self.disk / "data" / "secret.key").read_bytes()


def record_life(library, clients, steps, seed=0):
    """A first start, load, a stop, a command without a server, a start, load, a stop."""
    recording = Recording(library)
    recording.server.start()
    made = recording.clients(clients, seed)
    recording.load(made, steps)
    recording.loaded = recording.clock()
    assert recording.server.stop() == 0
    recording.new_key(recording.books[0])
    recording.server.start()
    recording.load(made, steps // 2)
    assert recording.server.stop() == 0
    return recording


# ---- judging ----

class Judge:
    """Looks at the states of one recording. `tally` counts what it has seen, `lost` says which
    states break a promise."""

    def __init__(self, recording, position=None):
        self.recording = recording
        self.position = position    # of all states, whatever their own is
        self.tally = Counter()
        self.lost = []
        self.lock = threading.Lock()

    def judge(self, plan, serve_each=0, deaf=None, stop_at=3):
        """All states of a plan, or until so many are lost; each n-th is served, too."""
        states = power.crash_states(self.recording.log(), plan, deaf, self.recording.before)
        with ThreadPoolExecutor(2) as pool:
            waiting = deque()
            for number, state in enumerate(states, 1):
                directory = Path(tempfile.mkdtemp(prefix="dossier-state-"))
                state.write(directory / "disk")     # before the next state changes the disk
                served = serve_each and number % serve_each == 0
                waiting.append(pool.submit(self.judge_one, state, directory, served))
                if len(waiting) > 3:
                    waiting.popleft().result()
                if len(self.lost) >= stop_at:
                    break
            for one in waiting:
                one.result()
        return self

    def judge_one(self, state, directory, served):
        try:
            position = state.position if self.position is None else self.position
            self.look(directory / "disk", position, served)
        except Exception as error:  # whatever it is, it is of this state
            self.lost.append(f"{state.name}: {type(error).__name__}: {str(error)[:1500]}")
            if KEEP:
                shutil.copytree(directory, Path(KEEP) / state.name, dirs_exist_ok=True)
                shutil.copy(self.recording.log_path, KEEP)
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def count(self, what, number=1):
        with self.lock:
            self.tally[what] += number

    def expected(self, position):
        return [book.expected(position) for book in self.recording.books]

    def look(self, disk, position, served):
        self.count("states")
        expected = self.expected(position)
        erased = {m for book in self.recording.books for m in book.erased_before(position)}
        left = marks_in(disk) & erased
        assert not left, f"bytes of an acknowledged hard delete are there: {left}"
        told = any(definite is not None for definite, _, _ in expected)
        hard = sum(doubt is not None and doubt.is_hard() for _, _, doubt in expected)
        self.open(disk / "data", told, hard)
        self.count("opened")
        if told:
            assert (disk / "data" / "secret.key").read_bytes() == self.recording.secret()
        self.compare(disk / "data", expected)
        if served:
            self.serve(disk / "data", expected)
            self.count("served")

    @staticmethod
    def open(data_dir, told, hard):
        """The service recovers what is there and checks it."""
        if not (data_dir / "dossier.db").exists():
            assert not told, "the database is gone"
            run_or_fail("migrate", "--data", data_dir)
        report = run_or_fail("check", "--repair", "--orphan-age", "0s", "--data", data_dir)
        faults = {name: report[name] for name in FAULTS if report["counts"][name]}
        assert report["ok"] is True and not faults, faults
        assert report["counts"]["overdue"] <= hard, "an acknowledged erasure is to be done again"

    def compare(self, data_dir, expected):
        assert not (data_dir / "dossier.db-wal").exists(), "not recovered"
        with closing(open_database(data_dir)) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            for book, (definite, other, doubt) in zip(self.recording.books, expected):
                found = read_library(data_dir, database, book.workspace)
                assert found in (definite, other), difference(found, definite, doubt)
                if doubt:
                    self.count("in doubt")
                    self.count("in doubt and done", found == other)

    def serve(self, data_dir, expected):
        """As its clients see it; and what was in doubt, sent again, is done."""
        server = harness.Server("--purge-after", "55m", data_dir=data_dir).start()
        try:
            for book, (definite, other, doubt) in zip(self.recording.books, expected):
                if definite is not None and definite.keys:
                    self.serve_one(server.api(book.key), book, definite, other, doubt)
            assert server.stop() == 0
        finally:
            server.remove()

    @staticmethod
    def serve_one(api, book, definite, other, doubt):
        again = doubt and doubt.step and doubt.step.method != "PUT"    # such a URL ends in time
        if again:
            step = doubt.step
            api.request(step.method, step.path, data=step.body, headers=step.headers,
                        expect=step.status)
        total = api.get("/v1/documents", params={"per_page": 1}, expect=200).json()["meta"]["total"]
        assert total in ({len(other.documents)} if again else
                         {len(definite.documents), len(other.documents)})
        for document, members in list(definite.documents.items())[:8]:
            if document not in other.documents:
                continue
            found = data(api.get(f"/v1/documents/{uuid.UUID(document)}"))
            if members["sha256"]:
                content = requests.get(found["download_url"], timeout=20).content
                assert content == book.contents[members["sha256"]]


def run_or_fail(*argv):
    done = run_binary(*argv)
    assert done.returncode == 0, (argv[0], done.returncode, done.stdout[-1000:], done.stderr)
    return parse_output(done.stdout)


def difference(found, definite, doubt):
    """What to print when a workspace is not as it was told."""
    if found is None or definite is None:
        return f"found {found}, told {definite}"
    parts = [f"in doubt: {doubt.step.method} {doubt.step.path}" if doubt and doubt.step else ""]
    for name in ("documents", "objects", "audit"):
        a, b = getattr(found, name), getattr(definite, name)
        parts += [f"{name} {key}: {a.get(key)} instead of {b.get(key)}"
                  for key in {*a, *b} if a.get(key) != b.get(key)]
    return "; ".join([*parts, f"keys {found.keys ^ definite.keys}"])


def random_plan(log, count, seed):
    """Positions all over the log, each policy as often as the others."""
    rng = random.Random(seed)
    return [(rng.choice(log.ends), power.POLICIES[i % len(power.POLICIES)], rng.getrandbits(32))
            for i in range(count)]


# ---- the tests ----

@pytest.fixture(scope="module")
def life(library):
    recording = record_life(library, clients=3, steps=40)
    yield recording
    recording.remove()


def passes(judge):
    assert not judge.lost, "\n".join(judge.lost)
    print(dict(judge.tally))


def files_of(directory):
    return {str(path.relative_to(directory)): path.read_bytes() if path.is_file() else None
            for path in directory.rglob("*") if not path.is_socket()}


def test_the_whole_recording_is_the_directory(life, tmp_path):
    """The recorder has missed nothing, and the model puts it together rightly."""
    end = life.log().ends[-1]
    for state in power.crash_states(life.log(), [(end, power.keep, 0)]):
        state.write(tmp_path / "disk")
    made, real = files_of(tmp_path / "disk"), files_of(life.disk)
    made.pop("data/lock"), real.pop("data/lock")    # a number for people, written past the recorder
    assert len(real) > 30 and made.keys() == real.keys()
    assert [name for name in real if made[name] != real[name]] == []


def test_power_loss(life):
    judge = Judge(life).judge(random_plan(life.log(), 12, seed=1), serve_each=6)
    passes(judge)
    assert judge.tally["opened"] == 12 and judge.tally["served"] == 2


def test_power_loss_after_an_erasure(library):
    """By one client alone: nobody else's write syncs what an erasure has left in memory."""
    recording = Recording(library)
    try:
        recording.server.start()
        client, = recording.clients(1)
        client.connect(recording.server)
        for step in [client.upload] * 4 + [client.delete_hard] * 6:
            client.next_step = step
            client.take()
        erased = client.book.erased
        assert recording.server.stop() == 0 and len(erased) == 6
        passes(Judge(recording).judge([(acked, policy, 1) for acked, _ in erased
                                       for policy in (power.drop, power.early)]))
    finally:
        recording.remove()


SYNCED = {
    "log of the database": lambda path: path == "/data/dossier.db-wal",
    "database": lambda path: path.endswith("/dossier.db"),
    "bytes": lambda path: path == "" or path.startswith("/data/blobs/tmp/"),
    "directory of bytes": lambda path: re.fullmatch("/data/blobs/objects/../..", path),
    "log of small bytes": lambda path: path == "/data/blobs/small.db-wal",
    "small bytes": lambda path: path == "/data/blobs/small.db",
    "directory of such directories": lambda path: re.fullmatch("/data/blobs/objects/..", path),
    "directory of all of them": lambda path: path == "/data/blobs/objects",
    "directory of the store": lambda path: path == "/data/blobs",
    "data directory": lambda path: path == "/data",
    "directory above it": lambda path: path == "/",
    "secret": lambda path: path.startswith("/data/secret.key"),
}


@pytest.mark.parametrize("what", SYNCED)
def test_without_a_sync_something_is_lost(life, what):
    """Each kind of sync is called for a reason, and a service without it would be found out."""
    plan = [(position, policy, 1) for position in (life.loaded, life.log().ends[-1])
            for policy in (power.drop, power.metadata)]
    assert Judge(life).judge(plan, deaf=SYNCED[what], stop_at=1).lost


# ---- the first start ----

@pytest.fixture(scope="module")
def first(library):
    """A directory that a command makes, another command, and the first start of a server."""
    recording = Recording(library)
    recording.new_key(recording.new_book())
    recording.server.start()
    recording.new_book()
    assert recording.server.stop() == 0
    yield recording
    recording.remove()


def test_power_loss_in_the_first_start(first):
    plan = random_plan(first.log(), 10, seed=2)
    plan += [(end, power.jumble, seed) for end in first.log().namings()[:12] for seed in (1, 2)]
    passes(Judge(first).judge(plan))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_power_loss_anywhere_in_the_first_start(first):
    log = first.log()
    plan = [(end, power.POLICIES[i % len(power.POLICIES)], i) for i, end in enumerate(log.ends)]
    plan += [(end, power.jumble, seed) for end in log.namings() for seed in range(4)]
    judge = Judge(first).judge(plan)
    passes(judge)
    assert judge.tally["opened"] == len(plan) > 300


# ---- backup and restore ----

COPIES = ("backup", "other", "restored")


class Copies(Recording):
    """A backup, another over it, beside a server, a third elsewhere, and the second restored."""

    def __init__(self, library):
        super().__init__(library)
        self.made = []      # (name of the directory, sent, acked, what it holds)
        self.server.start()
        clients = self.clients(2)
        self.load(clients, 12)
        assert self.server.stop() == 0
        self.copy("backup", "backup", self.disk / "backup")
        self.server.start()
        self.load(clients, 12)      # deletes, too: the second backup removes bytes of the first
        self.copy("backup", "backup", self.disk / "backup")
        assert self.server.stop() == 0
        self.copy("other", "backup", self.disk / "other")
        self.server.data_dir = self.disk / "restored"
        self.copy("restored", "restore", self.disk / "backup")

    def copy(self, name, *argv):
        sent = self.clock()
        self.server.run(*argv)
        held = [book.expected(sent)[0] for book in self.books]
        self.made.append((name, sent, self.clock(), held))


class CopiesJudge(Judge):
    def look(self, disk, position, served):
        for name in COPIES:
            copies = [copy for copy in self.recording.made if copy[0] == name]
            told = [copy for copy in copies if copy[2] <= position][-1:]
            doubt = [copy for copy in copies if copy[1] < position < copy[2]]
            whole = "dossier.db" if name == "restored" else "manifest.json"
            if (disk / name / whole).exists():
                self.count(name)
                self.look_at_copy(disk, name, [libraries for *_, libraries in told + doubt])
            else:
                assert doubt or not told, f"{name} is gone"
                if name == "restored":
                    self.look_at_unfinished(disk / name)
        self.count("states")

    @staticmethod
    def look_at_unfinished(data_dir):
        """A part of a restore is not taken for an empty directory."""
        if (data_dir / "secret.key").exists() or (data_dir / "blobs").exists():
            assert (data_dir / "dossier.db.partial").exists(), "begins anew"

    def look_at_copy(self, disk, name, held):
        data_dir = disk / name
        if name != "restored":
            data_dir = disk / f"{name}-restored"
            run_or_fail("restore", disk / name, "--data", data_dir)
        self.open(data_dir, True, 0)
        self.compare(data_dir, [(held[0][i], held[-1][i], None)
                                for i in range(len(self.recording.books))])


@pytest.fixture(scope="module")
def copies(library):
    recording = Copies(library)
    yield recording
    recording.remove()


def test_power_loss_after_backup_and_restore(copies):
    judge = CopiesJudge(copies).judge([(acked, policy, 3) for _, _, acked, _ in copies.made
                                       for policy in (power.drop, power.late, power.metadata)])
    passes(judge)
    assert [judge.tally[name] for name in COPIES] == [12, 6, 3]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_power_loss_in_backup_and_restore(copies):
    begin = copies.made[0][1]
    ends = [end for end in copies.log().ends if end > begin]
    plan = [(end, power.POLICIES[i % len(power.POLICIES)], i)
            for i, end in enumerate(random.Random(4).sample(ends, 100))]
    for _, sent, acked, _ in copies.made[1:]:   # before the bytes come, and after
        named = [end for end in copies.log().namings() if sent < end <= acked]
        plan += [(end, power.jumble, seed) for end in named[:8] for seed in (1, 2)]
        plan += [(end, power.drop, 0) for end in named[-8:]]
    passes(CopiesJudge(copies).judge(plan))


# ---- more of it ----

@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_power_loss_around_each_sync(life):
    """Just before and just after each, and somewhere else as often."""
    positions = life.log().syncs()
    plan = [(position, power.POLICIES[i % len(power.POLICIES)], i)
            for i, position in enumerate(positions)]
    plan += random_plan(life.log(), 100, seed=5)
    passes(Judge(life).judge(plan, serve_each=50))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("policy", ["some", "tear", "late", "scatter"])
def test_power_loss_in_the_recovery_from_one(life, library, tmp_path, policy):
    """What the next start does is cut short as well."""
    position = random.Random(policy).choice(life.log().ends[len(life.log().ends) // 2:])
    for state in power.crash_states(life.log(), [(position, getattr(power, policy), 6)]):
        state.write(tmp_path / "disk")
    recording = Recording(library, tmp_path / "disk")
    try:
        recording.books = life.books
        recording.server.start()
        assert recording.server.stop() == 0
        passes(Judge(recording, position).judge(random_plan(recording.log(), 40, seed=7)))
    finally:
        recording.remove()


@pytest.mark.slow
@pytest.mark.timeout(600 + 3 * STATES)
def test_power_loss_around_checkpoints(library):
    """Recordings that are long enough for the log of the database to begin anew in them."""
    seen = Counter()
    for number in range(-(-STATES // STATES_EACH)):
        recording = record_life(library, clients=4, steps=200, seed=number)
        try:
            count = min(STATES_EACH, STATES - seen["states"])
            judge = Judge(recording).judge(random_plan(recording.log(), count, number),
                                           serve_each=100)
            assert recording.checkpoints() > 0
            passes(judge)
            seen += judge.tally
        finally:
            recording.remove()
    print(f"{dict(seen)}, lost 0")
    assert seen["opened"] == STATES
