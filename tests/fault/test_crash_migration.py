# SPDX-License-Identifier: Apache-2.0
"""
The process dies at each point of each migration, from nothing and from the first schema, and from
one with answers kept for idempotency keys as version 4 had them.

Afterwards the schema is the one before that step or the one behind it, and the next start goes on
from there to the newest, with everything that was there before.

DOSSIER_CRASH_BIN: as in test_crash_points.py. DOSSIER_CRASH_ROUNDS: how often each (1).
"""
import contextlib
import os
import re
import sqlite3
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
KEPT = 4    # the last version that kept answers in the order of their hashes
ANSWERS = 40
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


def as_kept_before(server):
    """Makes of what a stopped server has what a program of version KEPT left; the answers."""
    with contextlib.closing(sqlite3.connect(server.data_dir / "dossier.db")) as db:
        schema1.keep_answers_as_before(db)
    schema1.set_version(server.data_dir, KEPT)
    with contextlib.closing(sqlite3.connect(server.data_dir / "dossier.db")) as db:
        return kept_rows(db)


def kept_rows(db):
    return db.execute("SELECT workspace_id, key_hash, fingerprint, answer, completed_at"
                      " FROM idempotency ORDER BY workspace_id, key_hash").fetchall()


def send(api, number):
    return api.post("/v1/documents", headers={"Idempotency-Key": f"kept-{number}"}, json={
        "name": f"\u00e4 \"{number}\"", "mime_type": "text/plain",
        "storage_path": f"kept/{number}"})


@pytest.mark.parametrize("point", [None, *POINTS])
def test_kept_answers_are_taken_over(server, crash_binary, point):  # noqa: F811
    api = server.start().workspace().api()
    first = [send(api, number) for number in range(ANSWERS)]
    assert all(answer.status_code == 201 for answer in first)
    server.stop()
    before = as_kept_before(server)
    assert len(before) == ANSWERS
    if point:
        done = subprocess.run([crash_binary, "migrate", "--data", server.data_dir], timeout=60,
                              check=False, capture_output=True,
                              env={**os.environ, "DOSSIER_CRASH_AT": f"{point}:1"})
        assert done.returncode == DIED, (done.returncode, done.stdout, done.stderr)
    assert server.run("migrate")["to"] == NEWEST
    with contextlib.closing(sqlite3.connect(server.data_dir / "dossier.db")) as db:
        assert kept_rows(db) == before
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert not db.execute("SELECT 1 FROM sqlite_master WHERE name LIKE '%before%'").fetchall()
        plans = [db.execute(f"EXPLAIN QUERY PLAN {sql}").fetchone()[3] for sql in (
            "SELECT answer FROM idempotency WHERE workspace_id = 1 AND key_hash = x'00'",
            "SELECT count(*), min(completed_at) FROM idempotency WHERE completed_at < 9")]
    assert "INDEX sqlite_autoindex_idempotency_1" in plans[0], plans
    assert "INDEX idempotency_age" in plans[1], plans
    api = server.start().api(api.key)
    for number, answer in enumerate(first):
        again = send(api, number)
        assert again.headers["Idempotent-Replayed"] == "true"
        assert (again.status_code, again.content) == (answer.status_code, answer.content)
    assert harness.data(api.get("/v1/usage"))["documents"] == ANSWERS


def test_a_newer_schema_is_refused(server):
    schema1.write(server.data_dir)
    assert server.run("migrate") == {"from": 1, "to": NEWEST}
    schema1.set_version(server.data_dir, NEWEST + 1)
    done = harness.run_binary("migrate", "--data", server.data_dir)
    assert done.returncode == 1 and "use the newer program" in done.stderr
    assert schema1.version(server.data_dir) == NEWEST + 1
