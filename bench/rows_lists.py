# SPDX-License-Identifier: Apache-2.0
"""
Rows 5 and 6: lists of 25 of a library of ten thousand documents and of larger ones, and what a
filter costs beside a get. One connection, so that a time is that of the work and not of a queue;
libraries of all sizes are asked in turns, and a ratio is the median of those within a round.

A library is written straight into the file (tests/bed/spread.py): some 40,000 documents a second.
"""
import statistics
import time
import urllib.parse

from bed import spread
from common import harness
from quick import Quick
from score import Row

SIZES = {"quick": [10_000, 100_000], "full": [10_000, 1_000_000, 10_000_000],
         "": [10_000, 1_000_000]}
REQUESTS = 200          # of a kind in a round, for a p99
FILTER_SECONDS = 4      # of a kind in a round, at most
DEEP = 1000             # pages by cursor
TAIL = 4096             # documents that lists go through one by one (jobs/digest.c)

PAGES = {
    "first page, with the total": "",
    "first page by cursor": "cursor=",
    "1,000th page by cursor": None,     # known once the others have been read
    "first page by name": "sort=name",
}
FILTERS = {
    "tag of half, with the total": "tag=half",
    "tag of half, by cursor": "tag=half&cursor=",
    "tag of 3": "tag=rare",
    "tag of 1 in 200, with the total": "tag=tag007",
    "folder of half, with the total": "folder=/half",
    "folder of 1,000 folders, with the total": "folder=/clients",
    "folder of 3": "folder=/rare",
    "search of 3, with the total": "search=zebrafink",
    "search of 3, by cursor": "search=zebrafink&cursor=",
    "search of nothing": "search=nowhere",
    "search of a third, by cursor": "search=M%C3%9CLLER&cursor=",
    "search of one letter, by cursor": "search=a&cursor=",
}
# What a sum cannot say: every match is counted
COUNTED = {
    "search of a third, with the total": "search=M%C3%9CLLER",
    "search of one letter, with the total": "search=a",
    "two tags of half, with the total": "tag=half&tag=tag007",
}


class Library:
    """A server with so many documents, and one connection to it."""

    def __init__(self, size):
        self.size, self.server = size, harness.Server()
        begun = time.monotonic()
        key = spread.make(self.server, size)
        self.server.start()
        harness.wait_for(lambda: spread.digested(self.server.data_dir / "dossier.db") >=
                         size - TAIL, seconds=60 + size // 50_000, pause=0.2)
        print(f"  {size:,} documents in {time.monotonic() - begun:.0f} s", flush=True)
        self.client = Quick(self.server, key)
        self.document = self.list("")["data"]["documents"][7]["id"]
        self.deep = self.cursor_after(DEEP if size >= 25 * DEEP else size // 25 - 1)

    def list(self, query):
        answer = self.client.ask("GET", "/v1/documents?" + query)
        assert answer.status_code == 200, (query, answer.text)
        return answer.json()

    def cursor_after(self, pages):
        cursor = ""
        for _ in range(pages - 1):
            cursor = self.list("cursor=" + urllib.parse.quote(cursor))["meta"]["next_cursor"]
        return "cursor=" + urllib.parse.quote(cursor)

    def times(self, query, count=REQUESTS, seconds=FILTER_SECONDS):
        """(p50, p99) in milliseconds; query None: a get."""
        target = "/v1/documents?" + query if query is not None else (
            f"/v1/documents/{self.document}?download=false")
        self.client.close()     # it may have been idle for too long
        taken, end = [], time.monotonic() + seconds
        for i in range(count + 5):
            begun = time.perf_counter()
            answer = self.client.ask("GET", target)
            assert answer.status_code == 200, (target, answer.text)
            if i >= 5:          # what comes first finds the caches cold
                taken.append((time.perf_counter() - begun) * 1000)
            if time.monotonic() > end and taken:
                break
        taken.sort()
        return statistics.median(taken), taken[int(len(taken) * 0.99)]

    def remove(self):
        self.client.close()
        self.server.remove()


def one_round(libraries):
    """{kind: {size: (p50, p99)}}; the sizes of a kind one after the other."""
    found = {}
    for kind, query in {"get": None, **PAGES, **FILTERS, **COUNTED}.items():
        found[kind] = {}
        for each in libraries:
            asked = each.deep if kind in PAGES and query is None else query
            found[kind][each.size] = each.times(asked)
    return found


def p99(found, kind, size):
    return found[kind][size][1]


def rows_of(rounds, sizes):
    small, curves = sizes[0], {}
    for kind in rounds[0]:
        curves[kind] = [[size, *(statistics.median(found[kind][size][i] for found in rounds)
                                 for i in (0, 1))] for size in sizes]
    detail = {"lists": curves}
    for size in sizes[1:]:
        for kind in PAGES:
            pairs = [(p99(found, kind, size), p99(found, kind, small)) for found in rounds]
            yield Row.of_rounds(5, f"list of 25, {kind}, of {size:,}", "ms (p99)", pairs,
                                f"of {small:,}", 2, at_least=False, detail=detail)
            detail = {}
        pairs = [(p99(found, "first page, with the total", size),
                  p99(found, "first page by cursor", size)) for found in rounds]
        yield Row.of_rounds(5, f"the total of {size:,}", "ms (p99)", pairs, "the page without it",
                            5, at_least=False)
        for kind in [*FILTERS, *COUNTED]:
            pairs = [(p99(found, kind, size), p99(found, "get", size)) for found in rounds]
            yield Row.of_rounds(6, f"{kind}, of {size:,}", "ms (p99)", pairs, "a get", 20,
                                at_least=False,
                                note="every match is counted" if kind in COUNTED else "")


def run(options):
    sizes = SIZES["quick" if options.quick else "full" if options.full else ""]
    libraries = []
    try:
        for size in sizes:
            libraries.append(Library(size))
        rounds = [one_round(libraries) for _ in range(options.rounds)]
    finally:
        for each in libraries:
            each.remove()
    return list(rows_of(rounds, sizes))
