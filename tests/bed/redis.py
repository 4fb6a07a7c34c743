# SPDX-License-Identifier: Apache-2.0
"""redis-server, without a disk unless an option says otherwise."""
import socket

from . import servers


class Redis(servers.Engine):
    name = "redis"

    def __init__(self, *options):
        """Options of redis-server: they win against those below."""
        super().__init__()
        self.options = options

    def _start(self):
        port = self.port()
        self.url = f"redis://127.0.0.1:{port}"
        self.server = self.add(
            "redis", [servers.program("redis-server"), "--port", port, "--bind", "127.0.0.1",
                      "--save", "", "--appendonly", "no", "--dir", self.home,
                      "--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru",
                      *self.options],
            lambda: self.ask("PING") == b"+PONG\r\n")
        self.address = "127.0.0.1", port
        self.server.start()

    def ask(self, *words):
        """One command; the first bytes of its answer as they are, None without a server."""
        try:
            with socket.create_connection(self.address, 5) as connection:
                connection.sendall(f"*{len(words)}\r\n".encode() + b"".join(
                    f"${len(word)}\r\n{word}\r\n".encode() for word in words))
                return connection.recv(65536)
        except OSError:
            return None
