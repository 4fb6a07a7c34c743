# SPDX-License-Identifier: Apache-2.0
"""
Libraries that move: export and import, between all engines there are.

Embedded to embedded runs always. With DOSSIER_TEST_DATABASE (and DOSSIER_TEST_S3) the library also
goes to these and back; without, these tests say that they skip.
"""
import contextlib
import filecmp
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time

import pytest

import engines
import harness
from bed import postgres
from harness import Server, data, run_binary
from ledger import World
from library import Library, bytes_of
from test_y_backup import on_terminal

ENGINES = {"DOSSIER_DATABASE": "sqlite", "DOSSIER_BLOBS": "fs"}
SCALED = pytest.param("scaled", marks=pytest.mark.skipif(
    engines.EMBEDDED, reason="DOSSIER_TEST_DATABASE names no server"))
EVERYWHERE = pytest.mark.parametrize(
    "engine", [pytest.param("embedded", marks=pytest.mark.embedded), SCALED])
SECONDS = 120


class Place:
    """An empty library of an engine: a directory, and what the engines' servers have for it."""

    def __init__(self, engine, name="data", env=None):
        self.server = Server(env=ENGINES if engine == "embedded" else env)
        self.server.data_dir = self.server.home / name
        self.data_dir = self.server.data_dir
        self.env = {**os.environ, **self.server.place.env, **self.server.env}

    def command(self, *argv):
        return run_binary(*argv, "--data", self.data_dir, env=self.env, seconds=SECONDS)

    def run(self, *argv):
        done = self.command(*argv)
        assert done.returncode == 0, f"{argv}: {done.stderr}{done.stdout}"
        return json.loads(done.stdout)

    def start_import(self, export, *options):
        argv = [harness.BINARY, "import", export, *options, "--data", self.data_dir]
        return subprocess.Popen(list(map(str, argv)), env=self.env, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    @contextlib.contextmanager
    def served(self):
        try:
            yield self.server.start()
        finally:
            assert self.server.stop() == 0

    def remove(self):
        self.server.remove()


@pytest.fixture
def place():
    """place("embedded"): a Place, removed after the test."""
    made = []

    def make(engine):
        made.append(Place(engine))
        return made[-1]

    yield make
    for one in made:
        one.remove()


@pytest.fixture(scope="module")
def moved(tmp_path_factory):
    """A library, embedded and stopped, with its facts and a first export; nobody changes it."""
    here = Place("embedded")
    here.server.start()
    here.library = Library(here.server)
    here.facts = here.library.facts(here.server)
    assert here.server.stop() == 0
    here.export = tmp_path_factory.mktemp("moved") / "export"
    here.report = here.run("export", here.export)
    yield here
    here.remove()


@pytest.fixture
def export(moved, tmp_path):
    """A copy of the export, to be damaged."""
    shutil.copytree(moved.export, tmp_path / "export")
    return tmp_path / "export"


def files(directory):
    return {str(path.relative_to(directory)): path for path in directory.rglob("*")
            if path.is_file()}


def names(directory):
    return {str(path.relative_to(directory)) for path in directory.rglob("*")}


def assert_same(one, other):
    """Both exports have the same directories, and the same files with the same bytes."""
    assert names(one) == names(other)
    left, right = files(one), files(other)
    differing = [name for name in left if not filecmp.cmp(left[name], right[name], shallow=False)]
    assert not differing


def assert_whole(where, library):
    assert where.run("check")["ok"] is True
    assert_trails(where, library)


def assert_trails(where, library):
    found = where.run("audit", "verify")
    assert found["ok"] is True and len(found["workspaces"]) == 3
    for workspace, heads in library.heads.items():
        for head in heads:
            where.run("audit", "verify", "--workspace", workspace, "--head", head)


def refused(done, status, *words):
    """A command that fails so, with these words."""
    assert done.returncode == status, done.stderr + done.stdout
    for word in words:
        assert word in done.stderr, done.stderr
    assert done.stderr.count("\n") == 1


# ---- there and back ----

@EVERYWHERE
@pytest.mark.timeout(300)
def test_there_and_back(moved, place, tmp_path, engine):
    """The exports are the same, byte for byte, and nothing is missing at either end."""
    there, back = place(engine), place("embedded")
    report = there.run("import", moved.export)
    assert report["finished"] is True and report["faulty"] == 0
    for member in ("sha256", "rows", "blobs", "bytes"):
        assert report[member] == moved.report[member]
    assert report["copied_blobs"] == report["verified_blobs"] == report["blobs"] > 60
    assert_whole(there, moved.library)
    there.run("export", tmp_path / "there")
    assert_same(moved.export, tmp_path / "there")
    back.run("import", tmp_path / "there")
    assert_whole(back, moved.library)
    back.run("export", tmp_path / "back")
    assert_same(moved.export, tmp_path / "back")
    for where in (there, back):
        with where.served() as server:
            assert moved.library.facts(server) == moved.facts
            moved.library.read_bytes(server)
            moved.library.resume(server)
        assert_whole(where, moved.library)


@EVERYWHERE
@pytest.mark.timeout(300)
def test_beside_load(place, tmp_path, engine):
    """Reads, writes, deletes go on; what was acknowledged before is in it, and all of it fits."""
    here = place(engine)
    world = World(here.server.start())
    for client in world.clients:
        client.interval, client.hard_share = 0.02, 0.2

    def run_export():
        living = {d.id: d.content for client in world.clients
                  for d in list(client.living.values())}
        gone = [d.id for client in world.clients for d in list(client.deleted)]
        assert here.run("export", tmp_path / "export")["finished"] is True
        return living, gone

    for _ in range(2):      # the second one brings the first up to date
        living, gone = world.load(lambda: time.sleep(1), run_export)
        later = {d.id for d in world.deleted()}
        copy = place("embedded")
        report = copy.run("import", tmp_path / "export")
        assert report["rows"]["document"] > 0 and report["blobs"] > 0
        assert copy.run("check")["ok"] is True
        assert copy.run("audit", "verify")["ok"] is True
        with copy.served() as server:
            api = server.api(world.clients[0].key)
            for name in gone:
                api.get(f"/v1/documents/{name}", expect=404)
            for name in set(living) - later:
                found = data(api.get(f"/v1/documents/{name}"))
                if living[name] is not None:
                    content = harness.requests.get(found["download_url"], timeout=30).content
                    assert content == living[name]
    assert here.server.stop() == 0


def test_only_what_is_new_is_copied(place, tmp_path):
    here = place("embedded")
    with here.served() as server:
        api = server.workspace().api()
        ids = [api.new_bytes(bytes_of(500 * i))["id"] for i in range(6)]
        first = here.run("export", tmp_path / "export")
        assert (first["copied_blobs"], first["verified_blobs"]) == (6, 6)
        before = {name: path.stat().st_ino for name, path in files(tmp_path / "export").items()
                  if name.startswith("objects/")}
        api.delete(f"/v1/documents/{ids[0]}?hard=true", expect=204)
        api.delete(f"/v1/documents/{ids[1]}", expect=204)
        api.new_bytes(b"new")
        second = here.run("export", tmp_path / "export", "--quick")
        assert (second["copied_blobs"], second["verified_blobs"], second["blobs"]) == (1, 0, 5)
        after = {name: path.stat().st_ino for name, path in files(tmp_path / "export").items()
                 if name.startswith("objects/")}
        assert len(after) == 5 and len(after.items() & before.items()) == 4
        assert here.run("export", tmp_path / "export")["copied_blobs"] == 0
    here.run("export", tmp_path / "anew")
    here.run("export", tmp_path / "export")
    assert_same(tmp_path / "anew", tmp_path / "export")


def test_who_may_read_it(moved):
    assert moved.export.stat().st_mode & 0o777 == 0o700
    for path in files(moved.export).values():
        assert path.stat().st_mode & 0o777 == 0o600, path
    secret = (moved.data_dir / "secret.key").read_bytes()
    assert (moved.export / "secret.key").read_bytes() == secret


def test_deleted_bytes_stay_behind(moved, place):
    """What waits to be erased moves as that, without its bytes: it is erased there in name only."""
    rows = [json.loads(line) for line in (moved.export / "rows/purge.jsonl").open()]
    assert len(rows) == 4
    names = {name.rsplit("-")[-1] for name in files(moved.export) if name.startswith("objects/")}
    assert names and not names & {row["blob_id"] for row in rows}
    there = place("embedded")
    there.run("import", moved.export)
    with sqlite3.connect(there.data_dir / "dossier.db") as rows:
        rows.execute("UPDATE purge SET due_at = 0")
    key = moved.library.keys[moved.library.full.id]
    with there.served() as server:
        harness.wait_for(lambda: data(server.api(key).get("/v1/usage"))["pending_purge_bytes"] == 0)
        lines = server.api(key).audit(action="purge")
        assert len(lines) == 5      # one was erased before the move
    assert there.run("audit", "verify")["ok"] is True


def test_bytes_without_a_hash(moved, place, tmp_path):
    """As they come to a store past us: the export finds out, and the row stays as it is."""
    here, there = place("embedded"), place("embedded")
    here.run("import", moved.export)
    with contextlib.closing(sqlite3.connect(here.data_dir / "dossier.db")) as rows, rows:
        rows.execute("UPDATE document SET sha256 = NULL WHERE size_bytes < 3000")
        rows.execute("UPDATE object SET sha256 = zeroblob(0)")
    here.run("export", tmp_path / "one")
    noted = (tmp_path / "one/rows/hashes.jsonl").read_text().splitlines()
    assert len(noted) > 10
    here.run("export", tmp_path / "one")    # they are there already
    there.run("import", tmp_path / "one")
    there.run("export", tmp_path / "two")
    assert_same(tmp_path / "one", tmp_path / "two")
    victim = json.loads(noted[5])
    blob = next(path for name, path in files(tmp_path / "one").items()
                if name.endswith("-" + victim["blob_id"]))
    blob.write_bytes(bytes(blob.stat().st_size))
    done = place("embedded").command("import", tmp_path / "one")
    assert done.returncode == 1 and json.loads(done.stdout)["faulty"] == 1


@EVERYWHERE
def test_broken_seal_stays_broken(moved, place, tmp_path, engine):
    here, there, back = place("embedded"), place(engine), place("embedded")
    here.run("import", moved.export)
    broken = moved.library.strict.id
    with contextlib.closing(sqlite3.connect(here.data_dir / "dossier.db")) as rows, rows:
        rows.execute("UPDATE audit_chain SET lines = lines + 1 WHERE workspace_id ="
                     " (SELECT workspace_id FROM workspace WHERE public_id = ?)", (broken,))
    here.run("export", tmp_path / "one")
    there.run("import", tmp_path / "one")
    there.run("export", tmp_path / "two")
    back.run("import", tmp_path / "two")
    back.run("export", tmp_path / "three")
    assert_same(tmp_path / "one", tmp_path / "three")
    for where in (here, there, back):
        done = where.command("audit", "verify")
        assert done.returncode == 1
        found = {w["workspace"]: w["intact"] for w in json.loads(done.stdout)["workspaces"]}
        assert [name for name, intact in found.items() if not intact] == [broken]
        assert len(found) == 3


def test_progress_is_for_terminals(moved, place, tmp_path):
    here, blobs = place("embedded"), moved.report["blobs"]
    shown = on_terminal("import", moved.export, "--data", here.data_dir)
    assert shown[0].startswith("dossier: copied ") and "MiB (" in shown[0]
    assert shown[-1].startswith(f"dossier: verified {blobs} of {blobs} blobs, ")
    shown = on_terminal("export", tmp_path / "export", "--data", here.data_dir)
    assert shown[-1].startswith(f"dossier: verified {blobs} of {blobs} blobs, ")


# ---- what the end finds out ----

def test_damage_of_the_target_is_mended(moved, place):
    """Bytes that changed after they were copied are copied once more."""
    quick, thorough = place("embedded"), place("embedded")
    for target in (quick, thorough):
        target.run("import", moved.export, "--bytes-only")
        blob = max(files(target.data_dir / "blobs/objects").values(), key=os.path.getsize)
        flip(blob, 1000)
    assert quick.run("import", moved.export, "--quick")["copied_blobs"] == 0
    assert json.loads(quick.command("check").stdout)["counts"]["wrong_hash"] == 1
    report = thorough.run("import", moved.export)
    assert report["copied_blobs"] == 1 and report["verified_blobs"] >= report["blobs"]
    assert_whole(thorough, moved.library)


def test_damage_of_the_export_is_mended(moved, export, place):
    here = place("embedded")
    here.run("import", moved.export)
    flip(max(files(export / "objects").values(), key=os.path.getsize), 1000)
    assert here.run("export", export, "--quick")["copied_blobs"] == 0
    assert here.run("export", export)["copied_blobs"] == 1
    assert_same(moved.export, export)


def test_rows_of_others_are_found(moved, place):
    target = place("embedded")
    target.run("import", moved.export, "--bytes-only")
    with contextlib.closing(sqlite3.connect(target.data_dir / "dossier.db")) as rows, rows:
        rows.execute("INSERT INTO docs_user (workspace_id, id) VALUES (1, 'x')")
    refused(target.command("import", moved.export), 1, "docs_user")
    assert refuses_to_serve(target)


# ---- cut short ----

def interrupted(target, export, rng, longest, *options):
    """An import that is killed at a random moment; true when it was quicker."""
    process = target.start_import(export, *options)
    try:
        _, errors = process.communicate(timeout=rng.uniform(0, longest))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return False
    assert process.returncode == 0, errors
    return True


def refuses_to_serve(target):
    """True when it does because of the import; false when there is nothing to serve yet, or all."""
    if not (target.data_dir / "secret.key").exists():
        return False
    done = target.command("audit", "verify")
    if "has not finished" not in done.stderr:
        return False
    refused(done, 1, "dossier import")
    refused(target.command("serve", "--listen", "127.0.0.1:0"), 1, "has not finished")
    return True


def go_through(moved, place, engine, kills, seed):
    """Imports with so many kills in all; how often serving was refused in between."""
    rng = random.Random(seed)
    begun = time.monotonic()
    place(engine).run("import", moved.export)
    longest = time.monotonic() - begun
    refusals = 0
    while kills > 0:
        target = place(engine)
        while kills > 0 and not interrupted(target, moved.export, rng, longest):
            kills -= 1
            refusals += refuses_to_serve(target)
        target.run("import", moved.export)
        target.run("export", target.server.home / "export")
        assert_same(moved.export, target.server.home / "export")
        assert_whole(target, moved.library)
    return refusals


@EVERYWHERE
@pytest.mark.timeout(300)
def test_killed(moved, place, engine):
    go_through(moved, place, engine, 4, seed=1)


@EVERYWHERE
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_often(moved, place, engine):
    kills = int(os.environ.get("DOSSIER_MOVE_KILLS", "40"))
    assert go_through(moved, place, engine, kills, seed=2) > 0


@pytest.mark.slow
@pytest.mark.skipif(engines.EMBEDDED, reason="DOSSIER_TEST_DATABASE names no server")
@pytest.mark.timeout(900)
def test_database_killed(moved, place):
    """The server of rows is killed and started again: an import in the middle of rows goes on."""
    rng, went_on = random.Random(4), 0
    with postgres.Postgres(durable=True) as database:
        for number in range(30):
            target = place("embedded")
            database.sql(f"CREATE DATABASE d{number} OWNER {postgres.OWNER}")
            target.env["DOSSIER_DATABASE"] = database.url_of(f"d{number}")
            target.run("import", moved.export, "--bytes-only")
            process = target.start_import(moved.export, "--quick")
            time.sleep(rng.uniform(0.05, 0.4))
            database.server.kill()
            database.server.start()
            _, errors = process.communicate(timeout=SECONDS)
            if process.returncode:
                target.run("import", moved.export)
            went_on += "trying again" in errors and process.returncode == 0
            target.run("export", target.server.home / "export", "--quick")
            assert_same(moved.export, target.server.home / "export")
            if number >= 5 and went_on >= 2:
                break
    assert went_on >= 2


def test_killed_export(moved, place, tmp_path):
    """Killed and run again it is the same; until then it is the earlier one or, when it was just
    being put in its place, none."""
    here = place("embedded")
    here.run("import", moved.export)
    rng = random.Random(3)
    for _ in range(5):
        process = subprocess.Popen(
            [harness.BINARY, "export", str(tmp_path / "export"), "--data", str(here.data_dir)],
            env=here.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=rng.uniform(0, 0.3))
        process.kill()
        process.communicate()
        taken = place("embedded").command("import", tmp_path / "export")
        if process.returncode and taken.returncode:
            refused(taken, 2, "no finished")
        else:
            assert taken.returncode == 0, taken.stderr
    here.run("export", tmp_path / "export")
    assert_same(moved.export, tmp_path / "export")


# ---- damage ----

def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def edit_manifest(export, **members):
    path = export / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **members}))


