# SPDX-License-Identifier: Apache-2.0
"""
Equal requests with one idempotency key on three nodes at once, and again on another node when the
first one dies in the middle: one effect, and the same answer to all.

DOSSIER_NODE_ROUNDS  rounds of each long run (50)
"""
import os
import random
import threading
import time
from collections import Counter

import pytest

from ledger import FORM, multipart
from nodes import BROKEN, Spread, audit_total
from quick import Quick

MANY = 64
ROUNDS, DEATHS = 2, 1
LONG_ROUNDS = int(os.environ.get("DOSSIER_NODE_ROUNDS", "50"))
DOCS_ENTITY = "spread"


class Kind:
    """A request that can be sent again and again. `effect`: its audit lines."""

    def __init__(self, api, n):
        self.api, self.n = api, n
        self.headers, self.body, self.status = {}, None, 201
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
    effect = {"action": "update", "resource_type": "documents"}

    def prepare(self):
        self.method, self.status = "PATCH", 200
        self.path = f"/v1/documents/{self.api.new_document()['id']}"
        self.body = {"name": "new", "tags": ["t"]}


class Delete(Kind):
    effect = {"action": "delete", "resource_type": "documents"}

    def prepare(self):
        self.method, self.status = "DELETE", 204
        self.path = f"/v1/documents/{self.api.new_bytes(b'x' * 1000)['id']}"


class HardDelete(Delete):
    def prepare(self):
        super().prepare()
        self.path += "?hard=true"


class Upload(Kind):
    effect = {"action": "create", "resource_type": "documents"}

    def prepare(self):
        self.method, self.path, self.status, self.headers = "POST", "/api/v1/upload", 200, FORM
        self.body = multipart([b"%d-%d" % (self.n, part) * 1000 for part in range(2)])


class Docs(Kind):
    """A repeated key is a conflict here, whose answer names the one object."""
    effect = {"action": "create", "resource_type": "docs"}

    def prepare(self):
        self.method, self.path = "POST", "/v1/docs"
        self.headers = {"Docs-Entity-ID": DOCS_ENTITY, "X-Idempotency-Key": f"docs-{self.n}"}
        self.body = {"type": "full", "owner": {"externalId": f"owner-{self.n}"}}


KINDS = (Create, Link, Patch, Delete, HardDelete, Upload, Docs)


@pytest.fixture(scope="module")
def workspace(cluster):
    made = cluster.workspace(entities="open")
    made.docs_entity(DOCS_ENTITY)
    return made


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
    kinds = [kind(api, time.monotonic_ns()) for _ in range(rounds)]
    before = kinds[0].effects()
    answers = Spread(cluster.nodes, key, MANY).rounds(
        rounds, lambda client, _i, n: kinds[n].send(client))
    for n, of_round in enumerate(answers):
        check_equal(kinds[n], of_round)
    per_round = 2 if kind is Upload else 1
    assert kinds[0].effects() - before == rounds * per_round
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

def first_dies(cluster, workspace, kind, rounds):
    """The first node is killed while it has the request; the same is asked of the second at once,
    and of all when the first is back. Returns how often the first had not answered."""
    api, key, chance = cluster.nodes[1].api(workspace.key()), workspace.key(), random.Random(1)
    doubts = 0
    for _ in range(rounds):
        request = kind(api, time.monotonic_ns())
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
        statuses = {answer.status_code for answer in answers}
        if kind is Docs:
            assert statuses <= {201, 409}
            assert len({answer.json().get("id") or answer.json()["error"]["details"]["id"]
                        for answer in answers}) == 1
        else:
            assert statuses == {request.status}, statuses
            assert len({answer.content for answer in answers}) == 1
        assert request.effects() - before == (2 if kind is Upload else 1)
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
