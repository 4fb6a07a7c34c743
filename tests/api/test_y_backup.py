# SPDX-License-Identifier: Apache-2.0
"""
Backups: taken in the middle of load, brought up to date, damaged, watched, of an older version.

Nothing acknowledged before the start may be missing, and no damage of the copy go unnoticed.
"""
import contextlib
import json
import os
import pty
import re
import resource
import sqlite3
import subprocess
import tempfile
import threading
import time

import pytest

import harness
import schema1
from harness import Server, at_once, data, requests, run_binary
from ledger import World, record_id

pytestmark = pytest.mark.embedded


@pytest.fixture
def alone():
    """A directory with six documents with bytes, and one without, that nobody serves."""
    server = Server()
    server.start()
    workspace = server.workspace(entities="open")
    api = workspace.api()
    server.key = api.key
    server.contents = {}
    for number in range(6):
        content = b"%d " % number + os.urandom(3000 * number)
        server.contents[api.new_bytes(content)["id"]] = content
    api.new_document()
    assert server.stop() == 0
    yield server
    server.remove()


@contextlib.contextmanager
def restored(source, target, name="copy"):
    """A server on what `restore` made of a backup, which was checked."""
    copy = Server(data_dir=source.home / name)
    try:
        copy.run("restore", target)
        assert copy.run("check")["ok"] is True
        assert copy.run("audit", "verify")["ok"] is True
        yield copy.start()
    finally:
        copy.remove()


def holds(server, key, contents):
    api = server.api(key)
    for document, content in contents.items():
        found = data(api.get(f"/v1/documents/{document}"))
        assert requests.get(found["download_url"], timeout=30).content == content


def files(target):
    """path -> what tells whether it was written again."""
    found = {}
    for path in (target / "blobs" / "objects").rglob("*"):
        if path.is_file():
            state = path.stat()
            found[path] = (state.st_ino, state.st_mtime_ns, state.st_size)
    return found


# ---- under load ----

class Before:
    """What was acknowledged before a backup began."""

    def __init__(self, world):
        self.deleted = [d.id for client in world.clients for d in list(client.deleted)]
        self.living = {d.id: (d.content, dict(d.links))
                       for client in world.clients for d in list(client.living.values())}

    def verify(self, server, key, deleted_since):
        api = server.api(key)
        for name in self.deleted:
            api.get(f"/v1/documents/{name}", expect=404)
        for name in set(self.living) - deleted_since:
            content, links = self.living[name]
            found = data(api.get(f"/v1/documents/{name}"))
            if content is not None:
                assert requests.get(found["download_url"], timeout=30).content == content
            there = {link["link_id"]: link["entity_id"]
                     for link in data(api.get(f"/v1/documents/{name}/links"))["links"]}
            assert links.items() <= there.items(), record_id(name)


@pytest.mark.timeout(300)
def test_backup_in_the_middle_of_load(server_factory):
    """Twice into one directory; each holds all that was acknowledged before it began."""
    world = World(server_factory())
    for client in world.clients:
        client.interval, client.hard_share = 0.02, 0.1
    target = world.server.home / "backup"

    def backup():
        before = Before(world)
        done = run_binary("backup", target, "--data", world.server.data_dir, seconds=120)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return before

    for name in ("first", "second"):
        before = world.load(lambda: time.sleep(0.7), backup)
        assert len(before.living) > 8
        with restored(world.server, target, name) as copy:
            before.verify(copy, world.clients[0].key, {d.id for d in world.deleted()})
    world.verify(full=False)


def test_more_files_than_descriptors(alone):
    api = alone.start().api(alone.key)
    contents = [os.urandom(100) for _ in range(80)]
    answer = api.post("/api/v1/upload", files=[("files", ("a", c)) for c in contents], expect=200)
    alone.contents.update(zip(answer.json(), contents))
    target = alone.home / "backup"

    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    done = run_binary("backup", target, "--data", alone.data_dir, preexec_fn=limit)
    assert done.returncode == 0, done.stderr
    with restored(alone, target) as copy:
        holds(copy, alone.key, alone.contents)


# ---- brought up to date ----

def test_only_what_is_new_is_written(alone):
    target = alone.home / "backup"
    alone.run("backup", target)
    before = files(target)
    assert len(before) == 6
    api = alone.start().api(alone.key)
    gone = sorted(alone.contents)[:2]
    for name in gone:
        api.delete(f"/v1/documents/{name}", params={"hard": "true"}, expect=204)
        del alone.contents[name]
    for size in (10, 20000, 300000):
        content = os.urandom(size)
        alone.contents[api.new_bytes(content)["id"]] = content
    made = alone.run("backup", target)
    after = files(target)
    assert (made["documents"], made["blobs"]) == (8, 7)
    assert len(before.keys() - after.keys()) == 2, "what is gone here is gone there"
    kept = before.keys() & after.keys()
    assert {path: before[path] for path in kept} == {path: after[path] for path in kept}
    written = [after[path][2] for path in after.keys() - before.keys()]
    assert sorted(written) == [10, 20000, 300000]
    with restored(alone, target) as copy:
        holds(copy, alone.key, alone.contents)


def shorten(path):
    os.truncate(path, path.stat().st_size - 1)


def lengthen(path):
    with open(path, "ab") as file:
        file.write(b"!")


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage, options", [
    (os.unlink, ()), (shorten, ()), (lengthen, ()), (flip, ("--verify",)),
    (shorten, ("--verify",))])
