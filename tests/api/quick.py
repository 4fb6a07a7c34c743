# SPDX-License-Identifier: Apache-2.0
"""
For tests that ask a million times: a client with one connection and no more parsing than is needed,
a server with its data in memory, commands without a process.

The client's answers have what the helpers of harness.py look at: data(), refused(), show() work.
"""
import contextlib
import json
import shutil
import socket
import tempfile
import threading
from collections import namedtuple
from pathlib import Path

import harness

MEMORY, MEMORY_BYTES = Path("/dev/shm"), 512 << 20
Asked = namedtuple("Asked", "method")


class QuickAnswer:
    def __init__(self, method, url, status, headers, content):
        self.request, self.url = Asked(method), url
        self.status_code, self.headers, self.content = status, headers, content

    @property
    def text(self):
        return self.content.decode(errors="replace")

    def json(self):
        return json.loads(self.content)


class Quick:
    """`key`: the API key of requests that bring none themselves."""

    def __init__(self, server, key=None, seconds=harness.REQUEST_SECONDS):
        self.server, self.key, self.seconds = server, key, seconds
        self.connection = self.reader = None

    def close(self):
        if self.connection is not None:
            self.reader.close()
            self.connection.close()
            self.connection = None

    def ask(self, method, target, headers=(), body=None):
        """A QuickAnswer. ConnectionError when the connection ends before it is whole."""
        if self.connection is None:
            self.connection = socket.create_connection(self.server.address, self.seconds)
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.reader = self.connection.makefile("rb")
        lines = [f"{method} {target} HTTP/1.1", "Host: " + self.server.base_url[len("http://"):]]
        lines += [f"{name}: {value}" for name, value in dict(headers).items()]
        if self.key and "X-API-Key" not in headers:
            lines.append("X-API-Key: " + self.key)
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if body is not None or method != "GET":
            lines.append(f"Content-Length: {len(body or b'')}")
        self.connection.sendall("\r\n".join(lines + ["", ""]).encode() + (body or b""))
        return self._read(method, self.server.base_url + target)

    def _line(self):
        line = self.reader.readline(65536)
        if not line.endswith(b"\n"):
            raise ConnectionError("cut short")
        return line.rstrip(b"\r\n").decode("latin-1")

    def _read(self, method, url):
        status = int(self._line().split(" ")[1])
        headers = {}
        while line := self._line():
            name, _, value = line.partition(": ")
            headers[name] = value
        length = 0 if status in (204, 304) else int(headers["Content-Length"])
        content = self.reader.read(length)
        if len(content) < length:
            raise ConnectionError("cut short")
        if headers.get("Connection", "").lower() == "close":
            self.close()
        return QuickAnswer(method, url, status, headers, content)


def tell(server, *argv):
    """A command of the server's operator over its socket: without a process, so it is quick."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(harness.COMMAND_SECONDS)
        connection.connect(str(server.data_dir / "admin.sock"))
        line = {"argv": [*map(str, argv), "--data", str(server.data_dir)]}
        connection.sendall(json.dumps(line).encode() + b"\n")
        answer = json.loads(connection.makefile().read().splitlines()[-1])
    assert answer["exit"] == 0, answer
    return answer["out"]


@contextlib.contextmanager
def memory_server(*options):
    """A server whose data are in memory where there is room: there a sync costs nothing. For tests
    that do not depend on the disk."""
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_BYTES
    home = Path(tempfile.mkdtemp(prefix="dossier-test-", dir=MEMORY if roomy else None))
    server = harness.Server(*options, data_dir=home / "data")
    try:
        yield server.start()
    finally:
        server.remove()
        shutil.rmtree(home, ignore_errors=True)


class Crowd:
    """Clients that ask together, again and again: connected before the first round."""

    def __init__(self, server, key, count=64):
        self.clients = [Quick(server, key) for _ in range(count)]
        for client in self.clients:
            assert client.ask("GET", "/healthz").status_code == 200

    def rounds(self, count, ask):
        """ask(client, i, n) of each client i in round n; the answers, by round."""
        answers = [[None] * len(self.clients) for _ in range(count)]
        barrier = threading.Barrier(len(self.clients), timeout=harness.REQUEST_SECONDS)

        def run(i):
            try:
                for n in range(count):
                    barrier.wait()
                    answers[n][i] = ask(self.clients[i], i, n)
            except BaseException:
                barrier.abort()     # the others need not wait for it
                raise
            finally:
                self.clients[i].close()

        harness.at_once(len(self.clients), run)
        return answers
