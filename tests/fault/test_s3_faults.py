# SPDX-License-Identifier: Apache-2.0
"""
The S3 driver in front of a store that does wrong: every request it makes, with every fault of the
proxy between, once and for as long as it lasts. The cells of a row run side by side: they wait
most of the time.

Whatever happens: what was acknowledged is there, what was deleted is not, what was read is what
was written, each call ends in time, and with the end of the fault all is well again.
"""
import contextlib
import itertools
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bed import ceph, fault_proxy, servers  # noqa: E402

BIN = os.environ.get("DOSSIER_BIN", str(Path(__file__).resolve().parents[2] / "build/dossier"))
CLIENT = Path(BIN).resolve().parent / "tests/fault/s3_client"
TIMEOUT_MS = 3000
SIDE_BY_SIDE = 6
# a call's own bound; a multipart upload is several, and the machine is shared
BOUND_MS = 4 * TIMEOUT_MS + 8000 * servers.SLOWER
OPTIONS = f"&timeout_ms={TIMEOUT_MS}&connect_timeout_ms=500&stall_timeout_ms=500&part_mib=5"
SMALL, LARGE, READ = 100_000, (5 << 20) + 1, 1_500_000
HEALED_SECONDS = 20 * servers.SLOWER

numbers = itertools.count(1)


