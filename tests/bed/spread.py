# SPDX-License-Identifier: Apache-2.0
"""
A library of one workspace whose names, tags and folders are spread so that lists have something to
find: what half of all have, what one in a thousand has, what three have, and what none has.

    key = spread.make(server, 1_000_000)    # of a server with files; it is stopped afterwards

Written straight into the tables: some 40,000 documents a second. They have no bytes, and nothing in
the audit trail.
"""
import contextlib
import random
import sqlite3
import time

WORDS = ("acme", "nda", "offer", "lease", "claim", "draft", "final", "scan", "terms", "policy",
         "board", "audit", "notes", "photo", "letter", "invoice")
SPACING_MS = 30
PART = 20_000
COLUMNS = ("workspace_id, id, name, description, mime_type, size_bytes, storage_path, folder, tags,"
           " search_text, created_by, updated_at")
LINKED = 100_000    # documents of one entity, at most


def rows(workspace, user, first, last, total, newest_ms):
    """(row of `document`, its tags) of the documents numbered from `first` on."""
    oldest = newest_ms - total * SPACING_MS
    rare = {total // 7, total // 2, total - 5}
    for number in range(first, last):
        r = random.Random(number).getrandbits(64)
        ms = oldest + number * SPACING_MS
        identifier = ms.to_bytes(6, "big") + bytes((0x70, number & 255, 0x80)) + r.to_bytes(
            8, "big")[1:]
        name = f"{WORDS[r >> 4 & 15].title()} {WORDS[r & 15]} {number}.pdf"
        if number % 3 == 0:
            name = f"Bericht M\u00fcller {WORDS[r & 15]} {number}.pdf"
        tags = [f"tag{(r >> 9) % 200:03d}"] + (["half"] if r >> 8 & 1 else [])
        folder = "/half" if r >> 30 & 1 else (
            f"/clients/c{(r >> 31) % 333:04d}/{('ndas', 'offers', 'mail')[(r >> 45) % 3]}")
        if (r >> 20) % 1000 == 0:
            tags.append("permille")
        if number in rare:
            tags, folder, name = tags + ["rare"], "/rare/three", f"Zebrafink {number}.pdf"
        yield (workspace, identifier, name, None,
               "application/pdf" if r >> 50 & 7 else "text/plain", 5, f"spread/{number:08d}",
               folder, "\n".join(tags), name.lower(), user, ms), tags


def _insert(database, workspace, user, total, newest_ms):
    for first in range(0, total, PART):
        documents, tagged = [], []
        for row, tags in rows(workspace, user, first, min(first + PART, total), total, newest_ms):
            documents.append(row)
            tagged += [(workspace, tag, row[1]) for tag in tags]
        database.executemany(f"INSERT INTO document ({COLUMNS}) VALUES ({', '.join('?' * 12)})",
                             documents)
        database.executemany("INSERT INTO document_tag VALUES (?, ?, ?)", tagged)
    database.execute("INSERT OR IGNORE INTO folder SELECT DISTINCT workspace_id, folder,"
                     " randomblob(16) FROM document WHERE folder IS NOT NULL")
    database.execute("INSERT INTO usage VALUES (?, 0, ?, 5 * ?) ON CONFLICT DO UPDATE SET documents"
                     " = documents + excluded.documents, bytes = bytes + excluded.bytes",
                     (workspace, total, total))
    database.execute("INSERT INTO link SELECT workspace_id, id, 3, 'deal_big', id, NULL"
                     f" FROM document LIMIT {LINKED}")


def fill(path, total):
    """Into the file of a node that does not run, in the workspace of its first key."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA synchronous = OFF")
        database.execute("PRAGMA cache_size = -1000000")
        workspace, user = database.execute("SELECT workspace_id, user_id FROM api_key").fetchone()
        indexes = database.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND"
                                   " tbl_name = 'document' AND sql IS NOT NULL").fetchall()
        database.execute("BEGIN")
        for name, _ in indexes:     # sorted once they are all there, which is much faster
            database.execute(f"DROP INDEX {name}")
        _insert(database, workspace, user, total, int(time.time() * 1000) - 60_000)
        for _, sql in indexes:
            database.execute(sql)
        database.execute("COMMIT")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def digested(path):
    """How many documents the lists' digest has taken up."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT coalesce(sum(documents), 0) FROM digest").fetchone()[0]


def make(server, total):
    """Fills a server that has stopped or not yet begun; the key to read it with. It is stopped."""
    key = server.workspace(entities="open").new_key()["key"]
    server.stop()
    fill(server.data_dir / "dossier.db", total)
    return key
