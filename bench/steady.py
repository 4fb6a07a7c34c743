# SPDX-License-Identifier: Apache-2.0
"""
bench/steady.c from Python: requests at a constant rate, each timed from when it was due.

    with steady.Steady(node, callers, rate=1000, seconds=5) as load: ...
    load.result()["kinds"]["get"]["p99_ms"]
"""
import json
import pathlib
import subprocess
import tempfile

from common import ROOT

PROGRAM = ROOT / "build" / "bench" / "steady"
CONNECTIONS = 64


class Steady:
    """One generator under way. `callers` is lines of "KEY [DOCUMENT]"; rate 0: as fast as the
    connections get their answers; `doomed`: its server is going to be killed, and it need not tell;
    more options are those of the program."""

    def __init__(self, node, callers, rate, seconds, mix="get", connections=CONNECTIONS,
                 once=False, size=4096, doomed=False):
        with tempfile.NamedTemporaryFile("w", prefix="dossier-bench-", delete=False) as file:
            file.write("\n".join(callers) + "\n")
        self.file = file.name
        self.seconds = seconds
        argv = [PROGRAM, "%s:%d" % node.address, "--callers", file.name, "--rate", str(rate),
                "--seconds", str(seconds), "--mix", mix, "--connections", str(connections),
                "--size", str(size), *(["--once"] if once else [])]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True,
                                        stderr=subprocess.DEVNULL if doomed else None)

    def result(self):
        """Waits for its end: {wanted, had, seconds, broken, statuses, kinds: {get: {p99_ms …}},
        per_second}."""
        out, _ = self.process.communicate(timeout=self.seconds + 60)
        pathlib.Path(self.file).unlink()
        if self.process.returncode != 0:
            raise RuntimeError(f"steady: exit {self.process.returncode}")
        return json.loads(out)

    def running(self):
        return self.process.poll() is None

    def stop(self):
        """Ends it before its time, without a result."""
        self.process.kill()
        self.process.communicate()
        pathlib.Path(self.file).unlink()


def load(node, callers, rate, seconds, **more):
    """One load to its end."""
    return Steady(node, callers, rate, seconds, **more).result()


def p99(result, kind="get"):
    return result["kinds"][kind]["p99_ms"]


def failed(result):
    """Requests without an answer of success."""
    return result["broken"] + sum(count for status, count in result["statuses"].items()
                                  if not status.startswith("2"))
