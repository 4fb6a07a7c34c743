# SPDX-License-Identifier: Apache-2.0
"""
The test bed itself: servers start, answer, die by their process ids and leave nothing; every
fault of the proxies is the one that it is called.
"""
import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from . import ceph, guard, haproxy, postgres, redis, s3, servers
from .fault_proxy import KINDS, FaultProxy
from .tcp_proxy import TcpProxy

RUN = Path(__file__).parent / "run.py"
BUCKET = ceph.BUCKET
NAMES = ["DOSSIER_TEST_DATABASE", "DOSSIER_TEST_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
         "DOSSIER_TEST_REDIS"]


def gone(pids):
    return not any(guard.started(pid) for pid in pids)


def processes(engine):
    return [pid for daemon in engine.daemons for pid in guard.family(daemon.pid)]


def segments():
    """Shared memory in the whole machine: of System V, and files."""
    rows = Path("/proc/sysvipc/shm").read_text(encoding="ascii").splitlines()[1:]
    return {row.split()[1] for row in rows}, set(Path("/dev/shm").glob("PostgreSQL*"))


# ---- servers ----

@pytest.mark.parametrize("make", [
    postgres.Postgres, lambda: postgres.Postgres(durable=True), redis.Redis, ceph.Ceph],
    ids=["pg", "pg-durable", "redis", "s3"])
def test_nothing_is_left(make):
    with make() as engine:
        home, pids = engine.home, processes(engine)
        ours = {int(Path(f"/proc/{pid}").stat().st_uid) for pid in pids}
        assert ours == {servers.account().pw_uid} and 0 not in ours
        engine.daemons[0].kill()
    assert gone(pids)
    assert not home.exists()


def test_a_killed_postgres_leaves_no_shared_memory():
    before = segments()
    with postgres.Postgres() as database:
        assert segments() != before     # or this looks in the wrong place
        database.server.kill()
    after = segments()
    assert after[0] <= before[0] | _foreign() and after[1] <= before[1]


def _foreign():
    """Segments that a process is attached to: not left over, but of another run beside us."""
    rows = [row.split() for row in
            Path("/proc/sysvipc/shm").read_text(encoding="ascii").splitlines()[1:]]
    return {row[1] for row in rows if int(row[6]) > 0}


def test_postgres():
    with postgres.Postgres() as database:
        assert postgres.psql(database.url, "SELECT 1, 'a' UNION SELECT 2, 'b\nc' ORDER BY 1") == \
            [["1", "a"], ["2", "b\nc"]]
        postgres.psql(database.url, "CREATE DATABASE other; CREATE TABLE t (a int);")
        assert postgres.psql(database.url_of("other"), "SELECT 1") == [["1"]]
        with pytest.raises(postgres.SqlFailed, match="permission denied"):
            postgres.psql(database.url, "ALTER SYSTEM SET fsync = on")
        assert database.sql("SHOW fsync") == [["off"]]


def test_postgres_dies_and_comes_back():
    with postgres.Postgres(durable=True) as database:
        assert database.sql("SHOW fsync") == [["on"]]
        postgres.psql(database.url, "CREATE TABLE t (a int); INSERT INTO t VALUES (7)")
        pids = processes(database)
        database.server.kill()
        assert gone(pids)
        with pytest.raises(postgres.SqlFailed, match="refused"):
            postgres.psql(database.url, "SELECT 1")
        database.server.start()
        assert postgres.psql(database.url, "SELECT a FROM t") == [["7"]]

        database.server.freeze()
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(postgres.psql, database.url, "SELECT a FROM t")
            time.sleep(0.3)
            assert not asked.done()
            database.server.resume()
            assert asked.result(30) == [["7"]]
        assert database.server.stop(signal.SIGINT) == 0


