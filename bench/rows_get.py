# SPDX-License-Identifier: Apache-2.0
"""Row 3: get by id, its key checked and the request counted, beside F1."""
import floors
from common import COUNTED, Callers, Load, harness, median_of, seconds_of
from score import Row

DOCUMENTS = 1000


def loaded(node, kind, callers, options, **more):
    """What wrk saw, and processor time a request in microseconds."""
    before = seconds_of(node.process.pid)
    load = Load([node], kind, callers, options.seconds, options.connections, **more).result()
    spent = seconds_of(node.process.pid) - before
    load["us"] = spent * 1e6 / max(1, load["rate"] * options.seconds)
    return load


def note(ours, floor):
    """Who was the limit, and what does not depend on that."""
    words = [f"{ours['us']:.1f} µs of a core a request, floor {floor['us']:.1f}"]
    for name, load in ("ours", ours), ("the floor", floor):
        if load["generator"] > 0.9:
            words.append(f"the load generator was the limit of {name}")
    if ours["errors"] or floor["errors"]:
        words.append(f"errors: {ours['errors']}, {floor['errors']}")
    return "; ".join(words)


def run(options):
    node = harness.Server(*COUNTED).start()
    try:
        callers = Callers(node, documents=DOCUMENTS, tier="standard")
        answer = callers.apis[0].get(f"/v1/documents/{callers.documents[0]}", expect=200)
        ours, floor = [], []
        with floors.canned(answer) as canned:
            for _ in range(options.rounds):
                floor.append(loaded(canned, "get", callers, options))
                ours.append(loaded(node, "get", callers, options))
    finally:
        node.remove()
    pairs = [(a["rate"], b["rate"]) for a, b in zip(ours, floor)]
    ours, floor = median_of(ours), median_of(floor)
    return [Row.of_rounds(3, "get by id", "requests/s", pairs, "F1", 0.5, note=note(ours, floor),
                          detail={"ours": ours, "floor": floor})]
