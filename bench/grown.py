# SPDX-License-Identifier: Apache-2.0
"""Libraries of any size for the rows that need one: tests/bed/rows.py into a node's own file."""
import contextlib
import os
import pathlib
import random
import re
import sqlite3
import time
import uuid

from common import harness
from bed import rows

ALL = ("read:documents", "write:documents", "admin:documents", "extractions:write")
SAMPLE = 20_000
SMALL, FILLER = 4096, 4553      # bytes of a small blob; what stands before them (pack.c)


def size(options):
    """Documents of "a large library"."""
    return 100_000 if options.quick else 10_000_000 if options.full else 1_000_000


def resident_mib(pid, name="VmRSS"):
    """VmRSS: what it takes now; VmHWM: the most it ever took."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.search(name + r":\s+(\d+)", status)[1]) / 1024


class Grown:
    """A node that does not run yet, with `total` documents in one workspace."""

    def __init__(self, total, *options, dir=None):
        self.node = harness.Server(*options, data_dir=dir)
        self.total = total
        workspace = self.node.workspace(entities="open")
        self.key = workspace.key(ALL)
        self.file = self.node.data_dir / "dossier.db"
        with contextlib.closing(sqlite3.connect(self.file)) as database:
            number, user = database.execute("SELECT workspace_id, user_id FROM api_key").fetchone()
        self.library = rows.Library(number, b"k" * 16, user, int(time.time() * 1000) - 1000, total)
        rows.Sqlite(self.file).add(self.library, 0, total)

    def callers(self, first=0, last=None):
        """Lines for steady.c, of documents from anywhere between these."""
        numbers = range(first, self.total if last is None else last)
        if len(numbers) > SAMPLE:
            numbers = random.Random(1).sample(numbers, SAMPLE)
        return [f"{self.key} {uuid.UUID(bytes=self.library.document_id(n))}" for n in numbers]

    def count(self, table):
        """Its rows, while the node runs, too."""
        with contextlib.closing(sqlite3.connect(f"file:{self.file}?mode=ro", uri=True)) as database:
            return database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]

    def put_bytes(self, first, last, due_ms):
        """Bytes (4 KiB each) of documents that are none any more, and when they are to go."""
        rows.Sqlite(self.file).write(self.library.purges(first, last, due_ms))
        small = self.node.data_dir / "blobs" / "small.db"
        now_ms, number = int(time.time() * 1000), self.library.workspace
        with contextlib.closing(sqlite3.connect(small)) as database, database:
            database.executemany(
                "INSERT INTO small (workspace_id, id, size, written_at, filler, bytes)"
                " VALUES (?, ?, ?, ?, zeroblob(?), ?)",
                ((number, row[1], SMALL, now_ms, FILLER, os.urandom(SMALL))
                 for _, row in self.library.purges(first, last, due_ms)))

    def due(self, due_ms):
        """Now it is known when all of them are to go; of a node that does not run."""
        with contextlib.closing(sqlite3.connect(self.file)) as database, database:
            database.execute("UPDATE purge SET due_at = ?", (due_ms,))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.node.remove()
