# SPDX-License-Identifier: Apache-2.0
"""
Promises that depend on time, under a clock that is set, and when days pass.

A preloaded library gives the server its clocks (wallclock.c). clock.set() is what an operator or
NTP does to the wall clock: the monotonic clock knows nothing of it. clock.pass_by() is time that
really passes: both clocks know.

DOSSIER_PURGES: how many documents the purge tests delete (100).
"""
import contextlib
import mmap
import os
import pathlib
import random
import secrets
import socket
import sqlite3
import subprocess
import sys
import time
from datetime import datetime

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "api"))
import harness  # noqa: E402
from harness import data, refused, unique, wait_for  # noqa: E402

MINUTE, HOUR, DAY = 60, 3600, 86400
STEPS = [-HOUR, DAY, -400 * DAY]
MORE_STEPS = [HOUR, -DAY, 400 * DAY]
PURGES = int(os.environ.get("DOSSIER_PURGES", "100"))
KEEP = DAY  # of idempotent answers

by_step = pytest.mark.parametrize(
    "step", STEPS + [pytest.param(step, marks=pytest.mark.slow) for step in MORE_STEPS],
    ids=lambda step: f"{step // HOUR:+d}h")
by_end = pytest.mark.parametrize("end", ["stop", "kill"])


class Clock:
    """The clocks of the servers that are started with `env`."""

    def __init__(self, path, library):
        path.write_bytes(bytes(16))
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 16)
        self.numbers = memoryview(self.map).cast("q")
        # a sanitizer's runtime wants to be the first library; it works as the second, too
        options = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        self.env = {"LD_PRELOAD": str(library), "WALLCLOCK": str(path), "ASAN_OPTIONS": options}

    def set(self, seconds):
        """Sets the wall clock so far from the right time."""
        self.numbers[0] = int(seconds * 1000)

    def pass_by(self, seconds):
        self.numbers[1] += int(seconds * 1000)

    def wall(self):
        return time.time() + sum(self.numbers) / 1000


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    library = tmp_path_factory.mktemp("shim") / "wallclock.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, HERE / "wallclock.c"],
                   check=True, timeout=60)
    return library


@pytest.fixture
def clock(library, tmp_path):
    return Clock(tmp_path / "clock", library)


@pytest.fixture
def start(clock):
    made = []

    def start(*options):
        made.append(harness.Server(*options, env=clock.env))
        return made[-1].start()

    yield start
    for server in made:
        server.remove()


def metric(server, name):
    answer = harness.requests.get(server.base_url + "/metrics", timeout=harness.REQUEST_SECONDS)
    (line,) = [line for line in answer.text.splitlines() if line.startswith(name + " ")]
    return float(line.split()[1])


def run_of(server, clock, job, period):
    """Lets `period` pass, after which this job has run once more, and waits until it has."""
    name = f'dossier_job_last_run_seconds{{job="{job}"}}'
    last = metric(server, name)
    clock.pass_by(period)
    wait_for(lambda: metric(server, name) != last, seconds=20)


def jump(server, clock, api, seconds):
    """Time passes; the client's connection would be too old then."""
    api.session.close()
    clock.pass_by(seconds)


def restart(server, end, between=lambda: None):
    getattr(server, end)()
    between()
    server.start()


def keyed(api, key, path=None):
    """One request with an idempotency key; True when it was replayed."""
    answer = api.put(path or "/v1/entities/deal/d1", json={"name": "n"},
                     headers={"Idempotency-Key": key})
    assert answer.status_code in (200, 201), harness.show(answer)
    return answer.headers.get("Idempotent-Replayed") == "true"


def kept_answers(server):
    """How many idempotent answers the database has."""
    with contextlib.closing(sqlite3.connect(server.data_dir / "dossier.db")) as db:
        return db.execute("SELECT count(*) FROM idempotency").fetchone()[0]


# ---- idempotency keys ----

def test_a_key_is_replayed_for_24_hours_and_then_runs_anew(start, clock):
    server = start()
    api = server.workspace().api()
    for _ in range(20):
        key, begun = unique("key"), clock.wall()
        assert not keyed(api, key)
        jump(server, clock, api, begun + KEEP - 1 - clock.wall())
        replayed = keyed(api, key)
        if clock.wall() < begun + KEEP:     # else the machine was busy for a second
            break
    assert replayed
    jump(server, clock, api, HOUR + 2)
    assert not keyed(api, key)
    run_of(server, clock, "expiry", 25 * HOUR)
    # what has run may have been what fell due an hour ago
    wait_for(lambda: kept_answers(server) == 0, seconds=20)


