#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Measures the program beside its floors and peers, in one run on one machine, and prints the table
of ratios (docs/performance.md; what each figure means: docs/decisions/0018-how-it-is-measured.md).

    script/bench [--quick|--full] [--rounds N] [--seconds N] [--json FILE] [--plots DIR] [GROUP...]

A group is a file rows_GROUP.py beside this one with `run(options)`, which returns Rows; without
names all of them run. Each measures ours and the floor in turns, and a ratio is the median of the
ratios within a round: the machine may be busy otherwise, but then it is so for both.
"""
import argparse
import dataclasses
import importlib
import json
import pathlib
import signal
import statistics
import sys
import time
import traceback

from common import CONNECTIONS, machine, save, table

HERE = pathlib.Path(__file__).resolve().parent
DOCS = HERE.parent / "docs" / "performance.md"
BEGIN, END = "<!-- table: script/bench --docs -->", "<!-- end of the table -->"


@dataclasses.dataclass
class Row:
    """One line of the table. Without a floor the target is for `ours` itself, not for a ratio.

    `rounds` are the pairs (ours, floor) of a run in turns; `detail` is for the plots and for
    whoever reads the JSON.
    """
    number: int             # of the target
    work: str
    ours: float
    unit: str
    floor: str = ""
    floor_value: float | None = None
    target: float | None = None     # None: only reported
    at_least: bool = True           # False: at most
    note: str = ""
    group: str = ""
    rounds: list = dataclasses.field(default_factory=list)
    detail: dict = dataclasses.field(default_factory=dict)

    @classmethod
    def of_rounds(cls, number, work, unit, rounds, floor, target=None, **more):
        """Of pairs (ours, floor), one a round."""
        ours, floors = zip(*rounds)
        return cls(number, work, statistics.median(ours), unit, floor, statistics.median(floors),
                   target, rounds=[list(pair) for pair in rounds], **more)

    @property
    def ratio(self):
        """The median of the ratios within a round; None without a floor, or when it did nothing."""
        if not self.floor_value:
            return None
        return statistics.median(ours / floor for ours, floor in
                                 self.rounds or [(self.ours, self.floor_value)] if floor)

    @property
    def held(self):
        """None when there is no target."""
        if self.target is None:
            return None
        value = self.ours if self.ratio is None else self.ratio
        return value >= self.target if self.at_least else value <= self.target

    def as_json(self):
        return {**dataclasses.asdict(self), "ratio": self.ratio, "held": self.held}

    @classmethod
    def from_json(cls, value):
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: each for name, each in value.items() if name in names})


@dataclasses.dataclass
class Options:
    """seconds: of each load in a round; connections: of wrk; quick: small sizes, for a look;
    full: ten million documents, ten minutes of the mixed load."""
    seconds: int = 5
    rounds: int = 5
    connections: int = CONNECTIONS
    quick: bool = False
    full: bool = False


HEAD = ["", "work", "ours", "unit", "floor or peer", "ratio", "target", "held"]


def number_text(value):
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def cells(row):
    """The texts of a row, in the order of HEAD."""
    beside = f"{row.floor} {number_text(row.floor_value)}".strip()
    target = "" if row.target is None else ("≥ " if row.at_least else "≤ ") + f"{row.target:g}"
    held = {True: "yes", False: "no", None: ""}[row.held]
    ratio = "" if row.ratio is None else f"{row.ratio:,.{0 if row.ratio >= 100 else 2}f}"
    return [str(row.number), row.work, number_text(row.ours), row.unit, beside, ratio, target, held]


def print_table(rows):
    table(HEAD, [cells(row) for row in rows])
    for row in rows:
        if row.note:
            print(f"  {row.number} {row.work}: {row.note}")


def markdown(result):
    """The same as docs/performance.md has it, and what it was measured on."""
    rows = list(map(Row.from_json, result["rows"]))
    made, options = result["machine"], result["options"]
    yield (f"{made['processor'] or 'a processor without a name'}, {made['cores']} cores; commit"
           f" {made['commit']}; {options['rounds']} rounds of {options['seconds']} s each,"
           f" {options['connections']} connections; load before it began {made['load_before']}.")
    yield ""
    yield "| " + " | ".join(["#", *HEAD[1:], "note"]) + " |"
    yield "| " + " | ".join(["---"] * (len(HEAD) + 1)) + " |"
    for row in rows:
        yield "| " + " | ".join([*cells(row), row.note]) + " |"


def write_docs(result):
    """Replaces what stands between the marks."""
    text = DOCS.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN + "\n")
    after = rest.split(END)[1]
    table_of = "\n".join(markdown(result))
    DOCS.write_text(f"{before}{BEGIN}\n{table_of}\n{END}{after}", encoding="utf-8")
    print(DOCS)


def groups():
    return sorted(path.stem[len("rows_"):] for path in HERE.glob("rows_*.py"))


def run_group(name, options):
    """Its rows; a group that fails is one row that says so, and does not end the others."""
    print(f"\n==> {name}", flush=True)
    begun = time.monotonic()
    try:
        rows = importlib.import_module(f"rows_{name}").run(options)
    except Exception as error:
        traceback.print_exc()
        return [Row(0, name, 0, "", target=1, group=name,
                    note=f"could not be measured: {error!r:.200}")]
    for row in rows:
        row.group = name
    print_table(rows)
    print(f"  {time.monotonic() - begun:.0f} s", flush=True)
    return rows


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=", ".join(groups()))
    parser.add_argument("--seconds", type=int, help="of each load in a round (5; quick: 2)")
    parser.add_argument("--rounds", type=int, help="in turns (5; quick: 2)")
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--quick", action="store_true", help="small sizes, for a look")
    parser.add_argument("--full", action="store_true", help="the largest sizes: takes hours")
    parser.add_argument("--json", metavar="FILE", help="where to write all figures")
    parser.add_argument("--keep", action="store_true",
                        help="rows of other groups in that file stay as they are")
    parser.add_argument("--plots", metavar="DIR", help="where to draw the figures (SVG)")
    parser.add_argument("--docs", metavar="FILE",
                        help="measure nothing: put the table of such a JSON into the documentation")
    words = parser.parse_args(argv)
    unknown = set(words.groups) - set(groups())
    if unknown:
        parser.error(f"no group {', '.join(sorted(unknown))}; there are {', '.join(groups())}")
    options = Options(words.seconds or (2 if words.quick else 5),
                      words.rounds or (2 if words.quick else 5), words.connections, words.quick,
                      words.full)
    return words, options


def kept_rows(words, names):
    """Those of an earlier run into the same file, of other groups."""
    path = pathlib.Path(words.json or "")
    if not words.keep or not path.is_file():
        return []
    stored = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return [row for row in map(Row.from_json, stored) if row.group not in names]


def main(argv):
    words, options = parse(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)   # what was started ends first
    if words.docs:
        write_docs(json.loads(pathlib.Path(words.docs).read_text(encoding="utf-8")))
        return 0
    result = {"machine": machine(), "options": dataclasses.asdict(options), "rows": []}
    names = words.groups or groups()
    rows = kept_rows(words, names)
    for name in names:
        rows += run_group(name, options)
        result["rows"] = [row.as_json() for row in sorted(rows, key=lambda row: row.number)]
        save(words.json, result)
    print("\n==> all")
    print_table(sorted(rows, key=lambda row: row.number))
    if words.plots:
        import plot_score
        import plot_lists
        plot_score.draw(result, words.plots)
        plot_lists.draw(result, words.plots)
    return 0


if __name__ == "__main__":
    # under its own name: a group imports Row from there, and there must be only one
    sys.exit(importlib.import_module("score").main(sys.argv[1:]))
