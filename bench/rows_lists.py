# SPDX-License-Identifier: Apache-2.0
"""
Rows 5 and 6: lists of 25 of a library of ten thousand documents and of larger ones, and what a
filter costs beside a get. One connection, so that a time is that of the work and not of a queue;
what is compared is asked in turns, one request each, and a ratio is the median of those of some
rounds.

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
WARM = 5                # that come first, and find the caches cold
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

    def target(self, query):
        """None: a get."""
        if query is None:
            return f"/v1/documents/{self.document}?download=false"
        return "/v1/documents?" + query

    def ask(self, target):
        """Milliseconds."""
        begun = time.perf_counter()
        answer = self.client.ask("GET", target)
        assert answer.status_code == 200, (target, answer.text)
        return (time.perf_counter() - begun) * 1000

    def remove(self):
        self.client.close()
        self.server.remove()


def beside(sides, seconds=FILTER_SECONDS):
    """((p50, p99), (p50, p99)) in milliseconds of two kinds of request, (library, query), of which
    one follows the other: whatever else the machine does meets both."""
    sides = [(library, library.target(query)) for library, query in sides]
    for library, _ in sides:
        library.client.close()      # it may have been idle for too long
    taken, end = ([], []), time.monotonic() + seconds
    while len(taken[0]) < REQUESTS + WARM and (time.monotonic() < end or len(taken[0]) <= WARM):
        for (library, target), times in zip(sides, taken):
            times.append(library.ask(target))
    ordered = [sorted(times[WARM:]) for times in taken]
    return [(statistics.median(times), times[int(len(times) * 0.99)]) for times in ordered]


def comparisons(libraries):
    """(number, work, size, floor, target, ours, floor's) of all rows."""
    small = libraries[0]
    for large in libraries[1:]:
        for kind, query in PAGES.items():
            sides = [(each, each.deep if query is None else query) for each in (large, small)]
            yield 5, f"list of 25, {kind}", large.size, f"of {small.size:,}", 2, *sides
        yield (5, "list of 25, its total", large.size, "the page without it", 5, (large, ""),
               (large, "cursor="))
    for each in libraries:
        for kind, query in {**FILTERS, **COUNTED}.items():
            yield 6, kind, each.size, "a get", 20, (each, query), (each, None)


def curves_of(found):
    """{kind: [[documents, p50, p99]]} of all sizes."""
    curves = {}
    for (number, work, size, _, _), rounds in found.items():
        ours, floor = (statistics.median(pair[i][1] for pair in rounds) for i in (0, 1))
        middle = statistics.median(pair[0][0] for pair in rounds)
        curves.setdefault(work, []).append([size, middle, ours])
        if number == 6 and work == "tag of 3":
            curves.setdefault("a get", []).append([size, floor, floor])
    return curves


def rows_of(found, sizes):
    detail = {"lists": curves_of(found)}
    for (number, work, size, floor, target), rounds in found.items():
        if size == sizes[0]:
            continue
        pairs = [(ours[1], theirs[1]) for ours, theirs in rounds]
        middle = [statistics.median(pair[i][0] for pair in rounds) for i in (0, 1)]
        note = f"p50 {middle[0]:.2f} beside {middle[1]:.2f} ms, {middle[0] / middle[1]:.1f} times"
        if work in COUNTED:
            note += "; every match is counted"
        yield Row.of_rounds(number, f"{work}, of {size:,}", "ms (p99)", pairs, floor, target,
                            at_least=False, detail=detail, note=note)
        detail = {}


def run(options):
    sizes = SIZES["quick" if options.quick else "full" if options.full else ""]
    libraries = []
    try:
        for size in sizes:
            libraries.append(Library(size))
        found = {}
        for _ in range(options.rounds):
            for *row, ours, floor in comparisons(libraries):
                found.setdefault(tuple(row), []).append(beside([ours, floor]))
    finally:
        for each in libraries:
            each.remove()
    return list(rows_of(found, sizes))