def test_failover_and_back():
    with postgres.Pair() as pair:
        first = pair.primary
        with haproxy.PostgresFront([pair.primary.number, pair.replica.number]) as front:
            assert front.up() == [pair.primary.number]
            postgres.psql(front.url, "CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
            assert postgres.psql(pair.replica.url, "SELECT * FROM t") == [["1"]]
            with pytest.raises(postgres.SqlFailed, match="read-only"):
                postgres.psql(pair.replica.url, "INSERT INTO t VALUES (2)")

            pair.primary.server.kill()
            pair.failover()
            assert pair.primary is not first and pair.primary.writable()
            servers.wait_until(lambda: front.up() == [pair.primary.number], "the new primary")
            postgres.psql(front.url, "INSERT INTO t VALUES (2)")
        pair.rejoin()
        postgres.psql(pair.url, "INSERT INTO t VALUES (3)")
        pair.primary.server.kill()
        pair.failover()
        assert postgres.psql(pair.url, "SELECT a FROM t ORDER BY a") == [["1"], ["2"], ["3"]]


def test_a_primary_waits_for_its_replica():
    with postgres.Pair() as pair:
        postgres.psql(pair.url, "CREATE TABLE t (a int)")
        pair.replica.server.freeze()
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(postgres.psql, pair.primary.url, "INSERT INTO t VALUES (1)")
            time.sleep(0.5)
            assert not asked.done()
            pair.replica.server.resume()
            assert asked.result(30) == []


def test_redis():
    with redis.Redis() as server:
        assert server.ask("SET", "a", "1") == b"+OK\r\n"
        assert server.ask("GET", "a") == b"$1\r\n1\r\n"
        server.server.kill()
        assert server.ask("GET", "a") is None
        server.server.start()
        assert server.ask("GET", "a") == b"$-1\r\n"


@pytest.fixture(scope="module")
def store():
    with ceph.Ceph() as made:
        yield made


def test_s3(store):
    client = store.s3
    client.put(BUCKET, "a/ä +?.txt", b"text")
    client.put(BUCKET, "a/2", b"")
    assert client.get(BUCKET, "a/ä +?.txt") == b"text" and client.get(BUCKET, "a/1") is None
    assert client.keys(BUCKET, "a/") == ["a/2", "a/ä +?.txt"]
    started = client.request("POST", f"{BUCKET}/a/3", query={"uploads": ""})
    assert started.status == 200
    assert [key for key, _ in client.uploads(BUCKET, "a/")] == ["a/3"]
    client.clear(BUCKET, "a/")
    assert client.keys(BUCKET) == [] and client.uploads(BUCKET) == []
    wrong = s3.Client(store.endpoint, client.access_key, "wrong")
    with pytest.raises(s3.Refused, match="SignatureDoesNotMatch"):
        wrong.put(BUCKET, "b", b"")
    other = s3.Client(store.endpoint, *store.user("other"))
    with pytest.raises(s3.Refused, match="AccessDenied"):
        other.put(BUCKET, "b", b"")


def test_s3_lists_more_than_a_page(store):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: store.s3.put(BUCKET, f"page/{i:04}", b""), range(1005)))
    assert store.s3.keys(BUCKET, "page/") == [f"page/{i:04}" for i in range(1005)]
    store.s3.clear(BUCKET, "page/")
    assert store.s3.keys(BUCKET) == []


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_s3_dies_and_comes_back():
    with ceph.Ceph(durable=True) as made:
        made.s3.put(BUCKET, "a", b"kept")
        for daemon in made.gateway, made.osd, made.mon:
            daemon.kill()
        with pytest.raises(OSError):
            made.s3.get(BUCKET, "a")
        for daemon in made.mon, made.osd, made.gateway:
            daemon.start()
        assert made.s3.get(BUCKET, "a") == b"kept"

        made.osd.freeze()
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(made.s3.get, BUCKET, "a")
            time.sleep(0.3)
            assert not asked.done()
            made.osd.resume()
            assert asked.result(60) == b"kept"


class Node(ThreadingHTTPServer):
    """Stands for a node of the service: says whether it is ready, and its number."""

    def __init__(self, number):
        self.ready = True

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                ready = self.path != "/readyz" or self.server.ready
                self.send_response(200 if ready else 503)
                self.send_header("Content-Length", "1")
                self.end_headers()
                self.wfile.write(str(number).encode())

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


