# SPDX-License-Identifier: Apache-2.0
"""
A data directory as the first version of the schema left it, made without this program.

Every later version has to bring it up to date without losing anything of it. It holds one
workspace, two documents (one with bytes), a link, and an audit trail without lines.
"""
import contextlib
import hashlib
import json
import re
import sqlite3
import uuid
from pathlib import Path

from harness import ROOT, data, requests

WORKSPACE = "ws_old"
CONTENT = b"kept since the first version\n"
PATH = "contracts/old.txt"
ENTITY = "deal-7"

_SCRIPT = ROOT / "src" / "store" / "migrations" / "0001_library.sqlite.sql"
_CREATED_MS = 1700000000000


def _id(number):
    """A UUIDv7 of 2023."""
    return uuid.UUID(int=_CREATED_MS << 80 | 7 << 76 | 2 << 62 | number)


DOCUMENT, RECORD, LINK, BLOB, OWNER, FOLDER = map(_id, range(1, 7))


def _database(path):
    sha256 = hashlib.sha256(CONTENT).digest()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.executescript(_SCRIPT.read_text())
        db.execute("CREATE TABLE schema_version (only_row INTEGER PRIMARY KEY, version INTEGER)")
        db.execute("INSERT INTO schema_version VALUES (1, 1)")
        db.execute("INSERT INTO workspace (workspace_id, public_id, name, owner_id, open_entities,"
                   " created_at) VALUES (1, ?, 'Old', ?, 1, ?)",
                   (WORKSPACE, OWNER.bytes, _CREATED_MS))
        for number, path, size, blob, digest in (
                (DOCUMENT, PATH, len(CONTENT), BLOB.bytes, sha256),
                (RECORD, "records/only.txt", None, None, None)):
            db.execute("INSERT INTO document VALUES (1, ?, 'Old.txt', NULL, 'text/plain', ?, ?,"
                       " '/old', 'first', 'old.txt', ?, ?, ?, ?)",
                       (number.bytes, size, path, OWNER.bytes, _CREATED_MS, blob, digest))
            db.execute("INSERT INTO document_tag VALUES (1, 'first', ?)", (number.bytes,))
        db.execute("INSERT INTO folder VALUES (1, '/old', ?)", (FOLDER.bytes,))
        db.execute("INSERT INTO link VALUES (1, ?, 3, ?, ?, 'signed')",
                   (DOCUMENT.bytes, ENTITY, LINK.bytes))
        db.execute("INSERT INTO usage VALUES (1, 0, 2, ?)", (len(CONTENT),))
        db.commit()


def write(directory):
    """Makes the directory."""
    directory = Path(directory)
    blobs = directory / "blobs" / "objects" / BLOB.hex[-4:-2] / BLOB.hex[-2:]
    blobs.mkdir(parents=True)
    (blobs / f"{1:016x}-{BLOB.hex}").write_bytes(CONTENT)
    (directory / "secret.key").write_text("5a" * 32 + "\n")
    _database(directory / "dossier.db")


def write_backup(directory):
    """The same as a finished backup."""
    write(directory)
    (Path(directory) / "manifest.json").write_text(json.dumps(
        {"format": 1, "created_at": "2023-11-14T22:13:20Z", "documents": 2, "blobs": 1,
         "bytes": len(CONTENT)}) + "\n")


def version(directory):
    """Of the schema in a directory that nobody has open."""
    with contextlib.closing(sqlite3.connect(Path(directory) / "dossier.db")) as db:
        return db.execute("SELECT version FROM schema_version").fetchone()[0]


def set_version(directory, number):
    """As a newer program leaves it, beside which an older one cannot work."""
    with contextlib.closing(sqlite3.connect(Path(directory) / "dossier.db")) as db:
        db.execute("UPDATE schema_version SET version = ?, oldest = ?", (number, number))
        db.commit()


def keep_answers_as_before(db):
    """Puts answers kept for idempotency keys as the versions before 5 had them."""
    script = _SCRIPT.read_text()
    table = re.search(r"CREATE TABLE idempotency \(.*?;\n", script, re.DOTALL)[0]
    index = re.search(r"CREATE INDEX idempotency_age .*?;\n", script)[0]
    names = "workspace_id, key_hash, fingerprint, answer, completed_at"
    db.executescript(f"ALTER TABLE idempotency RENAME TO later; {table}"
                     f"INSERT INTO idempotency ({names}) SELECT {names} FROM later;"
                     f"DROP TABLE later; {index}")


def verify(server):
    """On a running server: all of it is there, and can be worked with."""
    assert server.run("check")["ok"] is True
    assert server.run("audit", "verify")["ok"] is True
    key = server.run("key", "create", "--workspace", WORKSPACE, "--tier", "unmetered",
                     "--permissions",
                     "read:documents,write:documents,admin:documents")["key"]
    api = server.api(key)
    found = data(api.get(f"/v1/documents/{DOCUMENT}"))
    assert (found["name"], found["storage_path"], found["folder"], found["tags"]) == (
        "Old.txt", PATH, "/old", ["first"])
    assert found["created_at"] == "2023-11-14T22:13:20Z"
    assert found["linked_entities"] == [
        {"entity_type": "deal", "entity_id": ENTITY, "role": "signed"}]
    assert requests.get(found["download_url"], timeout=20).content == CONTENT
    assert len(data(api.get("/v1/documents", params={"tag": "first"}))["documents"]) == 2
    usage = data(api.get("/v1/usage"))
    assert (usage["documents"], usage["bytes"]) == (2, len(CONTENT))
    made = api.new_bytes(b"new")
    api.delete(f"/v1/documents/{made['id']}", params={"hard": "true"}, expect=204)
    assert server.run("audit", "verify")["ok"] is True
