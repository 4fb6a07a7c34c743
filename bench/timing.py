#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Does the time of an answer tell what the answer itself does not?

usage: bench/timing.py [samples=10000]      (script/bench timing builds first)

Compares answers that must not be told apart: ids of another workspace with ids of nobody, on the
main routes, and keys with a wrong secret with keys of nobody. Each sample takes every request once
in random order over one connection, so that what else the machine does falls on all alike.
Printed are medians in microseconds, their ratio, and Welch's t over the faster nine tenths of
both; the slowest tenth is what the machine did beside. Nothing is judged here: read the figures.
"""
import gc
import math
import pathlib
import random
import socket
import statistics
import sys
import time
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "api"))
import harness  # noqa: E402  (found by the line above)
from harness import data  # noqa: E402

OBJECTS = 200       # of each kind, in each workspace
WARM_UP = 200
FASTEST = 0.9
KEY_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
HANDLE, CHECK = len("wbk_") + 14, 7     # where a key's handle ends; how long its checksum is
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class Connection:
    """Sends prepared requests and takes the time until the answer begins."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def time(self, request, status):
        begun = time.perf_counter_ns()
        self.socket.sendall(request)
        answer = self.socket.recv(65536)
        taken = time.perf_counter_ns() - begun
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status), (request, answer)
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        while len(body) < length:
            body += self.socket.recv(65536)
        return taken


def request(method, path, key, body=None):
    lines = [f"{method} {path} HTTP/1.1", "Host: bench", f"Authorization: Bearer {key}"]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return ("\r\n".join(lines + ["", ""]) + (body or "")).encode()


def id_like(text, alphabet=CROCKFORD):
    """The id of nobody, beside this one in every index."""
    return text[:-6] + "".join(random.choice(alphabet) for _ in range(6))


def key_like(key, kept):
    """Another key that begins with as many characters of this one, its checksum right."""
    text = key[:kept] + "".join(random.choice(KEY_CHARACTERS)
                                for _ in range(len(key) - kept - CHECK))
    number, check = zlib.crc32(text.encode()), ""
    for _ in range(CHECK):
        number, digit = divmod(number, len(KEY_CHARACTERS))
        check = KEY_CHARACTERS[digit] + check
    return text + check


def of_nobody(key):
    return key_like(key, len("wbk_"))


def wrong_secret(key):
    return key_like(key, HANDLE)


def wrong_checksum(key):
    return key[:-1] + ("b" if key[-1] == "a" else "a")


class Library:
    """A workspace with some of everything; what it has is foreign to the caller."""

    def __init__(self, server):
        workspace = server.workspace(entities="registered")
        api = workspace.api()
        self.key = api.key
        self.entities = [f"e{i}{random.randrange(10**9)}" for i in range(OBJECTS)]
        for name in self.entities:
            api.put(f"/v1/entities/deal/{name}", json={}, expect=201)
        self.documents = [api.new_document()["id"] for _ in range(OBJECTS)]
        self.links = [data(api.post(f"/v1/documents/{document}/link", json={
            "entity_type": "deal", "entity_id": entity}), 201)["link_id"]
            for document, entity in zip(self.documents, self.entities)]
        self.keys = [workspace.new_key("read:documents")["id"] for _ in range(20)]
        self.texts = [workspace.key(("read:documents",)) for _ in range(20)]


def cases(own, foreign):
    """name -> (status, requests A, requests B): by pairs that should take the same time."""
    link = '{"entity_type":"deal","entity_id":"%s"}'
    patch = '{"name":"n"}'

    def by_id(method, path, ids, body=None, alphabet=CROCKFORD):
        return (404, [request(method, path % id_like(i, alphabet), own.key, body) for i in ids],
                [request(method, path % i, own.key, body) for i in ids])

    def with_keys(keys, first, second):
        return (401, *([request("GET", "/v1/usage", make(key)) for key in keys]
                       for make in (first, second)))

    return {
        "document.get": by_id("GET", "/v1/documents/%s", foreign.documents),
        "document.update": by_id("PATCH", "/v1/documents/%s", foreign.documents, patch),
        "document.delete": by_id("DELETE", "/v1/documents/%s", foreign.documents),
        "document.delete hard": by_id("DELETE", "/v1/documents/%s?hard=true", foreign.documents),
        "link.create": by_id("POST", "/v1/documents/%s/link", foreign.documents,
                             link % own.entities[0]),
        "link.create entity": (
            404, [request("POST", f"/v1/documents/{own.documents[0]}/link", own.key,
                          link % id_like(i, "0123456789")) for i in foreign.entities],
            [request("POST", f"/v1/documents/{own.documents[0]}/link", own.key, link % i)
             for i in foreign.entities]),
        "link.list": by_id("GET", "/v1/documents/%s/links", foreign.documents),
        "link.delete": by_id("DELETE", f"/v1/documents/{own.documents[0]}/links/%s",
                             foreign.links),
        "reference.put": by_id("PUT", "/v1/documents/%s/references/workflow/w",
                               foreign.documents),
        "entity.get": by_id("GET", "/v1/entities/deal/%s", foreign.entities,
                            alphabet="0123456789"),
        "entity.delete": by_id("DELETE", "/v1/entities/deal/%s", foreign.entities,
                               alphabet="0123456789"),
        "key.delete": by_id("DELETE", "/v1/api-keys/%s", foreign.keys),
        "key: nobody / wrong secret": with_keys(own.texts * 10, of_nobody, wrong_secret),
        "key in use: nobody / wrong secret": with_keys([own.key] * OBJECTS, of_nobody,
                                                       wrong_secret),
        # for comparison: nothing to tell, and what everybody can tell without the server
        "(foreign / foreign)": by_id("GET", "/v1/documents/%s", foreign.documents)[:1]
        + (by_id("GET", "/v1/documents/%s", foreign.documents)[2],) * 2,
        "(wrong checksum / wrong secret)": with_keys(own.texts * 10, wrong_checksum,
                                                     wrong_secret),
    }


def measure(connection, pairs, samples):
    """name -> (times of A, times of B)"""
    turns = [(name, side) for name in pairs for side in (0, 1)]
    times = {name: ([], []) for name in pairs}
    for sample in range(samples + WARM_UP):
        random.shuffle(turns)
        for name, side in turns:
            status, *requests = pairs[name]
            taken = connection.time(random.choice(requests[side]), status)
            if sample >= WARM_UP:
                times[name][side].append(taken)
    return times


def welch(a, b):
    limit = sorted(a + b)[int(FASTEST * (len(a) + len(b))) - 1]
    a, b = ([x for x in side if x <= limit] for side in (a, b))
    spread = math.sqrt(statistics.variance(a) / len(a) + statistics.variance(b) / len(b))
    return (statistics.fmean(a) - statistics.fmean(b)) / spread


def main():
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
    server = harness.Server("--loops", "1")
    try:
        server.start()
        own, foreign = Library(server), Library(server)
        connection = Connection(server.address)
        gc.disable()
        times = measure(connection, cases(own, foreign), samples)
        print(f"{samples} samples of each, microseconds")
        print(f"{'unknown / foreign':36} {'median':>8} {'median':>8} {'ratio':>7} {'t':>7}")
        for name, (a, b) in times.items():
            first, second = (statistics.median(side) / 1000 for side in (a, b))
            print(f"{name:36} {first:8.1f} {second:8.1f} {second / first:7.3f} {welch(a, b):7.1f}")
    finally:
        server.remove()


if __name__ == "__main__":
    main()
