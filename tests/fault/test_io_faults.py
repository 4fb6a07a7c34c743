# SPDX-License-Identifier: Apache-2.0
"""
The first, second, third … file call of a request fails, on the binary as it is shipped.

For every route that changes something, for those that read, for the start and for the jobs, with
EIO, ENOSPC and short writes, once and for ever. What was acknowledged is there, what was refused
is not, the same request with its key then has exactly one effect, and nothing is damaged; the
process ends by itself, with 70 or (at its start) 1, or not at all.

By default a sample; marked slow, every fifth n until the request passes untouched.
DOSSIER_FAULT_STEP=1 tries each.
"""
import contextlib
import errno
import itertools
import os
import shutil
import time

import pytest
import requests

from faults import (FAIL_STOP, READS, WRITES, Subject,  # noqa: F401  (the last is a test)
                    test_every_route_that_changes_something_is_tried)
from saboteur import FILES, SPACE, TRANSFERS, Saboteur, harness
import blob_files
from harness import data, wait_for

pytestmark = pytest.mark.timeout(300)

KINDS = {
    "EIO once": (FILES, {"error": errno.EIO, "once": True}),
    "EIO": (FILES, {"error": errno.EIO}),
    "ENOSPC once": (SPACE, {"error": errno.ENOSPC, "once": True}),
    "ENOSPC": (SPACE, {"error": errno.ENOSPC}),
    "half, then ENOSPC": (SPACE, {"error": errno.ENOSPC, "effect": "short"}),
    "halves": (TRANSFERS, {"effect": "short"}),
}
NEVER = 2**62
SAMPLES = 4             # a route, by default
STEP = int(os.environ.get("DOSSIER_FAULT_STEP", "5"))
MOST_CALLS = 1000


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    made = Subject(tmp_path_factory.mktemp("subject"))
    yield made
    made.close()


def arming(subject, kind, nth):
    calls, how = KINDS[kind]
    return lambda: subject.saboteur.arm(*calls, nth=nth, **how)


def calls_of(subject, make):
    """How many file calls the request makes when none fails."""
    _, met = subject.attempt(make(subject.side), lambda: subject.saboteur.arm(*FILES, nth=NEVER))
    return met.seen


@pytest.mark.parametrize("op", WRITES)
def test_a_sample(subject, op):
    make = WRITES[op]
    wanted, calls = subject.effect(make), calls_of(subject, make)
    begin = 7 * list(WRITES).index(op)
    for i in range(begin, begin + SAMPLES):
        kind = list(KINDS)[i % len(KINDS)]
        subject.write(op, make, wanted, arming(subject, kind, 1 + i * 5 % calls))
    subject.sound()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("op", WRITES)
def test_every_call(subject, op, kind):
    make = WRITES[op]
    wanted = subject.effect(make)
    until_untouched(lambda n: subject.write(op, make, wanted, arming(subject, kind, n)),
                    list(WRITES).index(op))
    subject.sound()


def until_untouched(trial, begin=0):
    """The first three, and then every n, or every fifth, while trial(n) meets the fault; the end
    has to be met twice, for a checkpoint may add calls."""
    for n in itertools.chain(range(1, 4), range(4 + begin % STEP, MOST_CALLS, STEP)):
        if not trial(n) and not trial(n):
            assert n > 1, "no call was met"
            return
    raise AssertionError("no end of calls")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["EIO once", "EIO", "ENOSPC once"])
def test_every_call_with_named_temporaries(tmp_path, kind):
    subject, make = Subject(tmp_path, named=True), WRITES["upload.create large"]
    try:
        wanted = subject.effect(make)
        until_untouched(lambda n: subject.write(
            "upload.create large", make, wanted, arming(subject, kind, n)))
        subject.sound()
    finally:
        subject.close()


@pytest.mark.parametrize("op", READS)
def test_reads(subject, op):
    """Every file call fails, first none of them: the page cache may answer."""
    for nth in (1, 2):
        subject.read(op, READS[op], lambda nth=nth: subject.saboteur.arm(
            *FILES, error=errno.EIO, nth=nth))


# ---- bytes that cannot be read ----

@pytest.mark.parametrize("size, path, calls", [
    (300000, "/objects/", ("open",)), (300000, "/objects/", ("stat",)),
    (300000, "/objects/", ("sendfile", "pread", "read")),
    (3000, "/small.db", ("pread", "read"))])
def test_unreadable_bytes(subject, size, path, calls):
    """A 500, or an end before the last byte; others are served, and so is this one afterwards."""
    content = os.urandom(size)
    side, saboteur = subject.side, subject.saboteur
    document = side.api.new_bytes(content)
    url = data(side.api.get(f"/v1/documents/{document['id']}"))["download_url"]
    saboteur.arm(*calls, error=errno.EIO, path=path)
    try:
        for _ in range(3):
            assert received(url) != content
        side.api.new_document()
        side.api.get("/readyz", expect=200)
    finally:
        met = saboteur.disarm()
    assert met.spoilt >= 3
    assert received(url) == content


def received(url):
    """The body of a 200; None for a 500 and for a body that ends early."""
    with contextlib.suppress(requests.exceptions.ChunkedEncodingError, requests.ConnectionError):
        answer = requests.get(url, timeout=20)
        assert answer.status_code in (200, 500)
        whole = len(answer.content) == int(answer.headers["Content-Length"])
        return answer.content if answer.status_code == 200 and whole else None
    return None


# ---- the start ----