def test_haproxy_asks_whether_nodes_are_ready():
    nodes = [Node(i) for i in range(3)]
    ports = [node.server_port for node in nodes]

    def answered():
        found = set()
        for _ in range(6):
            connection = http.client.HTTPConnection("127.0.0.1", front.number, timeout=20)
            connection.request("GET", "/")
            found.add(connection.getresponse().read().decode())
            connection.close()
        return found

    with haproxy.HttpFront(ports) as front:
        assert answered() == {"0", "1", "2"}
        nodes[1].ready = False
        servers.wait_until(lambda: front.up() == [ports[0], ports[2]], "one node out")
        assert answered() == {"0", "2"}
        nodes[1].ready = True
        servers.wait_until(lambda: front.up() == ports, "all nodes back")
        assert answered() == {"0", "1", "2"}
    for node in nodes:
        node.shutdown()
        node.server_close()


# ---- run.py ----

def bed(*argv, **options):
    return subprocess.Popen([sys.executable, RUN, *argv], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, start_new_session=True, **options)


def test_run_passes_on_the_variables_and_the_status():
    text = "; ".join(f'echo "${name}"' for name in NAMES) + "; exit 7"
    both = [bed("pg", "s3", "redis", "--", "sh", "-c", text) for _ in range(2)]
    outs = [process.communicate(timeout=servers.COMMAND_SECONDS)[0].splitlines()
            for process in both]
    assert [process.returncode for process in both] == [7, 7]
    for database, bucket, _, _, counters in outs:
        assert re.fullmatch(r"postgres://dossier@127\.0\.0\.1:\d+/dossier", database)
        assert re.fullmatch(rf"s3://{BUCKET}\?endpoint=http://127\.0\.0\.1:\d+&region=us-east-1",
                            bucket)
        assert re.fullmatch(r"redis://127\.0\.0\.1:\d+", counters)
    assert not set(outs[0]) & set(outs[1]), "they share a server"


def test_run_passes_signals_on():
    with bed("redis", "--", "sleep", "60") as process:
        servers.wait_until(lambda: b"\nsleep\0" in _cmdlines(process.pid), "it runs")
        process.terminate()
        assert process.wait(servers.END_SECONDS) == 128 + signal.SIGTERM


def _cmdlines(pid):
    found = b""
    for one in guard.family(pid)[1:]:
        try:
            found += b"\n" + Path(f"/proc/{one}/cmdline").read_bytes()
        except OSError:
            pass
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_run_without_a_command(number):
    """Also when it is killed: the guard ends the servers then. And when it was started in the
    background of a script, where SIGINT is ignored at first."""
    with bed("pg", "redis", "--",
             preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) as process:
        lines = [process.stdout.readline() for _ in range(2)]
        pids = guard.family(process.pid)[1:]
        ports = [int(re.search(r":(\d+)(/|$)", line.strip())[1]) for line in lines]
        assert all(line.startswith("export DOSSIER_TEST_") for line in lines)
        assert all(map(servers.answers, ports)) and len(pids) >= 5
        process.send_signal(number)
        process.wait(servers.END_SECONDS)
        servers.wait_until(lambda: gone(pids), "all have ended")
        assert not any(map(servers.answers, ports))


def test_run_killed_while_it_starts():
    with bed("s3", "--") as process:
        servers.wait_until(lambda: b"radosgw-admin" in _cmdlines(process.pid), "half started")
        pids = guard.family(process.pid)[1:]
        process.kill()
        process.wait(servers.END_SECONDS)
        servers.wait_until(lambda: gone(pids), "all have ended")


def test_what_cannot_start_says_why(tmp_path):
    with pytest.raises(servers.NotReady, match="unrecognized configuration parameter"):
        postgres.Postgres(settings="no_such_parameter = 1\n").start()
    assert not servers.RUNNING or all(engine.name != "pg" for engine in servers.RUNNING)
    process = bed("mysql", "--", "true")
    assert "no server is called 'mysql'" in process.communicate(timeout=20)[1]
    assert process.returncode == 1


