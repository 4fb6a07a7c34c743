# SPDX-License-Identifier: Apache-2.0
"""
The audit trail against somebody who can write the database: what SQL is refused, what `audit
verify` finds when it was done all the same, and what heads that were kept elsewhere tell.

DOSSIER_AUDIT_ATTACKS: how many random attacks (50).
"""
import contextlib
import hashlib
import os
import random
import shutil
import sqlite3
import struct
import subprocess
import uuid

import pytest

import engines
from harness import ROOT, data, run_binary, parse_output, unique

LINES = 1000
ATTACKS = int(os.environ.get("DOSSIER_AUDIT_ATTACKS", "50"))
TEXTS = ["action", "resource_type", "resource_id", "request_id", "address", "details"]
TRIGGERS = "SELECT name FROM sqlite_master WHERE type = 'trigger'"


def disarm(db):
    """PostgreSQL has none: see the schema."""
    for (name,) in [] if engines.DATABASE else db.execute(TRIGGERS).fetchall():
        db.execute(f"DROP TRIGGER {name}")


def verify(server, *options):
    """The exit status and the report of the first workspace."""
    done = run_binary("audit", "verify", "--data", server.data_dir, *options)
    assert done.returncode in (0, 1), done.stderr
    report = parse_output(done.stdout)
    assert report["ok"] is (done.returncode == 0)
    return done.returncode, report["workspaces"][0]


def entities(count):
    return {"entities": [{"entity_type": "deal", "entity_id": unique("e")} for _ in range(count)]}


@pytest.fixture
def trail(server_factory):
    """A stopped server with LINES audit lines and some signed heads."""
    server = server_factory()
    workspace = server.workspace()
    api = workspace.api()
    for at in range(0, LINES, 250):
        api.post("/v1/entities/batch", json=entities(250), expect=200)
        heads = server.run("audit", "head")["heads"]
        assert at < sum(head["lines"] for head in heads) <= at + 255
    assert server.stop() == 0
    return server


class Chain:
    """One chain of audit lines in the database: there are several with PostgreSQL."""

    def __init__(self, db, rng):
        self.db = db
        found = db.execute("SELECT chain, lines FROM audit_chain WHERE lines > 200").fetchall()
        self.number, self.lines = rng.choice(found)

    def execute(self, text, parameters=()):
        """`{}` in the text: that a row is of this chain."""
        return self.db.execute(text.format(f"chain = {self.number}"), parameters)


# ---- what is refused ----

@pytest.mark.embedded
@pytest.mark.parametrize("sql", [
    "UPDATE audit SET action = 'delete' WHERE seq = 5", "UPDATE audit SET hash = randomblob(32)",
    "DELETE FROM audit WHERE seq = 5", "DELETE FROM audit", "UPDATE audit SET seq = seq + 5000",
    "DELETE FROM audit_chain", "DELETE FROM audit_head", "UPDATE audit_head SET lines = 3"])
def test_the_database_refuses(server_factory, sql):
    server = server_factory()
    server.workspace().api().post("/v1/entities/batch", json=entities(10), expect=200)
    assert server.stop() == 0
    with server.rows() as db, pytest.raises(sqlite3.IntegrityError):
        db.execute(sql)
    assert verify(server)[0] == 0


# ---- what is found ----

def flip(rng, chain):
    """One bit of one text or of one of the binary columns."""
    seq, column = rng.randrange(1, chain.lines), rng.choice(TEXTS + ["id", "hash"])
    (value,) = chain.execute(f"SELECT {column} FROM audit WHERE {{}} AND seq = ?", [seq]).fetchone()
    content = bytearray(value.encode() if isinstance(value, str) else value or b"x")
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(7)
    new = content.decode(errors="replace") if not isinstance(value, bytes) else bytes(content)
    if isinstance(new, str):
        new = new.replace("\0", "0")    # which PostgreSQL refuses
    chain.execute(f"UPDATE audit SET {column} = ? WHERE {{}} AND seq = ?", [new, seq])


def drop(rng, chain):
    seq = rng.randrange(1, chain.lines)
    chain.execute("DELETE FROM audit WHERE {} AND seq = ?", [seq])
    if rng.random() < 0.5:
        move(chain, seq + 1, -1)


def move(chain, first, by):
    """Another number for each line from `first` on; none has two meanwhile."""
    chain.execute("UPDATE audit SET seq = seq + 100000 WHERE {} AND seq >= ?", [first])
    chain.execute("UPDATE audit SET seq = seq - ? WHERE {} AND seq >= 100000", [100000 - by])


def swap(rng, chain):
    one, other = rng.sample(range(1, chain.lines), 2)
    for a, b in ((-1, one), (one, other), (other, -1)):
        chain.execute("UPDATE audit SET seq = ? WHERE {} AND seq = ?", [a, b])


