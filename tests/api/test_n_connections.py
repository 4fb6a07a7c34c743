# SPDX-License-Identifier: Apache-2.0
"""Connections that are open and ask for nothing: they take little, and go on as if nothing was."""
import pathlib
import re
import resource
import signal
import socket
import struct
import time
from contextlib import ExitStack

import pytest

from harness import Server, instrumented, wait_for

CONNECTIONS = 800
AT_ONCE = 50
EACH_KIB = 64       # what the HTTP library has for each
KEPT = 128          # of those that rested least keep it
READY = b"GET /readyz HTTP/1.1\r\nHost: a\r\n"
LONG = b"X-Long: " + b"a" * 30_000 + b"\r\n"    # most of what there is for a connection


@pytest.fixture(scope="module")
def node():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    server = Server("--loops", "1").start()
    yield server
    server.remove()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def resident_kib(server):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1])


def ask(connection, head):
    connection.sendall(head)
    return answered(connection)


def answered(connection):
    """Reads one answer of a body with a length."""
    text = b""
    while b"\r\n\r\n" not in text:
        text += connection.recv(4096) or pytest.fail(f"closed after {text!r}")
    head, body = text.split(b"\r\n\r\n", 1)
    left = int(re.search(rb"(?i)content-length: (\d+)", head)[1]) - len(body)
    while left > 0:
        left -= len(connection.recv(left) or pytest.fail("closed within the body"))
    assert left == 0
    return int(head.split()[1])


def open_idle(node, stack, count, head=READY + b"\r\n"):
    found = []
    for _ in range(count):
        found.append(stack.enter_context(node.connect()))
        assert ask(found[-1], head) == 200
    return found


def test_memory_of_idle_connections(node):
    with ExitStack() as stack:
        before = resident_kib(node)
        connections = open_idle(node, stack, CONNECTIONS, READY + LONG[:2000] + b"\r\n\r\n")
        most = before + KEPT * EACH_KIB + CONNECTIONS * EACH_KIB // 4

        def small():        # what rests gives back when another begins to
            return ask(connections[-1], READY + b"\r\n") == 200 and resident_kib(node) < most
        assert instrumented() or wait_for(small)
        for connection in connections[::7] + connections[::5]:
            assert ask(connection, READY + LONG + b"\r\n") == 200


def test_part_of_the_next_request_stays(node):
    """It came with the one before, in one piece, and lies where memory is given back. The request
    line is not whole, so the connection still rests."""
    with ExitStack() as stack:
        early = [stack.enter_context(node.connect()) for _ in range(3)]
        for connection in early:
            assert ask(connection, READY + b"\r\n") == 200
            assert ask(connection, READY + b"\r\n" + b"GET /" + b"a" * 12_000) == 200
        time.sleep(0.1)
        open_idle(node, stack, 200)
        for connection in early:        # 414, else the part was cut
            assert ask(connection, READY[len(b"GET /readyz"):] + b"\r\n") == 414


def cut(connection):
    """The other side is told that something went wrong (RST)."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def half_close(connection):
    connection.shutdown(socket.SHUT_WR)


def ask_for_an_end(connection):
    """The library closes, of itself: this is no request."""
    connection.sendall(b"no\r\n\r\n")


@pytest.mark.concurrent
@pytest.mark.parametrize("end", [cut, socket.socket.close, half_close, ask_for_an_end])
def test_connections_end_while_others_begin_to_rest(node, end):
    """In one turn of the loop, the ends first: then those that rested longest are closed already,
    and it is their turn to give back memory, when they are not told to be closed yet."""
    with ExitStack() as stack:
        for _ in range(3):
            living = open_idle(node, stack, 2 * AT_ONCE)
            ending = open_idle(node, stack, KEPT)
            time.sleep(0.1)
            node.process.send_signal(signal.SIGSTOP)
            try:
                for connection in ending:
                    end(connection)
                for connection in living:
                    connection.sendall(READY + b"\r\n")
            finally:
                node.process.send_signal(signal.SIGCONT)
            assert [answered(connection) for connection in living] == [200] * len(living)
        for connection in living:
            assert ask(connection, READY + LONG + b"\r\n") == 200
