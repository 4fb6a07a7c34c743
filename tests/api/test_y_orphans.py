# SPDX-License-Identifier: Apache-2.0
"""
kill -9 in the middle of uploads: what they leave is swept, and nothing of the living is.

DOSSIER_UPLOAD_KILLS: how often the slow test kills (30).
"""
import hashlib
import http.client
import json
import os
import random
import threading
import time

import pytest
import requests

from harness import at_once, wait_for
from ledger import BROKEN, FORM, metric, multipart

KILLS = int(os.environ.get("DOSSIER_UPLOAD_KILLS", "30"))
SWEEP_EACH = max(10, KILLS // 10)
SAMPLE = 50
UPLOADERS = 8
PIECE = 50000


class Uploads:
    """What was acknowledged, and the clients that add to it."""

    def __init__(self, server):
        self.server = server
        self.key = server.workspace().key()
        self.acknowledged = {}  # id -> SHA-256
        self.begun = 0
        self.doubts = 0         # without an answer: there, or not

    def send(self, half_way=lambda: None, size=None):
        content = os.urandom(size or random.randrange(1000, 4 * PIECE))
        body = multipart([content])
        connection = http.client.HTTPConnection(*self.server.address, timeout=60)
        try:
            connection.putrequest("POST", "/api/v1/upload")
            for name, value in {"X-API-Key": self.key, "Content-Length": len(body),
                                **FORM}.items():
                connection.putheader(name, str(value))
            connection.endheaders()
            self.begun += 1
            for at in range(0, len(body), PIECE):
                connection.send(body[at:at + PIECE])
                if at == 0:
                    half_way()
            answer = connection.getresponse()
            text = answer.read()
        except BROKEN:
            self.doubts += 1
            raise
        finally:
            connection.close()
        assert answer.status == 200, (answer.status, text)
        self.acknowledged[json.loads(text)[0]] = hashlib.sha256(content).digest()

    def send_until_dead(self):
        try:
            while True:
                self.send()
        except BROKEN:
            pass

    def kill_in_the_middle(self, pause):
        threads = [threading.Thread(target=self.send_until_dead) for _ in range(UPLOADERS)]
        before = self.begun
        for thread in threads:
            thread.start()
        wait_for(lambda: self.begun >= before + UPLOADERS, 60, 0.002)
        time.sleep(pause)
        self.server.kill()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()


def temporary(server):
    """A file as a file system without unnamed ones keeps it, of an upload that is long dead."""
    path = server.data_dir / "blobs" / "tmp" / ("5a" * 16)
    path.write_bytes(b"half of an upload")
    os.utime(path, (time.time() - 200000, time.time() - 200000))


def sweep_beside_uploads(uploads):
    """Some uploads begin before the sweep and end after it, others come and go meanwhile; what it
    removed."""
    server = uploads.server
    temporary(server)
    server.start()

    def swept():
        return metric(server, 'dossier_job_last_run_seconds{job="sweep"}')

    def across(number):
        if number % 2:
            uploads.send(half_way=lambda: wait_for(swept, 60), size=3 * PIECE)
        else:
            while not swept():
                uploads.send(size=20000)

    at_once(UPLOADERS, across)
    return metric(server, "dossier_swept_total")


def verify(uploads):
    """As many files as rows, at least those acknowledged; each is what its row says."""
    server = uploads.server
    report = server.run("check")
    assert report["ok"] is True and not any(report["counts"].values()), report
    assert report["in_flight"] == 0
    assert not list((server.data_dir / "blobs" / "tmp").iterdir()), "a temporary file is left"
    blobs = server.place.blobs()
    api = server.api(uploads.key)
    rows = api.get("/v1/usage").json()["data"]["documents"]
    assert len(blobs) == rows == report["blobs"]
    known = uploads.acknowledged
    assert len(known) <= rows <= len(known) + uploads.doubts
    for name in random.sample(sorted(known), min(SAMPLE, len(known))):
        found = api.get(f"/v1/documents/{name}", expect=200).json()["data"]
        content = requests.get(found["download_url"], timeout=30).content
        assert hashlib.sha256(content).digest() == known[name]


def kill_uploads(server, kills):
    uploads = Uploads(server)
    rng = random.Random(kills)
    swept = 0
    for kill in range(1, kills + 1):
        uploads.kill_in_the_middle(rng.uniform(0, 0.3))
        if kill % SWEEP_EACH == 0 or kill == kills:
            swept += sweep_beside_uploads(uploads)
            verify(uploads)
        else:
            server.start()
    return swept


@pytest.mark.embedded
@pytest.mark.timeout(300)
def test_kills_in_the_middle_of_uploads(server_factory):
    assert kill_uploads(server_factory(), 3) >= 1, "not even the temporary file was swept"


@pytest.mark.embedded
@pytest.mark.slow
@pytest.mark.timeout(max(900, 20 * KILLS))
def test_many_kills_in_the_middle_of_uploads(server_factory, capsys):
    swept = kill_uploads(server_factory(), KILLS)
    rounds = -(-KILLS // SWEEP_EACH)
    with capsys.disabled():
        print(f"\n{KILLS} kills, {swept} files swept", flush=True)
    assert swept > rounds, "no kill has left anything"
