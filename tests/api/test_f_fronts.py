# SPDX-License-Identifier: Apache-2.0
"""
Behind nginx and HAProxy with deploy/nginx.conf and deploy/haproxy.cfg as they are shipped: nothing
is buffered, lost, repeated or told to the log, whatever becomes of the nodes.

Where two nodes are wanted they are two servers with a copy of the same directory: the same keys
are good for both, and what a proxy has sent to both can be counted.
"""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
import requests

import certificates
import fronts
from harness import Server, data, free_port, unique, wait_for
from hostile_wire import converse
from test_h_early_refusal import CLIENTS, SIZE
from test_y_large import is_sanitized, resident_kib

KINDS = ["nginx", "haproxy"]
MIB = 1 << 20
CUT = (52, 55, 56, 92)      # curl: the connection, or the stream, was ended without an answer
KILLS = int(os.environ.get("DOSSIER_FRONT_KILLS", "20"))
ENVELOPES = {
    "/v1/documents": {"error": {"code": "unavailable", "message": str}},
    "/v1/docs/x": {"error": {"code": "UNAVAILABLE", "message": str, "details": {}}},
    "/api/v1/upload": {"detail": str},
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return certificates.make(tmp_path_factory.mktemp("certificates"), "front")


class Stage:
    """A front of some kind, and the one server behind it."""

    def __init__(self, kind, home, pair):
        port = free_port()
        options = ["--public-url", f"https://localhost:{port}", "--max-upload-request", "300MiB",
                   "--trusted-proxy", "unix" if kind == "nginx" else "127.0.0.1"]
        self.server = Server(*options, listen=f"unix:{home}/api" if kind == "nginx" else
                             f"127.0.0.1:{free_port()}").start()
        self.opened = getattr(fronts, kind)(home, pair, [self.server], port)
        self.front = self.opened.__enter__()
        self.key = self.server.workspace().key()
        self.api = self.front.api(self.key)

    def close(self):
        self.opened.__exit__(None, None, None)
        self.server.remove()


@pytest.fixture(scope="module", params=KINDS)
def stage(request, tmp_path_factory, pair):
    made = Stage(request.param, tmp_path_factory.mktemp(request.param), pair)
    yield made
    made.close()


def curl(front, *argv, seconds=100):
    return subprocess.run(["curl", "-sS", "--cacert", front.verify, *map(str, argv)],
                          capture_output=True, timeout=seconds, check=False)


# ---- a whole round ----

def test_http_2(stage):
    done = curl(stage.front, "--http2", "-o", os.devnull, "-w", "%{http_version} %{http_code}",
                "-H", f"X-API-Key: {stage.key}", stage.front.base_url + "/v1/documents")
    assert done.stdout == b"2 200", done.stderr


@pytest.mark.parametrize("version", ["--http2", "--http1.1"])
def test_bytes_in_and_out(stage, version, tmp_path):
    """By a signed URL, and by multipart; whole, and in part."""
    content = os.urandom(3_000_000)
    (tmp_path / "content").write_bytes(content)
    made = data(stage.api.post("/v1/documents/upload-url", json={}), 201)
    assert made["upload_url"].startswith(stage.front.base_url + "/v1/signed/upload/")
    done = curl(stage.front, version, "-f", "-T", tmp_path / "content", made["upload_url"])
    assert done.returncode == 0, done
    document = stage.api.new_document(storage_path=made["storage_path"])
    done = curl(stage.front, version, "-f", "-H", f"X-API-Key: {stage.key}", "-F",
                f"files=@{tmp_path}/content", stage.front.base_url + "/api/v1/upload")
    for number in (document["id"], json.loads(done.stdout)[0]):
        url = data(stage.api.get(f"/v1/documents/{number}"))["download_url"]
        assert curl(stage.front, version, url).stdout == content
        part = curl(stage.front, version, "-i", "-r", "1000000-1999999", url).stdout
        head, _, body = part.partition(b"\r\n\r\n")
        assert b" 206" in head.split(b"\r\n")[0] and body == content[1_000_000:2_000_000]
        assert b"content-range: bytes 1000000-1999999/3000000" in head.lower()


def test_the_path_goes_on_as_it_came(stage):
    for method in ("PUT", "DELETE", "GET"):
        start = stage.server.log_size()
        stage.api.request(method, "/v1/entities/deal/a%2fb%41", expect=404)
        stage.api.request(method, "/v1//documents", expect=404)
        assert stage.server.log(start) == ""
    path = "/v1/entities/deal/a%41b"
    assert data(stage.api.put(path, json={}), 201)["entity_id"] == "aAb"
    stage.api.delete(path, expect=204)


def direct(server, path, key):
    """The same answer without a front between."""
    head = f"GET {path} HTTP/1.1\r\nHost: h\r\nX-API-Key: {key}\r\nConnection: close\r\n\r\n"
    return converse(server, head.encode())[0][0].headers


def test_headers_are_untouched(stage):
    """None is added, but those of the connection; none is lost."""
    document = stage.api.new_bytes(b"<script>")
    url = urlsplit(data(stage.api.get(f"/v1/documents/{document['id']}"))["download_url"])
    for path in (url.path, "/v1/documents", "/nowhere", "/v1/signed/download/x"):
        ours = direct(stage.server, path, stage.key)
        theirs = {name.lower(): value for name, value in stage.api.get(path).headers.items()}
        for headers in (ours, theirs):
            for name in ("date", "connection", "server", "x-request-id", "keep-alive"):
                headers.pop(name, None)
        assert theirs == ours


def test_the_client_is_who_connects(stage):
    """Whatever it says of itself."""
    lies = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "http", "Forwarded": "for=6.6.6.6",
            "X-Forwarded-Host": "evil", "X-Real-IP": "6.6.6.6"}
    document = stage.api.new_document()
    stage.api.patch(f"/v1/documents/{document['id']}", json={"name": "b"}, headers=lies, expect=200)
    lines = stage.api.audit(resource_id=document["id"])
    assert [line["ip_address"] for line in lines] == ["127.0.0.1"] * 2


