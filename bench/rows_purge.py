# SPDX-License-Identifier: Apache-2.0
"""
Row 13: hard deletes, and the purge of 100,000 files that are due (quick: 20,000), while gets come
at a constant rate: their p99 beside when nothing is deleted.
"""
import time

import grown
import steady
from common import harness
from score import Row

GETS = 1000             # a second
DUE_MS = 4000           # after the start
HARD_CONNECTIONS = 16


def hard_deletes(library, options):
    """As many as 16 connections get through, of documents without bytes."""
    node, kept = library.node.start(), library.callers(0, 1000)
    doomed = [library.callers(first, first + 20_000) for first in
              range(1000, library.total - 20_000, 20_000)]
    pairs, rates, failed = [], [], 0
    for turn in range(min(options.rounds, len(doomed))):
        quiet = steady.load(node, kept, GETS, options.seconds)
        deletes = steady.Steady(node, doomed[turn], 0, options.seconds, mix="hard", once=True,
                                connections=HARD_CONNECTIONS)
        busy = steady.load(node, kept, GETS, options.seconds)
        done = deletes.result()
        pairs.append((steady.p99(busy), steady.p99(quiet)))
        rates.append(done["kinds"]["hard"]["rate"])
        failed += steady.failed(busy) + steady.failed(done)
    node.stop()
    rates.sort()
    return Row.of_rounds(13, f"p99 of {GETS:,} gets/s while documents are deleted hard", "ms",
                         pairs, "quiet", 2, at_least=False,
                         note=f"{rates[len(rates) // 2]:,.0f} hard deletes/s; failed: {failed}",
                         detail={"rates": rates})


def purge_turn(library, entries, options):
    """(busy, quiet, entries a second, failed) of one purge."""
    kept = library.callers(0, 1000)
    # files take long to make: they are there before their time is known
    library.put_bytes(0, entries, int(time.time() * 1000) + 3_600_000)
    library.due(int(time.time() * 1000) + DUE_MS + int(options.seconds * 1000))
    node = library.node.start()
    try:
        quiet = steady.load(node, kept, GETS, options.seconds)
        harness.wait_for(lambda: library.count("purge") < entries, 120, 0.02)
        begun, first = time.monotonic(), library.count("purge")
        busy = steady.load(node, kept, GETS, options.seconds)
        left, seconds = library.count("purge"), time.monotonic() - begun
        harness.wait_for(lambda: library.count("purge") == 0, 300)
    finally:
        node.stop()
    return steady.p99(busy), steady.p99(quiet), (first - left) / seconds, steady.failed(busy), left


def purge(library, options):
    entries = 20_000 if options.quick else 100_000
    found = [purge_turn(library, entries, options) for _ in range(options.rounds)]
    rates = sorted(each[2] for each in found)
    words = f"{rates[len(rates) // 2]:,.0f} files/s; failed: {sum(each[3] for each in found)}"
    if any(each[4] == 0 for each in found):
        words += "; in some rounds the purge was over before the gets were"
    return Row.of_rounds(13, f"p99 of {GETS:,} gets/s while {entries:,} files are purged", "ms",
                         [each[:2] for each in found], "quiet", 2, at_least=False, note=words,
                         detail={"rates": rates})


def run(options):
    with grown.Grown(150_000) as library:
        return [hard_deletes(library, options), purge(library, options)]
