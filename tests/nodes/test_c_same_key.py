# SPDX-License-Identifier: Apache-2.0
"""
Equal requests with one idempotency key on three nodes at once, again on another node when the first
one dies in the middle, and while a node dies or the primary is replaced: one effect, and the same
answer to all.

DOSSIER_NODE_ROUNDS  rounds of each long run (20)
DOSSIER_SAME_KEY_FAILOVERS  rounds with a new primary (14), which take seconds
"""
import itertools
import os
import random
import threading
import time
from collections import Counter

import pytest

from bed import postgres
from harness import at_once, wait_for
from ledger import FORM, multipart
from nodes import BROKEN, Cluster, Spread, audit_total, new_prefix, url_of_pair
from quick import Quick

MANY = 64
ROUNDS, DEATHS = 2, 1
LONG_ROUNDS = int(os.environ.get("DOSSIER_NODE_ROUNDS", "20"))
FAILOVERS = int(os.environ.get("DOSSIER_SAME_KEY_FAILOVERS", "14"))
PATIENCE = 60   # seconds until each must have been told something else than 503


class Kind:
    """A request that can be sent again and again. `effect`: its audit lines, so many."""
    status, lines = 201, 1

    def __init__(self, workspace, n, api=None):
        self.workspace, self.n, self.api = workspace, n, api or workspace.api()
        self.headers, self.body = {}, None
        self.prepare()

    def prepare(self):
        """What has to be there before."""

    def send(self, client):
        headers = {"Idempotency-Key": f"{type(self).__name__}-{self.n}", **self.headers}
        return client.ask(self.method, self.path, headers, self.body)

    def effects(self):
        return audit_total(self.api, **self.effect)


class Create(Kind):
    effect = {"action": "create", "resource_type": "documents"}

    def prepare(self):
        self.method, self.path = "POST", "/v1/documents"
        self.body = {"name": "n", "mime_type": "a/b", "storage_path": f"create/{self.n}",
                     "folder": f"/f/{self.n}"}


class Link(Kind):
    effect = {"action": "link"}

    def prepare(self):
        self.method = "POST"
        self.path = f"/v1/documents/{self.api.new_document()['id']}/link"
        self.body = {"entity_type": "deal", "entity_id": f"e{self.n}"}


class Patch(Kind):
    status = 200
    effect = {"action": "update", "resource_type": "documents"}

    def prepare(self):
        self.method = "PATCH"
        self.path = f"/v1/documents/{self.api.new_document()['id']}"
        self.body = {"name": "new", "tags": ["t"]}


class Delete(Kind):
    status = 204
    effect = {"action": "delete", "resource_type": "documents"}

    def prepare(self):
        self.method = "DELETE"
        self.path = f"/v1/documents/{self.api.new_bytes(b'x' * 1000)['id']}"


class HardDelete(Delete):
    def prepare(self):
        super().prepare()
        self.path += "?hard=true"


class Upload(Kind):
    status, lines = 200, 2
    effect = {"action": "create", "resource_type": "documents"}

    def prepare(self):
        self.method, self.path, self.headers = "POST", "/api/v1/upload", FORM
        self.body = multipart([b"%d-%d" % (self.n, part) * 1000 for part in range(2)])


class Docs(Kind):
    """A repeated key is a conflict here, whose answer names the one object."""
    effect = {"action": "create", "resource_type": "docs"}

    def prepare(self):
        self.method, self.path = "POST", "/v1/docs"
        self.headers = {"Docs-Entity-ID": self.workspace.id, "X-Idempotency-Key": f"docs-{self.n}"}
        self.body = {"type": "full", "owner": {"externalId": f"owner-{self.n}"}}


KINDS = (Create, Link, Patch, Delete, HardDelete, Upload, Docs)


def new_workspace(cluster):
    made = cluster.workspace(entities="open")
    made.docs_entity(made.id)
    return made


@pytest.fixture(scope="module")
def workspace(cluster):
    return new_workspace(cluster)


def check_equal(kind, answers):
    """One has done it, and all were told the same."""
    statuses = Counter(answer.status_code for answer in answers)
    if isinstance(kind, Docs):
        assert statuses == {201: 1, 409: len(answers) - 1}, statuses
        assert len({answer.json()["id"] if answer.status_code == 201 else
                    answer.json()["error"]["details"]["id"] for answer in answers}) == 1
        return
    assert statuses == {kind.status: len(answers)}, statuses
    assert len({answer.content for answer in answers}) == 1
    # a delete that others end for the first one is not told from a replay by all of them
    replayed = sum("Idempotent-Replayed" in answer.headers for answer in answers)
    assert replayed == len(answers) - 1 or isinstance(kind, HardDelete)


def spread(cluster, workspace, kind, rounds):
    api, key = workspace.api(), workspace.key()
    kinds = [kind(workspace, time.monotonic_ns(), api) for _ in range(rounds)]
    before = kinds[0].effects()
    answers = Spread(cluster.nodes, key, MANY).rounds(
        rounds, lambda client, _i, n: kinds[n].send(client))
    for n, of_round in enumerate(answers):
        check_equal(kinds[n], of_round)
    assert kinds[0].effects() - before == rounds * kind.lines
    cluster.verify()


@pytest.mark.concurrent
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_at_once(cluster, workspace, kind):
    spread(cluster, workspace, kind, ROUNDS)


