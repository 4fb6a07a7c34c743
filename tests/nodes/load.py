# SPDX-License-Identifier: Apache-2.0
"""
Mixed load on several nodes with a ledger outside of them (tests/api/ledger.py), that goes on while
something dies: what is refused or cut off is sent again with its idempotency key, to the next node,
until it is acknowledged. So at the end nothing is in doubt: the rows are the ledger.

    load = Load(cluster)                        # or Load(cluster, [front]) for what stands before
    with load.running():
        ...                                     # kill something
        load.await_service(since)               # seconds from then to the first acknowledgements
    load.verify()
"""
import contextlib
import http.client
import random
import threading
import time
from collections import Counter

from harness import at_once, wait_for
from ledger import BROKEN, CLIENTS, Client as OneServerClient, World
from nodes import address_of

PAUSE = 0.02            # before the next try
PATIENCE = 90           # seconds until a request must have been acknowledged
TIMEOUT = 30
READS = 0.3             # a step


class Client(OneServerClient):
    """`targets`: base URLs of what it can ask; each next try goes to the next one."""

    def __init__(self, number, key, targets):
        super().__init__(number, key)
        self.targets, self.at = targets, number
        self.events = []        # (began, ended, status); status 0: no whole answer

    def connect(self, _server=None):
        self.drop()

    def drop(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def ask_once(self, method, path, body=b"", headers=()):
        """(status, headers, body); status 0 when there was no whole answer."""
        if self.connection is None:
            self.connection = http.client.HTTPConnection(
                *address_of(self.targets[self.at % len(self.targets)]), timeout=TIMEOUT)
        began = time.monotonic()
        try:
            self.connection.request(method, path, body, {
                "X-API-Key": self.key, "Content-Length": str(len(body)), **dict(headers)})
            answer = self.connection.getresponse()
            found = answer.status, answer.headers, answer.read()
        except BROKEN:
            self.drop()
            found = 0, {}, b""
        self.events.append((began, time.monotonic(), found[0]))
        return found

    def call(self, method, path, body=b"", headers=()):
        """The answer once there is one that is not a refusal for now."""
        until = time.monotonic() + PATIENCE
        while True:
            status, found, content = self.ask_once(method, path, body, headers)
            if status == 503:
                assert int(found["Retry-After"]) >= 1, content
            elif status != 0:
                return status, content
            assert time.monotonic() < until, f"{method} {path}: no answer but {status}"
            self.at += 1
            self.drop()
            time.sleep(PAUSE)

    def load(self, stop):
        """Now and then it reads what it has written, with the bytes: all is there, on any node."""
        while not stop.is_set():
            self.take(self.next_step())
            if self.living and self.rng.random() < READS:
                self.verify_living(self.living[self.rng.choice(list(self.living))])


class Load(World):
    """`targets`: base URLs; those of the nodes when there is nothing before them."""

    def __init__(self, cluster, targets=None, seed=None):
        self.cluster, self.server = cluster, cluster.nodes[0]
        self.workspace = cluster.workspace(entities="open")
        key = self.workspace.key()
        seed = random.SystemRandom().randrange(2**32) if seed is None else seed
        self.seed = seed
        self.clients = [Client(i, key, targets or [node.base_url for node in cluster.nodes])
                        for i in range(CLIENTS)]
        for client in self.clients:
            client.rng = random.Random(f"{seed}/{client.number}")
        self.stop = threading.Event()
        self.failure = self.answers = self.worst = None
        self.others = 0     # documents that others have made and deleted in the workspace

    def _run(self, client):
        try:
            client.load(self.stop)
        except BaseException as error:
            self.failure = self.failure or error
            self.stop.set()

    @contextlib.contextmanager
    def running(self):
        self.stop.clear()
        threads = [threading.Thread(target=self._run, args=[client]) for client in self.clients]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self.stop.set()
            for thread in threads:
                thread.join(PATIENCE + TIMEOUT)
                assert not thread.is_alive(), "a client got no answer and no end"
        if self.failure:
            raise self.failure

    def await_service(self, since, seconds=60):
        """How long after `since` (time.monotonic()) each client has had an acknowledgement of what
        it asked for after it: (of the first, of the last)."""
        def firsts():
            assert self.failure is None, self.failure
            found = [next((ended for began, ended, status in client.events
                           if began >= since and 200 <= status < 300), None)
                     for client in self.clients]
            return None not in found and found
        found = wait_for(firsts, seconds)
        return min(found) - since, max(found) - since

    def statuses(self, start=0.0, end=float("inf")):
        """How often each status was the answer to what began in this time."""
        return Counter(status for client in self.clients
                       for began, _, status in client.events if start <= began < end)

    def slowest(self, start=0.0, end=float("inf")):
        """The longest that an answer took."""
        return max((ended - began for client in self.clients
                    for began, ended, _ in client.events if start <= began < end), default=0.0)

    def verify(self, sample=20):
        """Only answers of the contract, and 503 where something was away. What was acknowledged is
        so, once, and nothing else."""
        self.answers, self.worst = self.statuses(), self.slowest()
        assert set(self.answers) <= {200, 201, 204, 503}, self.answers
        for client in self.clients:
            client.drop()
            assert client.doubt is None
        at_once(CLIENTS, lambda i: self.clients[i].verify(sample))
        self.verify_list()
        self.verify_effects()
        self.cluster.verify()

    def effects(self):
        """Without those of others."""
        return super().effects() - Counter(create=self.others, delete=self.others)

    def summary(self):
        answers = dict(sorted(self.answers.items()))
        return (f"{self.acknowledged()} acknowledgements, 0 lost, 0 doubled; answers {answers};"
                f" slowest {self.worst:.2f} s; seed {self.seed}")
