# SPDX-License-Identifier: Apache-2.0
"""
Rows 1, 2 and 4: durable creates beside F2, the same with an idempotency key each, links and soft
deletes beside the creates. Links and deletes are of distinct documents, which the creates of the
same round have made: there are two loads of them, before and after those with a key, so that there
are enough.
"""
import contextlib
import sqlite3
import uuid

import floors
from common import COUNTED, Callers, harness, loaded, median_of, metrics, words_of
from score import Row

BATCH = 64      # works of a transaction at 64 connections


def library():
    """A node's library with one workspace, for F2; the node does not run."""
    node = harness.Server()
    node.workspace()
    return node


def documents(node):
    """All ids, oldest first, in a file for BENCH_IDS."""
    with contextlib.closing(sqlite3.connect(node.data_dir / "dossier.db")) as database:
        ids = [str(uuid.UUID(bytes=row[0])) for row in
               database.execute("SELECT id FROM document ORDER BY id")]
    path = node.home / "ids"
    path.write_text("\n".join(ids) + "\n", encoding="ascii")
    return path


def fresh_load(node, kind, callers, options):
    """Of documents made since the last time: those are deleted in the end."""
    return loaded(node, kind, callers, options, BENCH_IDS=str(documents(node)))


def one_round(node, callers, plain, options, number):
    """What each load did; `works` of a commit while creating."""
    before = metrics(node)
    found = {"F2": floors.measure("rows", plain.data_dir / "dossier.db", options.seconds, BATCH,
                                  f"{number}")}
    creates = [loaded(node, "create", callers, options)]
    after = metrics(node)
    found["works"] = ((after["dossier_works_total"] - before["dossier_works_total"])
                      / max(1, after["dossier_commits_total"] - before["dossier_commits_total"]))
    found["create_idempotent"] = loaded(node, "create_idempotent", callers, options)
    creates.append(loaded(node, "create", callers, options))
    found["create"] = median_of(creates)
    for kind in "link", "delete":
        found[kind] = fresh_load(node, kind, callers, options)
    return found


def pairs(found, ours, floor):
    return [(each[ours]["rate"], each[floor]["rate"]) for each in found]


def run(options):
    node, plain = harness.Server(*COUNTED).start(), library()
    try:
        callers = Callers(node, tier="standard")
        found = [one_round(node, callers, plain, options, i) for i in range(options.rounds)]
    finally:
        node.remove()
        plain.remove()
    loads = {kind: median_of([each[kind] for each in found])
             for kind in ("create", "create_idempotent", "link", "delete")}
    f2 = median_of([each["F2"] for each in found])
    works = sorted(each["works"] for each in found)[len(found) // 2]
    notes = {kind: words_of(load) for kind, load in loads.items()}
    notes["create"] += f"; F2 {f2['us']:.0f} µs a document; {works:.0f} works a commit"
    rows = [("create", 1, "durable create", "F2", "F2", 0.45),
            ("create_idempotent", 2, "create with a fresh idempotency key", "create", "row 1",
             0.75),
            ("link", 4, "link", "create", "row 1", 0.9),
            ("delete", 4, "soft delete", "create", "row 1", 0.9)]
    return [Row.of_rounds(number, work, "requests/s", pairs(found, kind, floor), name, target,
                          note=notes[kind], detail={"ours": loads[kind], "rounds": found})
            for kind, number, work, floor, name, target in rows]