def test_another_host_is_not_served(stage):
    done = curl(stage.front, "-o", os.devnull, "-w", "%{http_code}", "-H", "Host: evil",
                stage.front.base_url + "/readyz")
    assert done.stdout == b"421"


def test_nothing_of_a_signed_url_is_logged(stage):
    """Its token is the right to the bytes. Also when the node is gone, and nginx logs an error."""
    made = data(stage.api.post("/v1/documents/upload-url", json={}), 201)
    stage.api.put(made["upload_url"], data=b"x", headers=made["headers"], expect=200)
    document = stage.api.new_document(storage_path=made["storage_path"])
    url = data(stage.api.get(f"/v1/documents/{document['id']}"))["download_url"]
    alias = url.replace("/v1/", "/functions/v1/api-gateway/v1/")
    for each in (url, alias, "/v1/documents?search=sheepdog"):
        stage.api.get(each, expect=200)
    for slip in ("//v1/signed", "/v1//signed", "/v1/%73igned"):
        curl(stage.front, url.replace("/v1/signed", slip))
    stage.server.kill()
    try:
        for each, method in ((url, "GET"), (alias, "GET"), (made["upload_url"], "PUT")):
            done = curl(stage.front, "-X", method, "-o", os.devnull, "-w", "%{http_code}", each)
            assert done.stdout == b"503"
    finally:
        stage.server.start()
        wait_for(lambda: curl(stage.front, "-f", stage.front.base_url + "/readyz").returncode == 0)
    log = stage.front.logs()
    for each in (url, made["upload_url"]):
        token = each.rsplit("/", 1)[1]
        assert token[:20] not in log and token[-20:] not in log
    assert "sheepdog" not in log
    assert log.replace("\\/", "/").count("/v1/signed/download/...") >= 4


def test_the_log_names_the_request_as_the_server_does(stage):
    answer = stage.api.get("/v1/usage", expect=200)
    wait_for(lambda: f'"request_id":"{answer.headers["X-Request-ID"]}"' in stage.front.logs())


# ---- what is large, or too large ----

def peak_kib(pids):
    return sum(resident_kib(pid, "VmHWM") for pid in pids)


def passes_through(stage, version, size, path):
    """Memory stays flat on both sides, and nothing is written but by the server."""
    with open(path, "wb") as large:
        large.truncate(size)
    before = peak_kib(stage.front.processes())
    done = curl(stage.front, version, "-H", f"X-API-Key: {stage.key}", "-H", "Expect:", "-F",
                f"files=@{path}", stage.front.base_url + "/api/v1/upload")
    number = json.loads(done.stdout)[0]
    document = data(stage.api.get(f"/v1/documents/{number}"))
    assert document["size_bytes"] == size
    done = curl(stage.front, version, "-f", "-o", os.devnull, "-w", "%{size_download}",
                document["download_url"])
    assert done.stdout == b"%d" % size
    stage.api.delete(f"/v1/documents/{number}", params={"hard": "true"}, expect=204)
    assert peak_kib(stage.front.processes()) - before < 24 * 1024
    assert "temporary file" not in stage.front.logs()
    if not is_sanitized(stage.server.process.pid):
        assert resident_kib(stage.server.process.pid, "VmHWM") < 96 * 1024


