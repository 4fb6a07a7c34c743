# SPDX-License-Identifier: Apache-2.0
"""Who walks a whole table of a server holds some of its rows at a time, not all of them."""
import subprocess
import time

import harness
from bed import postgres, rows

DOCUMENTS = 100_000
MEMORY_MIB = 60     # of which a command takes some 15 with nothing to do; all these lines take 70


def peak_of(*argv, env):
    """The most memory that a command held, in MiB."""
    run = subprocess.Popen([harness.BINARY, *map(str, argv)], env=env, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
    peak = 0
    while run.poll() is None:
        try:
            with open(f"/proc/{run.pid}/status", encoding="ascii") as status:
                peak = max([peak] + [int(line.split()[1]) >> 10 for line in status
                                     if line.startswith("VmHWM")])
        except OSError:
            pass    # it has just ended
        time.sleep(0.005)
    return peak


def test_audit_lines():
    with postgres.Postgres() as database:
        node = harness.Server(env={"DOSSIER_DATABASE": database.url})
        try:
            workspace = node.workspace()
            workspace.new_key()
            number, owner = postgres.psql(
                database.url, "SELECT workspace_id, encode(user_id, 'hex') FROM api_key")[0]
            library = rows.Library(int(number), b"k" * 16, bytes.fromhex(owner),
                                   int(time.time() * 1000), DOCUMENTS)
            rows.Copy(database.url).write(row for row in library.rows(0, DOCUMENTS)
                                          if row[0] == "audit")
            peak = peak_of("audit", "verify", "--data", node.data_dir, env=node.env)
            assert 0 < peak < MEMORY_MIB or harness.instrumented()
        finally:
            node.remove()
