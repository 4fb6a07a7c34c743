#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Draws how lists and filters grow with the number of documents: bench/plot_lists.py FILE DIR, of what
bench/score.py has written with --json (bench/rows_lists.py measured it).
"""
import json
import pathlib
import sys

from plot import Chart

CHARTS = {
    "lists-tags": ("Lists of 25 by tag, p99", [
        "a get", "tag of half, with the total", "tag of half, by cursor", "tag of 3",
        "tag of 1 in 200, with the total"]),
    "lists-filters": ("Filters of a list of 25, p99", [
        "a get", "folder of half, with the total",
        "folder of 1,000 folders, with the total", "search of 3, with the total",
        "search of nothing", "search of a third, by cursor",
        "search of a third, with the total"]),
}


def draw(result, directory):
    curves = {}
    for row in result["rows"]:
        curves.update(row["detail"].get("lists", {}))
    for name, (title, kinds) in CHARTS.items():
        series = {kind: [(size, p99) for size, _, p99 in curves[kind]]
                  for kind in kinds if kind in curves}
        if series:
            pathlib.Path(directory, f"{name}.svg").write_text(
                Chart(title, "ms", series).draw(), encoding="utf-8")


if __name__ == "__main__":
    draw(json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")), sys.argv[2])
