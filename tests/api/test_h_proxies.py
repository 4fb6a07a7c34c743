# SPDX-License-Identifier: Apache-2.0
"""
Behind nginx and HAProxy: can an attacker's bytes make another client read a wrong answer?

Each proxy keeps few connections to the server and sends everybody's requests over them; an
attacker's request that the two read differently would leave an answer behind, for the next client.
So after each hostile case another client asks for a document of its own, and must get that one.
The request that hides in bodies (HIDDEN) must never reach the server but when the proxy sent it; in
a twin of each such case it breaks off in a header, which would swallow the next client's request.

Both are tried as deploy/ has them, by TLS; and as careless as they come: HAProxy then passes on
what it holds for invalid, nginx what has odd names, and both keep one connection.
A campaign: DOSSIER_DESYNC_TRIALS=10000 pytest -s test_h_proxies.py
"""
import os
import random
import shutil
import socket
import subprocess
import time
from functools import partial

import pytest

import certificates
import fronts
from harness import Server, free_ports, wait_for
from hostile_cases import CASES, CHUNKED, CHUNKED_BODIES, HIDDEN, HOST
from hostile_wire import read_until_end, send

TRIALS = int(os.environ.get("DOSSIER_DESYNC_TRIALS", "240"))
VICTIMS = 32
SEED = 31
SWALLOWING = HIDDEN[:-2] + b"X:"
LOOK_SECONDS = 0.1      # an attacker does not wait for the end of what hangs

NGINX = """
daemon off;
master_process off;
pid {home}/nginx.pid;
error_log {home}/nginx.error crit;
events {{ worker_connections 512; }}
http {{
    log_format one '$request_uri $upstream_addr';
    access_log {home}/log one;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    ignore_invalid_headers off;
    underscores_in_headers on;
    merge_slashes off;
    client_max_body_size 0;
    large_client_header_buffers 4 128k;
    upstream dossier {{
        server {server};
        keepalive 1;
    }}
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    server {{
        listen 127.0.0.1:{ports[0]};
        location / {{ proxy_pass http://dossier; }}
    }}
    server {{
        listen 127.0.0.1:{ports[1]};
        location / {{
            proxy_pass http://dossier;
            proxy_request_buffering off;
            proxy_buffering off;
        }}
    }}
}}
"""
HAPROXY = """
global
    log stdout format raw daemon
    tune.bufsize 131072
defaults
    mode http
    timeout connect 5s
    timeout client 10s
    timeout server 10s
    timeout queue 10s
    http-reuse always
    retries 3
    retry-on all-retryable-errors
    log global
    log-format "%HU %s"
frontend careful
    bind 127.0.0.1:{ports[0]}
    default_backend dossier
frontend careless
    bind 127.0.0.1:{ports[1]}
    option accept-invalid-http-request
    default_backend dossier
backend dossier
    option accept-invalid-http-response
    server one {server} maxconn 1
"""


class Proxy:
    """A child process of the test with two fronts."""

    def __init__(self, name, text, argv, home, server):
        path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        assert path, f"no {name}: script/bootstrap test installs it"
        self.ports = free_ports(2)
        self.doors = [partial(socket.create_connection, ("127.0.0.1", port), timeout=20)
                      for port in self.ports]
        self.home = home
        self.log_path = home / "log"
        (home / "conf").write_text(text.format(
            home=home, ports=self.ports, server="%s:%d" % server.address))
        with open(self.log_path, "ab") as log, open(home / "stderr", "ab") as errors:
            self.process = subprocess.Popen(
                [path, *argv, home / "conf"], stdin=subprocess.DEVNULL, stdout=log, stderr=errors)
        wait_for(self.answers)

    def answers(self):
        assert self.process.poll() is None, (self.home / "stderr").read_text()
        try:
            for port in self.ports:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return True
        except ConnectionRefusedError:
            return False

    def forwarded(self, target):
        """How often this target may have been sent on: once for each server that is named."""
        return sum(line.count(":") or 1 for line in self.log_path.read_text(
            errors="replace").splitlines() if line.startswith(target + " "))

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)


@pytest.fixture(scope="module")
def backend():
    server = Server("--log-requests")
    try:
        yield server.start()
    finally:
        server.remove()


