# SPDX-License-Identifier: Apache-2.0
"""
Row 8: uploads of 1 GiB (quick: 128 MiB), one and eight at once, beside F4 with as many threads; and
what gets at a constant rate see of them.
"""
import resource
import statistics
import time

import floors
import sender
import steady
from common import Callers, harness, seconds_of
from score import Row

SIZE, QUICK_SIZE = 1 << 30, 128 << 20
GETS = 1000         # a second
MOST_ROUNDS = 3     # eight at once are 8 GiB for ours and for the floor


def floor_of(node, size, count):
    """MiB a second, and processor milliseconds a MiB."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = floors.measure("large", node.home, size, count, "both")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return found["bytes_per_second"] / 2**20, spent * 1e3 / (size * count / 2**20)


def upload(node, api, kind, path, count):
    """The same of ours, and of the sender, which is this process."""
    before, own = seconds_of(node.process.pid), time.process_time()
    rate = sender.several(api, kind, path, count)
    mib = path.stat().st_size * count / 2**20
    return (rate, (seconds_of(node.process.pid) - before) * 1e3 / mib,
            (time.process_time() - own) * 1e3 / mib)


def rates(node, api, path, size, options):
    name = f"{size >> 20:,} MiB"
    for count in 1, 8:
        found = {kind: [] for kind in sender.KINDS}
        for _ in range(min(options.rounds, MOST_ROUNDS)):
            floor = floor_of(node, size, count)
            for kind, pairs in found.items():
                pairs.append((upload(node, api, kind, path, count), floor))
        for kind, pairs in found.items():
            ours, sending = (statistics.median(a[i] for a, _ in pairs) for i in (1, 2))
            floor = statistics.median(b[1] for _, b in pairs)
            yield Row.of_rounds(
                8, f"upload of {name}, {kind}, {count} at once", "MiB/s",
                [(a[0], b[0]) for a, b in pairs], "F4", 0.9,
                note=f"processor time a MiB: {ours:.2f} ms, F4 {floor:.2f}, sender {sending:.2f}",
                detail={"count": count, "ms_per_mib": ours, "floor_ms_per_mib": floor})


def neighbours(node, api, lines, path, options):
    """p99 of gets while bytes come, beside when none do."""
    seconds = max(options.seconds, 3)
    for count in 1, 8:
        pairs, failed = [], 0
        for _ in range(options.rounds):
            quiet = steady.load(node, lines, GETS, seconds)
            with sender.Stream(api, "multipart", path, count):
                busy = steady.load(node, lines, GETS, seconds)
            failed += steady.failed(busy)
            pairs.append((steady.p99(busy), steady.p99(quiet)))
        yield Row.of_rounds(8, f"p99 of {GETS:,} gets/s meanwhile, {count} at once", "ms", pairs,
                            "quiet", 3, at_least=False, note=f"failed: {failed}")


def run(options):
    size = QUICK_SIZE if options.quick else SIZE
    node = harness.Server().start()
    try:
        callers = Callers(node, documents=200)
        api = callers.apis[0]
        path = node.home / "bytes"
        sender.fill(path, size)
        lines = [f"{api.key} {document}" for document in callers.documents]
        return [*rates(node, api, path, size, options),
                *neighbours(node, api, lines, path, options)]
    finally:
        node.remove()