# ---- the fault proxy of S3 ----

CONTENT = os.urandom(300000)


@pytest.fixture(scope="module")
def proxy(store):
    with FaultProxy(store.number) as made:
        yield made


@pytest.fixture
def seen(proxy, store):
    """A client through the proxy, which has one object."""
    client = s3.Client(proxy.endpoint, store.s3.access_key, store.s3.secret_key)
    store.s3.put(BUCKET, "object", CONTENT)
    proxy.heal()
    proxy.forget()
    yield client
    proxy.heal()


def test_proxy_passes_all(proxy, seen):
    seen.put(BUCKET, "new", CONTENT[:1000])
    assert seen.get(BUCKET, "object") == CONTENT and seen.get(BUCKET, "none") is None
    assert "new" in seen.keys(BUCKET)       # comes in chunks
    assert seen.request("HEAD", f"{BUCKET}/object").headers["Content-Length"] == "300000"
    seen.delete(BUCKET, "new")
    assert {verb: passed.requests for verb, passed in proxy.passed.items()} == \
        {"PUT": 1, "GET": 3, "HEAD": 1, "DELETE": 1}
    assert proxy.passed["PUT"].sent == 1000 and proxy.passed["HEAD"].received == 0
    assert proxy.passed["GET"].received > len(CONTENT)
    assert [one.fault for one in proxy.seen] == [None] * 6


def test_proxy_keeps_connections(proxy, store):
    """Also one that waits for 100 Continue."""
    with socket.create_connection(("127.0.0.1", proxy.port), 20) as connection:
        stream = connection.makefile("rb")
        for _ in range(3):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            answer.read()
        connection.sendall(b"PUT /x/y HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
                           b"Expect: 100-continue\r\n\r\n")
        assert stream.readline().split()[1] in (b"100", b"403", b"404")


def test_which_requests_a_rule_is_about(proxy, seen):
    rule = proxy.fault("status", verb="GET", path="/object$", nth=2, times=2, status=503)
    statuses = [seen.request("GET", f"{BUCKET}/{key}").status
                for key in ("object", "other", "object", "object", "object")]
    assert statuses == [200, 404, 503, 503, 200]
    assert seen.request("HEAD", f"{BUCKET}/object").status == 200
    assert (rule.seen, rule.hits) == (4, 2)
    assert proxy.passed["GET"].requests == 3, "a fault before the store"
    proxy.fault("status", times=None)
    assert [seen.request("GET", f"{BUCKET}/object").status for _ in range(3)] == [500] * 3


def test_fault_refuse(proxy, seen):
    proxy.fault("refuse", verb="PUT")
    with pytest.raises(ConnectionResetError):
        seen.put(BUCKET, "refused", b"x")
    assert proxy.passed["PUT"].requests == 0 and seen.get(BUCKET, "refused") is None


def test_fault_down(proxy, seen):
    with socket.create_connection(("127.0.0.1", proxy.port), 20) as idle:
        proxy.down()
        try:
            with contextlib.suppress(ConnectionResetError):     # it had not been accepted
                assert idle.recv(1) == b""
            with pytest.raises(ConnectionRefusedError):
                seen.get(BUCKET, "object")
        finally:
            proxy.up()
        assert seen.get(BUCKET, "object") == CONTENT


def test_fault_reset_request(proxy, seen):
    proxy.fault("reset_request", verb="PUT", after=100000)
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        seen.put(BUCKET, "half", CONTENT)
    assert proxy.passed["PUT"].sent == 100000
    assert seen.get(BUCKET, "half") is None


def test_fault_lose_answer(proxy, seen):
    proxy.fault("lose_answer", verb="PUT")
    with pytest.raises(ConnectionResetError):
        seen.put(BUCKET, "lost", CONTENT)
    assert seen.get(BUCKET, "lost") == CONTENT
    seen.delete(BUCKET, "lost")


@pytest.mark.parametrize("kind, error", [("reset_response", ConnectionResetError),
                                         ("truncate", http.client.IncompleteRead)])
