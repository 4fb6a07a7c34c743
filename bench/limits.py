#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
What shared rate budgets cost: GET of a document with a metered key, with and without --limits, in
turn, against a Redis on this machine by TCP and by its socket. wrk makes the load.

usage: script/bench limits [seconds each=5] [connections=64] [rounds=3]

Requests a second depend on what else the machine does; processor time a request hardly does.
"""
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "api")]
from bed import redis  # noqa: E402
from harness import Server  # noqa: E402

RATE = "1000000000/1000000000"


def cpu_us(pid):
    """Processor time that a process has used, in microseconds."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1e6 / os.sysconf("SC_CLK_TCK")


def load(url, key, seconds, connections):
    """(requests, a second, p50 and p99 in milliseconds)"""
    out = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency",
                          "-H", "X-API-Key: " + key, url],
                         capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in out, out
    scale = {"us": 0.001, "ms": 1, "s": 1000}
    times = {number: float(value) * scale[unit] for number, value, unit in
             re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s)", out)}
    return (int(re.search(r"(\d+) requests in", out)[1]),
            float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]), times["50"], times["99"])


def measure(store, options, seconds, connections):
    server = Server("--rate-standard", RATE, *options).start()
    try:
        workspace = server.workspace()
        path = f"/v1/documents/{workspace.api().new_document()['id']}?download=false"
        pids = server.process.pid, store.server.pid
        before = [cpu_us(pid) for pid in pids]
        count, rate, p50, p99 = load(server.base_url + path, workspace.key(tier="standard"),
                                     seconds, connections)
        used = [(cpu_us(pid) - begun) / count for pid, begun in zip(pids, before)]
        text = server.api().session.get(server.base_url + "/metrics", timeout=20).text
        alone = int(re.search(r"^dossier_limits_fallbacks_total (\d+)$", text, re.M)[1])
    finally:
        server.remove()
    return rate, p50, p99, *used, alone


def main(seconds=5, connections=64, rounds=3):
    with redis.Redis("--unixsocket", "redis.sock", "--unixsocketperm", "777") as store:
        store.home.chmod(0o755)
        ways = {"none": (), "tcp": ("--limits", store.url),
                "socket": ("--limits", f"unix:{store.home}/redis.sock")}
        print(f"==> {connections} connections, {seconds} s each, load generator and Redis included")
        print(f"{'limits':<8}{'requests/s':>12}{'p50_ms':>10}{'p99_ms':>10}{'server_us':>11}"
              f"{'redis_us':>10}{'alone':>8}")
        for _ in range(rounds):
            for name, options in ways.items():
                rate, p50, p99, ours, theirs, alone = measure(store, options, seconds, connections)
                print(f"{name:<8}{rate:>12.0f}{p50:>10.2f}{p99:>10.2f}{ours:>11.0f}{theirs:>10.0f}"
                      f"{alone:>8}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
