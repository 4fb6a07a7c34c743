#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the S3 driver does against a real store on this machine (one OSD, in memory).

usage: bench/s3.py      needs script/build, and the packages of `script/bootstrap test`

Each call is what the service makes: a put is a PUT and a HEAD, a delete a DELETE and a HEAD.
"""
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from bed import ceph  # noqa: E402

CLIENT = ROOT / "build/gcc/tests/fault/s3_client"
SMALL, LARGE = 4096, 256 << 20


def run(store, scripts):
    """One process a script, all at once; the seconds that all took together."""
    processes = [subprocess.Popen([CLIENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  text=True, env={**os.environ, **store.credentials})
                 for _ in scripts]
    for process in processes:
        process.stdin.write(f"open {store.url}\n")
        process.stdin.flush()
        assert process.stdout.readline().startswith("OK")
    began = time.monotonic()
    for process, script in zip(processes, scripts):
        process.stdin.write("\n".join(script) + "\n")
        process.stdin.close()
    answers = [process.stdout.read().splitlines() for process in processes]
    took = time.monotonic() - began
    for process, lines, script in zip(processes, answers, scripts):
        assert process.wait() == 0
        assert len(lines) == len(script) and all(line.startswith("OK ") for line in lines), lines
    return took


def small(store, clients, calls, base):
    for call in "put", "get", "delete":
        scripts = [[f"{call} {base + 1000 * client + i} {SMALL}" for i in range(calls)]
                   for client in range(clients)]
        took = run(store, scripts)
        print(f"{call:7} 4 KiB, {clients:2} clients: {1000 * took / calls:6.1f} ms a call, "
              f"{clients * calls / took:6.0f} calls/s")


def large(store):
    for call in "put", "get":
        took = run(store, [[f"{call} 1 {LARGE}"]])
        print(f"{call:7} 256 MiB:          {took:6.2f} s, {LARGE / took / (1 << 20):6.0f} MiB/s")


def main():
    with ceph.Ceph() as store:
        small(store, 1, 300, 1000)
        small(store, 16, 50, 100_000)
        large(store)


if __name__ == "__main__":
    main()