class Shipped:
    """The same for a front of deploy/."""

    def __init__(self, front):
        self.front = front
        self.doors = [front.connect]

    def forwarded(self, target):
        return self.front.logs().replace("\\/", "/").count(f'"path":"{target}"')


@pytest.fixture(params=["nginx", "haproxy", "shipped-nginx", "shipped-haproxy"])
def proxy(request, backend, tmp_path):
    os.chmod(tmp_path, 0o755)
    shipped, _, name = request.param.rpartition("-")
    if shipped:
        pair = certificates.make(tmp_path, "front")
        # the checks of HAProxy are not to be taken for the hidden request
        more = {"check": "/healthz"} if name == "haproxy" else {}
        with getattr(fronts, name)(tmp_path, pair, [backend], **more) as front:
            yield Shipped(front)
        return
    text, argv = {"nginx": (NGINX, ["-e", tmp_path / "nginx.error", "-c"]),
                  "haproxy": (HAPROXY, ["-db", "-f"])}[name]
    made = Proxy(name, text, argv, tmp_path, backend)
    yield made
    made.stop()


class Victim:
    """Has documents of its own names, and asks for each in turn."""

    def __init__(self, server):
        self.api = server.workspace().api()
        self.documents = [self.api.new_document(name=f"victim-{i}.pdf") for i in range(VICTIMS)]
        self.asked = 0

    def ask(self, door):
        """The status of the answer, and whether it is this document and nothing else."""
        document = self.documents[self.asked % VICTIMS]
        self.asked += 1
        with door() as connection:
            connection.sendall(f"GET /v1/documents/{document['id']} HTTP/1.1\r\nHost: h\r\n"
                               f"X-API-Key: {self.api.key}\r\nConnection: close\r\n\r\n".encode())
            got, ended = read_until_end(connection, 30)
        assert ended, f"no end after {got[:200]!r}"
        line, _, rest = got.partition(b"\r\n")
        whole = rest.count(b"HTTP/1.1 ") == 0
        return line[9:12].decode(), whole and document["name"].encode() in rest


def attacks(key):
    """Every case as it is, and the bodies in chunks with the key of an upload."""
    head = (b"POST /api/v1/upload HTTP/1.1\r\n" + HOST + b"X-API-Key: " + key.encode()
            + b"\r\nContent-Type: multipart/form-data; boundary=B\r\n" + CHUNKED + b"\r\n\r\n")
    chunked = {f"chunk-{name}": head + body for name, body in CHUNKED_BODIES.items()}
    swallowing = {f"{name}-swallowing": content.replace(HIDDEN, SWALLOWING)
                  for name, content in CASES.items() if HIDDEN in content}
    return list({**CASES, **chunked, **swallowing}.items())


def attack(door, content):
    with door() as connection:
        send(connection, content)
        read_until_end(connection, LOOK_SECONDS)


@pytest.mark.timeout(60 + TRIALS)
def test_no_answer_crosses(backend, proxy):
    victim, chance = Victim(backend), random.Random(SEED)
    payloads = attacks(backend.workspace().key())
    log_start, began = backend.log_size(), time.monotonic()
    statuses, order = {}, []
    for trial in range(TRIALS // 4):
        if not order:
            order = chance.sample(payloads, len(payloads))
        name, content = order.pop()
        attack(chance.choice(proxy.doors), content)
        status, own = victim.ask(chance.choice(proxy.doors))
        statuses[status] = statuses.get(status, 0) + 1
        assert own == (status == "200"), f"trial {trial}: {name}: a crossed answer, {status}"
        # a proxy that found its connection closed may say so, but nobody else's answer comes
        assert status in ("200", "502", "503"), f"trial {trial}: {name}: {status}"
    hidden = backend.log(log_start).count(" readyz ")
    print(f"\n{TRIALS // 4} trials in {time.monotonic() - began:.0f} s: victims got {statuses};"
          f" hidden requests: {hidden} ran, {proxy.forwarded('/readyz')} were sent")
    assert statuses["200"] >= 0.98 * (TRIALS // 4)
    wait_for(lambda: proxy.forwarded("/readyz") >= hidden)
