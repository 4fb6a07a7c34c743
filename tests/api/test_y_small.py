# SPDX-License-Identifier: Apache-2.0
"""
Small blobs as rows of blobs/small.db: kept when the process dies, gone when they are erased,
noticed when they are damaged, given back as room, and beside files of a program of before.
"""
import contextlib
import os
import random
import re
import threading
import time

import pytest

import blob_files
import schema1
from harness import Server, at_once, data, parse_output, requests, run_binary, unique, wait_for

pytestmark = [pytest.mark.embedded, pytest.mark.timeout(120)]

MARK = re.compile(rb"MARK-[0-9a-f]{24}")
PAGE = 4096


def marked(rng, size):
    return (b"MARK-" + rng.randbytes(12).hex().encode() + rng.randbytes(size))[:max(size, 29)]


def upload(api, contents):
    """id -> content, by one request."""
    answer = api.post("/api/v1/upload", files=[("files", ("a", c)) for c in contents], expect=200)
    return dict(zip(answer.json(), contents))


def download(api, document):
    found = data(api.get(f"/v1/documents/{document}"))
    return requests.get(found["download_url"], timeout=30)


def erase(api, document):
    api.delete(f"/v1/documents/{document}?hard=true", expect=204)


def check(server):
    done = run_binary("check", "--data", server.data_dir)
    return done.returncode, parse_output(done.stdout) if done.stdout else done.stderr


def assert_holds(api, contents):
    for document, content in contents.items():
        assert download(api, document).content == content


# ---- where they are ----

def test_where_bytes_are(server):
    """Up to 64 KiB they are rows, beyond that files; and no file of the store tells of others."""
    api = server.workspace().api()
    sizes = [0, 1, 100, 4000, 5000, 65535, 65536, 65537, 100000]
    before, files = blob_files.small(server.data_dir), len(blob_files.files(server.data_dir))
    contents = upload(api, [os.urandom(size) for size in sizes])
    rows = blob_files.small(server.data_dir)
    assert sorted(len(rows[name]) for name in rows.keys() - before.keys()) == sizes[:7]
    assert len(blob_files.files(server.data_dir)) == files + 2
    assert_holds(api, contents)
    api.session.headers["Range"] = "bytes=10-19"
    documents = {len(content): document for document, content in contents.items()}
    for size in (100, 65536, 65537):
        url = data(api.get(f"/v1/documents/{documents[size]}"))["download_url"]
        answer = requests.get(url, headers={"Range": "bytes=10-19"}, timeout=30)
        assert answer.status_code == 206 and answer.content == contents[documents[size]][10:20]
    modes = {path.name: path.stat().st_mode & 0o777 for path in
             (server.data_dir / "blobs").iterdir() if path.is_file()}
    assert set(modes) == set(blob_files.OURS[1:]) and set(modes.values()) == {0o600}


def test_no_bytes_where_pages_are_rearranged(server_factory):
    """
    A page of a B-tree is copied to others when it grows or shrinks, and what is then left over in
    it is not overwritten (SQLite's secure_delete does not see it): a row that is erased later would
    leave a copy behind. So no such page has bytes of a blob; they begin in pages of their own.
    """
    server = server_factory()   # stopped below
    api, rng = server.workspace().api(), random.Random(1)
    upload(api, [marked(rng, size) for size in
                 [*range(0, 9000, 61), *range(9000, 65536, 4001), 65536]])
    assert server.stop() == 0
    file = blob_files.database(server.data_dir).read_bytes()
    # the first byte tells a leaf or an inner page of a table or an index
    found = [at // PAGE + 1 for at in range(PAGE, len(file), PAGE)
             if file[at] in (2, 5, 10, 13) and MARK.search(file[at:at + PAGE])]
    assert len(MARK.findall(file)) > 100 and found == []


# ---- when the process dies ----

class Writer:
    """Uploads and erases by itself, and knows what it was told."""

    def __init__(self, server, key, seed):
        self.server, self.key, self.rng = server, key, random.Random(seed)
        self.living = {}        # id -> bytes: acknowledged, and no delete of it was sent
        self.erased = set()     # marks of acknowledged hard deletes

    def run(self, stop):
        api = self.server.api(self.key)
        with contextlib.suppress(requests.RequestException):
            while not stop.is_set():
                if self.living and self.rng.random() < 0.4:
                    self.erase(api)
                else:
                    sizes = [self.rng.choice((40, 700, 3000, 20000)) for _ in range(4)]
                    self.living.update(upload(api, [marked(self.rng, size) for size in sizes]))

    def erase(self, api):
        document, content = self.living.popitem()
        erase(api, document)
        self.erased.add(content[:29])


