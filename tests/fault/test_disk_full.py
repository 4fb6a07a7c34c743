# SPDX-License-Identifier: Apache-2.0
"""
A full disk: a data directory on a small tmpfs, in a mount name space of its own.

What does not fit is refused with 507 and leaves nothing behind; what is there stays readable and
can be deleted; once there is room again the server serves on, without a restart.

The name space is made with `unshare -m`, or `unshare -rm` without root. Where neither can be had
the tests are skipped, and say so.
"""
import contextlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "api"))

import harness  # noqa: E402  (found by the line above)
from harness import data, refused, wait_for  # noqa: E402

pytestmark = pytest.mark.timeout(120)

MIB = 1 << 20
DISK_MIB = 64
FILE = bytes(range(256)) * (4 * MIB // 256)
UPLOAD_TEXT = "Failed to upload documents. Please try again later."


class SmallDisk:
    """A tmpfs that only programs started through `wrapper` see under `mount`."""

    def __init__(self, home):
        self.mount = home / "disk"
        self.mount.mkdir()
        script = (f"mount -t tmpfs -o size={DISK_MIB}m,mode=0700 none '{self.mount}' && echo ready"
                  " && read -r _")
        root = os.geteuid() == 0
        self.holder = subprocess.Popen(["unshare", "-m" if root else "-rm", "sh", "-c", script],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True)
        if self.holder.stdout.readline() != "ready\n":
            reason = self.holder.stderr.read().strip()
            self.holder.wait(10)
            pytest.skip(f"a full disk cannot be tested: no mount can be made here ({reason})")
        self.seen = Path(f"/proc/{self.holder.pid}/root") / self.mount.relative_to("/")
        enter = "-m" if root else "-U --preserve-credentials -m"
        self.wrapper = home / "dossier"
        self.wrapper.write_text(f"#!/bin/sh\nexec nsenter {enter} -t {self.holder.pid} -- "
                                f"'{harness.BINARY}' \"$@\"\n")
        self.wrapper.chmod(self.wrapper.stat().st_mode | stat.S_IXUSR)

    def free(self):
        info = os.statvfs(self.seen)
        return info.f_bavail * info.f_frsize

    def fill(self):
        """Another program takes what room there is; the file that it took it with."""
        path = self.seen / "of-another-program"
        with open(path, "wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(65536)) == 65536:
                pass
        with open(path, "ab", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(512)):
                pass
        return path

    def close(self):
        self.holder.stdin.close()
        self.holder.wait(10)


@pytest.fixture
def disk(tmp_path, monkeypatch):
    small = SmallDisk(tmp_path)
    monkeypatch.setattr(harness, "BINARY", str(small.wrapper))
    yield small
    small.close()


@pytest.fixture
def server(disk):
    made = harness.Server(data_dir=disk.mount / "data")
    try:
        yield made.start()
    finally:
        made.remove()


@pytest.fixture
def api(server):
    return server.workspace().api()


def send_signed(api, content=FILE):
    made = data(api.post("/v1/documents/upload-url", json={}), 201)
    return api.put(made["upload_url"], data=content, headers=made["headers"])


def send_multipart(api, content=FILE):
    return api.post("/api/v1/upload", files=[("files", ("a.bin", content))])


def usage(api):
    return data(api.get("/v1/usage"))


def fill_with_documents(api):
    """Until the first refusal; the ids of what went in."""
    ids = []
    while True:
        answer = send_multipart(api)
        if answer.status_code != 200:
            return ids, answer
        ids += answer.json()
        assert len(ids) < 2 * DISK_MIB, "the disk has no end"


def assert_sound(server):
    """Rows and bytes agree, and the process is the one that was started."""
    assert server.process.poll() is None, "the server has ended"
    report = server.run("check")
    assert report["ok"] is True, report
    assert server.run("audit", "verify")["ok"] is True
    return report


def test_uploads_beyond_the_space(disk, server, api):
    ids, answer = fill_with_documents(api)
    assert len(ids) > 3
    assert answer.status_code == 507 and answer.json() == {"detail": UPLOAD_TEXT}
    free, used = disk.free(), usage(api)
    for _ in range(5):
        assert send_multipart(api).status_code == 507
        refused(send_signed(api), 507, "storage_full")
    assert usage(api) == used and used["documents"] == len(ids)
    wait_for(lambda: disk.free() > free - MIB, seconds=10)
    assert assert_sound(server)["blobs"] == len(ids)
    for document in ids[:2]:
        url = data(api.get(f"/v1/documents/{document}"))["download_url"]
        assert api.get(url, expect=200).content == FILE
    small = send_multipart(api, b"small enough")
    assert small.status_code in (200, 507)


def make_records_until_refused(api):
    """Takes what room there is within the database's files; how many records went in."""
    made = 0
    while True:
        answer = api.post("/v1/documents", json={
            "name": "n", "mime_type": "a/b", "storage_path": f"p{made}",
            "description": "d" * 4000})
        if answer.status_code != 201:
            refused(answer, 507, "storage_full")
            return made
        made += 1
        assert made < 20000, "the disk has no end"


@pytest.mark.parametrize("query", ["", "?hard=true"])
def test_delete_makes_room(disk, server, api, query):
    """At no free byte at all, DELETE works; a hard one makes room at once."""
    ids, _ = fill_with_documents(api)
    taken = disk.fill()
    make_records_until_refused(api)
    assert disk.free() == 0
    for document in ids[:3]:
        api.delete(f"/v1/documents/{document}{query}", expect=204)
        api.get(f"/v1/documents/{document}", expect=404)
    if query:
        assert send_multipart(api).status_code == 200
    taken.unlink()
    assert send_multipart(api, FILE[:100000]).status_code == 200
    assert_sound(server)


def small_ones(api, number):
    """So many small documents by one request, or until the first refusal; id -> bytes."""
    made = {}
    for i in range(number):
        content = b"MARK-%06d-" % i + os.urandom(60000)
        answer = send_multipart(api, content)
        if answer.status_code != 200:
            assert answer.status_code == 507
            break
        made[answer.json()[0]] = content
    return made


def test_small_uploads_beyond_the_space(disk, server, api):
    made = small_ones(api, DISK_MIB * 20)
    assert 100 < len(made) < DISK_MIB * 20
    for _ in range(5):
        answer = send_multipart(api, FILE[:60000])
        assert answer.status_code in (200, 507)     # a checkpoint may have made some room
    refused(send_signed_or_ask(api), 507, "storage_full")
    for document in list(made)[::50]:
        url = data(api.get(f"/v1/documents/{document}"))["download_url"]
        assert api.get(url, expect=200).content == made[document]
    assert_sound(server)


def test_small_documents_are_erased(disk, server, api):
    """At no free byte at all; what is acknowledged is gone, and the room is there again."""
    made = small_ones(api, DISK_MIB * 20)
    taken = disk.fill()
    make_records_until_refused(api)
    assert disk.free() == 0
    for number, document in enumerate(list(made)[:150]):
        api.delete(f"/v1/documents/{document}?hard=true", expect=204)
        assert number % 30 or made[document][:12] not in database_files(disk)
    room = disk.free()
    assert room > 2 * MIB, "erased, and not given back"
    assert send_multipart(api, FILE[:60000]).status_code == 200
    taken.unlink()
    assert send_multipart(api).status_code == 200
    assert_sound(server)


@pytest.mark.parametrize("size", [60000, 70000])
def test_uploads_leave_room_for_erasing(disk, server, api, size):
    """To erase small bytes takes room, which uploads of any size may not take."""
    made = []
    while (answer := send_multipart(api, os.urandom(size))).status_code == 200:
        made += answer.json()
        assert len(made) < DISK_MIB * 20, "the disk has no end"
    assert answer.status_code == 507, harness.show(answer)
    assert disk.free() > 8 * MIB
    for document in made[:20]:
        api.delete(f"/v1/documents/{document}?hard=true", expect=204)
    assert (disk.seen / "data" / "ballast").exists(), "what is held back was needed"
    assert_sound(server)


def database_files(disk):
    return b"".join(path.read_bytes() for path in (disk.seen / "data" / "blobs").glob("small.db*"))


def test_rows_beyond_the_space(disk, server, api):
    """At no free byte a record is either made or refused with 507, and then it is not there."""
    document = api.new_bytes(b"here before")
    taken = disk.fill()
    made = make_records_until_refused(api)
    for _ in range(4):
        refused(api.post("/v1/documents", json={
            "name": "n", "mime_type": "a/b", "storage_path": "refused",
            "description": "d" * 4000}), 507, "storage_full")
    assert usage(api)["documents"] == made + 1
    url = data(api.get(f"/v1/documents/{document['id']}"))["download_url"]
    assert api.get(url, expect=200).content == b"here before"
    taken.unlink()
    api.new_document()
    assert usage(api)["documents"] == made + 2
    assert_sound(server)


def test_service_returns_with_the_space(disk, server, api):
    """Full and not full, three times over, by one process."""
    pid = server.process.pid
    for _ in range(3):
        taken = disk.fill()
        assert send_multipart(api).status_code == 507
        refused(send_signed_or_ask(api), 507, "storage_full")
        api.get("/healthz", expect=200)
        taken.unlink()
        assert send_multipart(api, FILE[:1000]).status_code == 200
        assert send_signed(api, FILE[:1000]).status_code == 200
        api.new_document()
    assert server.process.pid == pid
    assert_sound(server)
    assert server.stop() == 0


def send_signed_or_ask(api):
    """Asking for the URL needs no room; the upload does."""
    answer = api.post("/v1/documents/upload-url", json={})
    if answer.status_code != 201:
        return answer
    return api.put(answer.json()["data"]["upload_url"], data=FILE)


def test_a_restart_on_a_full_disk(disk, server, api):
    """It starts and reads, or says in one line why it cannot; nothing is damaged either way."""
    document = api.new_bytes(FILE)
    taken = disk.fill()
    server.kill()
    try:
        server.start()
    except AssertionError:
        said = server.log().strip().splitlines()
        assert said and said[-1].startswith("dossier: "), said
        taken.unlink()
        server.start()
    else:
        taken.unlink()
    url = data(api.get(f"/v1/documents/{document['id']}"))["download_url"]
    assert api.get(url, expect=200).content == FILE
    assert send_multipart(api).status_code == 200
    assert_sound(server)
