# SPDX-License-Identifier: Apache-2.0
"""
Row 15: 45 % gets, 30 % lists, 15 % creates, 10 % deletes from 100,000 documents on, for ten minutes
(--quick: one; else three): how throughput and resident memory change over the run. The first
quarter does not count: caches fill.

The rate of a machine that does other work, too, rises and falls with that; the processor time that
the server takes for a request hardly does.
"""
import time

import grown
import steady
from common import seconds_of
from score import Row

DOCUMENTS = 100_000
MIX = "get=45,list=30,create=15,delete=10"
DRIFT = 10      # percent over the run that count as none


def drift(values):
    """What a straight line through the last three quarters rises by over the run, in percent."""
    y = values[len(values) // 4:]
    middle, mean = (len(y) - 1) / 2, sum(y) / len(y)
    slope = (sum((x - middle) * (each - mean) for x, each in enumerate(y))
             / sum((x - middle) ** 2 for x in range(len(y))))
    return 100 * slope * len(values) / mean


def watch(load, pid, seconds):
    """Resident memory and processor time so far, each second."""
    memory, spent = [], []
    begun = time.monotonic()
    while load.running() and len(memory) < seconds:
        memory.append(grown.resident_mib(pid))
        spent.append(seconds_of(pid))
        time.sleep(max(0, begun + len(memory) - time.monotonic()))
    return memory, spent


def run(options):
    seconds = 60 if options.quick else 600 if options.full else 180
    with grown.Grown(DOCUMENTS) as library:
        node = library.node.start()
        load = steady.Steady(node, library.callers(), 0, seconds, mix=MIX,
                             connections=options.connections)
        memory, spent = watch(load, node.process.pid, seconds)
        result = load.result()
    rate = result["per_second"]
    cost = [1e6 * (after - before) / max(1, count)
            for before, after, count in zip(spent, spent[1:], rate)]
    note = (f"{result['had']:,.0f} requests/s; statuses {result['statuses']} (404: a document that"
            f" was deleted meanwhile); broken: {result['broken']}")
    detail = {"per_second": rate, "memory_mib": memory, "us_per_request": cost,
              "kinds": result["kinds"]}
    work = f"mixed load, {seconds} s: change of "
    return [
        Row(15, work + "throughput", drift(rate), "%", target=-DRIFT, note=note, detail=detail),
        Row(15, work + "processor time a request", drift(cost), "%", target=DRIFT, at_least=False,
            note=f"{sum(cost) / len(cost):.0f} µs"),
        Row(15, work + "memory", drift(memory), "%", target=DRIFT, at_least=False,
            note=f"{memory[0]:.0f} to {memory[-1]:.0f} MiB")]
