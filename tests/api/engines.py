# SPDX-License-Identifier: Apache-2.0
"""
Where the servers under test keep rows and bytes: in their data directories, or, when the
environment names a server, there. Each data directory has a place of its own.

    DOSSIER_TEST_DATABASE   postgres://...: a new database for each
    DOSSIER_TEST_S3         s3://bucket?...: a new prefix for each, with AWS_ACCESS_KEY_ID and
                            AWS_SECRET_ACCESS_KEY

Tests that look into files of the embedded engines are marked `embedded` and do not run elsewhere.
"""
import atexit
import contextlib
import io
import os
import secrets
import sqlite3
import sys
import threading
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import blob_files  # noqa: E402
from bed import s3  # noqa: E402

DATABASE = os.environ.get("DOSSIER_TEST_DATABASE")
if DATABASE:
    import psycopg2     # nobody else needs it
S3 = os.environ.get("DOSSIER_TEST_S3")
EMBEDDED = not DATABASE and not S3

_places = {}
_lock = threading.Lock()


class Place:
    """Of one data directory. `env`: what tells the binary about it."""

    def __init__(self, data_dir):
        self.data_dir, self.name, self.env = Path(data_dir), "t" + secrets.token_hex(6), {}
        if DATABASE:
            _outside(f"CREATE DATABASE {self.name}")
            self.url = urlsplit(DATABASE)._replace(path="/" + self.name).geturl()
            self.env["DOSSIER_DATABASE"] = self.url
        if S3:
            url = urlsplit(S3)
            self.bucket, self.prefix = url.netloc, f"{url.path.strip('/')}/{self.name}".lstrip("/")
            self.env["DOSSIER_BLOBS"] = url._replace(path="/" + self.prefix).geturl()
            self.store = s3.Client(parse_qs(url.query)["endpoint"][0],
                                   os.environ["AWS_ACCESS_KEY_ID"],
                                   os.environ["AWS_SECRET_ACCESS_KEY"])

    def remove(self):
        for name in (self.name, self.name + "_kept") if DATABASE else ():
            _drop(name)
        if S3:
            self.store.clear(self.bucket, self.prefix + "/")

    # ---- bytes ----

    def _objects(self):
        return self.store.keys(self.bucket, self.prefix + "/")

    def blobs(self):
        """The names of all blobs, half-written ones included: keys, paths, or names of rows."""
        if S3:
            found = self._objects() + self.store.uploads(self.bucket, self.prefix + "/")
            return [one for one in found if one != self.prefix + "/dossier-store"]
        found = [path for path in (self.data_dir / "blobs").rglob("*")
                 if path.is_file() and path.name not in blob_files.OURS]
        return sorted(found) + sorted(blob_files.small(self.data_dir))

    def cut_blob(self, name, length):
        """Only so many bytes are left of a blob."""
        if S3:
            self.store.put(self.bucket, name, self.store.get(self.bucket, name)[:length])
        elif isinstance(name, Path):
            os.truncate(name, length)
        else:
            blob_files.set_bytes(self.data_dir, name, blob_files.one(self.data_dir, name)[:length])

    def lose_blob(self, name):
        if S3:
            self.store.delete(self.bucket, name)
        elif isinstance(name, Path):
            name.unlink()
        else:
            blob_files.lose(self.data_dir, name)

    def age_blobs(self):
        """All of them were written two hours ago; what is in a bucket cannot be made older."""
        if S3:
            return
        then = time.time() - 7200
        for path in filter(lambda name: isinstance(name, Path), self.blobs()):
            os.utime(path, (then, then))
        blob_files.age(self.data_dir, then)

    # ---- rows ----

    @contextlib.contextmanager
    def rows(self):
        """The database, as somebody opens it who may: execute(text, parameters) on both engines,
        with ? for a parameter. One transaction, committed at the end."""
        if DATABASE:
            with contextlib.closing(_connect(self.url)) as connection, connection:
                yield _Postgres(connection)
        else:
            path = self.data_dir / "dossier.db"
            with contextlib.closing(sqlite3.connect(path)) as connection, connection:
                yield connection

    def keep_rows(self):
        """Remembers the database of a stopped server as it is, for put_back_rows()."""
        if DATABASE:
            _drop(f"{self.name}_kept")
            _outside(f"CREATE DATABASE {self.name}_kept TEMPLATE {self.name}")
        else:
            self.kept = (self.data_dir / "dossier.db").read_bytes()

    def put_back_rows(self):
        if DATABASE:
            _drop(self.name)
            _outside(f"CREATE DATABASE {self.name} TEMPLATE {self.name}_kept")
        else:
            for path in self.data_dir.glob("dossier.db*"):
                path.unlink()
            (self.data_dir / "dossier.db").write_bytes(self.kept)

    # ---- both ----

    def contents(self):
        """All bytes kept here, as pieces of any size; also those of the database's rows."""
        for path in self.data_dir.rglob("*"):
            with contextlib.suppress(FileNotFoundError, OSError):
                if path.is_file():
                    yield path.read_bytes()
        if S3:
            for key in self._objects():
                yield self.store.get(self.bucket, key) or b""
        if DATABASE:
            with self.rows() as rows:
                yield rows.dump()


def place_of(data_dir):
    """The place of a data directory, made when it is first asked for."""
    with _lock:
        if str(data_dir) not in _places:
            _places[str(data_dir)] = Place(data_dir)
        return _places[str(data_dir)]


def environment(data_dir):
    """Variables for a command about a data directory; none when no server was started there."""
    with _lock:
        place = _places.get(str(data_dir))
    return place.env if place else {}


def forget(data_dir):
    with _lock:
        place = _places.pop(str(data_dir), None)
    if place:
        place.remove()


@atexit.register
def _forget_all():
    for data_dir in list(_places):
        forget(data_dir)


# ---- PostgreSQL ----

def _connect(url):
    return psycopg2.connect(url)


def _outside(statement):
    """Runs what cannot be part of a transaction."""
    with contextlib.closing(_connect(DATABASE)) as connection:
        connection.autocommit = True
        connection.cursor().execute(statement)


def _drop(name):
    try:        # by force it is refused while the server itself cleans up in there
        _outside(f"DROP DATABASE IF EXISTS {name}")
    except psycopg2.errors.ObjectInUse:
        _outside(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


class _Postgres:
    """A connection as sqlite3 has it, as far as tests need."""

    def __init__(self, connection):
        self.connection = connection

    def execute(self, text, parameters=()):
        cursor = self.connection.cursor()
        cursor.execute(text.replace("%", "%%").replace("?", "%s"), list(parameters))
        return _Answer(cursor)

    def dump(self):
        """Every row of every table in the binary format, where texts and bytes are themselves."""
        into = io.BytesIO()
        tables = self.execute("SELECT quote_ident(tablename) FROM pg_tables"
                              " WHERE schemaname = 'public' ORDER BY 1").fetchall()
        for (table,) in tables:
            self.connection.cursor().copy_expert(f"COPY {table} TO STDOUT (FORMAT binary)", into)
        return into.getvalue()


class _Answer:
    """Rows with bytes in them, as sqlite3 has it."""

    def __init__(self, cursor):
        self.cursor, self.description = cursor, cursor.description

    def fetchone(self):
        row = self.cursor.fetchone()
        return row and tuple(bytes(value) if isinstance(value, memoryview) else value
                             for value in row)

    def __iter__(self):
        return iter(self.fetchone, None)

    def fetchall(self):
        return list(self)
