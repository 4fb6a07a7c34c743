# SPDX-License-Identifier: Apache-2.0
"""The mixed load of row 15 over time: panels under each other, each linear and from zero."""
from plot import COLOURS, Drawing, short

WIDTH, PANEL, LEFT, RIGHT, TOP, GAP = 760, 120, 78, 24, 62, 46
PANELS = {"per_second": "requests a second", "us_per_request":
          "processor time of the server a request, µs", "memory_mib": "resident memory, MiB"}


def round_up(value):
    """The next of 1, 2, 5, 10, … above it."""
    step = 1
    while step * 10 < value:
        step *= 10
    return next(each * step for each in (1, 2, 5, 10) if each * step >= value)


class OverTime(Drawing):
    def __init__(self, title, detail):
        shown = {name: words for name, words in PANELS.items() if detail.get(name)}
        super().__init__(WIDTH, TOP + len(shown) * (PANEL + GAP))
        self.put("text", title, x=LEFT, y=24, font_size=15, font_weight="bold")
        for number, (name, words) in enumerate(shown.items()):
            self.panel(TOP + number * (PANEL + GAP), words, detail[name], COLOURS[number])

    def panel(self, top, words, values, colour):
        highest, bottom = round_up(max(values)), top + PANEL
        self.put("text", words, x=LEFT, y=top - 8, font_weight="bold")
        for share in 0, 0.5, 1:
            y = bottom - share * PANEL
            self.put("line", x1=LEFT, y1=y, x2=WIDTH - RIGHT, y2=y, stroke="#dddddd")
            self.put("text", short(highest * share), x=LEFT - 8, y=y + 4, text_anchor="end")
        across = (WIDTH - LEFT - RIGHT) / max(1, len(values) - 1)
        points = " ".join(f"{LEFT + i * across:.1f},{bottom - value / highest * PANEL:.1f}"
                          for i, value in enumerate(values))
        self.put("polyline", points=points, fill="none", stroke=colour, stroke_width=1.5)
        for share in 0, 0.5, 1:
            self.put("text", f"{share * len(values):.0f} s", x=LEFT + share *
                     (WIDTH - LEFT - RIGHT), y=bottom + 16, text_anchor="middle")


def over_time(rows):
    """(name, chart) of each mixed load."""
    for row in rows:
        if row["number"] == 15 and row["detail"].get("per_second"):
            yield "score-mixed", OverTime("45 % gets, 30 % lists, 15 % creates, 10 % deletes",
                                          row["detail"])
