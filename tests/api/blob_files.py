# SPDX-License-Identifier: Apache-2.0
"""
Where the fs driver keeps blobs in a data directory: in files below blobs/objects, and, those of at
most 64 KiB that came to a server, as rows of blobs/small.db (src/blob/fs/pack.h).

A blob's name is `<16 hex of the workspace>-<32 hex of the id>` in both places. Beside a server that
runs this may be read; it is changed only where none does.
"""
import contextlib
import hashlib
import secrets
import sqlite3
import struct
from pathlib import Path

SMALL_MAX = 65536       # the largest that is a row
LARGE = SMALL_MAX + 1   # the smallest that is a file
OURS = ("store-id", "small.db", "small.db-wal", "small.db-shm")     # beside objects/ and tmp/


def database(data_dir):
    return Path(data_dir) / "blobs" / "small.db"


@contextlib.contextmanager
def rows(data_dir):
    """The rows: small (workspace_id, id, size, written_at, filler, bytes). Committed at the
    end."""
    name = f"file:{database(data_dir)}?mode=rw"
    with contextlib.closing(sqlite3.connect(name, uri=True, timeout=20)) as db, db:
        yield db


def key_of(name):
    """(workspace_id, id) of a name."""
    return int(name[:16], 16), bytes.fromhex(name[17:])


def name_of(workspace, blob):
    return f"{workspace:016x}-{blob.hex()}"


def path_of(data_dir, name):
    """Where a file of this name is, or would be."""
    return Path(data_dir) / "blobs" / "objects" / name[-4:-2] / name[-2:] / name


def small(data_dir):
    """name -> bytes of the rows."""
    if not database(data_dir).exists():
        return {}
    with rows(data_dir) as db:
        return {name_of(workspace, blob): bytes(content) for workspace, blob, content in
                db.execute("SELECT workspace_id, id, bytes FROM small")}


def one(data_dir, name):
    """The bytes of a row; None without one."""
    with rows(data_dir) as db:
        found = db.execute("SELECT bytes FROM small WHERE workspace_id = ? AND id = ?",
                           key_of(name)).fetchone()
    return found and bytes(found[0])


def files(data_dir):
    """name -> path of the files."""
    return {path.name: path for path in (Path(data_dir) / "blobs" / "objects").rglob("*")
            if path.is_file()}


def all_of(data_dir):
    """name -> bytes, whatever they are kept in."""
    return {**small(data_dir),
            **{name: path.read_bytes() for name, path in files(data_dir).items()}}


def put(data_dir, name, content, written_at=0):
    """A row more."""
    workspace, blob = key_of(name)
    with rows(data_dir) as db:
        db.execute("INSERT INTO small (workspace_id, id, size, written_at, filler, bytes)"
                   " VALUES (?, ?, ?, ?, '', ?)",
                   (workspace, blob, len(content), written_at, content))


def put_file(data_dir, name, content):
    """A file more."""
    path = path_of(data_dir, name)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def set_bytes(data_dir, name, content):
    """Other bytes in a row; its size stays what it was told."""
    with rows(data_dir) as db:
        changed = db.execute("UPDATE small SET bytes = ? WHERE workspace_id = ? AND id = ?",
                             (content, *key_of(name)))
        assert changed.rowcount == 1


def lose(data_dir, name):
    with rows(data_dir) as db:
        gone = db.execute("DELETE FROM small WHERE workspace_id = ? AND id = ?", key_of(name))
        assert gone.rowcount == 1


def age(data_dir, seconds=0):
    """All rows were written at this time; long ago, by default."""
    if not database(data_dir).exists():
        return
    with rows(data_dir) as db:
        db.execute("UPDATE small SET written_at = ?", (int(seconds * 1000),))


# ---- as the program of before kept them ----

def to_files(data_dir):
    """Each row becomes a file, and small.db goes."""
    found = small(data_dir)
    for name, content in found.items():
        put_file(data_dir, name, content)
    for path in Path(data_dir).glob("blobs/small.db*"):
        path.unlink()
    return found


def _sector(kind, number, fields=b""):
    body = (b"DossJrn1" + bytes([kind]) + bytes(7) + number + fields).ljust(480, b"\0")
    return body + hashlib.sha256(body).digest()


def write_journal(data_dir, contents, name="journal-0"):
    """
    The journal that a server of before left when it was killed (src/blob/fs/record.h). `contents`:
    name -> bytes, or None for what was erased since.
    """
    number = secrets.token_bytes(16)
    parts = [_sector(1, number)]
    for blob_name, content in contents.items():
        workspace, blob = key_of(blob_name)
        held = content or b""
        sha256 = bytes(32) if content is None else hashlib.sha256(held).digest()
        parts.append(_sector(3 if content is None else 2, number,
                             struct.pack("<q16sq", workspace, blob, len(held)) + sha256))
        parts.append(held.ljust(-(-len(held) // 512) * 512, b"\0"))
    path = Path(data_dir) / "blobs" / name
    path.write_bytes(b"".join(parts))
    return path