def kill_often(server, rounds):
    key, rng = server.workspace().key(), random.Random(rounds)
    writers = [Writer(server, key, seed) for seed in range(4)]
    for _ in range(rounds):
        stop = threading.Event()
        threads = [threading.Thread(target=writer.run, args=[stop]) for writer in writers]
        for thread in threads:
            thread.start()
        time.sleep(rng.uniform(0.3, 0.8))
        server.kill()
        stop.set()
        for thread in threads:
            thread.join(30)
        erased = {mark for writer in writers for mark in writer.erased}
        assert not erased & marks_on_disk(server), "bytes of an acknowledged hard delete are there"
        server.start()
        status, report = check(server)
        assert status == 0 and report["ok"] is True and report["counts"]["missing"] == 0, report
        for writer in writers:
            some = rng.sample(sorted(writer.living), min(25, len(writer.living)))
            assert_holds(server.api(key), {name: writer.living[name] for name in some})
    for writer in writers:
        assert_holds(server.api(key), writer.living)
    erased = {mark for writer in writers for mark in writer.erased}
    assert len(erased) > 5 * rounds and not erased & marks_on_disk(server)


def marks_on_disk(server):
    return {mark for content in server.place.contents() for mark in MARK.findall(content)}


def test_kills_in_the_middle(server_factory):
    kill_often(server_factory("--purge-after", "55m"), 3)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_kills_in_the_middle_often(server_factory):
    kill_often(server_factory("--purge-after", "55m"), 20)


# ---- erased for good ----