class Client:
    """One process of the driver."""

    def __init__(self, env):
        self.process = subprocess.Popen([CLIENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, env={**os.environ, **env})

    def call(self, *words):
        """The outcome; how long it took and why are kept."""
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        outcome, took, self.detail = self.process.stdout.readline().rstrip("\n").split(" ", 2)
        self.took_ms = int(took)
        assert self.took_ms < BOUND_MS, (words, outcome, self.took_ms, self.detail)
        return outcome

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(60 * servers.SLOWER) == 0


@pytest.fixture(scope="module")
def store():
    with ceph.Ceph() as engine:
        yield engine


@contextlib.contextmanager
def running(env):
    client = Client(env)
    try:
        yield client
    finally:
        client.close()


@contextlib.contextmanager
def client_of(store, proxy):
    url = store.url_at(proxy.endpoint).replace("?", f"/{next(numbers)}?", 1)
    with running(store.credentials) as client:
        client.prefix = url.split("?")[0].split("/", 3)[3]
        assert client.call("open", url + OPTIONS) == "OK", client.detail
        try:
            yield client
        finally:
            proxy.heal()


@pytest.fixture
def proxy(store):
    with fault_proxy.FaultProxy(store.number) as between:
        yield between


@pytest.fixture
def client(store, proxy):
    with client_of(store, proxy) as one:
        yield one


def key(client, number):
    digits = f"{number:032x}"
    return f"{client.prefix}/objects/{digits[-4:-2]}/{digits[-2:]}/{7:016x}-{digits}"


def content(number, size):
    """As bytes_of() of the client."""
    mask, out = (1 << 64) - 1, b""
    for i in range(0, size, 8):
        z = (number * 1000003 + i * 0x9e3779b97f4a7c15) & mask
        z = ((z ^ z >> 30) * 0xbf58476d1ce4e5b9) & mask
        out += (z ^ z >> 27).to_bytes(8, "little")
    return out[:size]


def check_stored(store, client, number, size):
    got = store.s3.get(store.bucket, key(client, number))
    assert got is not None, "acknowledged, and not there"
    assert len(got) == size and got[:999] == content(number, 999)


# ---- the calls: what is done, and which request of it meets the fault ----

class Case:
    """`verb` and `path` pick the request of `act`; `before` is done without the fault."""

    def __init__(self, act, verb, path, size, before=()):
        self.act, self.verb, self.path, self.size, self.before = act, verb, path, size, before


CASES = {
    "put": Case("put", "PUT", "/objects/", SMALL),
    "look": Case("put", "HEAD", "/objects/", SMALL),
    "begin": Case("put", "POST", r"\?uploads=", LARGE),
    "part": Case("put", "PUT", r"\?partNumber=1&", LARGE),
    "complete": Case("put", "POST", r"\?uploadId=", LARGE),
    "get": Case("get", "GET", "/objects/", SMALL, before=["put"]),
    "window": Case("get", "GET", "/objects/", READ, before=["put"]),
    "stat": Case("stat", "HEAD", "/objects/", SMALL, before=["put"]),
    "delete": Case("delete", "DELETE", "/objects/", SMALL, before=["put"]),
    "list": Case("each", "GET", r"\?list-type=2", SMALL, before=["put"]),
}
FAULTS = {
    "refuse": dict(kind="refuse"),
    "reset in the request": dict(kind="reset_request", after=40_000),
    "no answer": dict(kind="lose_answer"),
    "reset in the answer": dict(kind="reset_response", after=150),
    "truncated": dict(kind="truncate", after=150),
    "shortened": dict(kind="shorten", after=150),
    "500": dict(kind="status", status=500),
    "500, and done": dict(kind="status", status=500, reached=True),
    "503": dict(kind="status", status=503),
    "403": dict(kind="status", status=403, code="InvalidAccessKeyId"),
    "stale 404": dict(kind="status", status=404),
    "200 with an error": dict(kind="error_in_200"),
    "done, it says": dict(kind="status", status=204),
    "hang": dict(kind="hang"),
    "hang, and done": dict(kind="hang", reached=True),
    "bit flip": dict(kind="flip", at=1000),
    "slow drip": dict(kind="drip", rate=40),
    "slow request": dict(kind="drip_request", rate=10_000),
}
# A request without a body, or an answer without one, cannot be cut or slowed there.
NO_REQUEST_BODY = {"look", "begin", "get", "window", "stat", "delete", "list"}
NO_ANSWER_BODY = {"put", "look", "part", "stat", "delete"}
IN_REQUEST = {"reset in the request", "slow request"}
IN_ANSWER = {"reset in the answer", "truncated", "shortened", "bit flip", "slow drip"}
EVERYDAY = {"put", "get", "delete"}     # the other rows are no other kind, and take longer


def makes_sense(case, fault):
    if fault == "done, it says":
        return case == "delete"
    if fault == "bit flip":     # in XML, which has no checksum, only TLS could tell
        return case in ("get", "window")
    return not (case in NO_REQUEST_BODY and fault in IN_REQUEST) and \
        not (case in NO_ANSWER_BODY and fault in IN_ANSWER)


def run(client, call, number, size):
    return client.call(call, *([number] if call != "each" else []),
                       *([size] if call in ("put", "get") else []))


def check(store, client, call, number, size, outcome):
    """What an outcome promises is so, seen by another client and past the proxy."""
    if outcome != "OK":
        return
    if call == "put":
        check_stored(store, client, number, size)
    elif call == "delete":
        assert store.s3.get(store.bucket, key(client, number)) is None


def healed(client, *words):
    """Soon all is well; a breaker may still be open."""
    deadline = time.monotonic() + HEALED_SECONDS
    while (outcome := client.call(*words)) == "UNAVAILABLE":
        assert time.monotonic() < deadline, client.detail
    return outcome


def cell(store, proxy, client, case, fault):
    for times in 1, None:
        number = next(numbers)
        for call in case.before:
            assert healed(client, call, number, case.size) == "OK", client.detail
        rule = proxy.fault(verb=case.verb, path=case.path, times=times, **FAULTS[fault])
        outcome = run(client, case.act, number, case.size)
        assert rule.hits > 0
        # one slow request may take all the time that there is
        lasts = times is None or fault.startswith("slow")
        allowed = {"OK", "UNAVAILABLE"} if lasts else {"OK"}
        if fault == "bit flip":
            allowed = {"IO"}    # seen before the last byte; the next try is a new download
        assert outcome in allowed, (times, outcome, client.detail)
        proxy.heal()
        check(store, client, case.act, number, case.size, outcome)


def all_is_well(store, client, size):
    number = next(numbers)
    assert healed(client, "put", number, size) == "OK", client.detail
    check_stored(store, client, number, size)
    assert healed(client, "get", number, size) == "OK", client.detail
    assert healed(client, "delete", number) == "OK", client.detail
    assert store.s3.get(store.bucket, key(client, number)) is None
    # what the faults have left is found by a sweep
    assert healed(client, "sweep") == "OK", client.detail
    assert store.s3.uploads(store.bucket, client.prefix) == []


def run_cell(store, case, fault):
    """What went wrong in a cell, or None."""
    try:
        with fault_proxy.FaultProxy(store.number) as proxy, client_of(store, proxy) as client:
            cell(store, proxy, client, case, fault)
            all_is_well(store, client, case.size)
    except AssertionError as error:
        return f"{fault}: {error}"
    return None


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=[] if name in EVERYDAY else [pytest.mark.slow]) for name in CASES])
def test_every_fault_of(store, name):
    faults = [fault for fault in FAULTS if makes_sense(name, fault)]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        wrong = list(pool.map(lambda fault: run_cell(store, CASES[name], fault), faults))
    assert not list(filter(None, wrong))


def test_there_are_enough():
    assert sum(makes_sense(name, fault) for name in CASES for fault in FAULTS) >= 100


# ---- the whole store ----

