# SPDX-License-Identifier: Apache-2.0
"""
HAProxy in front of several nodes of the service, or of a primary and its replicas.

It asks each server often, so that tests need not wait: a node is out after two failed checks and
back after one good one.
"""
import csv
import socket
import struct

from . import postgres, servers

CHECK = "inter 200ms fastinter 100ms downinter 200ms fall 2 rise 1"
COMMON = """
global
    maxconn 4000
    stats socket {home}/admin.sock
defaults
    log stderr local0
    timeout connect 2s
    timeout client 120s
    timeout server 120s
    timeout check 1s
"""


class Front(servers.Engine):
    """Subclasses write the listener; `targets` are ports on the loopback address."""

    name = "haproxy"

    def __init__(self, targets):
        super().__init__()
        self.targets = [int(target) for target in targets]

    def _start(self):
        self.number = self.port()
        servers_of = "".join(f"    server n{i} 127.0.0.1:{target} check\n"
                             for i, target in enumerate(self.targets))
        path = self.write("haproxy.cfg", f"{COMMON.format(home=self.home)}"
                          f"listen front\n    bind 127.0.0.1:{self.number}\n{self._listener()}"
                          f"    default-server {CHECK}\n{servers_of}")
        self.server = self.add("haproxy", [servers.program("haproxy"), "-db", "-f", path],
                               lambda: servers.answers(self.number))
        self.server.start()

    def _listener(self):
        raise NotImplementedError

    def up(self):
        """The targets that HAProxy sends requests to; at its start, before any check, all."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(servers.COMMAND_SECONDS)
            connection.connect(str(self.home / "admin.sock"))
            connection.sendall(b"show stat\n")
            lines = connection.makefile().read().lstrip("# ").splitlines()
        return [self.targets[int(row["svname"][1:])] for row in csv.DictReader(lines)
                if row.get("svname", "")[:1] == "n" and row["status"].startswith("UP")]


class HttpFront(Front):
    """Of nodes that say by /readyz whether they want requests."""

    def _listener(self):
        return ("    mode http\n    balance roundrobin\n    option httpchk GET /readyz\n"
                "    http-check expect status 200\n    option redispatch\n    retries 2\n"
                "    retry-on conn-failure\n")

    @property
    def base_url(self):
        return f"http://127.0.0.1:{self.number}"


class PostgresFront(Front):
    """Of a primary and its replicas: connections go to the one that is no replica, and end when
    it is none any more. HAProxy asks in PostgreSQL's own protocol.
    https://www.postgresql.org/docs/15/protocol-message-formats.html
    """

    def _listener(self):
        hello = b"".join(text.encode() + b"\0" for text in
                         ("user", "postgres", "database", "postgres")) + b"\0"
        hello = struct.pack("!ii", len(hello) + 8, 3 << 16) + hello
        ask = b"SELECT pg_is_in_recovery()\0"
        ask = b"Q" + struct.pack("!i", len(ask) + 4) + ask
        ready = b"Z" + struct.pack("!i", 5) + b"I"
        primary = b"D" + struct.pack("!ihi", 11, 1, 1) + b"f"
        return ("    mode tcp\n    option tcp-check\n    tcp-check connect\n"
                f"    tcp-check send-binary {hello.hex()}\n"
                f"    tcp-check expect binary {ready.hex()}\n"
                f"    tcp-check send-binary {ask.hex()}\n"
                f"    tcp-check expect binary {primary.hex()}\n"
                "    tcp-check send-binary 5800000004\n"        # good bye
                "    default-server on-marked-down shutdown-sessions\n")

    def _start(self):
        super()._start()
        servers.wait_until(lambda: len(self.up()) == 1, "HAProxy knows the primary")

    @property
    def url(self):
        return f"postgres://{postgres.OWNER}@127.0.0.1:{self.number}/{postgres.DATABASE}"
