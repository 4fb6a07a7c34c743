# SPDX-License-Identifier: Apache-2.0
"""Row 7: multipart uploads of small files, one a request, beside F3 with as many at once."""
import pathlib
import shutil
import tempfile

import floors
from common import COUNTED, Callers, harness, loaded, median_of, words_of
from score import Row

SIZES = {"4 KiB": (4096, 4), "64 KiB": (65536, 1.5)}


def floor_of(node, size, options):
    """F3 on the file system that the node's bytes are on."""
    home = pathlib.Path(tempfile.mkdtemp(prefix="files-", dir=node.home))
    try:
        return floors.measure("files", home, size, options.connections, options.seconds)
    finally:
        shutil.rmtree(home)


def measure(size, options):
    """[(ours, floor)] of each round."""
    node = harness.Server(*COUNTED).start()
    try:
        callers = Callers(node, tier="standard")
        return [(loaded(node, "upload", callers, options, BENCH_SIZE=str(size)),
                 floor_of(node, size, options)) for _ in range(options.rounds)]
    finally:
        node.remove()


def run(options):
    rows = []
    for name, (size, target) in SIZES.items():
        found = measure(size, options)
        ours, floor = (median_of([pair[i] for pair in found]) for i in (0, 1))
        rows.append(Row.of_rounds(
            7, f"multipart upload of {name}", "files/s",
            [(a["rate"], b["rate"]) for a, b in found], "F3", target,
            note=f"{words_of(ours)}; F3: {floor['us']:.0f} µs",
            detail={"ours": ours, "floor": floor, "bytes": size}))
    return rows