@by_step
def test_no_step_lets_a_key_expire_early(start, clock, step):
    server = start()
    api = server.workspace().api()
    assert not keyed(api, "before")
    clock.set(step)
    assert keyed(api, "before")
    assert not keyed(api, "between")
    jump(server, clock, api, 0)
    run_of(server, clock, "expiry", 2 * HOUR)
    assert keyed(api, "before") and keyed(api, "between")
    clock.set(0)
    run_of(server, clock, "expiry", 2 * HOUR)
    assert keyed(api, "before") and keyed(api, "between")
    jump(server, clock, api, 19 * HOUR)
    run_of(server, clock, "expiry", MINUTE)
    assert keyed(api, "before") and keyed(api, "between")
    jump(server, clock, api, 30 * HOUR)     # dates from the future were taken for new ones
    run_of(server, clock, "expiry", MINUTE)
    assert not keyed(api, "before") and not keyed(api, "between")


@by_end
@by_step
def test_no_step_between_two_processes_lets_a_key_expire_early(start, clock, step, end):
    server = start()
    api = server.workspace().api()
    assert not keyed(api, "before")
    restart(server, end, lambda: clock.set(step))
    assert keyed(api, "before")
    run_of(server, clock, "expiry", 22 * HOUR)
    assert keyed(api, "before")
    api.session.close()
    run_of(server, clock, "expiry", 30 * HOUR)
    assert not keyed(api, "before")


# ---- deleted bytes ----

def name_of(marker):
    """The name of the document that has these bytes, as it stands in its row."""
    return marker.hex().encode()


def delete_new(api, hard=False):
    """Sends bytes, registers and deletes them; the bytes."""
    marker = secrets.token_bytes(64)
    document = api.new_bytes(marker, name=name_of(marker).decode())
    api.delete(f"/v1/documents/{document['id']}" + ("?hard=true" if hard else ""), expect=204)
    return marker


@pytest.mark.parametrize("grace", ["15m", "55m"])
@by_step
def test_no_step_puts_the_erasure_off(start, clock, step, grace):
    server = start("--purge-after", grace)
    api = server.workspace().api()
    begun = clock.wall()
    first = delete_new(api)
    jump(server, clock, api, 5 * MINUTE)
    clock.set(step)
    second = delete_new(api)
    jump(server, clock, api, 2 * MINUTE)
    clock.set(0)
    jump(server, clock, api, begun + 58 * MINUTE - clock.wall())
    wait_for(lambda: not server.holds(first), seconds=20)
    wait_for(lambda: not server.holds(second), seconds=20)
    assert metric(server, 'dossier_job_backlog{job="purge"}') == 0


@by_step
def test_no_lasting_step_puts_the_erasure_off(start, clock, step):
    server = start("--purge-after", "55m")
    api = server.workspace().api()
    marker = delete_new(api)
    jump(server, clock, api, 5 * MINUTE)
    clock.set(step)
    jump(server, clock, api, 53 * MINUTE)
    wait_for(lambda: not server.holds(marker), seconds=20)


def test_a_clock_set_back_again_and_again_does_not_put_the_erasure_off(start, clock):
    """Each time by less than shows in when the erasure is due."""
    server = start()
    api = server.workspace().api()
    marker = delete_new(api)
    for back in range(1, 6):
        jump(server, clock, api, 10 * MINUTE)
        clock.set(-9 * MINUTE * back)
        time.sleep(1.5)                     # a look of the jobs at the clock
    wait_for(lambda: not server.holds(marker), seconds=20)


@by_end
@by_step
def test_no_step_between_two_processes_puts_the_erasure_off(start, clock, step, end):
    server = start()
    api = server.workspace().api()
    first = delete_new(api)
    jump(server, clock, api, 10 * MINUTE)
    restart(server, end, lambda: clock.set(step))
    jump(server, clock, api, 45 * MINUTE)
    wait_for(lambda: not server.holds(first), seconds=20)
    second = delete_new(api)
    restart(server, end, lambda: clock.set(0))
    jump(server, clock, api, 55 * MINUTE)
    wait_for(lambda: not server.holds(second), seconds=20)


@pytest.mark.parametrize("killed", [False, True])
def test_the_row_of_a_deleted_document_is_gone_too(start, clock, killed):
    """It stands in the database's log until that is emptied, also by the next process."""
    server = start()
    api = server.workspace().api()
    names = [name_of(delete_new(api)), name_of(delete_new(api, hard=True))]
    if killed:
        restart(server, "kill")
    jump(server, clock, api, 56 * MINUTE)
    wait_for(lambda: not still_there(server, names), seconds=20)


def still_there(server, markers):
    """Which of them stand in any file of the data directory."""
    found, markers = set(), list(markers)
    for path in server.data_dir.rglob("*"):
        with contextlib.suppress(OSError):
            if path.is_file() and path.name != "ballast":   # 16 MiB of nothing
                content = path.read_bytes()
                found.update(marker for marker in markers if marker in content)
    return found


