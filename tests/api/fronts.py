# SPDX-License-Identifier: Apache-2.0
"""
deploy/nginx.conf and deploy/haproxy.cfg as they are shipped, in front of servers of a test.

Of the files only what an operator must change is changed: paths, ports, names, the servers behind.

    with fronts.nginx(tmp_path, pair, servers) as front:        # on Unix sockets or ports
        front.api(key)                      # a client that comes by TLS, as a harness.Api
    with fronts.haproxy(tmp_path, pair, servers) as front: …

A Front can stand where a test wants a server to speak to: hostile_wire.converse(front, …).
"""
import contextlib
import os
import resource
import shutil
import socket
import ssl
import subprocess

from harness import ROOT, Api, free_port, wait_for

DEPLOY = ROOT / "deploy"
STOP_SECONDS = 20


class Front:
    """A proxy that runs; ended by its process id."""

    def __init__(self, name, argv, home, port, pair, servers):
        path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        assert path, f"no {name}: script/bootstrap test installs it"
        self.name = name
        self.home = home
        self.address = ("127.0.0.1", port)
        self.base_url = f"https://localhost:{port}"
        self.verify = str(pair.authority)
        self.trust = ssl.create_default_context(cafile=self.verify)
        self.openapi = servers[-1].openapi
        with open(home / "said", "ab") as said:
            self.process = subprocess.Popen([path, *argv], stdin=subprocess.DEVNULL, stdout=said,
                                            stderr=said)
        try:
            wait_for(self.answers)
        except BaseException:
            self.stop()
            raise

    def api(self, key=None):
        return Api(self, key)

    def connect(self, seconds=20):
        connection = socket.create_connection(self.address, timeout=seconds)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.trust.wrap_socket(connection, server_hostname="localhost")

    def answers(self):
        assert self.process.poll() is None, self.said()
        with contextlib.suppress(OSError):
            socket.create_connection(self.address, timeout=5).close()
            return True
        return False

    def said(self):
        """What it wrote to its output."""
        return (self.home / "said").read_text(errors="replace")

    def logs(self):
        """All that it has logged."""
        return "".join(path.read_text(errors="replace") for path in (
            self.home / "said", self.home / "access.log", self.home / "error.log") if path.exists())

    def processes(self):
        """Its process ids: the one that was started and its children."""
        path = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        with open(path, encoding="ascii") as children:
            return [self.process.pid, *map(int, children.read().split())]

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_SECONDS)


def replaced(text, *pairs):
    """Each of the old texts is there, and is replaced wherever it stands."""
    for old, new in pairs:
        assert old in text, f"no '{old}' in the file as shipped"
        text = text.replace(old, new)
    return text


def address_of(server):
    """As a proxy's configuration names it."""
    return server.base_url.split("://")[-1]


def upstreams(servers):
    if len(servers) == 1:
        return f"server {address_of(servers[0])};"
    return "zone dossier 64k; least_conn;" + "".join(
        f" server {address_of(server)} max_fails=1 fail_timeout=2s;" for server in servers)


@contextlib.contextmanager
def nginx(home, pair, servers, port=None):
    """nginx in the folder `home`; `pair`: a certificates.Pair."""
    port = port or free_port()
    os.chmod(home, 0o755)
    others = " ".join(f"{name}_temp_path {home}/{name};" for name in ("fastcgi", "uwsgi", "scgi"))
    text = replaced(
        (DEPLOY / "nginx.conf").read_text(),
        ("user www-data;", "user root;" if os.geteuid() == 0 else ""),
        ("/run/nginx.pid", f"{home}/nginx.pid"), ("/var/log/nginx/", f"{home}/"),
        ("/var/lib/nginx/", f"{home}/"), ("http {\n", f"http {{\n    {others}\n"),
        ("listen 443 ssl http2", f"listen 127.0.0.1:{port} ssl http2"),
        ("server_name api.example.com;", "server_name localhost h;"),
        ("/etc/nginx/tls/cert.pem", str(pair.cert)), ("/etc/nginx/tls/key.pem", str(pair.key)),
        ("server unix:/run/dossier/api;", upstreams(servers)))
    (home / "nginx.conf").write_text(text)
    front = Front("nginx", ["-e", home / "error.log", "-c", home / "nginx.conf",
                            "-g", "daemon off;"], home, port, pair, servers)
    try:
        yield front
    finally:
        front.stop()


@contextlib.contextmanager
def haproxy(home, pair, servers, port=None, check="/readyz"):
    """HAProxy in the folder `home`; `pair`: a certificates.Pair."""
    port = port or free_port()
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    (home / "api.pem").write_bytes(pair.cert.read_bytes() + pair.key.read_bytes())
    shipped = (DEPLOY / "haproxy.cfg").read_text()
    nodes = "".join(f"    server node{i + 1} {address_of(server)}\n"
                    for i, server in enumerate(servers))
    text = replaced(
        shipped, (shipped[shipped.index("    server node1 "):], nodes),
        ("bind :443 ssl crt /etc/haproxy/tls/api.pem",
         f"bind 127.0.0.1:{port} ssl crt {home}/api.pem"),
        ("{ req.hdr(host),field(1,:) -i api.example.com }",
         "{ req.hdr(host),field(1,:) -i localhost h }"),
        ("uri /readyz ", f"uri {check} "),
        ("maxconn 8000", f"maxconn {min(8000, descriptors // 2 - 100)}"),
        ("abns@dossier-within", f"abns@dossier-within-{port}"))
    if os.geteuid() != 0:
        text = replaced(text, ("    user haproxy\n    group haproxy\n"
                               "    chroot /var/lib/haproxy\n", ""))
    (home / "haproxy.cfg").write_text(text)
    front = Front("haproxy", ["-db", "-f", home / "haproxy.cfg"], home, port, pair, servers)
    try:
        yield front
    finally:
        front.stop()
