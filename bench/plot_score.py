#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Draws what bench/score.py has measured: bench/plot_score.py FILE DIR (script/bench --plots DIR does
so, too).
"""
import json
import math
import pathlib
import sys

from plot import COLOURS, Chart, Drawing, short
from plot_mixed import over_time

BAR, GAP, NAME_WIDTH, WIDTH = 13, 12, 450, 1060


def label_of(row):
    return f"{row['number']}  {row['work']}"


class Bars(Drawing):
    """Lying bars, several a name, on one logarithmic axis.

    rows: [(name, [(series, value)], word behind)]
    """

    def __init__(self, title, unit, rows, marks=()):
        self.series = list(dict.fromkeys(name for _, bars, _ in rows for name, _ in bars))
        height = 76 + sum(len(bars) * BAR + GAP for _, bars, _ in rows) + 30
        super().__init__(WIDTH, height)
        values = [value for _, bars, _ in rows for _, value in bars if value > 0]
        values += list(marks)
        self.low = 10 ** math.floor(math.log10(min(values)))
        self.high = 10 ** math.ceil(math.log10(max(values) * 1.001))
        self.put("text", title, x=16, y=24, font_size=15, font_weight="bold")
        self.key()
        self.axis(unit)
        self.bars(rows)

    def across(self, value):
        share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return round(NAME_WIDTH + share * (WIDTH - NAME_WIDTH - 90), 1)

    def key(self):
        x = NAME_WIDTH
        for i, name in enumerate(self.series):
            self.put("rect", x=x, y=36, width=12, height=12, fill=COLOURS[i])
            self.put("text", name, x=x + 17, y=46)
            x += 40 + 7 * len(name)

    def axis(self, unit):
        value = self.low
        while value <= self.high * 1.001:
            x = self.across(value)
            self.put("line", x1=x, y1=58, x2=x, y2=self.height - 40, stroke="#dddddd")
            self.put("text", short(value), x=x, y=self.height - 24, text_anchor="middle")
            value *= 10
        self.put("text", f"{unit} (logarithmic)", x=(NAME_WIDTH + WIDTH - 90) / 2,
                 y=self.height - 6, text_anchor="middle")

    def bars(self, rows):
        y = 66
        for name, bars, word in rows:
            self.put("text", name, x=NAME_WIDTH - 8, y=y + len(bars) * BAR / 2 + 4,
                     text_anchor="end")
            for series, value in bars:
                end = self.across(value)
                self.put("rect", x=NAME_WIDTH, y=y, width=max(1, round(end - NAME_WIDTH, 1)),
                         height=BAR - 1, fill=COLOURS[self.series.index(series)])
                self.put("text", number(value), x=end + 4, y=y + 10, font_size=10)
                y += BAR
            if word:
                self.put("text", word, x=WIDTH - 8, y=y - 3, text_anchor="end", font_weight="bold")
            y += GAP


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def throughput(rows):
    """Ours beside the floor of each row that has one, by unit."""
    beside = [row for row in rows if row["ratio"] and row["number"] != 12
              and row["unit"] in ("requests/s", "files/s", "MiB/s")]
    lines = [(f"{label_of(row)} : {row['floor']}, {row['unit']}",
              [("ours", row["ours"]), ("floor or peer", row["floor_value"])],
              f"{row['ratio']:.2f}") for row in beside]
    if lines:
        yield "score-throughput", Bars("What is done a second, beside the floor or peer of each"
                                       " row; at the right the ratio",
                                       "a second, higher is better", lines)


def ratios(rows):
    """How far each target is held: 1 is just so."""
    lines = []
    for row in rows:
        value = row["ratio"] if row["ratio"] is not None else row["ours"]
        if row["target"] and value:
            share = value / row["target"] if row["at_least"] else row["target"] / value
            word = "held" if row["held"] else "not held"
            lines.append((f"{label_of(row)} : {row['floor'] or row['unit']}",
                          [("of the target", share)], word))
    if lines:
        yield "score-targets", Bars("How far each target is reached: 1 is just held",
                                    "ratio : target (at most: target : ratio)", lines, [1])


def latency(rows):
    names = [("median", "p50_ms"), ("p90", "p90_ms"), ("p99", "p99_ms"), ("p99.9", "p999_ms")]
    lines, seen = [], set()
    for row in rows:
        ours = row["detail"].get("ours")
        if isinstance(ours, dict) and "p999_ms" in ours and row["work"] not in seen:
            seen.add(row["work"])
            lines.append((label_of(row), [(name, ours[key]) for name, key in names], ""))
    if lines:
        yield "score-latency", Bars("Time from request to answer, load generator on the same two"
                                    " cores", "milliseconds, lower is better", lines)


def curves(rows):
    found = {name: row["detail"][name] for row in rows for name in ("connections", "sizes")
             if name in row["detail"]}
    loads, sizes = found.get("connections"), found.get("sizes")
    if loads:
        rates = {name: [point[:2] for point in points] for name, points in loads.items()}
        yield "score-connections", Chart("Throughput by connections", "requests a second", rates,
                                         "connections")
        times = {f"{name}, {word}": [[point[0], point[i]] for point in loads[name]]
                 for name in ("get", "create", "F1") for i, word in ((2, "median"), (3, "p99"))}
        yield "score-times", Chart("Time of a request by connections", "milliseconds", times,
                                   "connections")
    if sizes:
        rates = {{"F5": "F5 (nginx)", "upload floor": "F3, above 1 MiB F4"}.get(name, name): points
                 for name, points in sizes.items()}
        yield "score-sizes", Chart("Throughput by size of the file, one at a time",
                                   "MiB a second", rates, "bytes of the file")


def instructions(rows):
    """Where the instructions of a request go."""
    for row in rows:
        groups = row["detail"].get("groups")
        if groups:
            kind = row["work"].removeprefix("instructions of ")
            word = kind.removeprefix("a ").removeprefix("an ").replace(" ", "-").lower()
            lines = [(name, [(kind, cost)], f"{cost / row['ours']:.0%}")
                     for name, cost in groups.items() if cost > 0]
            yield f"score-instructions-{word}", Bars(
                f"Where the {row['ours']:,.0f} instructions of {kind} go", "instructions", lines)


def draw(result, directory):
    rows = result["rows"]
    pathlib.Path(directory).mkdir(parents=True, exist_ok=True)
    for kind in throughput, ratios, latency, curves, instructions, over_time:
        for name, chart in kind(rows):
            path = pathlib.Path(directory) / f"{name}.svg"
            path.write_text(chart.draw(), encoding="utf-8")
            print(path)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    draw(json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")), sys.argv[2])


if __name__ == "__main__":
    main()
