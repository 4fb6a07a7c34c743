# SPDX-License-Identifier: Apache-2.0
"""
Mixed load on several nodes with a ledger outside of them (tests/api/ledger.py), that goes on while
something dies: what is refused or cut off is sent again with its idempotency key, to the next node,
until it is acknowledged. So at the end nothing is in doubt: the rows are the ledger.

    load = Load(cluster)                        # or Load(cluster, front) for what stands before
    with load.running():
        ...                                     # kill something
        load.await_service(since)               # seconds from then to the first acknowledgements
    load.verify()                               # every acknowledgement, on every node
"""
import contextlib
import http.client
import json
import random
import threading
import time
from collections import Counter, namedtuple

from harness import at_once, unique, wait_for
from ledger import BROKEN, CLIENTS, Client as OneServerClient, World
from nodes import address_of

PAUSE = 0.02            # before the next try
PIECE, PIECE_PAUSE = 4096, 0.01
PATIENCE = 90           # seconds until a request must have been acknowledged
TIMEOUT = 30
READS, RENAMES, DOCS = 0.3, 0.05, 0.05  # a step

# times of time.monotonic(); status 0: no whole answer; sent: bytes of the body
Event = namedtuple("Event", "began ended status method path sent")


def slowly(body):
    for at in range(0, len(body), PIECE):
        yield body[at:at + PIECE]
        time.sleep(PIECE_PAUSE)


