# SPDX-License-Identifier: Apache-2.0
"""
Row 10: resident memory, shared pages of libraries included: when nothing is asked, the most while
10 GiB come in (quick: 2 GiB), with 10,000 open connections that each made one request, and the most
under load on a large library.
"""
import resource
import socket
import time

import grown
import sender
import steady
from common import Callers, harness
from score import Row

CONNECTIONS = 10_000
AT_ONCE = 8
MIX = "get=45,list=30,create=15,delete=10"


def row(work, ours, target, note=""):
    return Row(10, "memory: " + work, ours, "MiB", target=target, at_least=False, note=note)


def settled(node):
    time.sleep(1)
    return grown.resident_mib(node.process.pid)


def passing(node, api, options):
    size = (2 << 30) if options.quick else (10 << 30)
    path = node.home / "bytes"
    sender.fill(path, size // AT_ONCE)
    sender.several(api, "multipart", path, AT_ONCE)
    path.unlink()
    most = grown.resident_mib(node.process.pid, "VmHWM")
    return row(f"{size >> 30} GiB uploaded, {AT_ONCE} at once", most, 48)


def idle_connections(options):
    """Each makes one request; those open are all idle in the end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(CONNECTIONS, hard - 1000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 1000), hard))
    node = harness.Server().start()
    open_ones = []
    try:
        callers = Callers(node, documents=1)
        head = (f"GET /v1/documents/{callers.documents[0]} HTTP/1.1\r\nHost: bench\r\n"
                f"X-API-Key: {callers.apis[0].key}\r\n\r\n").encode()
        for _ in range(count):
            open_ones.append(socket.create_connection(node.address))
            open_ones[-1].sendall(head)
            assert open_ones[-1].recv(8192).startswith(b"HTTP/1.1 200")
        return row(f"{count:,} idle connections", settled(node), 120,
                   f"most {grown.resident_mib(node.process.pid, 'VmHWM'):.0f} MiB")
    finally:
        for each in open_ones:
            each.close()
        node.remove()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def large_library(options):
    with grown.Grown(grown.size(options)) as library:
        node = library.node.start()
        result = steady.load(node, library.callers(), 0, max(10, options.seconds), mix=MIX)
        most = grown.resident_mib(node.process.pid, "VmHWM")
        return row(f"{library.total:,} documents under load", most, 96,
                   f"{result['had']:,.0f} requests/s of {MIX}; failed: {steady.failed(result)}")


def run(options):
    node = harness.Server()
    try:
        node.workspace()
        node.start()
        rows = [row("idle", settled(node), 16)]
        rows.append(passing(node, Callers(node).apis[0], options))
    finally:
        node.remove()
    return [*rows, idle_connections(options), large_library(options)]