@pytest.mark.slow
@pytest.mark.timeout(120 + 5 * LONG_ROUNDS)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_at_once_at_length(cluster, workspace, kind):
    spread(cluster, workspace, kind, LONG_ROUNDS)


# ---- the node that had it dies ----

def check_same(kind, answers):
    """All were told the same, also if nobody was there to hear it first."""
    statuses = Counter(answer.status_code for answer in answers)
    if kind is Docs:
        assert set(statuses) <= {201, 409} and statuses[201] <= 1, statuses
        assert len({answer.json().get("id") or answer.json()["error"]["details"]["id"]
                    for answer in answers}) == 1
    else:
        assert set(statuses) == {kind.status}, statuses
        assert len({answer.content for answer in answers}) == 1


def first_dies(cluster, workspace, kind, rounds):
    """The first node is killed while it has the request; the same is asked of the second at once,
    and of all when the first is back. Returns how often the first had not answered."""
    api, key, chance = cluster.nodes[1].api(workspace.key()), workspace.key(), random.Random(1)
    doubts = 0
    for _ in range(rounds):
        request = kind(workspace, time.monotonic_ns(), api)
        before = request.effects()
        answers = []

        def ask_first():
            try:
                answers.append(request.send(first))
            except BROKEN:
                pass

        first, others = Quick(cluster.nodes[0], key), [Quick(node, key) for node in cluster.nodes]
        first.ask("GET", "/v1/usage")
        asking = threading.Thread(target=ask_first)
        asking.start()
        time.sleep(chance.random() * 0.02)
        cluster.nodes[0].kill()
        answers.append(request.send(others[1]))
        asking.join(30)
        doubts += len(answers) == 1
        cluster.nodes[0].start()
        others[0] = Quick(cluster.nodes[0], key)
        answers += [request.send(other) for other in others]
        check_same(kind, answers)
        assert request.effects() - before == kind.lines
    cluster.verify()
    return doubts


@pytest.mark.parametrize("kind", (Create, HardDelete, Upload), ids=lambda kind: kind.__name__)
def test_first_dies(cluster, workspace, kind):
    first_dies(cluster, workspace, kind, DEATHS)


@pytest.mark.slow
@pytest.mark.timeout(120 + 10 * LONG_ROUNDS)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_first_dies_at_length(cluster, workspace, kind):
    assert first_dies(cluster, workspace, kind, LONG_ROUNDS) > 0, "no request was cut off"


# ---- something dies while all of them ask ----

def until_told(nodes, i, key, request):
    """Asks one node after the other, from the one of this number on, with the same key."""
    until, refusals = time.monotonic() + PATIENCE, 0
    for n in itertools.count(i):
        client = Quick(nodes[n % len(nodes)], key)
        try:
            answer = request.send(client)
            if answer.status_code != 503:
                return answer, refusals
            assert int(answer.headers["Retry-After"]) >= 1
        except BROKEN:
            pass
        finally:
            client.close()
        assert time.monotonic() < until, "nobody answers"
        refusals += 1
        time.sleep(0.02)


def await_reads(api):
    wait_for(lambda: api.get("/v1/audit-logs").status_code == 200, PATIENCE)


def ask_among(cluster, workspace, kind, happen):
    """All ask until they are told; `happen` is called meanwhile. How often one was refused."""
    await_reads(workspace.api())
    request, key = kind(workspace, time.monotonic_ns()), workspace.key()
    before = request.effects()
    found = at_once(MANY + 1, lambda i: happen() if i == MANY else
                    until_told(cluster.nodes, i, key, request))[:MANY]
    check_same(kind, [answer for answer, _ in found])
    request.api = cluster.nodes[1].api(key)
    await_reads(request.api)    # those of that node's own connections, too
    assert request.effects() - before == kind.lines
    return sum(refusals for _, refusals in found)


@pytest.mark.slow
@pytest.mark.timeout(120 + 10 * LONG_ROUNDS)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_node_dies_among_them(cluster, workspace, kind):
    """Any node, at any moment."""
    chance, refused = random.Random(), 0
    for node in cluster.nodes:
        node.listen = node.base_url[len("http://"):]
    for n in range(LONG_ROUNDS):
        node = cluster.nodes[n % 3]

        def die(node=node):
            time.sleep(chance.random() * 0.1)
            node.kill()
            time.sleep(0.1)
            node.start()

        refused += ask_among(cluster, workspace, kind, die)
    cluster.verify()
    print(f"{kind.__name__}: {LONG_ROUNDS} rounds of {MANY}, a node killed in each: 1 effect and "
          f"equal answers each time; {refused} refused or cut, and asked again")
    assert refused > 0


@pytest.mark.slow
@pytest.mark.timeout(120 + 30 * FAILOVERS)
def test_primary_dies_among_them(store):
    chance, refused = random.Random(), 0
    with postgres.Pair(durable=False) as pair, \
            Cluster(url_of_pair(pair), new_prefix(store)) as cluster:
        workspace = new_workspace(cluster)

        def die():
            time.sleep(chance.random() * 0.1)
            pair.primary.server.kill()
            pair.failover()

        for n in range(FAILOVERS):
            refused += ask_among(cluster, workspace, KINDS[n % len(KINDS)], die)
            pair.rejoin()
        cluster.verify()
    print(f"{FAILOVERS} rounds of {MANY}, the primary replaced in each: 1 effect and equal answers "
          f"each time; {refused} refused or cut, and asked again")
    assert refused > 0