@pytest.mark.timeout(60 + PURGES)
def test_deleted_bytes_are_gone_within_the_hour(start, clock):
    """Restarts and kills at random moments; the clock is right."""
    chance = random.Random(PURGES)
    server = start()
    api = server.workspace().api()
    restarts = sorted(chance.sample(range(PURGES), 5))
    deleted = {}                            # marker -> when
    latest = 0
    for number in range(PURGES):
        deleted[delete_new(api)] = clock.wall()
        jump(server, clock, api, chance.uniform(0, 6 * HOUR / PURGES))
        if number in restarts:
            restart(server, "kill" if restarts.index(number) % 2 == 0 else "stop")
        if number % 10 == 0:
            time.sleep(0.3)                 # jobs look at the clock once a second
            due = {m for m, when in deleted.items() if clock.wall() > when + HOUR}
            assert not still_there(server, due)
            latest += len(due)
    jump(server, clock, api, 56 * MINUTE)
    wait_for(lambda: not still_there(server, deleted), seconds=20)
    wait_for(lambda: not still_there(server, map(name_of, deleted)), seconds=20)
    assert latest > 0
    assert metric(server, "dossier_purge_pending") == 0


@pytest.mark.timeout(60 + PURGES)
def test_a_hard_delete_has_erased_before_it_answers(start, clock):
    server = start()
    api = server.workspace().api()
    for _ in range(PURGES):
        assert not still_there(server, [delete_new(api, hard=True)])


# ---- ids and the audit trail ----

@by_end
def test_ids_are_unique_and_the_audit_trail_stays_whole(start, clock, end):
    server = start()
    workspace = server.workspace()
    api = workspace.api()
    made = []
    for step in [0, *STEPS, *MORE_STEPS, 0]:
        clock.set(step)
        made.append([api.new_document()["id"] for _ in range(3)])
        restart(server, end, lambda: clock.set(-step))
        made.append([api.new_document()["id"] for _ in range(3)])
    assert all(ids == sorted(ids) for ids in made), "of one process"
    every = sum(made, [])
    assert len(set(every)) == len(every)
    lines = [line["resource_id"] for line in api.audit(action="create", resource_type="documents")]
    assert sorted(lines) == sorted(every)
    assert server.run("audit", "verify", "--workspace", workspace.id)["ok"]
    server.stop()
    clock.set(-3 * 400 * DAY)
    backup = server.home / "backup"
    server.run("key", "create", "--workspace", workspace.id, "--permissions", "read:documents")
    server.run("backup", str(backup))
    assert server.run("audit", "verify", "--workspace", workspace.id)["ok"]


@pytest.mark.parametrize("step, grows", [(HOUR / 2, True), (400 * DAY, False)])
def test_a_restart_sets_new_times_right_where_the_clock_was_far_ahead(start, clock, step, grows):
    """Where it was ahead by little, order is worth more."""
    server = start()
    api = server.workspace().api()
    clock.set(step)
    first = api.new_document()["id"]
    restart(server, "stop", lambda: clock.set(0))
    second = api.new_document()
    assert (second["id"] > first) is grows
    made = datetime.fromisoformat(second["created_at"].replace("Z", "+00:00")).timestamp()
    assert made - time.time() < (HOUR if grows else MINUTE)


def test_a_restored_audit_trail_goes_on_from_its_newest_line(start, clock):
    server = start()
    workspace = server.workspace()
    delete_new(workspace.api())             # settled, with a line, by the restore
    server.stop()
    clock.set(-DAY)
    backup, again = server.home / "backup", server.home / "again"
    server.run("backup", str(backup))
    done = harness.run_binary("restore", str(backup), "--data", str(again), env=server.env)
    assert done.returncode == 0, done.stderr
    done = harness.run_binary("audit", "verify", "--data", str(again), env=server.env)
    assert done.returncode == 0, done.stdout


def test_a_clock_ahead_for_a_while_removes_no_audit_line(start, clock):
    server = start()
    workspace = server.workspace(audit_days=1)
    api = workspace.api()
    api.new_document()
    run_of(server, clock, "retention", 2 * MINUTE)
    clock.pass_by(50 * MINUTE)
    clock.set(400 * DAY)
    run_of(server, clock, "retention", 15 * MINUTE)
    clock.set(0)
    api.session.close()
    assert len(api.audit(action="create", resource_type="documents")) == 1
    restart(server, "stop", lambda: clock.set(400 * DAY))
    run_of(server, clock, "retention", 2 * MINUTE)
    restart(server, "stop", lambda: clock.set(0))
    assert len(api.audit(action="create", resource_type="documents")) == 1
    clock.set(400 * DAY)                    # and stays there: then it is believed
    run_of(server, clock, "retention", 2 * MINUTE)
    run_of(server, clock, "retention", HOUR + 2 * MINUTE)
    run_of(server, clock, "retention", HOUR + 2 * MINUTE)
    api.session.close()
    assert api.audit(action="create", resource_type="documents") == []
    assert server.run("audit", "verify", "--workspace", workspace.id)["ok"]


