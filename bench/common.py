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
COUNTED = ("--rate-standard", "1000000000/1000000000")


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
    """Workspaces with a key and some documents each, as bench/load.lua wants them.

    A key of tier "standard" counts its requests; the node then needs a `--rate-standard` that
    never ends (COUNTED).
    """

    def __init__(self, node, workspaces=1, documents=0, tier="unmetered"):
        self.workspaces = [node.workspace(entities="open") for _ in range(workspaces)]
        self.apis = [w.api("read:documents", "write:documents", "admin:documents",
                           "extractions:write", tier=tier) for w in self.workspaces]
        self.documents = [self.new_document(f"bench/{i}") for i in range(documents)]

    def new_document(self, path):
        answer = self.apis[0].post("/v1/documents", json={
            "name": "Acme-NDA-2026.pdf", "mime_type": "application/pdf", "storage_path": path,
            "size_bytes": 183204, "folder": "/clients/acme/ndas",
            "tags": ["nda", "confidentiality"]}, expect=201)
        return answer.json()["data"]["id"]

    def environment(self):
        return {"BENCH_KEY": ",".join(api.key for api in self.apis),
                "BENCH_DOCUMENT": ",".join(self.documents)}


class Load:
    """wrk on some nodes at once: `connections` in all. `more` is its environment (load.lua)."""

    _runs = 0

    def __init__(self, nodes, kind, callers, seconds, connections=CONNECTIONS, **more):
        self.processes = []
        self.begun = time.monotonic()
        for node in nodes:
            Load._runs += 1
            environment = {**os.environ, **(callers.environment() if callers else {}),
                           "BENCH_KIND": kind, **more,
                           "BENCH_RUN": f"{os.getpid()}-{time.time_ns()}-{Load._runs}"}
            argv = ["wrk", "-t1", f"-c{connections // len(nodes)}", f"-d{seconds}s",
                    "-s", str(ROOT / "bench" / "load.lua"), node.base_url]
            self.processes.append(subprocess.Popen(argv, env=environment, text=True,
                                                   stdout=subprocess.PIPE))

    def result(self):
        """{rate, p50_ms, p90_ms, p99_ms, p999_ms, errors, generator}; of several nodes the sum of
        rates, the worst times. generator: how much of a core the load generator took; near 1 it is
        the limit itself."""
        rows, used = [], 0
        for process in self.processes:
            out = process.stdout.read()
            process.stdout.close()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            used += usage.ru_utime + usage.ru_stime
            line = re.search(r"^BENCH \S+ (.*)$", out, re.M)
            if not line:
                raise RuntimeError(f"wrk failed:\n{out}")
            rows.append([float(word) for word in line[1].split()])
        columns = list(zip(*rows))
        names = "p50_ms", "p99_ms", "p90_ms", "p999_ms"
        times = [columns[i] for i in (1, 2, 4, 5)]
        return {"rate": sum(columns[0]), **{n: max(t) for n, t in zip(names, times)},
                "errors": int(sum(columns[3])),
                "generator": used / len(rows) / (time.monotonic() - self.begun)}


def loaded(node, kind, callers, options, **more):
    """What wrk saw, and `us`: processor time a request of the node, in microseconds."""
    before = seconds_of(node.process.pid)
    load = Load([node], kind, callers, options.seconds, options.connections, **more).result()
    spent = seconds_of(node.process.pid) - before
    return {**load, "us": spent * 1e6 / max(1, load["rate"] * options.seconds)}


def words_of(load):
    """For a note: what does not depend on the machine's other work, and what was the limit."""
    words = [f"{load['us']:.0f} µs of a core a request", f"p99 {load['p99_ms']:.1f} ms"]
    if load["generator"] > 0.9:
        words.append("the load generator was the limit")
    if load["errors"]:
        words.append(f"{load['errors']:.0f} answers were errors")
    return "; ".join(words)


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
