# SPDX-License-Identifier: Apache-2.0
"""
kill -9 and SIGTERM in the middle of mixed load: what was acknowledged is so after the restart.

DOSSIER_KILLS, DOSSIER_ACKS: how often the slow test kills (40), and how many requests are to be
acknowledged over all of that (200 a kill). It looks at everything each FULL_EACH kills and at the
end; between, at what was touched since the last kill, at a sample, and at the whole list.
"""
import http.client
import json
import os
import random
import threading
import time

import pytest

from harness import data, requests, wait_for
from ledger import BROKEN, FORM, PURGE_SECONDS, Document, World, made_up, multipart

KILLS = int(os.environ.get("DOSSIER_KILLS", "40"))
ACKS = int(os.environ.get("DOSSIER_ACKS", str(200 * KILLS)))
FULL_EACH = 50
SHOW_EACH = 50
SAMPLE = 10


def kill_often(server_factory, kills, acks, full_each, show=lambda text: None):
    world = World(server_factory("--purge-after", f"{PURGE_SECONDS}s"))
    rng = random.Random(kills)
    began = time.monotonic()

    def wait():
        """Until about as many are acknowledged as there should be at this kill."""
        goal = acks * (kill - rng.random()) / kills
        wait_for(lambda: world.acknowledged() >= goal, 60, 0.002)
        time.sleep(rng.uniform(0, 0.02))

    for kill in range(1, kills):
        full = kill % full_each == 0
        world.load(wait, world.server.kill)
        if full:
            world.verify_at_rest()
        world.restart(scan=full)
        world.verify(SAMPLE, full)
        if kill % SHOW_EACH == 0:
            show(f"{kill} kills, {world.acknowledged()} acknowledged, {world.doubts} in doubt, "
                 f"{len(world.living())} documents, {time.monotonic() - began:.0f} s")
    world.load(lambda: wait_for(lambda: world.acknowledged() >= acks, 60), world.server.kill)
    assert world.doubts > kills, "the kills did not come in the middle of anything"
    world.verify_repair()
    show(f"{kills} kills, {world.acknowledged()} acknowledged, {time.monotonic() - began:.0f} s")


@pytest.mark.timeout(300)
def test_kill_in_the_middle(server_factory):
    kill_often(server_factory, 5, 1000, 2)


@pytest.mark.slow
@pytest.mark.timeout(max(1800, 30 * KILLS))
def test_kill_in_the_middle_often(server_factory, capsys):
    def show(text):
        with capsys.disabled():
            print("\n" + text, flush=True)

    kill_often(server_factory, KILLS, ACKS, FULL_EACH, show)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("drain", ["10s", "0s"])
def test_terminate_under_load(server_factory, drain):
    world = World(server_factory("--purge-after", f"{PURGE_SECONDS}s", "--drain", drain))
    for last in (False, False, True):
        assert world.load(lambda: time.sleep(0.7), world.server.stop) == 0
        world.verify_at_rest()
        world.restart()
        world.verify(full=last)
    if drain != "0s":
        assert sum(client.halves for client in world.clients) == 0, "half an answer"


@pytest.mark.timeout(120)
def test_terminate_waits_for_an_upload(server_factory):
    """An upload that is under way when the order to stop comes is finished and acknowledged."""
    world = World(server_factory("--drain", "15s"))
    client = world.clients[0]
    client.connect(world.server)
    content = made_up(client.rng) * 20
    body = multipart([content])
    client.connection.putrequest("POST", "/api/v1/upload")
    for name, value in [("X-API-Key", client.key), ("Content-Length", str(len(body))),
                        *FORM.items()]:
        client.connection.putheader(name, value)
    client.connection.endheaders(body[:5000])
    ended = []
    thread = threading.Thread(target=lambda: ended.append(world.server.stop()))
    time.sleep(0.3)
    thread.start()
    time.sleep(0.5)
    client.connection.send(body[5000:])
    answer = client.connection.getresponse()
    assert answer.status == 200
    client.add(Document(json.loads(answer.read())[0], content))
    thread.join(30)
    assert ended == [0]
    world.server.start()
    world.verify()


IN_FLIGHT = 100


class Upload:
    """One whose body is on its way when the server is told to stop."""

    def __init__(self, number, server, key):
        self.server = server
        self.content = b"%d " % number + os.urandom(40000)
        self.headers = {"X-API-Key": key, "Idempotency-Key": f"in-flight-{number}", **FORM}
        self.body = multipart([self.content])
        self.id = None      # once it is acknowledged

    def run(self, under_way, go_on):
        connection = http.client.HTTPConnection(*self.server.address, timeout=60)
        connection.putrequest("POST", "/api/v1/upload")
        for name, value in [*self.headers.items(), ("Content-Length", str(len(self.body)))]:
            connection.putheader(name, value)
        connection.endheaders(self.body[:5000])
        under_way.wait()
        go_on.wait(60)
        try:
            for at in range(5000, len(self.body), 5000):
                connection.send(self.body[at:at + 5000])
                time.sleep(0.02)
            answer = connection.getresponse()
            text = answer.read()
        except BROKEN:
            return
        assert answer.status in (200, 503), (answer.status, text)
        if answer.status == 200:
            self.id = json.loads(text)[0]

    def send_again(self):
        answer = requests.post(self.server.base_url + "/api/v1/upload", self.body, timeout=60,
                               headers=self.headers)
        assert answer.status_code == 200, answer.text
        assert self.id in (None, answer.json()[0])
        return answer.json()[0]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("drain, stalled", [("15s", 0), ("2s", 2)])
def test_terminate_with_uploads_in_flight(server_factory, drain, stalled):
    """Each is acknowledged and there, or refused and not there; every `stalled`-th does not go on,
    so that the drain is used up."""
    server = server_factory("--drain", drain)
    key = server.workspace().key()
    uploads = [Upload(i, server, key) for i in range(IN_FLIGHT)]
    under_way = threading.Barrier(IN_FLIGHT + 1, timeout=60)
    go_on, stopped = threading.Event(), threading.Event()
    threads = [threading.Thread(target=upload.run, args=[
        under_way, stopped if stalled and i % stalled == 0 else go_on])
        for i, upload in enumerate(uploads)]
    for thread in threads:
        thread.start()
    under_way.wait()
    threading.Timer(0.3, go_on.set).start()
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < 30
    stopped.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    acknowledged = {upload.id: upload.content for upload in uploads if upload.id}
    assert acknowledged, "none of them was given the time"
    assert not stalled or len(acknowledged) <= IN_FLIGHT - IN_FLIGHT // stalled
    api = server.start().api(key)
    assert data(api.get("/v1/usage"))["documents"] == len(acknowledged)
    for name, content in acknowledged.items():
        url = data(api.get(f"/v1/documents/{name}"))["download_url"]
        assert requests.get(url, timeout=30).content == content
    assert len({upload.send_again() for upload in uploads}) == IN_FLIGHT
    assert data(api.get("/v1/usage"))["documents"] == IN_FLIGHT
    assert server.run("check")["ok"] is True
