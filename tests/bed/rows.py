# SPDX-License-Identifier: Apache-2.0
"""
A library of any size, written straight into the tables: rows in the form that the service gives
them, a hundred times faster than it is asked to.

    library = Library(workspace, key_id, user_id, newest_ms, 100_000)
    Copy(url).add(library, 0, 100_000)          # into PostgreSQL
    Sqlite(path).add(library, 0, 100_000)       # into the file of a node that does not run

Each document has bytes (which are nowhere), a folder, two tags and an audit line; every second one
a link with its audit line; every tenth an answer kept for an idempotency key and a registered
entity. What tests of rows do not look at is random: hashes fit nothing, so `audit verify` fails.
Everything follows from the number of the document, so adding in parts gives the same rows.
"""
import contextlib
import hashlib
import sqlite3
import subprocess
from concurrent.futures import ThreadPoolExecutor

from . import servers

SPACING_MS = 3000           # from one document to the next: ten million are most of a year
WORDS = ("acme", "nda", "offer", "lease", "claim", "draft", "final", "scan", "terms", "policy",
         "board", "audit", "notes", "photo", "letter", "invoice")
FOLDERS, PER_ENTITY = 1000, 10
DEAL = 3
PUBLIC = "ws_01M8AN7RQVE008PXDTKK7MJHSK"   # the workspace in generated paths
FIRST_SEQ = 1 << 40         # of audit lines: above those that the service writes itself
TABLES = {
    "folder": "workspace_id, path, id",
    "document": "workspace_id, id, name, description, mime_type, size_bytes, storage_path, folder,"
                " tags, search_text, created_by, updated_at, blob_id, sha256",
    "document_tag": "workspace_id, tag, document_id",
    "link": "workspace_id, document_id, entity_type, entity_id, id, role",
    "entity": "workspace_id, entity_type, entity_id, name, created_at, updated_at",
    "audit": "workspace_id, id, action, resource_type, resource_id, key_id, user_id, request_id,"
             " address, details, hash, chain, seq",
    "idempotency": "workspace_id, key_hash, fingerprint, answer, completed_at",
    "purge": "workspace_id, blob_id, document_id, size_bytes, due_at, hard, key_hash, fingerprint,"
             " answer",
}


def noise(number):
    return hashlib.blake2b(number.to_bytes(8, "big")).digest()      # 64 bytes


def uuid7(ms, random):
    return ms.to_bytes(6, "big") + bytes((0x70 | random[0] & 15, random[1],
                                          0x80 | random[2] & 63)) + random[3:10]


def spelled(prefix, identifier):
    """As long as the API's own spelling, and in the same order, but not it."""
    return prefix + identifier.hex().upper()[:26]