class Prepared:
    """A directory whose start has much to do: bytes are due, and temporary files were left."""

    MARK = b"MARK-due-at-the-next-start"

    def __init__(self, directory):
        server = harness.Server("--purge-after", "0s").start()
        self.key = server.workspace(entities="open").key()
        api = server.api(self.key)
        self.document = api.new_bytes(b"stays")["id"]
        due = [api.new_bytes(self.MARK + bytes([i]))["id"] for i in range(3)]
        for document in due:
            api.delete(f"/v1/documents/{document}", expect=204)
        server.kill()
        (server.data_dir / "ballast").unlink(missing_ok=True)   # large to copy, and laid again
        (server.data_dir / "blobs" / "tmp" / ("0" * 32)).write_bytes(b"left over")
        self.data_dir = shutil.copytree(server.data_dir, directory / "prepared",
                                        ignore=shutil.ignore_patterns("*.sock"))
        server.remove()

    def fill(self, data_dir):
        shutil.rmtree(data_dir, ignore_errors=True)
        shutil.copytree(self.data_dir, data_dir)

    def verify(self, server):
        assert server.holds(b"stays") and not server.holds(self.MARK)
        assert not list((server.data_dir / "blobs" / "tmp").iterdir())
        url = data(server.api(self.key).get(f"/v1/documents/{self.document}"))["download_url"]
        assert requests.get(url, timeout=20).content == b"stays"


class First:
    """No directory yet."""

    def fill(self, data_dir):
        shutil.rmtree(data_dir, ignore_errors=True)

    def verify(self, server):
        server.workspace().api().new_document()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return Prepared(tmp_path_factory.mktemp("prepared"))


@pytest.fixture
def starting(tmp_path):
    saboteur = Saboteur(tmp_path)
    server = saboteur.server("--purge-after", "0s")
    yield saboteur, server
    saboteur.disarm()
    server.remove()


def start_under_fault(saboteur, server, directory, kind, nth):
    """True when the fault was met."""
    directory.fill(server.data_dir)
    calls, how = KINDS[kind]
    before = server.log_size()
    saboteur.arm(*calls, nth=nth, **how)
    ready = server.launch()
    if not ready:
        status, said = server.process.wait(20), server.log(before).strip().splitlines()
        assert status in (1, FAIL_STOP) and said, (kind, nth, status, said)
        if status == 1:
            assert any(line.startswith("dossier: ") for line in said), said
    met = saboteur.disarm()
    if ready:
        requests.get(server.base_url + "/readyz", timeout=20)
    status = server.stop()
    assert not ready or status in (0, FAIL_STOP), (kind, nth, met, status)
    server.start()
    try:
        directory.verify(server)
        report = server.run("check")
        assert report["ok"] is True and report["counts"]["missing"] == 0, report
    finally:
        assert server.stop() == 0
    return bool(met.spoilt)


def start_cases(kinds, n):
    return [(kind, nth) for i, kind in enumerate(kinds) for nth in range(1 + i, 1 + i + n * 11, 11)]


@pytest.mark.parametrize("first", [True, False])
def test_a_sample_of_starts(starting, prepared, first):
    directory = First() if first else prepared
    for kind, nth in start_cases(["EIO once", "EIO", "ENOSPC"], 4):
        start_under_fault(*starting, directory, kind, nth)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", [True, False])
def test_every_call_of_the_start(starting, prepared, first, kind):
    directory = First() if first else prepared
    until_untouched(lambda n: start_under_fault(*starting, directory, kind, n))


# ---- the jobs ----

@pytest.mark.slow
def test_purge_goes_on_once_it_can(tmp_path):
    """Bytes that cannot be removed stay due, the server serves on, and then they go."""
    subject = Subject(tmp_path, "--purge-after", "0s")
    try:
        mark = b"MARK-cannot-be-removed" * 4000
        document = subject.side.api.new_bytes(mark)
        subject.saboteur.arm("unlink", error=errno.EIO, path="/objects/")
        subject.side.api.delete(f"/v1/documents/{document['id']}", expect=204)
        wait_for(lambda: subject.saboteur.result().spoilt, seconds=20)
        subject.side.api.new_document()
        subject.sound()
        assert subject.server.holds(mark)
        subject.saboteur.disarm()
        wait_for(lambda: not subject.server.holds(mark), seconds=20)
        subject.sound()
    finally:
        subject.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["EIO once", "EIO"])
def test_every_call_of_a_sweep(tmp_path, kind):
    """Two seconds after the start bytes that no row names are looked for, and removed."""
    subject = Subject(tmp_path, "--orphan-age", "0s")
    try:
        subject.side.api.new_bytes(b"has a row")
        for nth in range(1, 40, 2 * STEP):
            orphan = plant_orphan(subject.server)
            subject.server.start()
            arming(subject, kind, nth)()
            time.sleep(3)
            subject.saboteur.disarm()
            if subject.ended():
                subject.restart((FAIL_STOP,))
            report = subject.sound()
            assert report["blobs"] >= 1 and subject.server.holds(b"has a row")
            orphan.unlink(missing_ok=True)
    finally:
        subject.close()


def plant_orphan(server):
    """A file, and a row beside it."""
    workspace = next(iter(blob_files.all_of(server.data_dir)))[:-32]
    name = workspace + "0" * 28 + "abcd"
    server.kill()
    if name not in blob_files.small(server.data_dir):
        blob_files.put(server.data_dir, name, b"no row names this")
    return blob_files.put_file(server.data_dir, name[:-1] + "e", b"nor this")
