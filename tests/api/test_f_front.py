# SPDX-License-Identifier: Apache-2.0
"""
What a proxy or a balancer in front needs: Unix sockets, the client's address, time to turn away.
"""
import json
import os
import select
import signal
import socket
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

import pytest
import requests

from harness import Server, data, free_port, run_binary, unique, wait_for
from hostile_cases import PROBE, get
from hostile_wire import assert_healthy, converse, read_until_end, split_replies
from test_h_slow import slow_upload, steady_upload


class Client(HTTPConnection):
    """Speaks to a server wherever it listens; one connection for each request."""

    def __init__(self, server, key):
        super().__init__("api.example.com", timeout=45)
        self.server = server
        self.key = key

    def connect(self):
        self.sock = self.server.connect()

    def call(self, method, path, body=None, status=200, **headers):
        self.request(method, path, body, {
            "X-API-Key": self.key, "Connection": "close",
            **{name.replace("_", "-"): value for name, value in headers.items()}})
        answer = self.getresponse()
        content = answer.read()
        self.close()
        assert answer.status == status, content[:300]
        return content

    def data(self, *args, **options):
        return json.loads(self.call(*args, **options))["data"]

    def path_of_bytes(self, content):
        """Stores them; the path of a signed URL to read them."""
        made = self.data("POST", "/v1/documents/upload-url", "{}", 201)
        self.call("PUT", path_of(made["upload_url"]), content)
        document = self.data("POST", "/v1/documents", json.dumps({
            "name": "n", "mime_type": "a/b", "storage_path": made["storage_path"]}), 201)
        return path_of(self.data("GET", "/v1/documents/" + document["id"])["download_url"])


def path_of(url):
    assert url.startswith("http://api.example.com/"), url
    return url[len("http://api.example.com"):]


# ---- a Unix socket ----

@pytest.fixture(scope="module")
def unix(tmp_path_factory):
    server = Server(listen=f"unix:{tmp_path_factory.mktemp('run')}/api")
    try:
        yield server.start()
    finally:
        server.remove()


def slow_reader(server, key):
    """Asks for 16 MiB and reads none of it; after how many seconds it was cut."""
    path = Client(server, key).path_of_bytes(bytes(16 << 20))
    with server.connect() as connection:
        connection.sendall(get(path.encode()))
        began = time.monotonic()
        end = select.poll()
        end.register(connection, select.POLLRDHUP)
        assert end.poll(45_000), "the connection is still open"
        took = time.monotonic() - began
        assert len(read_until_end(connection, 15)[0]) < 16 << 20
    return took


def steady_reader(server, key):
    """64 KiB/s for 14 s are slow, but honest."""
    content = os.urandom(14 << 16)
    path = Client(server, key).path_of_bytes(content)
    got = bytearray()
    with server.connect() as connection:
        connection.sendall(get(path.encode(), b"Connection: close\r\n"))
        while True:
            piece = connection.recv(65536)
            if not piece:
                return got.endswith(content)
            got += piece
            time.sleep(1)


@pytest.fixture(scope="module", autouse=True)
def scenes(unix):
    key = unix.workspace().key()
    with ThreadPoolExecutor(4) as pool:
        yield {scene.__name__: pool.submit(scene, unix, key)
               for scene in (slow_upload, steady_upload, slow_reader, steady_reader)}


def socket_path(server):
    return server.listen[len("unix:"):]


def test_bytes_through_a_unix_socket(unix):
    client = Client(unix, unix.workspace().key())
    content = os.urandom(3_000_000)
    path = client.path_of_bytes(content)
    assert client.call("GET", path) == content
    assert client.call("GET", path, status=206, Range="bytes=1000000-1999999") == content[
        1_000_000:2_000_000]
    client.request("HEAD", path)
    assert client.getresponse().headers["Content-Length"] == "3000000"
    client.close()
    replies, ended = converse(unix, get(b"/healthz") * 3 + PROBE)
    assert ended and [reply.status for reply in replies] == [200] * 4


def test_the_address_of_a_unix_socket_is_unix(unix):
    client = Client(unix, unix.workspace().key())
    client.path_of_bytes(b"x")
    lines = client.data("GET", "/v1/audit-logs")["logs"]
    assert {line["ip_address"] for line in lines} == {"unix", None}     # None: the command line


def test_who_may_connect(unix):
    """The owner and the group."""
    assert unix.ready_line == f"dossier: listening on {unix.listen}"
    mode = os.stat(socket_path(unix)).st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o660


def start_at(listen, tmp_path):
    return run_binary("serve", "--data", tmp_path / unique("data"), "--listen", listen)


def test_a_socket_in_use_is_left_alone(unix, tmp_path):
    done = start_at(unix.listen, tmp_path)
    assert done.returncode == 1 and "Address already in use" in done.stderr
    assert_healthy(unix)


def test_a_file_is_left_alone(tmp_path):
    (tmp_path / "api").write_text("mine")
    done = start_at(f"unix:{tmp_path}/api", tmp_path)
    assert done.returncode == 1 and "Address already in use" in done.stderr
    assert (tmp_path / "api").read_text() == "mine"


@pytest.mark.parametrize("listen, status", [
    ("unix:/nowhere/api", 1), ("unix:api", 2), ("unix:", 2), ("unix:/" + "a" * 108, 2)])
def test_no_place_for_a_socket(tmp_path, listen, status):
    done = start_at(listen, tmp_path)
    assert done.returncode == status and done.stderr.count("\n") == 1


