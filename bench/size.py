#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
The size of the program and the instructions that a request costs (row 12).

    script/bench size         measures; compares with bench/baseline.json where that was made alike
    script/bench --check      measures and compares; exits 1 when anything has grown by over 3 %
    script/bench --baseline   measures and writes bench/baseline.json; sources are committed

Counts are the same again within 1 % (creates with an idempotency key within 1.5 %: ids and hashes
are random, and split other pages each time) with the same compiler, libraries and kind of
processor, which bench/baseline.json names. Where any of these differ, the counts of the file mean
nothing: then --check builds the commit that the file was made of, and counts that here.
"""
import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import callgrind
from common import ROOT, harness, table

BASELINE = ROOT / "bench" / "baseline.json"
ALLOWED = 1.03
REQUESTS = 600
QUICK_REQUESTS = 150
PACKAGES = ["sqlite3", "libcrypto", "libmicrohttpd", "jansson", "talloc", "libutf8proc", "libmagic"]
WORDS = {"create": "a durable create", "get": "a get", "list": "a list of 25", "upload":
         "an upload of 4 KiB", "create_idempotent": "a create with a fresh idempotency key"}


def output(*argv, cwd=ROOT):
    return subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=True).stdout.strip()


def surroundings():
    """What counts depend on besides our sources."""
    flags = re.search(r"^flags\s*:(.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    known = {"avx2", "erms"}        # what the C library chooses its copies by under valgrind
    return {"compiler": output("gcc", "--version").splitlines()[0],
            "libc": output("getconf", "GNU_LIBC_VERSION"),
            **{name: output("pkg-config", "--modversion", name) for name in PACKAGES},
            "valgrind": output("valgrind", "--version"),
            "processor": " ".join(sorted(known & set(flags[1].split() if flags else [])))}


def sizes(binary):
    """Bytes of the stripped program and of its sections."""
    with tempfile.TemporaryDirectory(prefix="dossier-bench-") as home:
        stripped = pathlib.Path(home) / "stripped"
        subprocess.run(["strip", "-o", stripped, binary], check=True)
        text, data, bss = output("size", str(stripped)).splitlines()[1].split()[:3]
        return {"stripped": stripped.stat().st_size, "text": int(text), "data": int(data),
                "bss": int(bss)}


def measure(binary, quick=False):
    binary = pathlib.Path(binary).resolve()
    count = QUICK_REQUESTS if quick else REQUESTS
    return {"size": sizes(binary),
            "instructions": {kind: callgrind.summary(callgrind.difference(binary, kind, count))
                             for kind in callgrind.KINDS}}


def figures(measured):
    """{name: (value, unit)} of what may not grow."""
    return {"size of the program, stripped": (measured["size"]["stripped"], "bytes"),
            **{f"instructions of {WORDS[kind]}": (each["total"], "instructions")
               for kind, each in measured["instructions"].items()}}


def load_baseline():
    return json.loads(BASELINE.read_text(encoding="utf-8")) if BASELINE.exists() else None


def differences(baseline):
    """What is not here as it was there, in words."""
    here, there = surroundings(), baseline["surroundings"]
    return [f"{name}: {there.get(name)} there, {here[name]} here" for name in here
            if there.get(name) != here[name]]


def measure_commit(commit):
    """Builds a commit in a directory of its own, and measures it."""
    home = pathlib.Path(tempfile.mkdtemp(prefix="dossier-bench-"))
    tree = home / "tree"
    try:
        subprocess.run(["git", "worktree", "add", "--detach", "-q", tree, commit], cwd=ROOT,
                       check=True)
        subprocess.run([tree / "script" / "build"], cwd=tree, check=True, stdout=sys.stderr)
        return measure(tree / "build" / "dossier")
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", tree], cwd=ROOT, check=False)
        shutil.rmtree(home, ignore_errors=True)


def to_compare_with():
    """The figures of the baseline as they are on this machine; None when there are none."""
    baseline = load_baseline()
    if baseline is None:
        return None
    differ = differences(baseline)
    if not differ:
        return figures(baseline)
    print("bench/baseline.json was made with other things than there are here:")
    print("\n".join("  " + line for line in differ))
    print(f"so commit {baseline['commit'][:12]} is built and measured here", flush=True)
    return figures(measure_commit(baseline["commit"]))


def check(quick=False):
    base = to_compare_with()
    if base is None:
        sys.exit("no bench/baseline.json; script/bench --baseline makes it")
    rows, bad = [], []
    for name, (value, unit) in figures(measure(harness.BINARY, quick)).items():
        before = base[name][0]
        rows.append([name, float(value), float(before), f"{value / before - 1:+.1%}"])
        if value > before * ALLOWED:
            bad.append(f"{name}: {before:,.0f} {unit} before, {value:,.0f} now")
    table(["", "now", "baseline", "change"], rows)
    if bad:
        sys.exit("grown by more than 3 %:\n" + "\n".join("  " + line for line in bad))


def write_baseline():
    if output("git", "status", "--porcelain", "--", "src", "meson.build", "script/build"):
        sys.exit("sources have been changed: commit them, so that the baseline has a name")
    result = {"commit": output("git", "rev-parse", "HEAD"), "surroundings": surroundings(),
              **measure(harness.BINARY)}
    BASELINE.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(BASELINE.relative_to(ROOT))


def main():
    words = sys.argv[1:]
    signal.signal(signal.SIGTERM, signal.default_int_handler)   # what was started ends first
    if words == ["--baseline"]:
        write_baseline()
    elif words == ["--check"]:
        check()
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