def insert(rng, chain):
    at, other = rng.randrange(1, chain.lines), rng.randrange(1, chain.lines)
    move(chain, at, 1)
    found = chain.execute("SELECT * FROM audit WHERE {} AND seq = ?", [other + (other >= at)])
    names, row = [column[0] for column in found.description], list(found.fetchone())
    row[names.index("id")], row[names.index("seq")] = rng.randbytes(16), at
    chain.execute(f"INSERT INTO audit VALUES ({','.join('?' * len(row))})", row)


def cut(rng, chain):
    chain.execute("DELETE FROM audit WHERE {} AND seq > ?",
                  [chain.lines - rng.randrange(0, chain.lines) - 1])


def cut_and_say_so(rng, chain):
    """The state of the chain is made to fit, and heads of what is gone are gone too."""
    left = chain.lines - rng.randrange(1, chain.lines)
    chain.execute("DELETE FROM audit WHERE {} AND seq > ?", [left])
    chain.execute("DELETE FROM audit_head WHERE {} AND lines > ?", [left])
    (last,) = chain.execute("SELECT hash FROM audit WHERE {} AND seq = ?", [left]).fetchone()
    chain.execute("UPDATE audit_chain SET lines = ?, head = ? WHERE {}", [left, last])


def line_hash(before, row):
    """SHA-256 over the hash before and the members, each with its length."""
    text = b""
    for member in (before, *row):
        if member is None:
            text += struct.pack("<I", 0xffffffff)
            continue
        member = member.encode() if isinstance(member, str) else member
        text += struct.pack("<I", len(member)) + member
    return hashlib.sha256(text).digest()


MEMBERS = "id, action, resource_type, resource_id, key_id, user_id, request_id, address, details"


def rewrite(rng, chain):
    """A line is changed and every hash behind it made right, which takes no secret."""
    at = rng.randrange(1, chain.lines)
    chain.execute("UPDATE audit SET resource_id = 'other' WHERE {} AND seq = ?", [at])
    before = bytes(32)
    rows = chain.execute(f"SELECT {MEMBERS}, seq FROM audit WHERE {{}} ORDER BY seq").fetchall()
    for *members, seq in rows:
        before = line_hash(before, members)
        chain.execute("UPDATE audit SET hash = ? WHERE {} AND seq = ?", [before, seq])
    chain.execute("UPDATE audit_chain SET head = ?, lines = ? WHERE {}", [before, len(rows)])
    chain.execute("DELETE FROM audit_head WHERE {}")


KINDS = [flip, drop, swap, insert, cut, cut_and_say_so, rewrite]


@pytest.mark.timeout(300)
def test_every_attack_is_found(trail):
    seed = random.SystemRandom().randrange(2**32)
    rng = random.Random(seed)
    with trail.rows() as db:
        rows = Chain(db, rng).execute(
            f"SELECT {MEMBERS}, hash FROM audit WHERE {{}} ORDER BY seq").fetchall()
    assert line_hash(bytes(32), rows[0][:-1]) == rows[0][-1]
    assert verify(trail)[0] == 0
    trail.place.keep_rows()
    for i in range(ATTACKS):
        kind = KINDS[i % len(KINDS)]
        with trail.rows() as db:
            disarm(db)
            kind(rng, Chain(db, rng))
        status, report = verify(trail)
        assert status == 1 and report["intact"] is False and report["fault"], \
            f"{kind.__name__}, seed {seed}, attack {i}"
        trail.place.put_back_rows()
    assert verify(trail)[0] == 0


def test_what_is_written_later_mends_nothing(trail):
    rng = random.Random(1)
    with trail.rows() as db:
        disarm(db)
        cut_and_say_so(rng, Chain(db, rng))
    trail.start()
    document = trail.workspace().api().new_document()
    assert document["id"]
    report = parse_output(run_binary("check", "--data", trail.data_dir).stdout)
    assert report["ok"] is False and report["counts"]["audit_broken"] == 1
    assert report["audit_broken"][0]["fault"] == "seal"
    assert run_binary("audit", "head", "--data", trail.data_dir).returncode == 1


# ---- heads ----

def claim_of(head):
    """As commands take it."""
    chain = f"{head['chain']}/" if head.get("chain") else ""
    return f"{chain}{head['lines']}:{head['hash']}"


def statement_of(head):
    """What is signed."""
    chain = head.get("chain")
    beginning = f"dossier audit head {2 if chain else 1}\n{head['workspace']}\n"
    return beginning + (f"{chain}\n" if chain else "") + \
        f"{head['lines']}\n{head['hash']}\n{head['signed_at']}\n"


