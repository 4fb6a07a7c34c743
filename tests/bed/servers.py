# SPDX-License-Identifier: Apache-2.0
"""
What all servers of the test bed have in common.

An Engine (postgres.Postgres, ceph.Ceph, ...) is a directory with daemons in it and a context
manager: entering starts it, leaving kills it and removes every trace. A Daemon is one process
that can be killed, frozen, resumed and started again. None is asked to stop nicely unless a test
does so: what they hold is thrown away.
"""
import atexit
import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from . import guard

SLOWER = int(os.environ.get("TESTS_SLOWER", "1"))
READY_SECONDS = 60 * SLOWER
END_SECONDS = 20 * SLOWER
COMMAND_SECONDS = 60 * SLOWER
MEMORY, MEMORY_BYTES = Path("/dev/shm"), 2 << 30
PORTS = range(15000, 32000)     # below those that the kernel gives to clients
ACCOUNT = "nobody"              # who runs servers when root runs tests: initdb refuses root

RUNNING = []                    # engines whose logs are shown when a test fails


class NotReady(Exception):
    """A server did not start, or did not answer in time; its log is in the text."""


# ---- what is left when this process is killed ----

class _Guard:
    """The process of guard.py, started with the first thing that it is told."""

    def __init__(self):
        self.lock = threading.Lock()
        self.process = None

    def tell(self, *words):
        with self.lock:
            if self.process is None:
                self.process = subprocess.Popen(
                    [sys.executable, guard.__file__], stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL, text=True, start_new_session=True)
                atexit.register(self._close)
            self.process.stdin.write(" ".join(map(str, words)) + "\n")
            self.process.stdin.flush()

    def _close(self):
        self.process.stdin.close()
        self.process.wait(END_SECONDS)


_guard = _Guard()


# ---- the machine ----

def account():
    """Who the servers run as: a pwd entry."""
    return pwd.getpwnam(ACCOUNT) if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())


def unprivileged(argv):
    """The command line that runs `argv` as account(). setpriv keeps the process id."""
    argv = [str(arg) for arg in argv]
    if os.geteuid() != 0:
        return argv
    user = account()
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups",
            "--", *argv]


class Port:
    """A free loopback port, or this one, ours until close(): it can be bound again after a kill.

    An abstract socket named after it keeps other runs of the bed away.
    """

    def __init__(self, wanted=None):
        for _ in range(1000):
            number = wanted or random.choice(PORTS)
            claim = socket.socket(socket.AF_UNIX)
            try:
                claim.bind(f"\0dossier-test-bed-{number}")
                with socket.socket() as probe:
                    if wanted:  # connections of who was there before may not be forgotten yet
                        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", number))
            except OSError:
                claim.close()
                continue
            self.number, self.claim = number, claim
            return
        raise NotReady("no free port")

    def close(self):
        self.claim.close()


