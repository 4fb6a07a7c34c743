# SPDX-License-Identifier: Apache-2.0
"""
Row 9: downloads by signed URL beside F5, a stock nginx with sendfile that serves the same file:
1 GiB by one and by four readers at once (quick: 64 MiB), 10 KiB under wrk. Files are warm in both.
"""
import os
import pathlib
import shutil
import socket
import tempfile
import threading
import time
import urllib.parse

import floors
from common import COUNTED, Callers, harness, loaded, median_of, words_of
from score import Row

SMALL, LARGE, QUICK_LARGE = 10 << 10, 1 << 30, 64 << 20
PIECE = 1 << 20


def fill(path, size):
    with open(path, "wb") as file:
        for done in range(0, size, PIECE):
            file.write(os.urandom(min(PIECE, size - done)))


def upload(callers, path):
    """Its document's id. The multipart body is sent by curl: Python's would hold it in memory."""
    api = callers.apis[0]
    out = harness.subprocess.run(
        ["curl", "-sS", "--fail", "-H", "X-API-Key: " + api.key, "-F", f"files=@{path}",
         api.server.base_url + "/api/v1/upload"], capture_output=True, text=True, check=True)
    return harness.json.loads(out.stdout)[0]


def signed_path(callers, document):
    answer = callers.apis[0].get(f"/v1/documents/{document}", expect=200)
    url = urllib.parse.urlsplit(answer.json()["data"]["download_url"])
    return url.path + ("?" + url.query if url.query else "")


def read_all(base_url, path):
    """Bytes of the body. MSG_TRUNC drops them in the kernel: the reader costs next to nothing."""
    host, port = base_url.split("//")[1].split(":")
    with socket.create_connection((host, int(port)), 60) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n"
                           "Connection: close\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            more = connection.recv(4096)
            assert more, head
            head += more
        assert head.startswith(b"HTTP/1.1 200"), head
        got = len(head) - head.index(b"\r\n\r\n") - 4
        room = bytearray(PIECE)
        while n := connection.recv_into(room, PIECE, socket.MSG_TRUNC):
            got += n
        return got


def several(base_url, path, size, count):
    """MiB a second of all readers together."""
    got = [0] * count

    def reader(i):
        got[i] = read_all(base_url, path)

    threads = [threading.Thread(target=reader, args=(i,)) for i in range(count)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - begun
    assert got == [size] * count, got
    return size * count / seconds / 2**20


def large_rows(node, nginx, callers, options, home):
    size = QUICK_LARGE if options.quick else LARGE
    fill(home / "large", size)
    document = upload(callers, home / "large")
    name = "1 GiB" if size == LARGE else f"{size >> 20} MiB"
    for count in 1, 4:
        found = []
        for _ in range(options.rounds):
            path = signed_path(callers, document)
            found.append((several(node.base_url, path, size, count),
                          several(nginx.base_url, "/large", size, count)))
        work = f"download of {name}" + (f", {count} at once" if count > 1 else "")
        yield Row.of_rounds(9, work, "MiB/s", found, "F5", 0.9, detail={"readers": count})


def small_row(node, nginx, callers, options, home):
    fill(home / "small", SMALL)
    document = upload(callers, home / "small")
    ours, floor = [], []
    for _ in range(options.rounds):
        path = signed_path(callers, document)
        floor.append(loaded(nginx, "path", None, options, BENCH_TARGET="/small"))
        ours.append(loaded(node, "path", None, options, BENCH_TARGET=path))
    pairs = [(a["rate"], b["rate"]) for a, b in zip(ours, floor)]
    ours, floor = median_of(ours), median_of(floor)
    return Row.of_rounds(9, "download of 10 KiB", "requests/s", pairs, "F5", 0.8,
                         note=f"{words_of(ours)}; F5: {words_of(floor)}",
                         detail={"ours": ours, "floor": floor})


def run(options):
    node = harness.Server(*COUNTED).start()
    home = pathlib.Path(tempfile.mkdtemp(prefix="dossier-bench-"))
    try:
        home.chmod(0o755)
        callers = Callers(node, tier="standard")
        with floors.nginx(home) as nginx:
            return [*large_rows(node, nginx, callers, options, home),
                    small_row(node, nginx, callers, options, home)]
    finally:
        node.remove()
        shutil.rmtree(home)
