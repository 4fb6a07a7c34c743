# SPDX-License-Identifier: Apache-2.0
"""
The process dies at each point of each migration, from nothing and from the first schema.

Afterwards the schema is the one before that step or the one behind it, and the next start goes on
from there to the newest, with everything that was there before.

DOSSIER_CRASH_BIN: as in test_crash_points.py. DOSSIER_CRASH_ROUNDS: how often each (1).
"""
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "api"))

import harness  # noqa: E402  (found by the line above)
import schema1  # noqa: E402
from test_crash_points import DIED, ROUNDS, crash_binary  # noqa: E402, F401 (a fixture)

pytestmark = pytest.mark.timeout(300)  # the first test builds

NEWEST = len(list((ROOT / "src" / "store" / "migrations").glob("*.sqlite.sql")))
# point -> whether the step it lies in is done
POINTS = {"migration.after-script": False, "migration.before-commit": False,
          "migration.after-step": True}
# (version it begins with, step at which it dies)
STEPS = [(begin, step) for begin in (0, 1) for step in range(begin + 1, NEWEST + 1)]


@pytest.fixture
def server():
    made = harness.Server()
    yield made
    made.remove()


def test_the_points_are_all_there_are():
    text = (ROOT / "src" / "store" / "schema.c").read_text()
    assert set(re.findall(r'CRASH_POINT\("([a-z.-]+)"\)', text)) == set(POINTS)


@pytest.mark.parametrize("turn", range(ROUNDS))
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("begin, step", STEPS)
def test_crash_in_migration(server, crash_binary, begin, step, point, turn):  # noqa: F811
    if begin == 1:
        schema1.write(server.data_dir)
    command = ("serve", "--listen", "127.0.0.1:0") if turn % 2 else ("migrate",)
    done = subprocess.run(
        [crash_binary, *command, "--data", server.data_dir], timeout=60, check=False,
        env={**os.environ, "DOSSIER_CRASH_AT": f"{point}:{step - begin}"}, capture_output=True)
    assert done.returncode == DIED, (done.returncode, done.stdout, done.stderr)
    reached = step if POINTS[point] else step - 1
    assert server.run("migrate") == {"from": reached, "to": NEWEST}
    assert server.run("migrate") == {"from": NEWEST, "to": NEWEST}
    server.start()
    if begin == 1:
        schema1.verify(server)
    else:
        server.workspace().api().new_document()
        assert server.run("check")["ok"] is True


def test_the_first_schema_is_brought_up_to_date(server):
    schema1.write(server.data_dir)
    assert server.run("migrate") == {"from": 1, "to": NEWEST}
    schema1.verify(server.start())


def test_a_newer_schema_is_refused(server):
    schema1.write(server.data_dir)
    assert server.run("migrate") == {"from": 1, "to": NEWEST}
    schema1.set_version(server.data_dir, NEWEST + 1)
    done = harness.run_binary("migrate", "--data", server.data_dir)
    assert done.returncode == 1 and "use the newer program" in done.stderr
    assert schema1.version(server.data_dir) == NEWEST + 1