def program(name, *folders):
    """The path of a program; NotReady says how to get it."""
    path = os.pathsep.join([*map(str, folders), os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    found = shutil.which(name, path=path)
    if found is None:
        raise NotReady(f"{name} is not installed; script/bootstrap test installs it")
    return found


def wait_until(condition, what, seconds=READY_SECONDS, pause=0.02):
    """The first true value of condition(); NotReady when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise NotReady(f"{what}: not within {seconds} s")
        time.sleep(pause)


def answers(port):
    """True when something accepts connections there."""
    try:
        with socket.create_connection(("127.0.0.1", port), 2):
            return True
    except OSError:
        return False


# ---- one process ----

class Daemon:
    """One server process, in the foreground of its own session.

    ready() is asked again and again after a start, until it returns true.
    """

    def __init__(self, name, argv, home, ready, env=None):
        self.name, self.argv, self.home, self.ready = name, argv, Path(home), ready
        self.env = {**os.environ, "HOME": str(home), **(env or {})}
        self.log_path = self.home / f"{name}.log"
        self.process = None
        self._words = None

    @property
    def pid(self):
        return self.process.pid

    def launch(self):
        """Starts it and does not wait."""
        assert not self.alive(), f"{self.name} runs already"
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                unprivileged(self.argv), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.home, env=self.env, start_new_session=True)
        self._words = "pid", self.pid, guard.started(self.pid)
        _guard.tell(*self._words)

    def wait_ready(self):
        def ready():
            if not self.alive():
                raise NotReady(f"{self.name} ended with {self.process.returncode}\n{self.log()}")
            return self.ready()
        try:
            wait_until(ready, f"{self.name} ready")
        except NotReady as error:
            raise NotReady(f"{error}\n{self.log()}") from None

    def start(self):
        self.launch()
        self.wait_ready()

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def _ended(self):
        status = self.process.wait(END_SECONDS)
        _guard.tell("gone", *self._words)
        return status

    def kill(self):
        """kill -9, with all its child processes."""
        if self.alive():
            guard.kill(self.pid)
        if self.process is not None:
            self._ended()

    def stop(self, number=signal.SIGTERM):
        """Asks it to end; its exit status. It is killed when it does not end in time."""
        self.process.send_signal(number)
        try:
            return self._ended()
        except subprocess.TimeoutExpired:
            self.kill()
            return "killed"

    def freeze(self):
        """As a machine that hangs: the kernel keeps the connections, nobody answers."""
        guard.signal_all(self.pid, signal.SIGSTOP)

    def resume(self):
        for pid in guard.family(self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def restart(self):
        self.kill()
        self.start()

    def log(self, last=4000):
        text = self.log_path.read_bytes() if self.log_path.exists() else b""
        return text[-last:].decode(errors="replace")


# ---- a server of one or more processes ----

class Engine:
    """A directory with daemons. A subclass starts them in _start() by add() and run()."""

    name = "engine"

    def __init__(self, memory=False):
        """With `memory` the directory is in memory where there is room: a sync costs nothing."""
        self.memory = memory
        self.home = None
        self.daemons = []
        self.ports = []

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.remove()

    def start(self):
        roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_BYTES
        self.home = Path(tempfile.mkdtemp(prefix=f"dossier-bed-{self.name}-",
                                          dir=MEMORY if self.memory and roomy else None))
        _guard.tell("directory", self.home)
        if os.geteuid() == 0:
            os.chown(self.home, account().pw_uid, account().pw_gid)
        RUNNING.append(self)
        try:
            self._start()
        except BaseException:
            self.remove()
            raise
        return self

    def _start(self):
        raise NotImplementedError

    def remove(self):
        """Kills what runs and removes every trace. Can be called again."""
        if self.home is None:
            return
        if self in RUNNING:
            RUNNING.remove(self)
        for daemon in reversed(self.daemons):
            daemon.kill()
        for port in self.ports:
            port.close()
        shutil.rmtree(self.home)
        _guard.tell("gone", "directory", self.home)
        self.daemons, self.ports, self.home = [], [], None

    def port(self, wanted=None):
        """The number of a port that is this engine's from now on."""
        self.ports.append(Port(wanted))
        return self.ports[-1].number

    def add(self, name, argv, ready, env=None):
        """A daemon of this engine, not yet started."""
        self.daemons.append(Daemon(name, argv, self.home, ready, env))
        return self.daemons[-1]

    def run(self, *argv, env=None, expect=0, **options):
        """Runs a command of the engine to its end, unprivileged; what it prints."""
        with subprocess.Popen(
                unprivileged(argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True, cwd=self.home, start_new_session=True,
                env={**os.environ, "HOME": str(self.home), **(env or {})}, **options) as process:
            words = "pid", process.pid, guard.started(process.pid)
            _guard.tell(*words)     # some wait without end for a server that is not there
            try:
                out, errors = process.communicate(timeout=COMMAND_SECONDS)
            finally:
                if process.poll() is None:
                    guard.kill(process.pid)
                _guard.tell("gone", *words)
        if expect is not None and process.returncode != expect:
            words = " ".join(map(str, argv))
            raise NotReady(f"{words}: exit {process.returncode}\n{out}{errors}")
        return out

    def write(self, name, text):
        """A file in the directory that the daemons can read; its path."""
        path = self.home / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o644)
        return path

    def log(self, last=4000):
        """The end of every daemon's log."""
        return "\n".join(f"--- {daemon.name}\n{daemon.log(last)}" for daemon in self.daemons)
