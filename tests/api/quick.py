# SPDX-License-Identifier: Apache-2.0
"""
A client for tests that ask a million times: one connection, and no more parsing than is needed.

Its answers have what the helpers of harness.py look at, so data(), refused() and show() work.
"""
import json
import socket
from collections import namedtuple

import harness

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
    def __init__(self, server, seconds=harness.REQUEST_SECONDS):
        self.server, self.seconds = server, seconds
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