def test_a_head_can_be_checked_by_anybody(server, tmp_path):
    workspace = server.workspace()
    shown = server.run("audit", "head", "--workspace", workspace.id)
    [head] = [head for head in shown["heads"] if head["lines"]]
    assert head["workspace"] == workspace.id and head["lines"] == 1
    key = bytes.fromhex("302a300506032b6570032100" + shown["public_key"])    # RFC 8410
    (tmp_path / "key").write_bytes(key)
    (tmp_path / "signature").write_bytes(bytes.fromhex(head["signature"]))
    for text, status in ((statement_of(head), 0), (statement_of({**head, "lines": 2}), 1)):
        (tmp_path / "statement").write_text(text)
        done = subprocess.run(
            ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "key", "-keyform", "DER",
             "-rawin", "-in", "statement", "-sigfile", "signature"],
            cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == status, done.stdout + done.stderr


def test_an_old_copy_of_everything_is_told_by_a_head(server_factory):
    """Whole, sealed and signed, and yet not the trail that was there: only a head kept tells."""
    server = server_factory()
    workspace = server.workspace()
    api = workspace.api()
    api.new_document()
    before = server.run("audit", "head")["heads"]
    assert server.stop() == 0
    old = server.home / "old"
    shutil.copytree(server.data_dir, old)
    server.place.keep_rows()
    server.start()
    api.new_document()
    [head] = [head for head in server.run("audit", "head")["heads"] if head not in before]
    claim = ["--workspace", workspace.id, "--head", claim_of(head)]
    api.new_document()
    assert server.stop() == 0
    assert verify(server, *claim)[0] == 0
    shutil.rmtree(server.data_dir)
    shutil.copytree(old, server.data_dir)
    server.place.put_back_rows()
    assert verify(server)[0] == 0
    status, report = verify(server, *claim)
    assert status == 1
    assert report.items() >= {"workspace": workspace.id, "intact": False, "fault": "head"}.items()


@pytest.mark.parametrize("options", [
    ["--head", "1:" + "0" * 64], ["--workspace", "{}", "--head", "1"],
    ["--workspace", "{}", "--head", "0:" + "0" * 64],
    ["--workspace", "{}", "--head", "x:" + "0" * 64],
    ["--workspace", "{}", "--head", "1:" + "0" * 63], ["--workspace", "{}", "--head", ""]])
def test_bad_claims(server, options):
    workspace = server.workspace()
    done = run_binary("audit", "verify", "--data", server.data_dir,
                      *[option.format(workspace.id) for option in options])
    assert done.returncode == 2 and "--head" in done.stderr


def test_heads_are_signed_and_logged_at_the_stop(server_factory):
    server = server_factory()
    workspace = server.workspace()
    assert server.stop() == 0
    with server.rows() as db:
        [(chain, lines, hash_, signature)] = db.execute(
            "SELECT chain, lines, hash, signature FROM audit_head").fetchall()
    head = claim_of({"chain": chain, "lines": lines, "hash": hash_.hex()})
    assert f"audit head {workspace.id} {head} signature {signature.hex()}" in server.log()
    server.start()
    assert server.stop() == 0
    assert server.log().count("audit head") == 1, "nothing was added, so nothing is signed"


# ---- a trail from before seals ----

@pytest.mark.embedded
def test_migration_seals_what_is_there(server_factory):
    """A directory of schema 1, whose chain is whole, and one whose chain is not."""
    server = server_factory()
    workspace = server.workspace()
    assert server.stop() == 0
    path = server.data_dir / "dossier.db"
    for beside in server.data_dir.glob("dossier.db*"):
        beside.unlink()
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        make_schema_1(db, workspace.id, lines=5)
    os.chmod(path, 0o600)
    made = server.run("migrate")
    assert made["from"] == 1 and made["to"] > 1
    status, report = verify(server)
    assert status == 0 and report["lines"] == 5
    with server.rows() as db:
        assert [seq for (seq,) in db.execute("SELECT seq FROM audit ORDER BY id")] == \
            [3, 4, 5, 6, 7], "two had been removed before"
    server.start()
    assert data(server.workspace().api().get("/v1/usage"))["documents"] == 0
    assert server.run("audit", "verify")["ok"] is True


def make_schema_1(db, public_id, lines):
    db.executescript((ROOT / "src/store/migrations/0001_library.sqlite.sql").read_text())
    db.executescript("CREATE TABLE schema_version (only_row INTEGER PRIMARY KEY, version INTEGER);"
                     "INSERT INTO schema_version VALUES (1, 1)")
    db.execute("INSERT INTO workspace VALUES (7, ?, 'n', randomblob(16), 0, 0, NULL, NULL, 365, 0)",
               [public_id])
    base = before = bytes(range(32))
    for i in range(lines):
        row = [uuid.UUID(int=(i + 1) << 80).bytes, "create", "documents", f"doc_{i}", None, None,
               None, "192.0.2.1", "{}"]
        before = line_hash(before, row)
        db.execute("INSERT INTO audit VALUES (7, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [*row, before])
    db.execute("INSERT INTO audit_chain VALUES (7, ?, ?, ?, 2)", [before, base, lines + 2])
