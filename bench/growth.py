#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
What a library of ten thousand to ten million documents costs: bytes a document in each table and
index, and what each kind of request costs as it grows, on PostgreSQL and on SQLite.

    script/bench growth [--engines pg,sqlite] [--sizes 10000,100000,1000000] [--requests 1500]
                        [--json FILE] [--plots DIR] [--dir DIR]

One workspace holds all documents (tests/bed/rows.py), which is the hardest case for its lists. At
each size: a fixed number of requests of each kind, whose documents lie anywhere in the library,
from eight clients. Counted are, a request: processor time of the node and of the server's
connections, pages that the server touched and those it had to fetch, bytes of its log and how many
whole pages are in it (each size begins with a checkpoint, after which a page's first change writes
all of it); for SQLite what the node read from its file. These hardly depend on what else the
machine does; times do.
"""
import argparse
import contextlib
import pathlib
import random
import shutil
import sqlite3
import statistics
import tempfile
import threading
import time
import uuid

import plot
from common import CLIENTS, Backends, harness, machine, save, seconds_of, table
from bed import postgres, rows
from quick import Quick

SETTINGS = """
shared_buffers = 1GB
maintenance_work_mem = 256MB
max_wal_size = 8GB
checkpoint_timeout = 30min
wal_compression = on
shared_preload_libraries = 'pg_stat_statements'
"""
# Whole pages in the log and housekeeping between would make the filling several times longer, and
# leave the same tables behind.
FILLING = """
ALTER SYSTEM SET full_page_writes = off;
ALTER SYSTEM SET autovacuum = off;
ALTER SYSTEM SET synchronous_commit = off;
SELECT pg_reload_conf();
"""
FILLED = "ALTER SYSTEM RESET ALL; SELECT pg_reload_conf()"
PURGES = 2000
INDEXES = ("SELECT c.relname, coalesce(t.relname, c.relname), pg_relation_size(c.oid)"
           " FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid"
           " LEFT JOIN pg_class t ON t.oid = i.indrelid"
           " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'i')")


# ---- the two engines ----

class OnPostgres:
    name = "pg"

    def __init__(self, directory):
        tempfile.tempdir = directory        # where the test bed puts the data
        self.server = postgres.Postgres(durable=True, settings=SETTINGS).start()
        tempfile.tempdir = None
        self.server.sql("CREATE EXTENSION pg_stat_statements")
        self.node = harness.Server(env={"DOSSIER_DATABASE": self.server.url})
        self.backends = Backends(self.server)

    def psql(self, text):
        return postgres.psql(self.server.url, text)

    def first_key(self):
        return self.psql("SELECT workspace_id, encode(user_id, 'hex') FROM api_key")[0]

    def fill(self, library, first, last):
        database = rows.Copy(self.server.url_of(postgres.DATABASE, "postgres"))
        self.server.sql(FILLING)
        database.add(library, first, last)
        database.run("VACUUM ANALYZE")
        self.server.sql(FILLED)
        database.run("CHECKPOINT")

    def sizes(self):
        return {name: (owner, int(size)) for name, owner, size in self.psql(INDEXES)}

    def due(self, library, first):
        past = int(time.time() * 1000) - 1000
        rows.Copy(self.server.url).write(library.purges(first, first + PURGES, past))

    def due_left(self):
        return int(self.psql("SELECT count(*) FROM purge WHERE due_at < 1000 * extract(epoch FROM"
                             " clock_timestamp())")[0][0])

    def state(self):
        pages, fetched, wal, images = self.server.sql(
            "SELECT sum(shared_blks_hit + shared_blks_read), sum(shared_blks_read),"
            " sum(wal_bytes), sum(wal_fpi)"
            " FROM pg_stat_statements JOIN pg_database d ON d.oid = dbid"
            f" WHERE datname = '{postgres.DATABASE}'")[0]
        return {"us_pg": self.backends.seconds() * 1e6, "pages": int(pages),
                "fetched": int(fetched), "wal": int(wal), "images": int(images)}

    def remove(self):
        self.node.remove()
        self.server.remove()


class OnSqlite:
    name = "sqlite"

    def __init__(self, directory):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="dossier-growth-", dir=directory))
        self.node = harness.Server(data_dir=self.home / "data")
        self.file = self.home / "data" / "dossier.db"

    def query(self, text):
        with contextlib.closing(sqlite3.connect(self.file)) as database:
            return database.execute(text).fetchall()

    def first_key(self):
        return self.query("SELECT workspace_id, lower(hex(user_id)) FROM api_key")[0]

    def fill(self, library, first, last):
        self.node.stop()
        rows.Sqlite(self.file).add(library, first, last)
        self.node.start()

    def sizes(self):
        return {name: (owner, size) for name, owner, size in self.query(
            "SELECT d.name, coalesce(m.tbl_name, d.name), d.pgsize FROM dbstat d"
            " LEFT JOIN sqlite_schema m ON m.name = d.name WHERE d.aggregate = TRUE")}

    def due(self, library, first):
        self.node.stop()
        rows.Sqlite(self.file).write(library.purges(first, first + PURGES, 0))
        self.node.launch()      # the job runs before it is ready

    def due_left(self):
        return self.query("SELECT count(*) FROM purge WHERE due_at = 0")[0][0]

    def state(self):
        text = pathlib.Path(f"/proc/{self.node.process.pid}/io").read_text()
        return {"read": int(text.split("rchar: ")[1].split()[0])}

    def remove(self):
        self.node.remove()
        shutil.rmtree(self.home)


ENGINES = {"pg": OnPostgres, "sqlite": OnSqlite}


# ---- requests ----

class Requests:
    """The kinds of request; `size` documents are there, those behind `old` since now.

    Every fourth one is there to be deleted.
    """

    def __init__(self, library, old, size):
        self.library, self.size = library, size
        self.random = random.Random(size)
        doomed = range(old + 3, size, 4)
        self.unused = iter(self.random.sample(doomed, min(len(doomed), 20_000)))
        self.lock = threading.Lock()

    def any_id(self):
        number = self.random.randrange(self.size // 4) * 4 + self.random.randrange(3)
        return uuid.UUID(bytes=self.library.document_id(number))

    def fresh_id(self):
        with self.lock:
            return uuid.UUID(bytes=self.library.document_id(next(self.unused)))

    def any_time(self):
        ms = self.library.time_ms(self.random.randrange(self.size))
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ms / 1000))

    def create(self):
        name = uuid.uuid4().hex
        return "POST", "/v1/documents", {
            "name": f"{name}.pdf", "mime_type": "application/pdf", "size_bytes": 5,
            "storage_path": f"grown/{name}.pdf", "folder": self.library.folder(int(name[:6], 16)),
            "tags": ["new", f"tag{int(name[:2], 16) % 200:03d}"]}

    def get(self):
        return "GET", f"/v1/documents/{self.any_id()}", None

    def list_first(self):
        return "GET", "/v1/documents?per_page=25", None

    def list_cursor(self):
        return "GET", f"/v1/documents?per_page=25&created_before={self.any_time()}&cursor=", None

    def list_folder(self):
        folder = self.library.folder(self.random.randrange(1 << 20))
        return "GET", f"/v1/documents?per_page=25&folder={folder}&cursor=", None

    def link(self):
        deal = self.random.randrange(self.size // rows.PER_ENTITY)
        return "POST", f"/v1/documents/{self.any_id()}/link", {
            "entity_type": "deal", "entity_id": f"deal_{deal}", "role": "new"}

    def delete(self):
        return "DELETE", f"/v1/documents/{self.fresh_id()}", None


KINDS = ["create", "get", "list_first", "list_cursor", "list_folder", "link", "delete"]


def ask(node, key, make, count):
    """`count` requests from some clients; the seconds that each took."""
    taken, left, lock = [], [count], threading.Lock()

    def client(_):
        connection = Quick(node, key)
        while True:
            with lock:
                if left[0] == 0:
                    break
                left[0] -= 1
            method, target, body = make()
            begun = time.perf_counter()
            answer = connection.ask(method, target, {}, body)
            taken.append(time.perf_counter() - begun)
            assert answer.status_code < 300, answer.text
        connection.close()

    harness.at_once(CLIENTS, client)
    return taken


def cost(engine, key, make, count):
    ask(engine.node, key, make, 100)        # plans, caches
    pid = engine.node.process.pid
    before, node = engine.state(), seconds_of(pid)
    taken = ask(engine.node, key, make, count)
    spent = {name: (value - before[name]) / count for name, value in engine.state().items()}
    spent["us_node"] = (seconds_of(pid) - node) * 1e6 / count
    spent["p50_ms"] = statistics.median(taken) * 1000
    return spent


def search(engine, key):
    """Seconds of a search for what is nowhere, which has to look at every name; "cut" when that
    takes longer than the node lets it (--query-limit)."""
    connection, begun = Quick(engine.node, key), time.monotonic()
    status = connection.ask("GET", "/v1/documents?search=nowhere-at-all&cursor=", {}).status_code
    seconds = time.monotonic() - begun
    connection.close()
    assert status in (200, 503), status
    return short(seconds) if status == 200 else "cut"


def short(value):
    """Four digits: no more are worth keeping."""
    return float(f"{value:.4g}")


def purge_rate(engine, library, first):
    """Entries a second from when they are due."""
    begun = time.monotonic()
    engine.due(library, first)
    while engine.due_left() == PURGES and time.monotonic() < begun + 60:
        begun = time.monotonic() if engine.name == "pg" else begun
        time.sleep(0.02)        # until the job comes round
    harness.wait_for(lambda: engine.due_left() == 0)
    return PURGES / (time.monotonic() - begun)


def measure(engine, library, key, old, size, count):
    requests = Requests(library, old, size)
    print(f"\n==> {engine.name}, {size:,} documents")
    stored = {name: (owner, short(size_of / size))
              for name, (owner, size_of) in engine.sizes().items()}
    costs = {kind: cost(engine, key, getattr(requests, kind), count) for kind in KINDS}
    searched = search(engine, key)
    rate = purge_rate(engine, library, 10 * size)
    members = list(costs["get"])
    table(["", *members], [[kind, *row.values()] for kind, row in costs.items()])
    total = sum(each for _, each in stored.values())
    print(f"{total:,.0f} bytes a document; purge: {rate:,.0f} entries a second;"
          f" a search of all: {searched} s")
    if engine.name == "sqlite":
        engine.node.start() if engine.node.base_url is None else None
    costs = {kind: {name: short(value) for name, value in row.items()}
             for kind, row in costs.items()}
    return {"documents": size, "bytes": stored, "costs": costs, "purges_a_second": short(rate),
            "search_seconds": searched}


def grow(engine, sizes, count):
    """A step for each size, as soon as it is measured."""
    workspace = engine.node.workspace()
    key = workspace.new_key()["key"]
    number, user = engine.first_key()
    library = rows.Library(int(number), b"k" * 16, bytes.fromhex(user), int(time.time() * 1000),
                           max(sizes), chains=16 if engine.name == "pg" else 1)
    engine.node.start()
    have = 0
    for size in sizes:
        begun = time.monotonic()
        engine.fill(library, have, size)
        filled = time.monotonic() - begun
        step = measure(engine, library, key, have, size, count)
        yield {**step, "fill_seconds": short(filled)}
        have = size


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", default="pg,sqlite")
    parser.add_argument("--sizes", default="10000,100000,1000000")
    parser.add_argument("--requests", type=int, default=1500)
    parser.add_argument("--dir")
    parser.add_argument("--json")
    parser.add_argument("--plots", metavar="DIR", help="where to draw the figures (SVG)")
    options = parser.parse_args()
    sizes = sorted(int(word) for word in options.sizes.split(","))
    result = {"machine": machine()}
    for name in options.engines.split(","):
        engine = ENGINES[name](options.dir)
        try:
            result[name] = []
            for step in grow(engine, sizes, options.requests):
                result[name].append(step)
                save(options.json, result)
        finally:
            engine.remove()
    if options.plots:
        plot.draw(result, options.plots)


if __name__ == "__main__":
    main()
