# SPDX-License-Identifier: Apache-2.0
"""
Row 14: eight workspaces, one of which floods the node over 64 connections with gets, lists, creates
and uploads in turn; p99 of gets and creates of the seven others, at a constant rate, beside quiet.
"""
import steady
from common import Callers, harness
from score import Row

WORKSPACES, DOCUMENTS = 8, 50
RATE = 1000         # a second, of the seven together
MIX = "get=80,create=20"
FLOODS = "get", "list", "create", "upload"


def lines_of(callers):
    """Of each workspace, with documents of its own."""
    for api in callers.apis:
        yield [f"{api.key} {api.new_document()['id']}" for _ in range(DOCUMENTS)]


def run(options):
    node = harness.Server().start()
    try:
        flooding, *others = lines_of(Callers(node, WORKSPACES))
        calm = [line for lines in others for line in lines]
        rows = []
        for flood in FLOODS:
            pairs, rates, failed = {"get": [], "create": []}, [], 0
            for _ in range(options.rounds):
                quiet = steady.load(node, calm, RATE, options.seconds, mix=MIX)
                storm = steady.Steady(node, flooding, 0, options.seconds, mix=flood)
                busy = steady.load(node, calm, RATE, options.seconds, mix=MIX)
                rates.append(storm.result()["had"])
                failed += steady.failed(busy)
                for kind, found in pairs.items():
                    found.append((steady.p99(busy, kind), steady.p99(quiet, kind)))
            for kind, found in pairs.items():
                rows.append(Row.of_rounds(
                    14, f"p99 of others' {kind}s in a flood of {flood}s", "ms", found, "quiet", 2,
                    at_least=False, note=f"flood: {sorted(rates)[len(rates) // 2]:,.0f}/s;"
                    f" failed: {failed}"))
        return rows
    finally:
        node.remove()
