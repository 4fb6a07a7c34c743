# SPDX-License-Identifier: Apache-2.0
"""
Steady load for a long time: memory and descriptors stay where they are, nothing fails.

DOSSIER_SOAK_SECONDS: how long (60). The load is 70 % of what the same clients reach without pause.
"""
import os
import time
from urllib.parse import urlsplit

import pytest

from ledger import Client, World, metric

SECONDS = float(os.environ.get("DOSSIER_SOAK_SECONDS", "60"))
SHARE = 0.7
WARM_UP = 10            # seconds to measure what the clients reach
SAMPLES = 120
HOUR = 3600
MIB = 1 << 20
MOST_A_HOUR = 1 * MIB   # of a long run; a short one may still be filling its caches
MOST_IN_ALL = 16 * MIB
FEW = 8                 # descriptors more or fewer at a moment of load


class Reader(Client):
    """Half of its steps are reads."""

    def next_step(self):
        if self.living and self.rng.random() < 0.5:
            return self.rng.choice([self.look, self.list, self.search])()
        return super().next_step()

    def look(self):
        document = self.any_living()

        def enter(answer):
            url = answer["data"]["download_url"]
            if document.content is not None:
                status, body = self.call("GET", urlsplit(url).path)
                assert (status, body) == (200, document.content)

        return self.step("GET", f"/v1/documents/{document.id}", b"", 200, enter)

    def list(self):
        return self.step("GET", "/v1/documents?per_page=25&cursor=", b"", 200, lambda answer: None)

    def search(self):
        return self.step("GET", "/v1/documents?search=a.bin&tag=none", b"", 200,
                         lambda answer: None)


class Probe:
    """Memory and descriptors of a process over time."""

    def __init__(self, pid):
        self.pid = pid
        self.began = time.monotonic()
        self.seen = []      # (seconds, bytes of memory, descriptors)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def look(self):
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as file:
            memory = int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
        self.seen.append((time.monotonic() - self.began, memory, self.descriptors()))

    def settled(self):
        """The last two thirds."""
        return self.seen[len(self.seen) // 3:]

    def slope(self):
        """Bytes an hour, by least squares."""
        times, sizes, _ = zip(*self.settled())
        middle, mean = sum(times) / len(times), sum(sizes) / len(sizes)
        return HOUR * sum((t - middle) * (size - mean) for t, size in zip(times, sizes)) / sum(
            (t - middle) ** 2 for t in times)


@pytest.mark.slow
@pytest.mark.timeout(300 + 2 * SECONDS)
def test_soak(server_factory, capsys):
    world = World(server_factory("--purge-after", "1s"), Reader)
    world.load(lambda: time.sleep(WARM_UP), lambda: None)
    rate = SHARE * world.acknowledged() / WARM_UP
    for client in world.clients:
        client.interval = len(world.clients) / rate
    probe = Probe(world.server.process.pid)
    before = world.acknowledged()

    def watch():
        for _ in range(SAMPLES):
            time.sleep(SECONDS / SAMPLES)
            probe.look()

    world.load(watch, lambda: None)
    done = world.acknowledged() - before
    descriptors = [n for _, _, n in probe.settled()]
    memory = [size for _, size, _ in probe.settled()]
    with capsys.disabled():
        print(f"\n{SECONDS:.0f} s, {done} requests, {done / SECONDS:.0f} of {rate:.0f} a second; "
              f"memory {memory[0] / MIB:.1f} to {memory[-1] / MIB:.1f} MiB, "
              f"{probe.slope() / MIB:+.2f} MiB/h; "
              f"{min(descriptors)} to {max(descriptors)} descriptors", flush=True)
    assert metric(world.server, 'dossier_requests_total{status="5xx"}') == 0
    if SECONDS >= HOUR:
        assert probe.slope() <= MOST_A_HOUR
    assert memory[-1] - memory[0] <= MOST_IN_ALL
    third = len(descriptors) // 3
    assert abs(max(descriptors[-third:]) - max(descriptors[:third])) <= FEW
    world.verify()
