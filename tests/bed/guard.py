# SPDX-License-Identifier: Apache-2.0
"""
Ends what its parent leaves behind: a run of tests can itself be killed, and nobody stops its
servers then. The parent tells what it starts, a line each, and what has ended; when the pipe
closes, what is left is killed and removed.

    pid NUMBER STARTED    a server, and when it started: a number is used again one day
    directory PATH
    gone WORDS            the line with these words is not valid any more
"""
import os
import shutil
import signal
import subprocess
import sys
import time

END_SECONDS = 20


def started(pid):
    """When a process started, in ticks since boot; None when there is none, or a dead one that
    nobody has waited for."""
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as file:
            words = file.read().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if words[0] in "ZX" else words[19]


def family(pid):
    """A process and all that descend from it, the oldest first."""
    found = [pid]
    for one in found:   # grows
        try:
            for task in os.listdir(f"/proc/{one}/task"):
                with open(f"/proc/{one}/task/{task}/children", encoding="ascii") as file:
                    found += map(int, file.read().split())
        except OSError:
            pass        # it has ended meanwhile
    return found


def signal_all(pid, number):
    """Sends a signal to a whole family, which cannot grow meanwhile; the process ids."""
    found = []
    try:
        os.kill(pid, signal.SIGSTOP)
        found = family(pid)
        for one in found:
            try:
                os.kill(one, number)
            except ProcessLookupError:
                pass
    except ProcessLookupError:
        pass
    return found


def kill(pid):
    """Kills a family, waits for its end, and removes the System V shared memory that PostgreSQL
    leaves then."""
    killed = signal_all(pid, signal.SIGKILL)
    deadline = time.monotonic() + END_SECONDS
    while any(map(started, killed)) and time.monotonic() < deadline:
        time.sleep(0.01)
    with open("/proc/sysvipc/shm", encoding="ascii") as file:
        names, *rows = (line.split() for line in file)
    for row in (dict(zip(names, row)) for row in rows):
        if row["cpid"] == str(pid):
            subprocess.run(["ipcrm", "-m", row["shmid"]], check=False, stderr=subprocess.DEVNULL)


def main():
    known = {}
    for line in sys.stdin:
        word, _, rest = line.rstrip("\n").partition(" ")
        if word == "gone":
            known.pop(rest, None)
        else:
            known[f"{word} {rest}"] = word, rest
    for word, rest in known.values():
        if word == "pid":
            pid, ticks = rest.split()
            if started(pid) == ticks:
                kill(int(pid))
    for word, rest in known.values():
        if word == "directory":
            shutil.rmtree(rest, ignore_errors=True)


if __name__ == "__main__":
    main()
