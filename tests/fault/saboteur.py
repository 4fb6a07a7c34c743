# SPDX-License-Identifier: Apache-2.0
"""
The test's side of saboteur.c: a library that makes calls of a running server fail on demand.

    saboteur = Saboteur(directory)
    server = saboteur.server("--purge-after", "1s")      # not armed: works as ever
    saboteur.arm("fdatasync", error=errno.EIO)           # every one of the data directory fails
    saboteur.arm(*FILES, error=errno.ENOSPC, nth=3, once=True)
    ...
    met = saboteur.disarm()
    met.seen, met.spoilt, met.first      # calls, those that failed, the name of their first
"""
import atexit
import functools
import mmap
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from collections import namedtuple
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "api"))

import harness  # noqa: E402  (found by the line above)

SOURCE = HERE / "saboteur.c"
ROWS = re.findall(r"\bCALL\((\w+), ([A-Z]+)\)", SOURCE.read_text(encoding="utf-8"))
CALLS = [name for name, _ in ROWS]
FILES = [name for name, kind in ROWS if kind == "FILES"]
MEMORY = [name for name, kind in ROWS if kind == "MEMORY"]
TRANSFERS = ["read", "pread", "sendfile", "write", "pwrite", "writev"]
# what a full disk refuses: neither reading nor removing
SPACE = ["write", "pwrite", "writev", "fsync", "fdatasync", "ftruncate", "fallocate",
         "rename", "link", "mkdir"]
FOR_EVER = 2**64 - 1
EFFECTS = {"fail": 0, "short": 1, "delay": 2}

# struct control
SETTINGS = struct.Struct("=IIiIQQQQQQ1024s256s")
COUNTERS = struct.Struct("=QQQ")
COUNTERS_AT = 40
SIZE = SETTINGS.size + 8 * 64

Spoilt = namedtuple("Spoilt", "seen spoilt first")


@functools.cache
def build():
    """The library, made once a run."""
    directory = tempfile.mkdtemp(prefix="dossier-saboteur-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    library = Path(directory) / "saboteur.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o",
                    library, SOURCE, "-ldl"], check=True, timeout=60)
    return library


class Saboteur:
    """A control file, and the servers that have it mapped: one at a time."""

    def __init__(self, directory):
        self.library = build()
        self.path = Path(directory) / "control"
        self.path.write_bytes(bytes(SIZE))
        with open(self.path, "r+b") as file:
            self.control = mmap.mmap(file.fileno(), SIZE)
        self.root = None

    def server(self, *options, data_dir=None):
        """A harness.Server, not started, whose data directory is the one that counts."""
        # a sanitizer's runtime wants to be the first library; it works as the second, too
        sanitizer = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        server = harness.Server(*options, data_dir=data_dir, env={
            "LD_PRELOAD": str(self.library), "SABOTEUR": str(self.path),
            "ASAN_OPTIONS": sanitizer})
        self.root = os.path.realpath(server.data_dir)
        server.data_dir = Path(self.root)
        return server

    def arm(self, *calls, error=0, nth=1, once=False, effect="fail", delay_ms=0, path=""):
        """From now on the nth of these calls is spoilt; all after it, too, unless once."""
        self.disarm()
        bits = sum(1 << CALLS.index(name) for name in calls)
        self.control[:SIZE] = SETTINGS.pack(
            0, EFFECTS[effect], error, delay_ms, bits, nth, nth if once else FOR_EVER, 0, 0, 0,
            self.root.encode(), path.encode()) + bytes(8 * 64)
        self.control[0] = 1

    def disarm(self):
        self.control[0] = 0
        return self.result()

    def result(self):
        seen, spoilt, hit = COUNTERS.unpack_from(self.control, COUNTERS_AT)
        return Spoilt(seen, spoilt, CALLS[hit - 1] if hit else None)

    def counts(self):
        """How often each of the watched calls was made since it was armed."""
        numbers = struct.unpack_from(f"={len(CALLS)}Q", self.control, SETTINGS.size)
        return {name: n for name, n in zip(CALLS, numbers) if n}