def test_fault_cut_body(proxy, seen, kind, error):
    proxy.fault(kind, verb="GET", after=200000)
    with pytest.raises(error):
        seen.get(BUCKET, "object")
    assert proxy.passed["GET"].received == 200000


def test_fault_shorten_and_flip(proxy, seen):
    proxy.fault("shorten", verb="GET", after=200000)
    assert seen.get(BUCKET, "object") == CONTENT[:200000]
    proxy.fault("flip", verb="GET", at=70000)
    flipped = seen.get(BUCKET, "object")
    assert [i for i in range(len(CONTENT)) if CONTENT[i] != flipped[i]] == [70000]
    assert CONTENT[70000] ^ flipped[70000] == 1


@pytest.mark.parametrize("reached", [False, True])
def test_fault_status(proxy, seen, reached):
    for status, code in (500, "InternalError"), (503, "SlowDown"), (404, "NoSuchKey"):
        key = f"status-{status}-{reached}"
        proxy.fault("status", verb="PUT", status=status, reached=reached)
        answer = seen.request("PUT", f"{BUCKET}/{key}", CONTENT)
        assert answer.status == status and f"<Code>{code}</Code>".encode() in answer.body
        assert seen.get(BUCKET, key) == (CONTENT if reached else None)


@pytest.mark.parametrize("reached", [False, True])
def test_fault_error_in_200(proxy, seen, reached):
    proxy.fault("error_in_200", verb="PUT", reached=reached)
    answer = seen.request("PUT", f"{BUCKET}/in-200-{reached}", b"x")
    assert answer.status == 200 and b"<Code>InternalError</Code>" in answer.body
    assert (seen.get(BUCKET, f"in-200-{reached}") == b"x") == reached


@pytest.mark.parametrize("reached", [False, True])
def test_fault_hang(proxy, seen, monkeypatch, reached):
    monkeypatch.setattr(s3, "SECONDS", 1)
    proxy.fault("hang", verb="PUT", reached=reached)
    with pytest.raises(TimeoutError):
        seen.put(BUCKET, f"hang-{reached}", b"x")
    monkeypatch.undo()
    assert (seen.get(BUCKET, f"hang-{reached}") == b"x") == reached


def test_fault_slow(proxy, seen):
    """Never sooner than its rate allows; how much later is the machine's matter."""
    def took(call):
        begun = time.monotonic()
        call()
        return time.monotonic() - begun

    proxy.fault("drip", verb="GET", rate=600000)
    proxy.fault("drip_request", verb="PUT", rate=600000)
    proxy.fault("delay", verb="DELETE", seconds=0.5)
    assert took(lambda: seen.get(BUCKET, "object")) > 0.4
    assert took(lambda: seen.put(BUCKET, "slow", CONTENT)) > 0.4
    assert took(lambda: seen.delete(BUCKET, "slow")) > 0.4


def test_every_kind_of_fault_is_tested_here():
    text = Path(__file__).read_text(encoding="utf-8")
    assert [kind for kind in KINDS if f'"{kind}"' not in text] == []


# ---- the proxy of bytes ----

