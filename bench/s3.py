#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the S3 driver does against a real store on this machine (one OSD, in memory).

usage: bench/s3.py      needs script/build, and the packages of `script/bootstrap test`

Each call is what the service makes: a put is a PUT and a HEAD, a delete a DELETE and a HEAD. What
store and machine can do is shown by curl: the same bytes in one request, not hashed, not compared.
"""
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from bed import ceph  # noqa: E402

CLIENT = ROOT / "build/gcc/tests/fault/s3_client"
SMALL, LARGE = 4096, 256 << 20


def run(store, scripts):
    """One process a script, all at once; the seconds that all took, and what they answered."""
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
    return took, answers


def small(store, clients, calls, base):
    for call in "put", "get", "delete":
        scripts = [[f"{call} {base + 1000 * client + i} {SMALL}" for i in range(calls)]
                   for client in range(clients)]
        took, _ = run(store, scripts)
        print(f"{call:8} 4 KiB, {clients:2} clients: {1000 * took / calls:6.1f} ms a call, "
              f"{clients * calls / took:6.0f} calls/s")


def curl(store, *argv):
    began = time.monotonic()
    subprocess.run(
        ["curl", "-sSf", "-u", f"{store.s3.access_key}:{store.s3.secret_key}", "--aws-sigv4",
         "aws:amz:us-east-1:s3", "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", *argv,
         f"{store.endpoint}/{store.bucket}/by-curl"], check=True)
    return time.monotonic() - began


def large(store):
    def driver(call):
        _, [[answer]] = run(store, [[call]])
        return int(answer.split()[1]) / 1000

    def show(call, took):
        print(f"{call:8} 256 MiB:          {took:6.2f} s, {LARGE / took / (1 << 20):6.0f} MiB/s")

    with tempfile.NamedTemporaryFile() as file:
        file.write(os.urandom(LARGE))
        file.flush()
        for _ in range(3):
            number = time.monotonic_ns()
            show("put", driver(f"put {number} {LARGE}"))
            show("curl put", curl(store, "-T", file.name))
            show("get", driver(f"get {number} {LARGE}"))
            show("curl get", curl(store, "-o", "/dev/null"))
            driver(f"delete {number}")


def main():
    with ceph.Ceph() as store:
        small(store, 1, 300, 1000)
        small(store, 16, 50, 100_000)
        large(store)


if __name__ == "__main__":
    main()