@pytest.mark.parametrize("running", [True, False])
def test_what_is_damaged_is_copied_anew(alone, running, damage, options):
    target = alone.home / "backup"
    alone.run("backup", target)
    before = files(target)
    victim = max(before, key=lambda path: before[path][2])
    good = victim.read_bytes()
    damage(victim)
    if running:
        alone.start()
    done = run_binary("backup", target, *options, "--data", alone.data_dir)
    assert done.returncode == 0, done.stderr
    assert victim.read_bytes() == good
    assert ("was damaged" in done.stderr) == (damage is not os.unlink)
    assert {path: state for path, state in files(target).items() if path != victim} == {
        path: state for path, state in before.items() if path != victim}
    with restored(alone, target) as copy:
        holds(copy, alone.key, alone.contents)


def test_verify_says_nothing_of_a_sound_backup(alone):
    target = alone.home / "backup"
    first = alone.run("backup", "--verify", target)
    before = files(target)
    done = run_binary("backup", "--verify", target, "--data", alone.data_dir)
    assert (done.returncode, done.stderr) == (0, "")
    assert {**json.loads(done.stdout), "created_at": 0} == {**first, "created_at": 0}
    assert files(target) == before


# ---- a damaged database ----

def damage_page(path):
    """Overwrites a page that neither a start nor the copying reads."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        (page,) = db.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'audit_resource'").fetchone()
        size = db.execute("PRAGMA page_size").fetchone()[0]
    with open(path, "r+b") as file:
        file.seek((page - 1) * size + size // 2)
        file.write(b"\xff" * (size // 2))


def damage_index(path):
    """Changes a row behind the back of an index."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA writable_schema=ON")
        index = db.execute("SELECT * FROM sqlite_master WHERE name = 'document_name'").fetchone()
        db.execute("DELETE FROM sqlite_master WHERE name = 'document_name'")
        db.commit()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE document SET name = 'changed'")
        db.execute("PRAGMA writable_schema=ON")
        db.execute("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", index)
        db.commit()


@pytest.mark.parametrize("damage, options", [(damage_page, ()), (damage_index, ("--verify",))])
def test_a_damaged_database_replaces_no_backup(alone, damage, options):
    target = alone.home / "backup"
    made = alone.run("backup", target)
    damage(alone.data_dir / "dossier.db")
    done = run_binary("backup", target, *options, "--data", alone.data_dir)
    assert done.returncode == 1 and "the database is damaged" in done.stderr, done.stderr
    assert json.loads((target / "manifest.json").read_text()) == made
    with restored(alone, target) as copy:
        holds(copy, alone.key, alone.contents)


def test_a_damaged_backup_is_not_restored(alone):
    target = alone.home / "backup"
    alone.run("backup", target)
    damage_page(target / "dossier.db")
    done = run_binary("restore", target, "--data", alone.home / "copy")
    assert done.returncode == 1 and "the database is damaged" in done.stderr, done.stderr
    assert not (alone.home / "copy" / "dossier.db").exists()


def test_two_at_once_into_one_directory(server_factory):
    """One goes on, the other is told; what comes of it can be restored."""
    server = server_factory()
    api = server.workspace().api()
    target = server.home / "backup"
    for _ in range(5):
        for _ in range(20):
            api.new_bytes(os.urandom(2000))
        done = at_once(3, lambda _: run_binary("backup", target, "--data", server.data_dir))
        assert 0 in [one.returncode for one in done]
        for one in done:
            assert one.returncode == 0 or "another backup" in one.stderr, one.stderr
        with tempfile.TemporaryDirectory() as copy:
            done = run_binary("restore", target, "--data", f"{copy}/data")
            assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("inside", ["", "backup", "blobs/backup"])
def test_not_into_the_data_directory(alone, inside):
    before = sorted(path.name for path in alone.data_dir.rglob("*"))
    done = run_binary("backup", alone.data_dir / inside, "--data", alone.data_dir)
    assert done.returncode == 1, done.stdout
    assert sorted(path.name for path in alone.data_dir.rglob("*")) == before


# ---- progress ----

def on_terminal(*argv):
    """What the command shows on a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([harness.BINARY, *map(str, argv)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=theirs) as process:
        killer = threading.Timer(harness.COMMAND_SECONDS, process.kill)
        killer.start()
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # EIO: the other side is closed
            while True:
                shown += os.read(ours, 4096)
        os.close(ours)
        assert process.wait() == 0, shown
        killer.cancel()
    return shown.decode().splitlines()


@pytest.mark.parametrize("running", [True, False])
def test_progress_is_for_terminals(alone, running):
    target = alone.home / "backup"
    total = sum(map(len, alone.contents.values()))
    if running:
        alone.start()
    copied = f"dossier: copied 6 of 6 blobs, {total >> 20} of {total >> 20} MiB (100 %)"
    shown = on_terminal("backup", "--verify", target, "--data", alone.data_dir)
    assert copied in shown and shown[-1] == copied.replace("copied", "verified")
    for line in shown:
        assert re.fullmatch(r"dossier: (copied|verified) \d of 6 blobs, \d of \d MiB \(\d+ %\)",
                            line), shown
    assert on_terminal("restore", target, "--data", alone.home / "copy")[-1] == copied
    for argv in (("backup", target, "--data", alone.data_dir),
                 ("restore", target, "--data", alone.home / "second")):
        done = run_binary(*argv)
        assert (done.returncode, done.stderr) == (0, "")


# ---- older versions ----

def test_restore_of_an_older_version(alone):
    """A backup of the first schema becomes one of this program's."""
    target = alone.home / "old"
    target.mkdir()
    schema1.write_backup(target)
    fresh = Server()
    newest = fresh.run("migrate")["to"]
    fresh.remove()
    copy = Server(data_dir=alone.home / "copy")
    try:
        copy.run("restore", target)
        assert schema1.version(copy.data_dir) == newest
        assert copy.run("migrate") == {"from": newest, "to": newest}
        schema1.verify(copy.start())
    finally:
        copy.remove()
    assert schema1.version(target) == 1, "the backup is as it was"
