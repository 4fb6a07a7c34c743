# SPDX-License-Identifier: Apache-2.0
"""Rows 1, 3 and 7 beside the peers: the same load on ours and on theirs in turns."""
import peers
from common import COUNTED, Callers, harness, loaded, median_of, words_of
from score import Row

ROWS = [(1, "durable create", "create", {}, {"PocketBase": 5}),
        (3, "get by id", "get", {}, {"PocketBase": 8}),
        (7, "multipart upload of 4 KiB", "upload", {"BENCH_SIZE": "4096"}, {})]


def measure(node, callers, peer, options):
    for number, work, kind, more, targets in ROWS:
        theirs, words = getattr(peer, kind)()
        found = [(loaded(node, kind, callers, options, **more),
                  loaded(peer, theirs, peer, options, **words, **more))
                 for _ in range(options.rounds)]
        floor = median_of([pair[1] for pair in found])
        yield Row.of_rounds(number, work, "requests/s", [(a["rate"], b["rate"]) for a, b in found],
                            peer.name, targets.get(peer.name),
                            note=f"{peer.durable}; theirs: {words_of(floor)}",
                            detail={"ours": median_of([pair[0] for pair in found]),
                                    "floor": floor})


def run(options):
    rows = []
    node = harness.Server(*COUNTED).start()
    try:
        callers = Callers(node, documents=100, tier="standard")
        for kind in peers.ALL:
            try:
                with kind() as peer:
                    rows += measure(node, callers, peer, options)
            except peers.Absent as why:
                print(f"{kind.name}: skipped: {why}", flush=True)
    finally:
        node.remove()
    return rows
