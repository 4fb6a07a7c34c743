# SPDX-License-Identifier: Apache-2.0
"""Row 12: the size of the program and instructions a request; size.py compares and checks."""
import size
from common import harness, table
from score import Row


def print_groups(kind, counted):
    total = counted["total"]
    print(f"where the instructions of {size.WORDS[kind]} go:")
    table(["", "instructions", "share"], [[name, float(cost), f"{cost / total:.0%}"]
                                          for name, cost in counted["groups"].items()])


def run(options):
    measured = size.measure(harness.BINARY, options.quick)
    for kind, counted in measured["instructions"].items():
        print_groups(kind, counted)
    baseline = size.load_baseline()
    base = size.figures(baseline) if baseline and not size.differences(baseline) else {}
    rows = []
    for name, (value, unit) in size.figures(measured).items():
        row = Row(12, name, value, unit)
        if name in base:
            row.floor, row.floor_value = "baseline", base[name][0]
            row.target, row.at_least = size.ALLOWED, False
        rows.append(row)
    rows[0].detail = measured["size"]
    for row, counted in zip(rows[1:], measured["instructions"].values()):
        row.detail = counted
    return rows
