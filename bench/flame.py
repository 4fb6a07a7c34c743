#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Flame graphs of the server under load: script/bench flame [--seconds N] [--plots DIR] [KIND...]

perf samples the stacks of a server that wrk loads with KIND (create, get, upload by default); each
becomes DIR/flame-KIND.svg. A box is a function, as wide as its share of the samples, standing on
what called it; a tooltip has the whole name and the share. Threads stand side by side.
"""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import zlib

from common import COUNTED, Callers, Load, harness
from plot import Drawing

WIDTH, ROW, LEAST = 1200, 17, 1.2      # pixels; boxes narrower than LEAST are left out
HERTZ, STACK = 499, 8192
HUES = {"thread": 130, "kernel": 200, "dossier": 20, "library": 50}
FRAME = re.compile(r"^\s*[0-9a-f]+ (.+?)(?:\+0x[0-9a-f]+)? \((.*)\)$")


class Box:
    def __init__(self):
        self.samples, self.inner = 0, {}

    def add(self, frames):
        self.samples += 1
        if frames:
            self.inner.setdefault(frames[0], Box()).add(frames[1:])

    def depth(self):
        return 1 + max((each.depth() for each in self.inner.values()), default=0)


def place_of(library):
    if "kernel" in library or library.startswith("["):
        return "kernel"
    return "dossier" if pathlib.Path(library).name == "dossier" else "library"


def frame_of(line):
    """(name, place); a function of a library that lacks symbols has the library's name."""
    found = FRAME.match(line)
    if not found:
        return None
    name, library = found.groups()
    if name == "[unknown]":
        name = pathlib.Path(library).name
    return name, place_of(library)


def fold(text):
    """A Box of all samples of `perf script`, whose first boxes are threads."""
    all_of = Box()
    for sample in text.split("\n\n"):
        lines = sample.strip("\n").split("\n")
        frames = [frame for frame in map(frame_of, lines[1:]) if frame]
        if frames:
            thread = lines[0].strip().rsplit(None, 1)[0]
            frames = [one for one, before in zip(frames, [None, *frames]) if one != before]
            all_of.add([("thread " + thread, "thread"), *reversed(frames)])
    return all_of


def colour(name, place):
    spread = zlib.crc32(name.encode())
    return f"hsl({HUES[place] + spread % 14}, {62 + spread % 13}%, {68 + spread % 9}%)"


class Flame(Drawing):
    def __init__(self, title, whole):
        super().__init__(WIDTH, (whole.depth() + 1) * ROW + 64)
        self.whole = whole.samples
        self.put("text", title, x=10, y=22, font_size=15, font_weight="bold")
        self.put("text", f"{whole.samples:,} samples of processor time; width: share of them;"
                 " above: what was called. Orange: dossier, yellow: libraries, blue: kernel",
                 x=10, y=40)
        self.level(whole, 0.0, 0)

    def level(self, box, left, depth):
        for (name, place), inner in sorted(box.inner.items()):
            width = inner.samples / self.whole * WIDTH
            if width >= LEAST:
                self.box(name, place, inner, left, depth)
                self.level(inner, left, depth + 1)
            left += width

    def box(self, name, place, inner, left, depth):
        width = inner.samples / self.whole * WIDTH
        y = self.height - 12 - (depth + 1) * ROW
        tip = f"{name} ({place}): {inner.samples / self.whole:.1%}"
        self.lines.append("<g>")
        self.put("title", tip)
        self.put("rect", x=round(left, 1), y=y, width=round(max(0.5, width - 0.4), 1),
                 height=ROW - 1, fill=colour(name, place))
        room = int((width - 4) / 6.4)
        if room >= 3:
            words = name if len(name) <= room else name[:room - 1] + "…"
            self.put("text", words, x=round(left + 2, 1), y=y + 12, font_size=11)
        self.lines.append("</g>")


def sample(kind, seconds, home):
    """The text of `perf script` of a server under this load."""
    node = harness.Server(*COUNTED).start()
    try:
        callers = Callers(node, documents=200, tier="standard")
        load = Load([node], kind, callers, seconds + 1)
        data = home / "samples"
        subprocess.run(["perf", "record", "-q", "-F", str(HERTZ), "-p", str(node.process.pid),
                        "--call-graph", f"dwarf,{STACK}", "-o", data, "--", "sleep", str(seconds)],
                       check=True, capture_output=True)
        print(f"{kind}: {load.result()['rate']:,.0f} requests/s while sampled", flush=True)
    finally:
        node.remove()
    done = subprocess.run(["perf", "script", "--no-inline", "-i", data, "-F",
                           "comm,tid,ip,sym,dso"], capture_output=True, check=True)
    return done.stdout.decode(errors="replace")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", default=["create", "get", "upload"])
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--plots", metavar="DIR", default=".")
    words = parser.parse_args()
    if not shutil.which("perf"):
        sys.exit("there is no perf: install linux-perf")
    for kind in words.kinds:
        home = pathlib.Path(tempfile.mkdtemp(prefix="dossier-bench-"))
        try:
            whole = fold(sample(kind, words.seconds, home))
        finally:
            shutil.rmtree(home)
        if not whole.samples:
            sys.exit("perf saw no stack: is it allowed here (kernel.perf_event_paranoid)?")
        path = pathlib.Path(words.plots) / f"flame-{kind}.svg"
        title = f"Where the time of {kind} goes (64 connections)"
        path.write_text(Flame(title, whole).draw(), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
