# SPDX-License-Identifier: Apache-2.0
"""
Instructions a request, counted by valgrind's callgrind: they do not depend on what else the machine
does. A server answers N requests on one connection, another one twice as many; the difference is
N requests, without what it costs to start and to stop.

The format of the counts: https://valgrind.org/docs/manual/cl-format.html
"""
import os
import pathlib
import random
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

from common import COUNTED, harness
from quick import Quick

DOCUMENTS = 100     # that a list has pages of
JSON = {"Content-Type": "application/json"}
BOUNDARY = "bench-1f6b2c7e9a"
SIZE = 4096         # of an upload
PART = (f"--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"files\"; filename=\"%d.bin\"\r\n"
        "Content-Type: application/octet-stream\r\n\r\n")


def record(i):
    return {"name": "Acme-NDA-2026.pdf", "mime_type": "application/pdf",
            "storage_path": f"workspaces/ws_bench/documents/{i}.pdf", "size_bytes": 183204,
            "folder": "/clients/acme/ndas", "tags": ["nda", "confidentiality"]}


class Session:
    """The kinds of request, on one connection to a server with some documents."""

    def __init__(self, server, key):
        self.client = Quick(server, key, seconds=120)
        self.ids = [self.create(f"first-{i}").json()["data"]["id"] for i in range(DOCUMENTS)]

    def create(self, i, headers=None):
        return self.client.ask("POST", "/v1/documents", {**JSON, **(headers or {})}, record(i))

    def create_idempotent(self, i):
        return self.create(i, {"Idempotency-Key": f"bench-{i}"})

    def get(self, i):
        return self.client.ask("GET", f"/v1/documents/{self.ids[i % DOCUMENTS]}")

    def list(self, _):
        return self.client.ask("GET", "/v1/documents?per_page=25")

    def upload(self, i):
        noise = random.Random(i).randbytes(SIZE)     # the same in each run
        body = (PART % i).encode() + noise + f"\r\n--{BOUNDARY}--\r\n".encode()
        headers = {"Content-Type": "multipart/form-data; boundary=" + BOUNDARY}
        return self.client.ask("POST", "/api/v1/upload", headers, body)


KINDS = ["create", "get", "create_idempotent", "list", "upload"]


def serve(binary, kind, count):
    """The text of callgrind's counts of a server that answered `count` requests."""
    server = harness.Server()
    try:
        key = server.workspace(entities="open").key(tier="standard")
        counts = server.home / "counts"
        argv = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={counts}", "-q", str(binary),
                "serve", "--data", str(server.data_dir), "--listen", "127.0.0.1:0", "--sandbox",
                "off", "--loops", "1", *COUNTED]
        with open(server.log_path, "ab") as log:
            process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found, server.log()
            server.base_url = found[0]
            session = Session(server, key)
            for i in range(count):
                answer = getattr(session, kind)(i)
                assert answer.status_code < 300, answer.text
            session.client.close()
        finally:
            process.terminate()
            process.wait(120)
            process.stdout.close()
        return counts.read_text(encoding="utf-8", errors="replace")
    finally:
        server.remove()


NAMED = re.compile(r"^(fn|fl|fi|fe|ob|cfn|cfi|cfl|cob)=(?:\((\d+)\))?\s*(.*)$")
SPACES = {"cfn": "fn", "fi": "fl", "fe": "fl", "cfi": "fl", "cfl": "fl", "cob": "ob"}


def self_costs(text):
    """{(object, file, function): instructions} of what a function did itself."""
    names, here, costs, skip = {}, {"ob": "", "fl": "", "fn": ""}, {}, False
    for line in text.splitlines():
        named = NAMED.match(line)
        if named:
            key, number, name = named.groups()
            space = SPACES.get(key, key)
            if number and name:
                names[space, number] = name
            elif number:
                name = names[space, number]
            if not key.startswith("c"):
                here[space] = name
        elif line.startswith("calls="):
            skip = True         # the next line is what the called one cost
        elif line[:1] in "0123456789+-*" and line:
            if not skip:
                place = here["ob"], here["fl"], here["fn"]
                costs[place] = costs.get(place, 0) + int(line.split()[1])
            skip = False
    return costs


def difference(binary, kind, count):
    """{(object, file, function): instructions a request}"""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        less, more = pool.map(lambda n: self_costs(serve(binary, kind, n)), (count, 2 * count))
    return {place: (more.get(place, 0) - less.get(place, 0)) / count for place in {*less, *more}}


def group_of(place):
    """Ours by folder, all else by library."""
    library, file, _ = place
    found = re.search(r"/src/(\w+)/", file)
    if found and pathlib.Path(library).name == "dossier":
        return f"ours, src/{found[1]}"
    name = re.sub(r"\.so.*|-2\.\d+$", "", pathlib.Path(library).name) or "other"
    return {"libsqlite3": "SQLite", "libcrypto": "OpenSSL (hashes, MACs)", "libc": "C library",
            "libmicrohttpd": "libmicrohttpd", "libjansson": "jansson", "libtalloc": "talloc",
            "dossier": "ours, other"}.get(name, name)


def summary(places, most=12):
    """{"total", "groups": {name: instructions}, "functions": [[name, group, instructions]]}"""
    groups, functions = {}, {}
    for place, cost in places.items():
        group = group_of(place)
        groups[group] = groups.get(group, 0) + cost
        name = place[2].split("'")[0], group
        functions[name] = functions.get(name, 0) + cost
    total = sum(groups.values())
    return {"total": round(total),
            "groups": {name: round(cost) for name, cost in
                       sorted(groups.items(), key=lambda pair: -pair[1])
                       if abs(cost) >= total / 500},
            "functions": [[*name, round(cost)] for name, cost in
                          sorted(functions.items(), key=lambda pair: -pair[1])[:most]]}
