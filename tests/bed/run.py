#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
Runs a command with real servers beside it, which are stopped when it ends.

usage: tests/bed/run.py [pg] [pg-durable] [s3] [s3-durable] [redis] -- COMMAND...
       tests/bed/run.py pg s3 redis --      prints the variables and runs until Ctrl-C

The command finds in its environment what was named:
    DOSSIER_TEST_DATABASE   postgres://... an empty database, of a role that may create others
    DOSSIER_TEST_S3         s3://bucket?endpoint=...&region=...
    AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY
    DOSSIER_TEST_REDIS      redis://...
Its exit status is passed on; 128 and the signal's number when a signal ended it.
-durable: with fsync; what is killed can be started again, and starting takes longer.
"""
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bed import ceph, postgres, redis, servers  # noqa: E402

ENGINES = {
    "pg": (postgres.Postgres, lambda server: {"DOSSIER_TEST_DATABASE": server.url}),
    "s3": (ceph.Ceph, lambda server: {"DOSSIER_TEST_S3": server.url, **server.credentials}),
    "redis": (redis.Redis, lambda server: {"DOSSIER_TEST_REDIS": server.url}),
}


def made(name):
    """(the engine of that name, not yet started; the function of its variables)"""
    word, _, durable = name.partition("-")
    if word not in ENGINES or durable not in ("", "durable") or name == "redis-durable":
        sys.exit(f"no server is called '{name}'\n{__doc__}")
    make, variables = ENGINES[word]
    return make(durable=True) if durable else make(), variables


def start_all(names, stack):
    """Starts them side by side; their variables."""
    engines = [made(name) for name in names]
    with ThreadPoolExecutor(len(engines) or 1) as pool:
        starts = [pool.submit(engine.start) for engine, _ in engines]
        for (engine, _), start in zip(engines, starts):
            stack.callback(engine.remove)
    for start in starts:
        start.result()
    variables = {}
    for engine, of in engines:
        variables.update(of(engine))
    return variables


def run(command, variables):
    """Runs it; its exit status. A signal to us goes on to it."""
    process, early = None, []
    for number in signal.SIGTERM, signal.SIGHUP:
        signal.signal(number, lambda number, _:
                      process.send_signal(number) if process else early.append(number))
    process = subprocess.Popen(command, env={**os.environ, **variables})
    for number in early:
        process.send_signal(number)
    # the terminal sends Ctrl-C to the command as well, which decides what it means
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    status = process.wait()
    for daemon in (daemon for engine in servers.RUNNING for daemon in engine.daemons):
        if not daemon.alive():
            print(f"test bed: {daemon.name} ended meanwhile\n{daemon.log()}", file=sys.stderr)
    return status if status >= 0 else 128 - status


def wait_for_interrupt(variables):
    for number in signal.SIGINT, signal.SIGTERM:
        signal.signal(number, signal.default_int_handler)
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print()


def main(argv):
    if "--" not in argv or argv[0] in ("-h", "--help"):
        sys.exit(__doc__)
    names, command = argv[:argv.index("--")], argv[argv.index("--") + 1:]
    with ExitStack() as stack:
        begun = time.monotonic()
        variables = start_all(names, stack)
        print(f"test bed: {' '.join(names)} in {time.monotonic() - begun:.1f} s", file=sys.stderr)
        if command:
            return run(command, variables)
        wait_for_interrupt(variables)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