def test_damaged_rows(export, place):
    target = place("embedded")
    for table in ("workspace", "document", "audit_chain", "hashes"):
        path = export / f"rows/{table}.jsonl"
        good = path.read_bytes()
        for at in {0, len(good) // 2, len(good) - 1} if good else ():
            flip(path, at)
            refused(target.command("import", export), 1, str(path), "damaged")
        path.write_bytes(good + b"{}\n")
        refused(target.command("import", export), 1, str(path), "damaged")
        path.write_bytes(good[:-1])
        if good:
            refused(target.command("import", export), 1, str(path), "damaged")
        path.unlink()
        refused(target.command("import", export), 1, str(path), "missing")
        path.write_bytes(good)
    assert not (target.data_dir / "dossier.db").exists()
    target.run("import", export)


@EVERYWHERE
def test_damaged_bytes(moved, export, place, engine):
    """All that are damaged or missing are named, the others copied; once mended it goes on."""
    target = place(engine)
    objects = [path for name, path in sorted(files(export).items())
               if name.startswith("objects/") and path.stat().st_size > 0]
    good = [path.read_bytes() for path in objects]
    flip(objects[0], 0)
    flip(objects[1], -1)
    objects[2].write_bytes(good[2][:-1])
    objects[3].write_bytes(good[3] + b"x")
    objects[4].unlink()
    for _ in range(2):
        done = target.command("import", export)
        assert done.returncode == 1 and not done.stderr
        report = json.loads(done.stdout)
        assert report["finished"] is False and report["sha256"] is None and report["faulty"] == 5
        assert sorted(fault["what"] for fault in report["faults"]) == ["damaged"] * 4 + ["missing"]
        for fault in report["faults"]:
            assert fault["storage_path"] and (fault.get("document_id", "doc_").startswith("doc_"))
        assert refuses_to_serve(target)
    for path, content in zip(objects, good):
        path.write_bytes(content)
    report = target.run("import", export)
    assert report["finished"] is True and report["copied_blobs"] == 5
    assert_whole(target, moved.library)


@pytest.mark.parametrize("change, status, word", [
    (lambda e: (e / "manifest.json").unlink(), 2, "no finished export"),
    (lambda e: (e / "manifest.json").write_text(""), 1, "damaged"),
    (lambda e: os.truncate(e / "manifest.json", 700), 1, "damaged"),
    (lambda e: edit_manifest(e, blobs=1), 1, "damaged"),
    (lambda e: edit_manifest(e, sha256="0" * 64), 1, "damaged"),
    (lambda e: edit_manifest(e, format=2), 2, "format"),
    (lambda e: edit_manifest(e, kind="x"), 2, "no export"),
    (lambda e: (e / "secret.key").write_text("0" * 64 + "\n"), 2, "secret.key"),
    (lambda e: (e / "secret.key").unlink(), 2, "secret.key"),
    (shutil.rmtree, 2, "no finished export"),
], ids=lambda value: value if isinstance(value, str) else None)
def test_no_export(export, place, change, status, word):
    change(export)
    target = place("embedded")
    refused(target.command("import", export), status, word)
    assert not target.data_dir.exists()


def test_backup_and_export_are_told_apart(moved, export, place, tmp_path):
    here = place("embedded")
    here.run("import", export)
    here.run("backup", tmp_path / "backup")
    refused(here.command("export", tmp_path / "backup"), 1, "no export")
    refused(here.command("backup", export), 1, "no backup")
    refused(place("embedded").command("import", tmp_path / "backup"), 2, "dossier restore")
    refused(place("embedded").command("restore", export), 1, "")
    refused(here.command("export", here.data_dir / "export"), 1, "in the data directory")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("")
    refused(here.command("export", tmp_path / "other"), 1, "no export")


def test_lost_bytes_of_the_source(moved, place, tmp_path):
    """They are named, the rest is there, and an earlier export stays one."""
    here = place("embedded")
    here.run("import", moved.export)
    here.run("export", tmp_path / "earlier")
    _, waiting = moved.library.object       # no document has these yet
    lost, damaged = [path for name, path in sorted(files(here.data_dir / "blobs").items())
                     if path.stat().st_size > 100 and path.read_bytes() != waiting][:2]
    lost.unlink()
    flip(damaged, 0)
    done = here.command("export", tmp_path / "export")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert report["finished"] is False and report["faulty"] == 2
    assert report["copied_blobs"] == report["blobs"] - 2
    assert {fault["what"] for fault in report["faults"]} == {"missing", "damaged"}
    assert all(fault["document_id"].startswith("doc_") for fault in report["faults"])
    refused(place("embedded").command("import", tmp_path / "export"), 2, "no finished export")
    assert here.command("export", tmp_path / "earlier").returncode == 0     # it has them
    assert_same(moved.export, tmp_path / "earlier")


# ---- where to ----

@EVERYWHERE
def test_only_into_an_empty_place(moved, place, engine):
    full, other = place(engine), place(engine)
    full.run("import", moved.export)
    refused(full.command("import", moved.export, "--bytes-only"), 2, "not empty")
    full.run("workspace", "create", "one more")
    refused(full.command("import", moved.export), 2, "not empty")
    other.run("workspace", "create", "w")
    refused(other.command("import", moved.export), 2, "secret.key")
    shutil.copy(moved.export / "secret.key", other.data_dir / "secret.key")
    refused(other.command("import", moved.export), 2, "not empty")


@EVERYWHERE
def test_finished_already(moved, place, engine):
    """Who was not told that an import has finished asks again, and is: nothing is done any more."""
    target = place(engine)
    first = target.run("import", moved.export)
    again = target.run("import", moved.export)
    assert again == {**first, "copied_blobs": 0, "copied_bytes": 0}
    quick = target.run("import", moved.export, "--quick")
    assert quick == {**again, "verified_blobs": 0}
    if engine == "embedded":
        flip(max(files(target.data_dir / "blobs/objects").values(), key=os.path.getsize), 1000)
        assert target.run("import", moved.export)["copied_blobs"] == 1
    assert_whole(target, moved.library)


def test_not_into_the_source(moved, export, place):
    """A library with the same key, and perhaps the same rows, that no import has made."""
    here = place("embedded")
    shutil.copytree(moved.data_dir, here.data_dir)
    refused(here.command("import", export), 2, "not empty")


def test_only_into_empty_bytes(moved, place):
    target = place("embedded")
    stray = target.data_dir / "blobs/objects/ab/cd" / ("0" * 16 + "-" + "0" * 28 + "abcd")
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"x")
    refused(target.command("import", moved.export), 2, "not empty")
    assert not (target.data_dir / "dossier.db").exists()
    stray.unlink()
    target.run("import", moved.export)


