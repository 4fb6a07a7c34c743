# SPDX-License-Identifier: Apache-2.0
"""Row 3: get by id, its key checked and the request counted, beside F1."""
import floors
from common import COUNTED, Callers, harness, loaded, median_of, words_of
from score import Row

DOCUMENTS = 1000


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
    return [Row.of_rounds(3, "get by id", "requests/s", pairs, "F1", 0.5,
                          note=f"{words_of(ours)}; F1: {words_of(floor)}",
                          detail={"ours": ours, "floor": floor})]
