# SPDX-License-Identifier: Apache-2.0
"""Commands that want the same data directory at the same time."""
import fcntl
import os
import subprocess
import threading
import time

import pytest

from harness import BINARY, COMMAND_SECONDS, Server, run_binary


@pytest.fixture
def alone():
    """A data directory that nobody serves."""
    server = Server()
    yield server
    server.remove()


@pytest.mark.concurrent
@pytest.mark.parametrize("served", [False, True], ids=["alone", "beside"])
def test_commands_at_once(alone, served):
    home = alone.start() if served else alone
    workspace = home.workspace()
    made, threads = [], []
    for _ in range(8):
        threads.append(threading.Thread(target=lambda: made.append(workspace.key())))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 8


def test_commands_wait_while_others_have_their_turn(alone):
    """Five seconds for each that is ahead, not for all of them together."""
    workspace = alone.workspace()
    argv = [BINARY, "key", "list", "--workspace", workspace.id, "--data", str(alone.data_dir)]
    with open(alone.data_dir / "lock", "r+b", buffering=0) as lock:

        def hold(pid):
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.truncate(0)
            os.pwrite(lock.fileno(), b"%d\n" % pid, 0)

        hold(7)
        assert "in use by another dossier (pid 7)" in run_binary(*argv[1:]).stderr
        command = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env={**os.environ, **alone.place.env})
        for pid in range(1, 8):
            hold(pid)
            time.sleep(1)
        fcntl.flock(lock, fcntl.LOCK_UN)
    out, errors = command.communicate(timeout=COMMAND_SECONDS)
    assert command.returncode == 0 and out and not errors, errors
