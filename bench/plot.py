#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Draws what bench/growth.py has measured: bench/plot.py FILE DIR (script/bench growth --plots DIR
does so, too).

Each chart has the number of documents on a logarithmic axis below. The charts are text (SVG 1.1,
https://www.w3.org/TR/SVG11/), so that a change of the figures is a change of lines.
"""
import json
import math
import pathlib
import sys
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 760, 400
LEFT, RIGHT, TOP, BOTTOM = 78, 190, 44, 48
# of Okabe and Ito, told apart by all eyes
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"]
KINDS = {"create": "create", "get": "get", "list_first": "list, page 1", "list_cursor":
         "list, by cursor", "list_folder": "list of a folder", "link": "link", "delete": "delete"}


def short(value):
    if value >= 1024 and value % 1024 == 0 and value & (value - 1) == 0:
        for limit, letter in (1 << 30, "Gi"), (1 << 20, "Mi"), (1 << 10, "Ki"):
            if value >= limit:
                return f"{value // limit}{letter}"
    for limit, letter in (1e9, "G"), (1e6, "M"), (1e3, "k"):
        if value >= limit:
            return f"{value / limit:g}{letter}"
    return f"{value:g}"


class Drawing:
    """Elements of an SVG of this size, in the order in which they are put."""

    def __init__(self, width, height):
        self.width, self.height, self.lines = width, height, []
        self.put("rect", width=width, height=height, fill="#ffffff")

    def put(self, name, text="", **attributes):
        words = "".join(f' {key.replace("_", "-")}="{escape(str(value))}"'
                        for key, value in attributes.items())
        self.lines.append(f"<{name}{words}>{escape(text)}</{name}>" if text
                          else f"<{name}{words}/>")

    def draw(self):
        return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}"'
                f' height="{self.height}" viewBox="0 0 {self.width} {self.height}"'
                ' font-family="sans-serif" font-size="12" fill="#333333">\n'
                + "\n".join(self.lines) + "\n</svg>\n")


class Chart(Drawing):
    """Lines over the number of documents, or what `below` says; both axes logarithmic."""

    def __init__(self, title, unit, series, below="documents"):
        super().__init__(WIDTH, HEIGHT)
        self.title, self.unit, self.series, self.below = title, unit, series, below
        points = [point for line in series.values() for point in line]
        self.x = min(p[0] for p in points), max(p[0] for p in points)
        lowest = min(p[1] for p in points if p[1] > 0)
        highest = max(p[1] for p in points)
        self.y = 10 ** math.floor(math.log10(lowest)), 10 ** math.ceil(math.log10(highest * 1.01))

    def at(self, x, y):
        y = max(y, self.y[0])
        across = math.log(x / self.x[0]) / math.log(self.x[1] / self.x[0]) if x > self.x[0] else 0
        up = math.log(y / self.y[0]) / math.log(self.y[1] / self.y[0])
        return (round(LEFT + across * (WIDTH - LEFT - RIGHT), 1),
                round(HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM), 1))

    def marks(self):
        """Where the axis below is marked: at what was measured, when that is no power of ten."""
        places = sorted({point[0] for line in self.series.values() for point in line})
        if any(math.log10(place) % 1 for place in places):
            return places
        return [10 ** i for i in range(round(math.log10(self.x[0])),
                                       round(math.log10(self.x[1])) + 1)]

    def axes(self):
        for decade in self.marks():
            x, bottom = self.at(decade, self.y[0])
            self.put("line", x1=x, y1=TOP, x2=x, y2=bottom, stroke="#dddddd")
            self.put("text", short(decade), x=x, y=bottom + 18, text_anchor="middle")
        decade = self.y[0]
        while decade <= self.y[1] * 1.001:
            left, y = self.at(self.x[0], decade)
            self.put("line", x1=left, y1=y, x2=WIDTH - RIGHT, y2=y, stroke="#dddddd")
            self.put("text", short(decade), x=left - 8, y=y + 4, text_anchor="end")
            decade *= 10
        self.put("text", self.below, x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 10,
                 text_anchor="middle")

    def labels(self):
        """(place, name, colour) of each line, none over another."""
        places = sorted((self.at(*line[-1])[1], name, COLOURS[i % len(COLOURS)])
                        for i, (name, line) in enumerate(self.series.items()))
        last = 0
        for y, name, colour in places:
            last = max(y, last + 16)
            yield last, name, colour

    def draw(self):
        self.put("text", f"{self.title}, {self.unit}", x=LEFT, y=24, font_size=15,
                 font_weight="bold")
        self.axes()
        for i, line in enumerate(self.series.values()):
            colour = COLOURS[i % len(COLOURS)]
            path = " ".join("%s,%s" % self.at(*point) for point in line)
            self.put("polyline", points=path, fill="none", stroke=colour, stroke_width=2)
            for point in line:
                x, y = self.at(*point)
                self.put("circle", cx=x, cy=y, r=3, fill=colour)
        for y, name, colour in self.labels():
            self.put("text", name, x=WIDTH - RIGHT + 10, y=y + 4, fill=colour)
        return super().draw()


def of_kinds(steps, value):
    return {title: [(step["documents"], value(step["costs"][kind])) for step in steps]
            for kind, title in KINDS.items()}


def of_tables(steps):
    """Bytes a document in the largest tables and in their indexes."""
    lines = {}
    for step in steps:
        sums = {}
        for name, (table, size) in step["bytes"].items():
            part = table if name == table else f"indexes of {table}"
            sums[part] = sums.get(part, 0) + size
        for part, size in sorted(sums.items(), key=lambda pair: -pair[1])[:7]:
            lines.setdefault(part, []).append((step["documents"], size))
    return dict(sorted(lines.items(), key=lambda pair: -pair[1][-1][1])[:7])


def charts(result):
    if "pg" in result:
        steps = result["pg"]
        yield "pg-pages", Chart("PostgreSQL: pages touched", "a request",
                                of_kinds(steps, lambda c: c["pages"]))
        yield "pg-time", Chart("PostgreSQL: processor time of node and server",
                               "microseconds a request",
                               of_kinds(steps, lambda c: c["us_pg"] + c["us_node"]))
        writes = {title: line for title, line in of_kinds(steps, lambda c: c["wal"]).items()
                  if not title.startswith(("get", "list"))}
        yield "pg-log", Chart("PostgreSQL: write-ahead log, after a checkpoint",
                              "bytes a request", writes)
        yield "pg-bytes", Chart("PostgreSQL: what is stored", "bytes a document", of_tables(steps))
    if "sqlite" in result:
        steps = result["sqlite"]
        yield "sqlite-time", Chart("SQLite: processor time of the node", "microseconds a request",
                                   of_kinds(steps, lambda c: c["us_node"]))
        yield "sqlite-read", Chart("SQLite: read from the file", "bytes a request",
                                   of_kinds(steps, lambda c: c["read"]))
        yield "sqlite-bytes", Chart("SQLite: what is stored", "bytes a document",
                                    of_tables(steps))


def draw(result, directory):
    for name, chart in charts(result):
        path = pathlib.Path(directory) / f"{name}.svg"
        path.write_text(chart.draw(), encoding="utf-8")
        print(path)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    draw(json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")), sys.argv[2])


if __name__ == "__main__":
    main()
