# SPDX-License-Identifier: Apache-2.0
"""
How cost grows with connections (gets beside F1, creates beside F2) and with the size of a file (an
upload beside F3 and F4, a download beside F5, one at a time). Only reported: the plots show it.
"""
import dataclasses
import pathlib
import shutil
import tempfile
import time

import floors
import rows_download as download
import rows_write as write
from common import COUNTED, Callers, harness, loaded, median_of
from score import Row

CONNECTIONS = [1, 4, 16, 64, 256, 1024]
SIZES = [4 << 10, 64 << 10, 1 << 20, 16 << 20, 256 << 20, 1 << 30]
BYTES_EACH = 256 << 20      # that small files are repeated for, at most REPEATS of them
REPEATS = 200
MOST_WORKS = 128            # of a transaction of ours


def kib(size):
    for limit, unit in (1 << 30, "GiB"), (1 << 20, "MiB"):
        if size >= limit:
            return f"{size // limit} {unit}"
    return f"{size // 1024} KiB"


def rates(found, key="rate"):
    return median_of([{"value": each[key]} for each in found])["value"]


def rows_floor(plain, options, number):
    """F2 with as many rows a transaction as there are connections."""
    batch = min(options.connections, MOST_WORKS)
    return floors.measure("rows", plain.data_dir / "dossier.db", options.seconds, batch,
                          f"{options.connections}-{number}")


def by_connections(options):
    """{"get", "F1", "create", "F2": [[connections, a second, p50, p99]]}"""
    curves = {name: [] for name in ("get", "F1", "create", "F2")}
    node, plain = harness.Server(*COUNTED).start(), write.library()
    try:
        callers = Callers(node, documents=1000, tier="standard")
        answer = callers.apis[0].get(f"/v1/documents/{callers.documents[0]}", expect=200)
        with floors.canned(answer) as canned:
            for count in CONNECTIONS[:4] if options.quick else CONNECTIONS:
                here = dataclasses.replace(options, connections=count,
                                           seconds=min(options.seconds, 3))
                found = {name: [] for name in curves}
                for i in range(min(options.rounds, 3)):
                    found["F1"].append(loaded(canned, "get", callers, here))
                    found["get"].append(loaded(node, "get", callers, here))
                    found["F2"].append(rows_floor(plain, here, i))
                    found["create"].append(loaded(node, "create", callers, here))
                for name, loads in found.items():
                    times = [rates(loads, key) if key in loads[0] else None
                             for key in ("p50_ms", "p99_ms")]
                    curves[name].append([count, rates(loads), *times])
    finally:
        node.remove()
        plain.remove()
    return curves


def again(size, action):
    """MiB a second of as many as make sense."""
    count = max(1, min(REPEATS, BYTES_EACH // size))
    begun = time.monotonic()
    for _ in range(count):
        action()
    return size * count / (time.monotonic() - begun) / 2**20


def floor_of_upload(home, size, options):
    """MiB a second: F3 up to 1 MiB, else F4."""
    place = pathlib.Path(tempfile.mkdtemp(prefix="files-", dir=home))
    try:
        if size <= 1 << 20:
            return floors.measure("files", place, size, 1, min(2, options.seconds)
                                  )["rate"] * size / 2**20
        return floors.measure("large", place, size, 1, "both")["bytes_per_second"] / 2**20
    finally:
        shutil.rmtree(place)


class Uploader:
    """Sends a file as multipart on one connection; Python's parts of it cost little."""

    def __init__(self, node, callers, path):
        self.path, self.size = path, path.stat().st_size
        boundary = "bench-1f6b2c7e9a"
        self.front = (f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="a"'
                      "\r\nContent-Type: application/octet-stream\r\n\r\n").encode()
        self.back = f"\r\n--{boundary}--\r\n".encode()
        self.head = (f"POST /api/v1/upload HTTP/1.1\r\nHost: localhost\r\nX-API-Key: "
                     f"{callers.apis[0].key}\r\nContent-Type: multipart/form-data; boundary="
                     f"{boundary}\r\nContent-Length: {len(self.front) + self.size + len(self.back)}"
                     "\r\n\r\n").encode()
        self.connection = node.connect(600)
        self.connection.setsockopt(harness.socket.IPPROTO_TCP, harness.socket.TCP_NODELAY, 1)

    def send(self):
        """The id of the new document."""
        with open(self.path, "rb") as file:
            self.connection.sendall(self.head + self.front)
            self.connection.sendfile(file)
            self.connection.sendall(self.back)
        answer = harness.HTTPResponse(self.connection)
        answer.begin()
        body = answer.read()
        assert answer.status == 200, body
        return harness.json.loads(body)[0]


def one_size(node, nginx, callers, home, size, options):
    """MiB a second of upload, its floor, download, its floor."""
    path = home / kib(size).replace(" ", "")
    download.fill(path, size)
    sender, found = Uploader(node, callers, path), []
    for _ in range(min(options.rounds, 3)):
        upload = again(size, sender.send)
        signed = download.signed_path(callers, sender.send())
        found.append({"upload": upload, "upload floor": floor_of_upload(home, size, options),
                      "download": again(size, lambda p=signed: download.read_all(node.base_url, p)),
                      "F5": again(size, lambda: download.read_all(nginx.base_url,
                                                                  "/" + path.name))})
    sender.connection.close()
    path.unlink()
    return median_of(found)


def by_size(options):
    """{"upload", "upload floor", "download", "F5": [[bytes, MiB a second]]}"""
    curves = {}
    home = pathlib.Path(tempfile.mkdtemp(prefix="dossier-bench-"))
    try:
        home.chmod(0o755)
        for size in SIZES[:4] if options.quick else SIZES:
            node = harness.Server(*COUNTED).start()     # so that what was sent is gone again
            try:
                callers = Callers(node, tier="standard")
                with floors.nginx(home) as nginx:
                    point = one_size(node, nginx, callers, home, size, options)
            finally:
                node.remove()
            for name, rate in point.items():
                curves.setdefault(name, []).append([size, rate])
    finally:
        shutil.rmtree(home)
    return curves


def run(options):
    loads, sizes = by_connections(options), by_size(options)
    last = loads["get"][-1][0]
    size = sizes["upload"][-1][0]
    rows = [Row(number, f"{kind}, {last} connections", loads[kind][-1][1], "requests/s", floor,
                loads[floor][-1][1], detail={"connections": loads})
            for number, kind, floor in ((3, "get", "F1"), (1, "create", "F2"))]
    rows += [Row(number, f"{kind} of {kib(size)}, one at a time", sizes[kind][-1][1], "MiB/s",
                 name, sizes[floor][-1][1], detail={"sizes": sizes})
             for number, kind, floor, name in ((8, "upload", "upload floor", "F4"),
                                               (9, "download", "F5", "F5"))]
    return rows