def test_what_is_large_is_nowhere_kept(stage, tmp_path):
    passes_through(stage, "--http2", 64 * MIB, tmp_path / "large")


@pytest.mark.slow
@pytest.mark.parametrize("version", ["--http2", "--http1.1"])
def test_200_mib_are_nowhere_kept(stage, version, tmp_path):
    passes_through(stage, version, 200 * MIB, tmp_path / "large")


@pytest.mark.parametrize("client", ["curl", "requests", pytest.param(
    "node-fetch", marks=pytest.mark.slow)])
def test_an_early_refusal_is_seen(stage, client, tmp_path):
    """50 MiB are on the way to where no file may be sent when the 413 comes."""
    body = tmp_path / "body"
    body.write_bytes(bytes(SIZE))
    trusted = {name: stage.front.verify for name in
               ("CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")}
    done = subprocess.run(
        [*CLIENTS[client], stage.front.base_url + "/v1/documents", stage.key, body, "2"],
        capture_output=True, text=True, timeout=100, check=False, env={**os.environ, **trusted})
    assert done.stdout.split() == ["413"] * 2, done.stderr


ROOT = b"GET / HTTP/1.1\r\nHost: h\r\n"
LAST = b"Connection: close\r\n\r\n"
LONG = b"a" * 50000
REFUSED = {
    "lengths": (ROOT + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    "hosts": (ROOT + b"Host: localhost\r\n\r\n", 400),
    "no HTTP": (b"hello\r\n\r\n", 400),
    "target": (b"GET /" + LONG[:9000] + b" HTTP/1.1\r\nHost: h\r\n" + LAST, 414),
    "huge target": (b"GET /" + LONG + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
    "huge header": (ROOT + b"X: " + LONG + b"\r\n\r\n", 431),
    "headers": (ROOT + b"X: a\r\n" * 101 + LAST, 431),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused(stage, name):
    """In our words by nginx; HAProxy has one page of its own for all that it cannot read."""
    sent, status = REFUSED[name]
    replies, ended = converse(stage.front, sent)
    assert ended and len(replies) == 1, replies
    if stage.front.name == "haproxy" and name != "target":
        assert replies[0].status == 400 and b"<h1>400 Bad request</h1>" in replies[0].body
        return
    assert replies[0].status == status and set(json.loads(replies[0].body)) == {"error"}
    assert replies[0].headers["cache-control"] == "no-store"


# ---- nodes that fail ----

def matches(found, wanted):
    if isinstance(wanted, dict):
        return set(found) == set(wanted) and all(
            matches(found[name], wanted[name]) for name in wanted)
    return isinstance(found, wanted) if isinstance(wanted, type) else found == wanted


def assert_unavailable(path, answer):
    """503, when to come back, and the words of the API that was used."""
    assert answer.status_code == 503, (answer.status_code, answer.content)
    assert answer.headers["Retry-After"] == "1"
    assert answer.headers["Content-Type"] == "application/json"
    if answer.request.method != "HEAD":
        assert matches(answer.json(), ENVELOPES[path]), answer.content


class FakeNode:
    """
    Answers /readyz; of any other request it reads all, notes the method, and does what `then` does
    with the connection.
    """

    def __init__(self, then):
        self.then = then
        self.seen = Counter()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.base_url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.openapi = None
        self.threads = ThreadPoolExecutor(16)
        self.threads.submit(self._accept)

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.threads.submit(self._serve, connection)

    def _serve(self, connection):
        with connection, connection.makefile("rb") as stream:
            while True:
                head = b"".join(iter(stream.readline, b"\r\n"))
                if not head:
                    return
                length = re.search(rb"(?i)content-length: (\d+)", head)
                stream.read(int(length[1]) if length else 0)
                if b" /readyz " not in head:
                    self.seen[head.split()[0].decode()] += 1
                    return self.then(connection)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)    # wakes accept()
        self.listener.close()
        self.threads.shutdown()


def break_off(_connection):
    """The node dies before it has answered."""


def break_off_in_the_head(connection):
    connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Le")


ASKED = [("/v1/documents", "GET"), ("/v1/documents", "HEAD"), ("/v1/documents", "POST"),
         ("/v1/documents", "PUT"), ("/v1/docs/x", "PATCH"), ("/v1/docs/x", "DELETE"),
         ("/api/v1/upload", "POST")]


@pytest.mark.parametrize("then", [break_off, break_off_in_the_head])
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_node_has_seen_is_not_sent_again(kind, then, pair, tmp_path):
    """Not to another node, not to the same; the client is told to come back."""
    nodes = [FakeNode(then) for _ in range(2 * len(ASKED))]     # nginx shuns those that failed
    try:
        with getattr(fronts, kind)(tmp_path, pair, nodes) as front:
            session = requests.Session()    # one connection: also what is not the first on it
            session.verify, session.trust_env = front.verify, False
            for path, method in ASKED:
                body = None if method in ("GET", "HEAD", "DELETE") else b"{}"
                answer = session.request(method, front.base_url + path, data=body, timeout=20)
                assert_unavailable(path, answer)
    finally:
        for node in nodes:
            node.close()
    seen = sum((node.seen for node in nodes), Counter())
    wanted = Counter(method for _, method in ASKED)
    if kind == "nginx":     # what only reads may be asked for again
        wanted.update(GET=1, HEAD=1)
    assert seen == wanted


@pytest.mark.parametrize("kind", KINDS)
def test_what_no_node_has_seen_goes_to_another(kind, pair, tmp_path, server_factory):
    """Whatever it is: one of the nodes takes no connection any more, and nobody has noticed."""
    server = server_factory()
    key = server.workspace().key()
    gone = FakeNode(break_off)
    with getattr(fronts, kind)(tmp_path, pair, [gone, server]) as front:
        api = front.api(key)
        gone.close()
        for _ in range(4):
            document = api.new_document()
            path = f"/v1/documents/{document['id']}"
            api.patch(path, json={"name": "b"}, expect=200)
            api.put(f"/v1/entities/deal/{unique()}", json={}, expect=201)
            api.delete(path, expect=204)


# ---- nodes that come and go under load ----

class Pair:
    """Two servers with a copy of the same directory."""

    def __init__(self):
        first = Server().start()
        self.key = first.workspace().key()
        assert first.stop() == 0
        second = Server()
        shutil.copytree(first.data_dir, second.data_dir)
        self.servers = [first, second]
        for server in self.servers:
            server.options = ["--drain-delay", "3s"]
            server.start()
            server.listen = "%s:%d" % server.address      # to be found there when it comes back

    def stored(self):
        """How often each path is registered in both together."""
        found = Counter()
        for server in self.servers:
            api, cursor = server.api(self.key), ""
            while cursor is not None:
                answer = api.get("/v1/documents", params={"per_page": 100, "cursor": cursor})
                found.update(document["storage_path"] for document in data(answer)["documents"])
                cursor = answer.json()["meta"]["next_cursor"]
        return found

    def remove(self):
        for server in self.servers:
            server.kill()
            server.remove()


@pytest.fixture
def two():
    made = Pair()
    yield made
    made.remove()


class Load:
    """Clients of a front, who go on whatever they are told; what they were told."""

    def __init__(self, front, key):
        self.front = front
        self.key = key
        self.over = threading.Event()
        self.statuses = Counter()
        self.created = []       # paths whose record was acknowledged
        self.file = front.home / "file"
        self.file.write_bytes(bytes(2 * MIB))
        self.lock = threading.Lock()

    def _session(self):
        session = requests.Session()
        session.verify, session.trust_env = self.front.verify, False
        session.headers["X-API-Key"] = self.key
        return session

    def _note(self, path, answer, wanted):
        if answer.status_code != wanted:
            assert_unavailable(path, answer)
        with self.lock:
            self.statuses[answer.status_code] += 1

    def _records(self):
        """On one connection after the other, as long as each is kept."""
        with self._session() as session:
            while not self.over.is_set():
                path = unique("load")
                answer = session.post(self.front.base_url + "/v1/documents", timeout=30, json={
                    "name": "a", "mime_type": "a/b", "storage_path": path})
                self._note("/v1/documents", answer, 201)
                if answer.status_code == 201:
                    self.created.append(path)
                answer = session.get(self.front.base_url + "/v1/documents", timeout=30)
                self._note("/v1/documents", answer, 200)
                time.sleep(0.03)

    def _uploads(self, version):
        """
        Bodies that take a while, so that nodes die in the middle of them. Only HAProxy then may end
        the connection without a word, as deploy/haproxy.cfg says.
        """
        while not self.over.is_set():
            done = curl(self.front, version, "-H", f"X-API-Key: {self.key}", "--limit-rate", "2M",
                        "-w", "\\n%{http_code} %header{retry-after}", "-F", f"files=@{self.file}",
                        self.front.base_url + "/api/v1/upload")
            body, _, told = done.stdout.rpartition(b"\n")
            if done.returncode in CUT and self.front.name == "haproxy":
                self.statuses["cut"] += 1
                continue
            assert told in (b"200 ", b"503 1"), done
            assert told == b"200 " or matches(json.loads(body), ENVELOPES["/api/v1/upload"])
            with self.lock:
                self.statuses[int(told[:3])] += 1

    def _http_2(self):
        """Many streams of one connection."""
        url = self.front.base_url + "/v1/usage"
        while not self.over.is_set():
            done = curl(self.front, "--http2", "-Z", "--parallel-max", "4", "-H",
                        f"X-API-Key: {self.key}", "-w", "\n%{http_code} %header{retry-after}\n",
                        *[url] * 20)
            told = re.findall(rb"\n(\d{3}) (\d*)\n", done.stdout)
            assert len(told) == 20 and done.returncode == 0, done
            assert set(told) <= {(b"200", b""), (b"503", b"1")}, done.stdout
            with self.lock:
                self.statuses.update(int(status) for status, _ in told)
            time.sleep(0.1)

    def run(self, meanwhile):
        work = [(self._records,)] * 3 + [(self._http_2,)] + [
            (self._uploads, version) for version in ("--http1.1", "--http2")]
        with ThreadPoolExecutor(len(work)) as pool:
            clients = [pool.submit(*one) for one in work]
            try:
                meanwhile()
            finally:
                self.over.set()
        for client in clients:
            client.result()     # raises what no answer, or another one, has raised in it


def assert_nothing_lost_or_doubled(load, two):
    stored = two.stored()
    assert max(stored.values()) == 1, "a request went to both nodes"
    assert set(load.created) <= set(stored), "acknowledged, and not there"


def drain(two, turn):
    server = two.servers[turn % 2]
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(30) == 0
    server.start()


def kill(two, turn):
    server = two.servers[turn % 2]
    server.kill()
    time.sleep(1)
    server.start()


def turns(kind, pair, two, tmp_path, *ends):
    """The nodes end in turn under load, each in its way, and come back."""
    def one_after_the_other():
        for turn, end in enumerate(ends):
            time.sleep(1)
            end(two, turn)
            time.sleep(2)       # until it is known to be back, before the other one goes

    with getattr(fronts, kind)(tmp_path, pair, two.servers) as front:
        load = Load(front, two.key)
        load.run(one_after_the_other)
    print(f"\n{kind}: {dict(load.statuses)}")
    assert load.statuses[201] > 5 * len(ends)
    assert_nothing_lost_or_doubled(load, two)
    return load


@pytest.mark.embedded
@pytest.mark.parametrize("kind", KINDS)
def test_a_node_that_is_killed_is_a_503(kind, pair, two, tmp_path):
    """And one that stops in order loses nothing."""
    turns(kind, pair, two, tmp_path, kill, drain)


def test_haproxy_sends_nothing_new_to_a_node_that_is_told_to_stop(pair, tmp_path, server_factory):
    """It sees /readyz at 503 while the node still serves."""
    stays = server_factory()
    stops = server_factory("--drain-delay", "1h", "--log-requests")
    with fronts.haproxy(tmp_path, pair, [stays, stops]) as front:
        api = front.api()

        def asked(start):
            api.get("/v1/usage", expect=401)
            return " usage.get " in stops.log(start)

        wait_for(lambda: asked(0))
        stops.process.send_signal(signal.SIGTERM)
        wait_for(lambda: "Server nodes/node2 is DOWN" in front.logs(), seconds=40)
        start = stops.log_size()
        assert not any(asked(start) for _ in range(20)) and " readyz 503 " in stops.log()
        stops.connect().close()     # it would have been taken


@pytest.mark.embedded
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_node_that_stops_loses_nothing(kind, pair, two, tmp_path):
    load = turns(kind, pair, two, tmp_path, drain, drain, drain, drain)
    assert load.statuses[503] == 0


@pytest.mark.embedded
@pytest.mark.slow
@pytest.mark.timeout(100 + 10 * KILLS)
@pytest.mark.parametrize("kind", KINDS)
def test_nodes_that_are_killed_often(kind, pair, two, tmp_path):
    turns(kind, pair, two, tmp_path, *[kill] * KILLS)