class Library:
    """The rows of `total` documents, numbered from 0, the last one made at `newest_ms`."""

    def __init__(self, workspace, key_id, user_id, newest_ms, total, chains=1, folders=FOLDERS):
        self.workspace, self.key_id, self.user_id = workspace, key_id, user_id
        self.n_folders = folders
        self.oldest_ms = newest_ms - total * SPACING_MS
        self.chains = chains

    def time_ms(self, number):
        return self.oldest_ms + number * SPACING_MS

    def document_id(self, number):
        return uuid7(self.time_ms(number), noise(number))

    def folder(self, n):
        n %= self.n_folders
        return f"/clients/c{n // 3:04d}/{('ndas', 'offers', 'mail')[n % 3]}"

    def _audit(self, number, line, action, identifier, document, details):
        return (self.workspace, identifier, action, "documents", document, self.key_id,
                self.user_id, spelled("req_", identifier), "127.0.0.1", details, identifier * 2,
                number % self.chains, FIRST_SEQ + 2 * number + line)

    def document(self, number):
        """All rows of one document: (table, row) after (table, row)."""
        ws, ms, r = self.workspace, self.time_ms(number), noise(number)
        identifier, blob = uuid7(ms, r), uuid7(ms - 1, r[10:])
        as_text, second = spelled("doc_", identifier), WORDS[r[50] & 15]
        name = f"{WORDS[r[51] & 15].title()} {second} {int.from_bytes(r[52:55], 'big')}.pdf"
        tags = sorted((f"tag{r[55] % 200:03d}", f"{second}-{r[56] & 15}"))
        folder = self.folder(int.from_bytes(r[57:60], "big"))
        yield "document", (ws, identifier, name, None, "application/pdf",
                           int.from_bytes(r[60:63], "big"),
                           f"workspaces/{PUBLIC}/documents/{spelled('', blob)}.pdf", folder,
                           "\n".join(tags), name.lower(), self.user_id, ms, blob, r[:32])
        for tag in tags:
            yield "document_tag", (ws, tag, identifier)
        yield "audit", self._audit(number, 0, "create", uuid7(ms + 1, r[20:]), as_text, None)
        if number % 2 == 0:
            link = uuid7(ms + 1, r[30:])
            deal = int.from_bytes(r[32:36], "big") % (number // PER_ENTITY + 1)
            yield "link", (ws, identifier, DEAL, f"deal_{deal}", link, "signed")
            yield "audit", self._audit(number, 1, "link", uuid7(ms + 2, r[40:]), as_text,
                                       '{"link_id":"%s"}' % spelled("dlnk_", link))
        if number % PER_ENTITY == 0:
            yield "entity", (ws, DEAL, f"deal_{number // PER_ENTITY}", f"Deal {number}", ms, ms)
            yield "idempotency", (ws, r[32:], r[:32], (r * 10)[:600], ms)

    def folders(self):
        paths = {self.folder(n) for n in range(self.n_folders)}
        paths |= {path.rsplit("/", 1)[0] for path in paths} | {"/clients"}
        for number, path in enumerate(sorted(paths)):
            yield "folder", (self.workspace, path, uuid7(self.oldest_ms, noise(number)))

    def purges(self, first, last, due_ms):
        """Bytes to erase, of documents that are none any more."""
        for number in range(first, last):
            r = noise(number)
            yield "purge", (self.workspace, uuid7(due_ms, r), uuid7(due_ms, r[10:]), 1000, due_ms,
                            0, None, None, None)

    def rows(self, first, last):
        if first == 0:
            yield from self.folders()
        for number in range(first, last):
            yield from self.document(number)


# ---- into a database ----

PART = 20_000       # rows at once
COUNT = ("INSERT INTO usage (workspace_id, slot, documents, bytes) SELECT {0}, 0, {1},"
         " coalesce(sum(size_bytes), 0) FROM document WHERE workspace_id = {0} AND"
         " updated_at >= {2} AND updated_at < {3} ON CONFLICT (workspace_id, slot) DO UPDATE SET"
         " documents = usage.documents + excluded.documents, bytes = usage.bytes + excluded.bytes")


def _in_parts(rows):
    parts = {}
    for table, row in rows:
        part = parts.setdefault(table, [])
        part.append(row)
        if len(part) == PART:
            yield table, parts.pop(table)
    yield from parts.items()


def _count(library, first, last):
    return COUNT.format(library.workspace, last - first, library.time_ms(first),
                        library.time_ms(last))


def _copy_field(value):
    if value is None:
        return "\\N"
    if isinstance(value, bytes):
        return "\\\\x" + value.hex()
    return value.replace("\n", "\\n") if isinstance(value, str) else str(value)


class Copy:
    """Into PostgreSQL, by COPY."""

    def __init__(self, url):
        self.url = url

    def run(self, command, text=""):
        """One command, however long it takes, with what it reads."""
        argv = [servers.program("psql"), "-qX", "-v", "ON_ERROR_STOP=1", "-d", self.url, "-c",
                command]
        done = subprocess.run(argv, input=text, text=True, capture_output=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)

    def write(self, rows):
        with ThreadPoolExecutor(2) as pool:     # rows are made while others are stored
            waiting = []
            for table, part in _in_parts(rows):
                text = "".join("\t".join(map(_copy_field, row)) + "\n" for row in part)
                waiting.append(pool.submit(
                    self.run, f"COPY {table} ({TABLES[table]}) FROM STDIN", text))
                while len(waiting) > 3:
                    waiting.pop(0).result()
            for each in waiting:
                each.result()

    def add(self, library, first, last):
        self.write(library.rows(first, last))
        self.run(_count(library, first, last))


# What lists know in sum of the documents that were there: it is made anew.
DIGEST = ("digest", "facet_total", "text_block", "text_group", "text_sign")


class Sqlite:
    """Into the file of a node that does not run."""

    def __init__(self, path):
        self.path = path

    def _open(self):
        database = sqlite3.connect(self.path)
        database.execute("PRAGMA cache_size = -1000000")
        database.execute("PRAGMA synchronous = OFF")
        return contextlib.closing(database)

    def write(self, rows):
        with self._open() as database:
            for table, part in _in_parts(rows):
                with database:
                    marks = ", ".join("?" * len(part[0]))
                    database.executemany(
                        f"INSERT INTO {table} ({TABLES[table]}) VALUES ({marks})", part)

    def add(self, library, first, last):
        self.write(library.rows(first, last))
        with self._open() as database, database:
            database.execute(_count(library, first, last))
            for table in DIGEST:
                database.execute(f"DELETE FROM {table}")