class Echo(threading.Thread):
    """Answers each line in capitals, and remembers what it read."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.read = []
        self.start()

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, connection.makefile("rb") as lines:
            for line in lines:
                self.read.append(line)
                try:
                    connection.sendall(line.upper())
                except OSError:
                    return


@pytest.fixture
def echo():
    server = Echo()
    with TcpProxy(server.port) as proxy:
        yield server, proxy
    server.listener.shutdown(socket.SHUT_RDWR)
    server.listener.close()


class Talk:
    def __init__(self, proxy):
        self.socket = socket.create_connection(("127.0.0.1", proxy.port), 20)
        self.lines = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lines.close()
        self.socket.close()

    def say(self, line):
        self.socket.sendall(line)
        return self.lines.readline()


def test_tcp_passes_and_counts(echo):
    server, proxy = echo
    with Talk(proxy) as one, Talk(proxy) as other:
        assert one.say(b"a\n") == b"A\n" and other.say(b"b\n") == b"B\n"
        assert one.say(b"x" * 3000000 + b"\n") == b"X" * 3000000 + b"\n"
        assert proxy.passed == [3000005, 3000005]
        assert (proxy.accepted, proxy.connections) == (2, 2)
    servers.wait_until(lambda: proxy.connections == 0, "both have ended")


def test_tcp_drop_and_down(echo):
    _, proxy = echo
    with Talk(proxy) as one:
        one.say(b"a\n")
        proxy.drop()
        with pytest.raises(ConnectionError):
            one.say(b"b\n")
    with Talk(proxy) as one:
        assert one.say(b"c\n") == b"C\n"
        proxy.down()
        with pytest.raises(ConnectionError):
            one.say(b"d\n")
    with pytest.raises(ConnectionRefusedError):
        Talk(proxy)
    proxy.up()
    with Talk(proxy) as one:
        assert one.say(b"e\n") == b"E\n"


def test_tcp_freeze(echo):
    server, proxy = echo
    with Talk(proxy) as one:
        proxy.freeze()
        one.socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            one.say(b"a\n")
        with Talk(proxy):           # is accepted
            assert server.read == []
        proxy.resume()
        one.socket.settimeout(20)
        assert one.socket.recv(2) == b"A\n"


@pytest.mark.parametrize("towards, passing, reaches", [
    ("server", None, True), ("server", False, False), ("client", None, True)])
def test_tcp_cut_at_a_pattern(echo, towards, passing, reaches):
    server, proxy = echo
    pattern = b"COMMIT" if towards == "client" else b"commit"
    cut = proxy.cut(towards=towards, pattern=pattern, passing=passing, nth=2)
    with Talk(proxy) as one:
        assert one.say(b"commit 1\n") == b"COMMIT 1\n"
        one.socket.sendall(b"com")                  # in two pieces
        time.sleep(0.1)
        with pytest.raises(ConnectionResetError):
            if not one.say(b"mit\nrest\n"):
                raise ConnectionResetError
    servers.wait_until(lambda: proxy.connections == 0, "it is cut")
    assert (cut.seen, cut.hits) == (2, 1)
    if reaches:
        servers.wait_until(lambda: b"".join(server.read[1:]).startswith(b"commit"), "it is read")
    else:
        assert not b"".join(server.read[1:]).startswith(b"commit")
    with Talk(proxy) as one:
        assert one.say(b"commit 3\n") == b"COMMIT 3\n"


def test_tcp_cut_after_bytes(echo):
    server, proxy = echo
    cut = proxy.cut(after=10)
    with Talk(proxy) as one, pytest.raises(ConnectionError):
        assert one.say(b"12345\n") == b"12345\n"
        if not one.say(b"6789012345\n"):
            raise ConnectionResetError
    servers.wait_until(lambda: len(server.read) == 2, "the rest was read")
    assert cut.hits == 1 and b"".join(server.read) == b"12345\n6789"


def test_tcp_commit_of_unknown_outcome():
    """What it is made for: the transaction is committed, and its client cannot know."""
    with postgres.Postgres() as database, TcpProxy(database.number) as proxy:
        postgres.psql(database.url, "CREATE TABLE t (a int)")
        through = database.url.replace(str(database.number), str(proxy.port))
        cut = proxy.cut(towards="client", pattern=b"COMMIT\0")
        with pytest.raises(postgres.SqlFailed, match="connection"):
            postgres.psql(through, "BEGIN; INSERT INTO t VALUES (1); COMMIT;")
        assert cut.hits == 1 and postgres.psql(database.url, "SELECT a FROM t") == [["1"]]
        cut = proxy.cut(towards="server", pattern=b"COMMIT", passing=False)
        with pytest.raises(postgres.SqlFailed, match="connection"):
            postgres.psql(through, "BEGIN; INSERT INTO t VALUES (2); COMMIT;")
        assert cut.hits == 1 and postgres.psql(database.url, "SELECT a FROM t") == [["1"]]