def test_a_store_that_is_away_costs_no_time(proxy, client):
    """After some failures calls do not wait any more, until one finds the store again."""
    number = next(numbers)
    assert client.call("put", number, SMALL) == "OK"
    rule = proxy.fault("hang", times=None)
    outcomes = [client.call("stat", number) for _ in range(4)]
    assert outcomes == ["UNAVAILABLE"] * 4
    seen = rule.seen
    for _ in range(200):
        assert client.call("stat", number) == "UNAVAILABLE"
    assert rule.seen - seen <= 20       # one in a while looks
    proxy.heal()
    assert healed(client, "get", number, SMALL) == "OK"


def test_a_store_that_refuses_connections(proxy, client):
    number = next(numbers)
    assert client.call("put", number, SMALL) == "OK"
    proxy.down()
    try:
        assert client.call("get", number, SMALL) == "UNAVAILABLE"
        assert client.call("put", next(numbers), LARGE) == "UNAVAILABLE"
        assert client.call("delete", number) == "UNAVAILABLE"
    finally:
        proxy.up()
    assert healed(client, "get", number, SMALL) == "OK"


def test_a_frozen_cluster(store, client):
    """The gateway takes requests and answers none, as its disks do not answer it."""
    numbers_of = [next(numbers) for _ in range(3)]
    for number in numbers_of:
        assert client.call("put", number, SMALL) == "OK"
    store.osd.freeze()
    try:
        outcomes = {number: client.call("put", number, SMALL)
                    for number in (next(numbers) for _ in range(3))}
        assert set(outcomes.values()) == {"UNAVAILABLE"}
        assert client.call("get", numbers_of[0], SMALL) == "UNAVAILABLE"
        assert client.call("delete", numbers_of[1]) == "UNAVAILABLE"
    finally:
        store.osd.resume()
    for number in numbers_of[0], numbers_of[2]:
        assert healed(client, "get", number, SMALL) == "OK", client.detail


def test_a_full_store(store, client):
    admin = servers.program("radosgw-admin")
    for argv in ("set", "--max-size=4096"), ("enable",):
        store.run(admin, "quota", argv[0], "--uid=dossier", "--quota-scope=user", *argv[1:],
                  env=store.env)
    try:
        assert client.call("put", next(numbers), 1 << 20) == "STORAGE_FULL", client.detail
    finally:
        store.run(admin, "quota", "disable", "--uid=dossier", "--quota-scope=user", env=store.env)
    number = next(numbers)
    while (outcome := client.call("put", number, SMALL)) == "STORAGE_FULL":
        number = next(numbers)  # the gateway keeps what it knows of a user for a while
    assert outcome == "OK", client.detail


# ---- other stores than the one we would like ----

def test_a_store_without_conditions(store, proxy, client):
    """One that does not know If-None-Match is asked what is there, from then on."""
    rule = proxy.fault("status", verb="PUT", status=501, times=1)
    number = next(numbers)
    assert client.call("put", number, SMALL) == "OK", client.detail
    assert rule.hits == 1
    proxy.forget()
    assert client.call("put", number, SMALL) == "CONFLICT"
    assert [one.verb for one in proxy.seen] == ["HEAD"]
    check_stored(store, client, number, SMALL)
    assert client.call("put", next(numbers), SMALL) == "OK"


def test_a_bucket_that_keeps_versions(store):
    """There nothing can be erased, so it has to be wanted."""
    store.s3.make_bucket("versions")
    enable = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    assert store.s3.request("PUT", "versions", enable, {"versioning": ""}).status == 200
    url = store.url.replace(store.bucket, "versions", 1)
    with running(store.credentials) as client:
        assert client.call("open", url) == "INVALID"
        assert "versions=allow" in client.detail
        assert client.call("open", url + "&versions=allow") == "OK", client.detail


def test_keys_are_changed_while_it_runs(store, tmp_path):
    """New keys in the file are found when the store refuses the old ones."""
    def key_of(command, access):
        store.run(servers.program("radosgw-admin"), "key", command, "--uid=dossier",
                  "--key-type=s3", f"--access-key={access}", "--secret-key=of-" + access,
                  env=store.env)
        file.write_text(f"[default]\naws_access_key_id={access}\n"
                        f"aws_secret_access_key=of-{access}\n", encoding="ascii")

    file = tmp_path / "credentials"
    key_of("create", "FIRST")
    with running({}) as client:
        url = store.url.replace("?", "/keys?", 1) + f"&credentials={file}"
        assert client.call("open", url) == "OK", client.detail
        number = next(numbers)
        assert client.call("put", number, SMALL) == "OK", client.detail
        key_of("rm", "FIRST")
        key_of("create", "SECOND")
        assert client.call("get", number, SMALL) == "OK", client.detail
    key_of("rm", "SECOND")