@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nothing_is_left_of_thousands(server_factory):
    """However the pages of the file were rearranged in between."""
    server = server_factory("--purge-after", "55m")
    api, rng = server.workspace().api(), random.Random(2)
    living = {}
    for _ in range(12):
        for _ in range(3):
            living.update(upload(api, [marked(rng, rng.randrange(1500)) for _ in range(60)]))
        gone = rng.sample(sorted(living), len(living) * 2 // 3)
        at_once(4, lambda i, gone=gone: [erase(server.api(api.key), one) for one in gone[i::4]])
        erased = {living.pop(document)[:29] for document in gone}
        assert not erased & marks_on_disk(server)
    assert_holds(api, living)


@pytest.mark.slow
def test_somebody_reads_the_log(server_factory):
    """Another program has the file open for longer than an erasure waits: it is told, and done once
    that has ended."""
    server = server_factory()   # it has that one alone
    api = server.workspace().api()
    document, content = api.new_bytes(b"MARK-of-one"), b"MARK-of-one"
    once = {"Idempotency-Key": unique("once")}
    path = f"/v1/documents/{document['id']}?hard=true"
    with blob_files.rows(server.data_dir) as db:
        db.execute("BEGIN")
        assert db.execute("SELECT count(*) FROM small").fetchone() == (1,)
        assert api.delete(path, headers=once).status_code == 503
        assert_holds(api, upload(api, [b"meanwhile"]))
    api.delete(path, headers=once, expect=204)
    assert not server.holds(content)
    assert check(server)[0] == 0


# ---- room ----

def test_room_is_given_back(server_factory):
    server = server_factory("--purge-after", "0s")
    api, file = server.workspace().api(), blob_files.database(server.data_dir)
    kept = upload(api, [b"kept " + os.urandom(3000) for _ in range(5)])
    living = [name for _ in range(8) for name in upload(api, [os.urandom(60000)] * 80)]
    assert server.stop() == 0
    most = file.stat().st_size
    assert most > 640 * 60000
    api = server.start().api(api.key)
    for document in living[:620]:
        api.delete(f"/v1/documents/{document}", expect=204)
    wait_for(lambda: data(api.get("/v1/usage"))["pending_purge_bytes"] == 0, 60)
    for document in living[620:]:
        erase(api, document)
    assert file.stat().st_size < most / 4
    assert os.stat(f"{file}-wal").st_size == 0
    assert_holds(api, kept)
    assert check(server)[0] == 0


# ---- damage ----

@pytest.fixture
def filled():
    """Three small documents of one size and a large one; nobody serves them."""
    server = Server()
    api = server.start().workspace().api()
    server.key = api.key
    server.contents = upload(api, [b"%d" % i + os.urandom(8000) for i in range(3)])
    server.contents.update(upload(api, [os.urandom(100000)]))
    assert server.stop() == 0
    yield server
    server.remove()


@pytest.mark.parametrize("fault, change", [
    ("wrong_hash", lambda home, name, old: blob_files.set_bytes(home, name, b"!" + old[1:])),
    ("wrong_size", lambda home, name, old: blob_files.set_bytes(home, name, old[:-1])),
    ("missing", lambda home, name, old: blob_files.lose(home, name)),
])
def test_damaged_rows_are_found(filled, fault, change):
    name, content = sorted(blob_files.small(filled.data_dir).items())[0]
    change(filled.data_dir, name, content)
    status, report = check(filled)
    assert status == 1 and report["ok"] is False
    assert {what: n for what, n in report["counts"].items() if n} == {fault: 1}
    api = filled.start().api(filled.key)
    assert_holds(api, {one: kept for one, kept in filled.contents.items() if kept != content})


def test_a_bit_of_the_file_is_wrong(filled):
    """In the middle of a blob's bytes SQLite does not see it; the hash does."""
    path, content = blob_files.database(filled.data_dir), list(filled.contents.values())[1]
    file = bytearray(path.read_bytes())
    file[file.index(content[5000:5100]) + 50] ^= 1
    path.write_bytes(file)
    status, report = check(filled)
    assert status == 1 and report["counts"]["wrong_hash"] == 1


def test_the_file_is_lost(filled):
    """It is made again; what is missing is told; and once it is back, so is all."""
    kept = filled.home / "kept.db"
    blob_files.database(filled.data_dir).rename(kept)
    for _ in range(2):
        status, report = check(filled)
        assert status == 1 and report["counts"]["missing"] == 3
        filled.start()
        assert filled.stop() == 0
    for path in (filled.data_dir / "blobs").glob("small.db*"):
        path.unlink()
    kept.rename(blob_files.database(filled.data_dir))
    assert check(filled)[0] == 0
    assert_holds(filled.start().api(filled.key), filled.contents)


@pytest.mark.parametrize("what", ["other bytes", "nonsense", "cut", "a page of zeros"])
def test_no_database(filled, what):
    """Neither a check nor a start takes it for an empty one, and nothing is lost by trying."""
    path = blob_files.database(filled.data_dir)
    good = path.read_bytes()
    path.write_bytes({
        "other bytes": b"this is no database, and much too short", "nonsense": os.urandom(50000),
        "cut": good[:PAGE * 2], "a page of zeros": bytes(PAGE) + good[PAGE:]}[what])
    bad = path.read_bytes()
    done = run_binary("check", "--data", filled.data_dir)
    assert done.returncode == 1
    said = done.stderr + done.stdout
    assert "small.db" in said, said
    served = run_binary("serve", "--listen", "127.0.0.1:0", "--data", filled.data_dir)
    assert served.returncode == 1 and "small.db" in served.stderr, served.stderr
    assert path.read_bytes() == bad
    path.write_bytes(good)
    assert check(filled)[0] == 0
    assert_holds(filled.start().api(filled.key), filled.contents)


# ---- beside files ----

@pytest.fixture
def older(filled):
    """The same, as the program of before left it."""
    assert len(blob_files.to_files(filled.data_dir)) == 3
    schema1.set_version(filled.data_dir, 5)
    with contextlib.closing(schema1.sqlite3.connect(filled.data_dir / "dossier.db")) as db, db:
        db.execute("UPDATE schema_version SET oldest = 4")
    return filled


def test_an_older_store(older):
    """Files of small blobs are read, erased, checked and copied as ever; new ones become rows."""
    api = older.start().api(older.key)
    assert_holds(api, older.contents)
    assert check(older)[1]["blobs"] == 4
    gone, left = list(older.contents)[0], list(older.contents)[1]
    erase(api, gone)
    assert not older.holds(older.contents.pop(gone)[:500])
    new = upload(api, [b"new" + os.urandom(3000), os.urandom(70000)])
    older.contents.update(new)
    assert len(blob_files.files(older.data_dir)) == 4 and len(blob_files.small(older.data_dir)) == 1
    api.delete(f"/v1/documents/{left}", expect=204)
    older.contents.pop(left)
    assert older.stop() == 0
    older.run("backup", older.home / "backup")
    assert older.run("check")["ok"] is True
    copy = Server(data_dir=older.home / "copy")
    try:
        copy.run("restore", older.home / "backup")
        assert not blob_files.database(copy.data_dir).exists()
        api = copy.start().api(older.key)
        assert_holds(api, older.contents)
        assert copy.run("check")["ok"] is True
    finally:
        copy.remove()


def test_who_only_looks_makes_no_file(older):
    older.run("migrate")
    assert older.run("check")["blobs"] == 4
    older.run("backup", older.home / "backup")
    assert not blob_files.database(older.data_dir).exists()
    assert not list((older.home / "backup" / "blobs").glob("small.db*"))


def test_backup_beside_a_server_that_writes(server_factory):
    """All that was acknowledged before it began is in it, and nothing of what was erased before."""
    server = server_factory("--purge-after", "55m")
    key, stop = server.workspace().key(), threading.Event()
    writers = [Writer(server, key, seed) for seed in range(3)]
    threads = [threading.Thread(target=writer.run, args=[stop]) for writer in writers]
    for thread in threads:
        thread.start()
    try:
        for number in range(2):
            time.sleep(0.5)
            before = [dict(writer.living) for writer in writers]
            erased = {mark for writer in writers for mark in set(writer.erased)}
            target = server.home / "backup"
            server.run("backup", target)
            later = [set(before[i]) - set(writer.living) for i, writer in enumerate(writers)]
            copy = Server(data_dir=server.home / f"copy{number}")
            try:
                copy.run("restore", target)
                assert copy.run("check")["ok"] is True
                assert erased and not erased & marks_on_disk(copy)
                api = copy.start().api(key)
                for living, gone in zip(before, later):
                    assert_holds(api, {one: living[one] for one in list(living)[:60]
                                       if one not in gone})
            finally:
                copy.remove()
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
