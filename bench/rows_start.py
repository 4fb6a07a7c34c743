# SPDX-License-Identifier: Apache-2.0
"""
Row 11: from the start of the program until it says that it listens, and until /readyz answers 200:
in an empty directory, with an empty library, with a large one, after kill -9 under a load of
creates.
"""
import statistics
import time
import urllib.request

import grown
import steady
from common import harness
from score import Row

TIMES = 7


def start(node):
    """Milliseconds until the line, and until the first 200."""
    begun = time.monotonic()
    node.start()
    said = time.monotonic()
    with urllib.request.urlopen(node.base_url + "/readyz", timeout=10) as answer:
        assert answer.status == 200
    return (said - begun) * 1e3, (time.monotonic() - begun) * 1e3


def row(work, found, target):
    said, ready = (statistics.median(column) for column in zip(*found))
    return Row(11, "start to ready: " + work, ready, "ms", target=target, at_least=False,
               note=f"says so after {said:.0f} ms; slowest {max(r for _, r in found):.0f} ms",
               detail={"said": [s for s, _ in found], "ready": [r for _, r in found]})


def empty_directory():
    node = harness.Server()
    try:
        return start(node)
    finally:
        node.remove()


def again(node):
    found = start(node)
    node.stop()
    return found


def after_kill(library, options):
    """Its log is as long as it gets, and nothing was closed."""
    library.node.start()
    load = steady.Steady(library.node, [library.key], 0, 60, mix="create",
                         doomed=True)
    try:
        time.sleep(min(3, options.seconds))
        library.node.kill()
    finally:
        load.stop()
    return again(library.node)


def run(options):
    rows = [row("empty directory", [empty_directory() for _ in range(TIMES)], 50)]
    with grown.Grown(0) as empty:
        rows.append(row("empty library", [again(empty.node) for _ in range(TIMES)], 50))
    with grown.Grown(grown.size(options)) as library:
        rows.append(row(f"{library.total:,} documents",
                        [again(library.node) for _ in range(TIMES)], 300))
        rows.append(row(f"{library.total:,} documents, after kill -9 under load",
                        [after_kill(library, options) for _ in range(options.rounds)], 1000))
    return rows