def test_the_socket_of_a_crash_is_replaced_and_removed_at_the_end(tmp_path):
    server = Server(listen=f"unix:{tmp_path}/api")
    try:
        server.start().kill()
        assert (tmp_path / "api").is_socket()
        assert_healthy(server.start())
        assert server.stop() == 0
        assert not (tmp_path / "api").exists()
    finally:
        server.remove()


def test_the_socket_of_another_is_not_removed(tmp_path):
    server = Server(listen=f"unix:{tmp_path}/api")
    try:
        server.start()
        (tmp_path / "api").unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(tmp_path / "api"))
            assert server.stop() == 0
        assert (tmp_path / "api").is_socket()
    finally:
        server.remove()


def test_operations_on_a_unix_socket(tmp_path, server_factory):
    server = server_factory("--admin-listen", f"unix:{tmp_path}/operations")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(tmp_path / "operations"))
        connection.sendall(PROBE)
        assert read_until_end(connection, 10)[0].startswith(b"HTTP/1.1 200")
    assert server.stop() == 0
    assert not (tmp_path / "operations").exists()


# ---- who the client is ----

@pytest.fixture(scope="module")
def behind():
    server = Server("--trusted-proxy", "127.0.0.0/8,10.0.0.0/8", "--log-requests")
    try:
        yield server.start()
    finally:
        server.remove()


def written(server, **headers):
    """The address in the audit line of a request with these headers, and its upload URL."""
    api = server.workspace().api()
    sent = {"X-Forwarded-" + name: value for name, value in headers.items()}
    api.post("/v1/documents", headers=sent, expect=201, json={
        "name": "a", "mime_type": "a/b", "storage_path": "p"})
    made = data(api.post("/v1/documents/upload-url", json={}, headers=sent), 201)
    return api.audit(resource_type="documents")[0]["ip_address"], made["upload_url"]


@pytest.mark.parametrize("sent, address", [
    (None, "127.0.0.1"), ("203.0.113.9", "203.0.113.9"), ("6.6.6.6, 203.0.113.9", "203.0.113.9"),
    ("6.6.6.6, 203.0.113.9, 10.0.0.1", "203.0.113.9"), ("127.0.0.1, 203.0.113.9", "203.0.113.9"),
    ("2001:DB8::1", "2001:db8::1"), ("203.0.113.9, unknown", "127.0.0.1"),
    ("203.0.113.9:4711", "127.0.0.1"), ("'; DROP TABLE audit", "127.0.0.1")])
def test_the_client_behind_trusted_proxies(behind, sent, address):
    start = behind.log_size()
    assert written(behind, **({"For": sent} if sent else {}))[0] == address
    assert f" {address} document.create 201 " in behind.log(start)


@pytest.mark.parametrize("sent", ["203.0.113.9", "127.0.0.1", "6.6.6.6, 203.0.113.9"])
def test_nobody_else_is_believed(server, sent):
    """A client that writes the header itself gets nowhere."""
    address, url = written(server, For=sent, Proto="https")
    assert address == "127.0.0.1" and url.startswith("http://")


@pytest.mark.parametrize("proto, scheme", [
    ("https", "https://"), ("http", "http://"), ("https, http", "http://"), ("x", "http://")])
def test_urls_have_the_scheme_of_the_client(behind, proto, scheme):
    assert written(behind, Proto=proto)[1].startswith(scheme + "127.0.0.1:")


@pytest.mark.parametrize("value", ["10.0.0.0/33", "localhost", "10.0.0.1,", "UNIX"])
def test_no_list_of_proxies(tmp_path, value):
    done = run_binary("serve", "--data", tmp_path / "data", "--trusted-proxy", value)
    assert done.returncode == 2 and "--trusted-proxy" in done.stderr


# ---- time to turn away ----

def ready(url):
    answer = requests.get(url + "/readyz", timeout=15)
    return answer.status_code, answer.json()["reasons"]


@pytest.mark.parametrize("elsewhere", [False, True])
def test_it_serves_on_for_a_while(server_factory, elsewhere):
    """Balancers are told at once, and whoever comes is served, until a second signal."""
    port = free_port()
    options = ("--admin-listen", f"127.0.0.1:{port}") if elsewhere else ()
    server = server_factory("--drain-delay", "1h", *options)
    asked = f"http://127.0.0.1:{port}" if elsewhere else server.base_url
    api = server.workspace().api()
    assert ready(asked) == (200, [])
    process = server.process
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: ready(asked) == (503, ["draining"]))
    answer = api.post("/v1/documents", expect=201, json={
        "name": "a", "mime_type": "a/b", "storage_path": "p"})
    assert answer.headers["Connection"] == "close"
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 1
    server.process = None


def test_then_it_ends_in_order(server_factory):
    server = server_factory("--drain-delay", "2s")
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began >= 2
    with pytest.raises(ConnectionRefusedError):
        server.connect()


# ---- what became of the slow ----

def test_a_slow_body_is_cut_on_a_unix_socket(scenes):
    assert 9 <= scenes["slow_upload"].result(50) <= 30


def test_a_steady_body_is_not_cut_on_a_unix_socket(scenes):
    assert [reply.status for reply in scenes["steady_upload"].result(50)] == [200]


def test_a_reader_that_does_not_read_is_cut_on_a_unix_socket(scenes):
    assert 9 <= scenes["slow_reader"].result(50) <= 30


def test_a_steady_reader_is_not_cut_on_a_unix_socket(scenes):
    assert scenes["steady_reader"].result(50)