@EVERYWHERE
def test_not_beside_a_server(moved, place, engine):
    target = place(engine)
    with target.served():
        refused(target.command("import", moved.export), 1, "in use by another dossier")
        if engine == "scaled":
            elsewhere = {**target.env}
            done = run_binary("import", moved.export, "--data", target.server.home / "other",
                              env=elsewhere, seconds=SECONDS)
            same = "DOSSIER_DATABASE" in target.env
            refused(done, *((1, "another dossier uses this database") if same
                            else (2, "--blobs is the store of another database")))


@EVERYWHERE
def test_bytes_first(moved, place, tmp_path, engine):
    """--bytes-only moves most while the old service runs; what changes since comes later."""
    here, there = place("embedded"), place(engine)
    here.run("import", moved.export)
    first = there.run("import", moved.export, "--bytes-only")
    assert first["finished"] is False and first["copied_blobs"] == first["blobs"]
    assert refuses_to_serve(there)
    with here.served() as server:
        api = server.api(moved.library.keys[moved.library.full.id])
        gone = list(moved.library.contents)[:3]
        for name in gone:
            api.delete(f"/v1/documents/{name}", params={"hard": "true"})
        api.new_bytes(bytes_of(12345))
    here.run("export", tmp_path / "export", "--quick")
    last = there.run("import", tmp_path / "export", "--quick")
    assert last["finished"] is True and last["copied_blobs"] == 1 and last["verified_blobs"] == 0
    assert_whole(there, moved.library)      # nothing is there that no row names, for example
    there.run("export", tmp_path / "there")
    assert_same(tmp_path / "export", tmp_path / "there")


def test_another_export_once_rows_are_in(moved, export, place, tmp_path):
    here, target = place("embedded"), place("embedded")
    here.run("import", export)
    here.run("workspace", "create", "one more")
    here.run("export", tmp_path / "later")
    target.run("import", export, "--bytes-only")
    with contextlib.closing(sqlite3.connect(target.data_dir / "dossier.db")) as rows, rows:
        rows.execute("UPDATE importing SET step = 1")
    refused(target.command("import", tmp_path / "later"), 2, "another export")
    target.run("import", export)
