# SPDX-License-Identifier: Apache-2.0
"""
What the measuring programs share: a node under wrk, processor time, tables.

A rate on a machine that does other work says little, so each is measured beside what it is
compared with, several times, and the median is shown. Processor time a request hardly depends on
what runs beside; from it comes what a larger machine would do.
"""
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "api"), str(ROOT / "tests")]
import harness  # noqa: E402  (found by the line above)

TICK = os.sysconf("SC_CLK_TCK")
CONNECTIONS = 64    # of wrk, in all
CLIENTS = 8         # of ours


def ticks(pid):
    """Processor time of a process and of its children that have ended."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:15]))


def children(pid):
    out = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in out.stdout.split()]


def seconds_of(pid):
    """Processor time of a process and its children, in seconds."""
    total = 0
    for each in [pid, *children(pid)]:
        try:
            total += ticks(each)
        except FileNotFoundError:
            pass
    return total / TICK


class Backends:
    """Processor time of a PostgreSQL server's client connections alone: not of its housekeeping.

    With watch() also of those that end meanwhile, as far as they were seen.
    """

    def __init__(self, server):
        self.server = server
        self.seen = {}
        self._stop = threading.Event()
        self._thread = None

    def _look(self):
        for pid in children(self.server.server.pid):
            try:
                command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
                if b"127.0.0.1(" in command:
                    self.seen[pid] = ticks(pid)
            except (FileNotFoundError, ProcessLookupError):
                pass

    def seconds(self):
        self._look()
        return sum(self.seen.values()) / TICK

    def _watch(self):
        while not self._stop.wait(0.1):
            self._look()

    def __enter__(self):
        self._stop.clear()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


def memory_mib(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) // 1024


def metrics(node):
    text = harness.requests.get(node.base_url + "/metrics", timeout=10).text
    return {name: float(value) for name, value in re.findall(r"^(\w+) (\S+)$", text, re.M)}


class Callers:
    """Workspaces with a key and some documents each, as bench/load.lua wants them."""

    def __init__(self, node, workspaces=1, documents=0):
        self.workspaces = [node.workspace(entities="open") for _ in range(workspaces)]
        self.apis = [w.api("read:documents", "write:documents") for w in self.workspaces]
        self.documents = []
        for i in range(documents):
            answer = self.apis[0].post("/v1/documents", json={
                "name": "a", "mime_type": "text/plain", "storage_path": f"bench/{i}"})
            self.documents.append(answer.json()["data"]["id"])

    def environment(self):
        return {"BENCH_KEY": ",".join(api.key for api in self.apis),
                "BENCH_DOCUMENT": ",".join(self.documents)}


class Load:
    """wrk on some nodes at once: `connections` in all."""

    _runs = 0

    def __init__(self, nodes, kind, callers, seconds, connections=CONNECTIONS):
        self.processes = []
        for node in nodes:
            Load._runs += 1
            environment = {**os.environ, **callers.environment(), "BENCH_KIND": kind,
                           "BENCH_RUN": f"{os.getpid()}-{time.time_ns()}-{Load._runs}"}
            argv = ["wrk", "-t1", f"-c{connections // len(nodes)}", f"-d{seconds}s",
                    "-s", str(ROOT / "bench" / "load.lua"), node.base_url]
            self.processes.append(subprocess.Popen(argv, env=environment, text=True,
                                                   stdout=subprocess.PIPE))

    def result(self):
        """{rate, p50_ms, p99_ms, errors}; of several nodes the sum of rates, the worst times."""
        rows = []
        for process in self.processes:
            out, _ = process.communicate()
            line = re.search(r"^BENCH \S+ (\S+) (\S+) (\S+) (\S+)$", out, re.M)
            if not line:
                sys.exit(f"wrk failed:\n{out}")
            rows.append([float(word) for word in line.groups()])
        return {"rate": sum(row[0] for row in rows), "p50_ms": max(row[1] for row in rows),
                "p99_ms": max(row[2] for row in rows), "errors": int(sum(row[3] for row in rows))}


def median_of(rows):
    """Member by member, of rows with the same members."""
    return {name: statistics.median(row[name] for row in rows) for name in rows[0]}


def table(head, rows):
    """Prints columns as wide as they have to be; numbers to the right."""
    cells = [head, *[[f"{c:,.2f}" if isinstance(c, float) and abs(c) < 100 else
                      f"{c:,.0f}" if isinstance(c, float) else str(c) for c in row]
                     for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    for row in cells:
        print("  ".join(c.ljust(w) if i == 0 else c.rjust(w)
                        for i, (c, w) in enumerate(zip(row, widths))), flush=True)


def machine():
    """What the figures were taken on."""
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    commit = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"],
                            capture_output=True, text=True, check=False).stdout.strip()
    return {"processor": model[1] if model else "", "cores": os.cpu_count(), "commit": commit,
            "load_before": round(os.getloadavg()[0], 2)}


def save(path, result):
    if path:
        pathlib.Path(path).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