class Client(OneServerClient):
    """`targets`: base URLs of what it can ask; each next try goes to the next one. `trust`: the
    ssl.SSLContext of those that speak TLS."""

    def __init__(self, number, key, entity, targets, trust=None):
        super().__init__(number, key)
        self.entity = {"Docs-Entity-ID": entity}
        self.targets, self.at, self.trust = targets, number, trust
        self.events = []
        self.names = {}         # id -> name, of documents that were given another one
        self.renamed = 0
        self.docs = {}          # id -> externalId of its owner

    def connect(self, _server=None):
        self.drop()

    def drop(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def turn_to(self, targets):
        self.drop()
        self.targets = targets

    def _connect(self):
        url = self.targets[self.at % len(self.targets)]
        if url.startswith("https:"):
            return http.client.HTTPSConnection(*address_of(url), timeout=TIMEOUT,
                                               context=self.trust)
        return http.client.HTTPConnection(*address_of(url), timeout=TIMEOUT)

    def ask_once(self, method, path, body=b"", headers=()):
        """(status, headers, body); status 0 when there was no whole answer."""
        if self.connection is None:
            self.connection = self._connect()
        began = time.monotonic()
        try:
            with contextlib.suppress(*BROKEN):  # a refusal can still be read
                self.connection.request(method, path, self.pieces(body), {
                    "X-API-Key": self.key, "Content-Length": str(len(body)), **dict(headers)})
            answer = self.connection.getresponse()
            found = answer.status, answer.headers, answer.read()
        except BROKEN:
            self.drop()
            found = 0, {}, b""
        self.events.append(Event(began, time.monotonic(), found[0], method, path, len(body)))
        return found

    def pieces(self, body):
        """One of the clients is slow, so that what dies does so in the middle of a body."""
        if self.number > 0 or not body:
            return body
        return slowly(body)

    def call(self, method, path, body=b"", headers=()):
        """The answer once there is one that is not a refusal for now."""
        until = time.monotonic() + PATIENCE
        tries = 0
        while True:
            status, found, content = self.ask_once(method, path, body, headers)
            if status == 503:
                assert int(found["Retry-After"]) >= 1, content
            elif status == 409 and path == "/v1/docs" and tries > 0:
                # there an earlier try is told by a conflict with what it has made
                return 201, json.dumps(json.loads(content)["error"]["details"]).encode()
            elif status != 0:
                return status, content
            assert time.monotonic() < until, f"{method} {path}: no answer but {status}"
            self.at += 1
            tries += 1
            self.drop()
            time.sleep(PAUSE)

    def load(self, stop):
        """Now and then it reads what it has written, with the bytes: all is there, on any node."""
        while not stop.is_set():
            self.take(self.next_step())
            if self.living and self.rng.random() < READS:
                self.verify_living(self.living[self.rng.choice(list(self.living))])

    # ---- what the load of one server has not ----

    def next_step(self):
        dice = self.rng.random()
        if dice < DOCS:
            return self.make_docs()
        if dice < DOCS + RENAMES and self.living:
            return self.rename()
        return super().next_step()

    def make_docs(self):
        owner = f"{self.number}-{self.count}"

        def enter(answer):
            self.docs[answer["id"]] = owner

        step = self.step("POST", "/v1/docs", {"type": "full", "owner": {"externalId": owner}}, 201,
                         enter, headers=self.entity)
        step.headers["X-Idempotency-Key"] = step.headers.pop("Idempotency-Key")
        return step

    def rename(self):
        document, name = self.any_living(), f"{self.count}.bin"

        def enter(answer):
            assert answer["data"]["name"] == name
            self.renamed += 1
            self.names[document.id] = name

        return self.step("PATCH", f"/v1/documents/{document.id}", {"name": name}, 200, enter,
                         document)

    def verify_living(self, document):
        super().verify_living(document)
        if document.id in self.names:
            assert self.read(f"/v1/documents/{document.id}")["name"] == self.names[document.id]

    def verify(self, sample=None):
        super().verify(sample)
        for made, owner in self.docs.items():
            status, content = self.call("GET", f"/v1/docs?externalId={owner}", headers=self.entity)
            assert status == 200 and [one["id"] for one in json.loads(content)] == [made]


class Load(World):
    """`front`: a fronts.Front before the nodes, that clients go through. HAProxy may cut them off
    while they send a body; nothing else may."""

    def __init__(self, cluster, front=None, seed=None):
        self.cluster, self.server, self.front = cluster, cluster.nodes[0], front
        self.workspace = cluster.workspace(entities="open")
        self.key, self.entity = self.workspace.key(), unique("entity")
        self.workspace.docs_entity(self.entity)
        seed = random.SystemRandom().randrange(2**32) if seed is None else seed
        self.seed = seed
        self.clients = [self.client(i) for i in range(CLIENTS)]
        for client in self.clients:
            client.rng = random.Random(f"{seed}/{client.number}")
        self.stop = threading.Event()
        self.failure = self.answers = self.worst = None
        self.others = 0     # documents that others have made and deleted in the workspace

    def client(self, number):
        """One more, that comes the same way."""
        if self.front:
            return Client(number, self.key, self.entity, [self.front.base_url], self.front.trust)
        return Client(number, self.key, self.entity, [n.base_url for n in self.cluster.nodes])

    def _run(self, client):
        try:
            client.load(self.stop)
        except BaseException as error:
            self.failure = self.failure or error
            self.stop.set()

    @contextlib.contextmanager
    def running(self):
        self.stop.clear()
        for client in self.clients:
            client.drop()       # whom it was connected to may be another by now
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
            found = [next((event.ended for event in client.events
                           if event.began >= since and 200 <= event.status < 300), None)
                     for client in self.clients]
            return None not in found and found
        found = wait_for(firsts, seconds)
        return min(found) - since, max(found) - since

    def events(self, start=0.0, end=float("inf"), answered=float("inf")):
        """Of what began in this time and had its answer by then."""
        return [event for client in self.clients for event in list(client.events)
                if start <= event.began < end and event.ended < answered]

    def statuses(self, start=0.0, end=float("inf"), answered=float("inf")):
        """How often each status was the answer to what began in this time."""
        return Counter(event.status for event in self.events(start, end, answered))

    def slowest(self, start=0.0, end=float("inf")):
        """The longest that an answer took."""
        return max((event.ended - event.began for event in self.events(start, end)), default=0.0)

    def verify(self):
        """
        Only answers of the contract, and 503 where something was away. What was acknowledged is so
        on every node, with its bytes, once, and nothing else is.
        """
        self.answers, self.worst = self.statuses(), self.slowest()
        assert set(self.answers) <= {0, 200, 201, 204, 409, 503}, self.answers
        cut = [event for event in self.events() if event.status == 0]
        assert all(self.front and event.sent > 0 for event in cut), cut
        assert all(client.doubt is None for client in self.clients)
        at_once(CLIENTS, lambda i: self.register_rest(self.clients[i]))
        for node in self.cluster.nodes:
            for client in self.clients:
                client.turn_to([node.base_url])
            at_once(CLIENTS, lambda i: self.clients[i].verify())
            self.verify_list()
            self.verify_effects()
        self.cluster.verify()

    def register_rest(self, client):
        """Bytes that were received and have no document yet: now they can be looked at, too."""
        client.drop()
        while client.received:
            client.take(client.register())

    def total(self, path):
        status, content = self.clients[0].call("GET", path)
        assert status == 200, content[:300]
        return json.loads(content)["meta"]["total"]

    def verify_list(self):
        super().verify_list()
        found, wanted = self.total("/v1/documents?per_page=1"), len(self.living())
        assert found == wanted, (found, wanted)

    def verify_effects(self):
        """Every effect happened exactly once: the audit trail says so."""
        wanted = {
            ("documents", "create"): len(self.living()) + len(self.deleted()) + self.others,
            ("documents", "delete"): len(self.deleted()) + self.others,
            ("documents", "link"): sum(client.linked for client in self.clients),
            ("documents", "update"): sum(client.renamed for client in self.clients),
            # the entity is one, too
            ("docs", "create"): 1 + sum(len(client.docs) for client in self.clients)}
        found = {(kind, action): self.total(
            f"/v1/audit-logs?per_page=1&resource_type={kind}&action={action}")
            for kind, action in wanted}
        assert found == wanted, (found, wanted)

    def summary(self):
        answers = dict(sorted(self.answers.items()))
        return (f"{self.acknowledged()} acknowledgements, 0 lost, 0 doubled; answers {answers}"
                f"{' (0: cut off while sending)' if 0 in answers else ''};"
                f" slowest {self.worst:.2f} s; seed {self.seed}")