# ---- keys and budgets ----

def test_a_key_ends_when_the_wall_clock_says(start, clock):
    server = start()
    ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(clock.wall() + 2 * HOUR))
    api = server.api(server.workspace().key(expires_at=ends))
    for step, status in [(0, 200), (DAY, 401), (-DAY, 200), (3 * HOUR, 401), (HOUR, 200)]:
        clock.set(step)
        api.get("/v1/usage", expect=status)
    clock.set(0)
    jump(server, clock, api, 2 * HOUR)
    api.get("/v1/usage", expect=401)


@by_step
def test_no_step_locks_a_key_out(start, clock, step):
    server = start("--rate-standard", "5/1000", "--rate-high", "1000/5")
    workspace = server.workspace()
    by_minute, by_day = (workspace.api(tier=tier) for tier in ("standard", "high"))
    for api in (by_minute, by_day):
        while api.get("/v1/usage").status_code == 200:
            pass
    clock.set(step)
    answer = by_day.get("/v1/usage")
    if abs(step) >= DAY:                    # another day
        assert answer.status_code == 200
    assert 0 <= int(answer.headers["X-RateLimit-Remaining"]) < 5
    assert 0 < int(answer.headers["X-RateLimit-Reset"]) - clock.wall() <= DAY
    waited = int(by_minute.get("/v1/usage", expect=429).headers["Retry-After"])
    assert waited <= MINUTE
    jump(server, clock, by_minute, waited)
    answer = by_minute.get("/v1/usage", expect=200)
    assert 0 < int(answer.headers["X-RateLimit-Reset"]) - clock.wall() <= DAY


# ---- signed URLs and what waits ----

def test_a_url_made_while_the_clock_was_ahead_does_not_outlive_its_time(start, clock):
    server = start()
    api, anyone = server.workspace().api(), server.api()
    clock.set(400 * DAY)
    document = api.new_bytes(b"content")
    url = data(api.get(f"/v1/documents/{document['id']}"))["download_url"]
    upload = data(api.post("/v1/documents/upload-url", json={}), 201)["upload_url"]
    anyone.get(url, expect=200)
    clock.set(400 * DAY - 30)               # put right by a little: no harm
    anyone.get(url, expect=200)
    clock.set(0)
    refused(anyone.get(url), 403, "invalid_signature")
    refused(anyone.put(upload, data=b"x"), 403, "invalid_signature")
    clock.set(400 * DAY)
    anyone.get(url, expect=200)
    clock.set(401 * DAY)
    refused(anyone.get(url), 403, "invalid_signature")
    clock.set(400 * DAY)
    jump(server, clock, anyone, 15 * MINUTE)
    refused(anyone.get(url), 403, "invalid_signature")


def test_no_step_revives_a_used_upload_url(start, clock):
    server = start()
    api = server.workspace().api()
    url = data(api.post("/v1/documents/upload-url", json={}), 201)["upload_url"]
    api.put(url, data=b"first", expect=200)
    clock.set(2 * DAY)
    run_of(server, clock, "expiry", MINUTE)
    clock.set(0)
    refused(api.put(url, data=b"second"), 403, "invalid_signature")
    api.session.close()
    run_of(server, clock, "expiry", 26 * HOUR)
    server.stop()
    with contextlib.closing(sqlite3.connect(server.data_dir / "dossier.db")) as db:
        assert db.execute("SELECT count(*) FROM upload_used").fetchone()[0] == 0


@by_step
def test_no_step_makes_waiting_bytes_stale(start, clock, step):
    server = start()
    api = server.workspace().api()
    marker = secrets.token_bytes(64)
    clock.set(step)
    made = data(api.post("/v1/documents/upload-url", json={}), 201)
    api.put(made["upload_url"], data=marker, expect=200)
    for at in (0, step, 0):
        clock.set(at)
        api.session.close()
        run_of(server, clock, "sweep", HOUR + MINUTE)
        assert server.holds(marker)
    for _ in range(2):                      # dates from the future were taken for new ones
        run_of(server, clock, "sweep", 25 * HOUR)
    wait_for(lambda: not server.holds(marker), seconds=20)
    assert data(api.get("/v1/usage"))["bytes"] == 0


def test_slow_clients_are_cut_after_a_step(start, clock):
    server = start()
    clock.set(-DAY)
    with socket.create_connection(server.address, timeout=20) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        assert slow.recv(1) == b""
