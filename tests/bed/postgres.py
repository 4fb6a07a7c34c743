# SPDX-License-Identifier: Apache-2.0
"""
PostgreSQL, alone or as a primary with a synchronous streaming replica.

Whoever can reach the loopback port gets in without a password: these are test data.
"""
import subprocess
from pathlib import Path

from . import servers

BIN = sorted(Path("/usr/lib/postgresql").glob("*/bin"),
             key=lambda path: int(path.parent.name) if path.parent.name.isdigit() else 0)[-1:]
OWNER, DATABASE = "dossier", "dossier"  # as an operator would: no superuser
SETTINGS = """
listen_addresses = '127.0.0.1'
max_connections = 1000
shared_buffers = 64MB
max_wal_size = 512MB
max_wal_senders = 10
wal_keep_size = 64MB
wal_receiver_status_interval = 1s
log_line_prefix = '%m [%p] %d '
# in the data directory: a killed server leaves nothing in /dev/shm
dynamic_shared_memory_type = mmap
"""
FAST = "fsync = off\nfull_page_writes = off\n"


def tool(name):
    return servers.program(name, *BIN)


def psql(url, text, *options):
    """Runs SQL statements, each in a transaction of its own; the rows as lists of texts."""
    argv = [servers.program("psql"), "-qAtX", "-F", "\x1f", "-R", "\x1e", "-v", "ON_ERROR_STOP=1",
            *options, "-d", url, "-f", "-"]
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False,
                          timeout=servers.COMMAND_SECONDS)
    if done.returncode != 0:
        raise SqlFailed(done.stderr.strip())
    out = done.stdout.removesuffix("\n")
    return [row.split("\x1f") for row in out.split("\x1e")] if out else []


class SqlFailed(Exception):
    """What psql said."""


class Postgres(servers.Engine):
    """One server. `durable`: with fsync, for tests that kill it; half as fast at best."""

    name = "pg"

    def __init__(self, durable=False, settings=""):
        super().__init__(memory=not durable)
        self.durable, self.settings = durable, settings

    def _start(self):
        self._prepare()
        # no locale, no fsync, no clean-up: the quickest way to a data directory
        self.run(tool("initdb"), "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
                 "--locale=C.UTF-8", "--no-sync", "--no-instructions")
        self._configure(SETTINGS + ("" if self.durable else FAST) + self.settings)
        self.server.start()
        self.sql(f"CREATE ROLE {OWNER} LOGIN CREATEDB; CREATE DATABASE {DATABASE} OWNER {OWNER}")

    def _prepare(self, number=None):
        self.number = self.port(number)
        self.data = self.home / "data"
        self.server = self.add("postgres", [tool("postgres"), "-D", self.data], self._ready)

    def _configure(self, text):
        path = self.data / "postgresql.conf"
        path.write_text(f"{path.read_text()}{text}port = {self.number}\n"
                        f"unix_socket_directories = '{self.home}'\n", encoding="utf-8")

    def _ready(self):
        argv = [tool("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.number),
                "-U", "postgres"]
        return subprocess.run(argv, check=False).returncode == 0

    @property
    def url(self):
        return self.url_of(DATABASE)

    def url_of(self, database, user=OWNER):
        return f"postgres://{user}@127.0.0.1:{self.number}/{database}"

    @property
    def admin_url(self):
        return self.url_of("postgres", "postgres")

    def sql(self, text, database="postgres"):
        """As the superuser; the rows as lists of texts."""
        return psql(self.url_of(database, "postgres"), text)

    def promote(self):
        """Makes a replica a primary; returns when it takes writes."""
        self.sql("SELECT pg_promote(true, 60)")

    def writable(self):
        try:
            return self.sql("SELECT pg_is_in_recovery()") == [["f"]]
        except SqlFailed:
            return False


class Replica(Postgres):
    """A streaming replica of a running server; `slot` names it there, `at` is its port."""

    name = "pg-replica"

    def __init__(self, primary, slot, at=None):
        super().__init__(durable=primary.durable)
        self.primary, self.slot, self.at = primary, slot, at

    def _start(self):
        self._prepare(self.at)
        source = (f"host=127.0.0.1 port={self.primary.number} user=postgres"
                  f" application_name={self.slot}")
        self.run(tool("pg_basebackup"), "-N", "-c", "fast", "-X", "stream", "-R", "-C",
                 "-S", self.slot, "-D", self.data, "-d", source)
        self._configure("")
        self.server.start()


class Pair:
    """A primary and a synchronous replica, which change places in failover().

        with Pair() as pair:
            pair.primary.server.kill(); pair.failover(); pair.rejoin()

    An acknowledged transaction is on both, and visible on both (remote_apply). `durable`: see
    Postgres; without it the machine must not crash, but the servers may.
    """

    def __init__(self, durable=True, settings=""):
        self.durable, self.settings = durable, settings
        self.primary = self.replica = None
        self._count = 0

    def __enter__(self):
        self.primary = Postgres(self.durable, self.settings).start()
        try:
            self.rejoin()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_):
        self.remove()

    def remove(self):
        for server in self.replica, self.primary:
            if server is not None:
                server.remove()

    @property
    def url(self):
        """Both servers, for clients that look for the one that takes writes."""
        hosts = ",".join(f"127.0.0.1:{server.number}" for server in (self.primary, self.replica))
        return f"postgres://{OWNER}@{hosts}/{DATABASE}?target_session_attrs=read-write"

    def rejoin(self):
        """A new replica for the primary, which from now on waits for it at each commit. It stands
        where the old one stood, which is removed."""
        at = None
        if self.replica is not None:
            at = self.replica.number
            self.replica.remove()
        self.primary.sql("ALTER SYSTEM RESET ALL; SELECT pg_reload_conf();"     # not for the copy
                         "SELECT pg_drop_replication_slot(slot_name)"
                         " FROM pg_replication_slots WHERE NOT active")
        self._count += 1
        slot = f"r{self._count}"
        self.replica = Replica(self.primary, slot, at).start()
        self.primary.sql(f"ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 ({slot})';"
                         "ALTER SYSTEM SET synchronous_commit = remote_apply;"
                         "SELECT pg_reload_conf();")
        servers.wait_until(lambda: self._synchronous(slot), "the replica synchronous")

    def _synchronous(self, slot):
        state = f"SELECT 1 FROM pg_stat_replication WHERE application_name = '{slot}'" \
                " AND state = 'streaming' AND sync_state = 'quorum'"
        return self.primary.sql(state) == [["1"]]

    def failover(self):
        """The replica becomes the primary. The old one must be dead: two would take writes."""
        assert not self.primary.server.alive(), "the old primary still runs"
        self.replica.promote()
        self.primary, self.replica = self.replica, self.primary
