#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
What shared rate budgets cost: GET of a document with a metered key, with and without --limits, in
turn, against a Redis on this machine by TCP and by its socket. wrk makes the load.

usage: script/bench limits [seconds each=5] [connections=64] [rounds=3]
"""
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "api")]
from bed import redis  # noqa: E402
from harness import Server  # noqa: E402

RATE = "1000000000/1000000000"


def measure(server, path, key, seconds, connections):
    """Requests a second, p50 and p99 in milliseconds."""
    done = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency",
                           "-H", "X-API-Key: " + key, server.base_url + path],
                          capture_output=True, text=True, check=True)
    assert "Non-2xx" not in done.stdout, done.stdout
    scale = {"us": 0.001, "ms": 1, "s": 1000}
    times = {number: float(value) * scale[unit] for number, value, unit in
             re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s)", done.stdout)}
    return float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)[1]), times["50"], times["99"]


def main(seconds=5, connections=64, rounds=3):
    with redis.Redis("--unixsocket", "redis.sock", "--unixsocketperm", "777") as store:
        store.home.chmod(0o755)
        ways = {"alone": (), "tcp": ("--limits", store.url),
                "socket": ("--limits", f"unix:{store.home}/redis.sock")}
        print(f"==> {connections} connections, {seconds} s each, load generator and Redis included")
        print(f"{'limits':<10} {'requests/s':>12} {'p50_ms':>8} {'p99_ms':>8} {'alone':>8}")
        for _ in range(rounds):
            for name, options in ways.items():
                server = Server("--rate-standard", RATE, *options).start()
                workspace = server.workspace()
                path = f"/v1/documents/{workspace.api().new_document()['id']}?download=false"
                rate, p50, p99 = measure(server, path, workspace.key(tier="standard"), seconds,
                                         connections)
                text = server.api().session.get(server.base_url + "/metrics", timeout=20).text
                alone = re.search(r"^dossier_limits_fallbacks_total (\d+)$", text, re.M)[1]
                server.remove()
                print(f"{name:<10} {rate:>12.0f} {p50:>8.2f} {p99:>8.2f} {alone:>8}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
