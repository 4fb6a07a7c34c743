# SPDX-License-Identifier: Apache-2.0
"""
Many on three nodes who want what only one can have, or what excludes each other. After each race
the rows, totals and audit trail agree.

DOSSIER_NODE_ROUNDS  rounds of each long run (20)
"""
import os
import random
from collections import Counter

import pytest

from harness import PERMISSIONS, data, refused
from ledger import FORM, multipart
from nodes import Spread, audit_total

pytestmark = pytest.mark.concurrent

MANY = 24
LONG_ROUNDS = int(os.environ.get("DOSSIER_NODE_ROUNDS", "20"))
RECORD = {"name": "n", "mime_type": "a/b"}
DEAL = {"entity_type": "deal"}


def counted(of_round):
    return Counter(answer.status_code for answer in of_round)


def record(path, **more):
    return {**RECORD, "storage_path": path, **more}


def one_path(cluster, rounds):
    """One record of a storage path is made; the others are told that it is taken."""
    workspace = cluster.workspace()
    answers = Spread(cluster.nodes, workspace.key(), MANY).rounds(
        rounds, lambda client, _i, n: client.ask("POST", "/v1/documents", {}, record(f"p{n}")))
    for of_round in answers:
        assert counted(of_round) == {201: 1, 409: MANY - 1}
        for answer in of_round:
            if answer.status_code == 409:
                refused(answer, 409, "storage_conflict")
    assert data(workspace.api().get("/v1/usage"))["documents"] == rounds


def one_triple(cluster, rounds):
    """One row, one link_id, one audit line of many equal links."""
    workspace = cluster.workspace(entities="open")
    api = workspace.api()
    path = f"/v1/documents/{api.new_document()['id']}/link"
    answers = Spread(cluster.nodes, workspace.key(), MANY).rounds(
        rounds, lambda client, i, n: client.ask("POST", path, {}, {
            **DEAL, "entity_id": f"e{n}", "role": f"r{i}"}))
    for of_round in answers:
        assert counted(of_round) == {201: 1, 200: MANY - 1}
        assert len({answer.content for answer in of_round}) == 1
    assert len(data(api.get(path + "s?per_page=100"))["links"]) == min(rounds, 100)
    assert audit_total(api, action="link") == rounds


def one_document(cluster, rounds):
    """Deletes, links, changes and references of one document: what came before the delete is gone
    with it, what came after finds no document, and a reference keeps it."""
    workspace = cluster.workspace(entities="open")
    api = workspace.api()
    ids = [api.new_bytes(b"x")["id"] if n % 3 == 0 else api.new_document()["id"]
           for n in range(rounds)]

    def ask(client, i, n):
        path = f"/v1/documents/{ids[n]}"
        return client.ask(*[
            ("DELETE", path + ("?hard=true" if n % 3 == 0 else "")),
            ("POST", path + "/link", {}, {**DEAL, "entity_id": f"e{i}"}),
            ("PATCH", path, {}, {"name": f"n{i}", "folder": f"/f/{i}", "tags": [f"t{i}"]}),
            ("PUT", f"{path}/references/workflow/w{i}") if n % 2 else ("GET", path)][i % 4])

    allowed = [{204, 404, 409}, {200, 201, 404}, {200, 404}, {204, 404} | {200}]
    for n, of_round in enumerate(Spread(cluster.nodes, workspace.key(), MANY).rounds(rounds, ask)):
        for i, answer in enumerate(of_round):
            assert answer.status_code in allowed[i % 4], (i, answer.status_code, answer.content)
        deleted = Counter(answer.status_code for answer in of_round[::4])
        left = api.get(f"/v1/documents/{ids[n]}").status_code
        # whoever finds a hard delete under way ends it, and is told so, too
        assert deleted[204] >= 1 if n % 3 == 0 and left == 404 else deleted[204] <= 1
        assert left == (404 if deleted[204] else 200)
        if n % 2 and left == 404:
            assert not any(answer.status_code == 204 for answer in of_round[3::4])
    found = cluster.sql("SELECT (SELECT count(*) FROM link l WHERE NOT EXISTS (SELECT 1 FROM"
                        " document d WHERE d.workspace_id = l.workspace_id AND"
                        " d.id = l.document_id)), (SELECT count(*) FROM document_reference r WHERE"
                        " NOT EXISTS (SELECT 1 FROM document d WHERE d.workspace_id ="
                        " r.workspace_id AND d.id = r.document_id)), (SELECT count(*) FROM"
                        " document_tag t WHERE NOT EXISTS (SELECT 1 FROM document d WHERE"
                        " d.workspace_id = t.workspace_id AND d.id = t.document_id))")
    assert found == [["0", "0", "0"]], "rows of a document that is gone"


def entity_and_links(cluster, rounds):
    """No link to an entity that is not registered, whatever comes first."""
    workspace = cluster.workspace()
    api = workspace.api()
    path = f"/v1/documents/{api.new_document()['id']}/link"
    for n in range(rounds):
        workspace_put = api.put(f"/v1/entities/deal/e{n}", json={})
        assert workspace_put.status_code == 201

    def ask(client, i, n):
        if i % 6 == 0:
            return client.ask("DELETE", f"/v1/entities/deal/e{n}")
        return client.ask("POST", path, {}, {**DEAL, "entity_id": f"e{n}"})

    for of_round in Spread(cluster.nodes, workspace.key(), MANY).rounds(rounds, ask):
        assert counted(of_round[::6]) == {204: 1, 404: MANY // 6 - 1}
        assert set(counted(of_round)) <= {200, 201, 204, 404}
    assert data(api.get(path + "s"))["links"] == []


def last_admin(cluster, rounds):
    """Of the last keys that may manage keys one stays, whoever revokes which."""
    for _ in range(rounds):
        workspace = cluster.workspace()
        keys = [workspace.new_key(*PERMISSIONS) for _ in range(3)]
        spread = Spread(cluster.nodes, None, 3)
        [answers] = spread.rounds(1, lambda client, i, _n: client.ask(
            "DELETE", f"/v1/api-keys/{keys[(i + 1) % 3]['id']}", {"X-API-Key": keys[i]["key"]}))
        statuses = counted(answers)
        assert set(statuses) <= {204, 403, 401} and statuses[204] <= 2, statuses
        active = cluster.sql("SELECT count(*) FROM api_key k JOIN workspace w USING (workspace_id)"
                             f" WHERE w.public_id = '{workspace.id}' AND revoked_at IS NULL")
        assert int(active[0][0]) == 3 - statuses[204] >= 1


def documents_quota(cluster, rounds):
    """To the document."""
    workspace = cluster.workspace(quota_documents=rounds)
    answers = Spread(cluster.nodes, workspace.key(), MANY).rounds(
        rounds, lambda client, i, n: client.ask("POST", "/v1/documents", {}, record(f"p{n}/{i}")))
    assert sum(map(counted, answers), Counter()) == {201: rounds, 413: rounds * (MANY - 1)}
    assert data(workspace.api().get("/v1/usage"))["documents"] == rounds


def bytes_quota(cluster, rounds):
    """To the byte, for uploads and declared sizes alike."""
    size, room = 1000, 10 * rounds
    workspace = cluster.workspace(quota_bytes=room * size + size - 1)

    def ask(client, i, n):
        if i % 8 == 0:
            return client.ask("POST", "/api/v1/upload", FORM, multipart([b"%4d" % i * (size // 4)]))
        return client.ask("POST", "/v1/documents", {}, record(f"p{n}/{i}", size_bytes=size))

    answers = Spread(cluster.nodes, workspace.key(), MANY).rounds(rounds, ask)
    made = sum(answer.status_code in (200, 201) for of_round in answers for answer in of_round)
    assert set(sum(map(counted, answers), Counter())) <= {200, 201, 413}
    assert made == min(room, rounds * MANY)
    assert data(workspace.api().get("/v1/usage"))["bytes"] == made * size


def folders(cluster, rounds):
    """Each folder once, with all above it."""
    workspace = cluster.workspace()
    answers = Spread(cluster.nodes, workspace.key(), MANY).rounds(
        rounds, lambda client, i, n: client.ask("POST", "/v1/documents", {}, record(
            f"p{n}/{i}", folder=f"/{n}/a/{'b/c' if i % 2 else 'd'}")))
    assert sum(map(counted, answers), Counter()) == {201: rounds * MANY}
    found = cluster.sql("SELECT count(*), count(DISTINCT path) FROM folder JOIN workspace"
                        f" USING (workspace_id) WHERE public_id = '{workspace.id}'")
    assert found == [[str(5 * rounds)] * 2]


def docs_users(cluster, rounds):
    """One user for an external id that is new to all."""
    workspace = cluster.workspace()
    entity = f"race-{workspace.id}"
    workspace.docs_entity(entity)
    answers = Spread(cluster.nodes, workspace.key(), MANY).rounds(
        rounds, lambda client, i, n: client.ask(
            "POST", "/v1/docs", {"Docs-Entity-ID": entity, "X-Idempotency-Key": f"{n}-{i}"},
            {"type": "full", "owner": {"externalId": f"x{n}"}}))
    for of_round in answers:
        assert counted(of_round) == {201: MANY}
        assert len({answer.json()["owner"]["id"] for answer in of_round}) == 1
    found = cluster.sql("SELECT count(*) FROM docs_user JOIN workspace USING (workspace_id)"
                        f" WHERE public_id = '{workspace.id}'")
    assert found == [[str(rounds)]]


def upload_url(cluster, rounds):
    """It works once; its path is registered meanwhile, and the two find each other."""
    workspace = cluster.workspace()
    api = workspace.api()
    urls = [data(api.post("/v1/documents/upload-url", json={"storage_path": f"p{n}"}), 201)
            for n in range(rounds)]
    targets = [made["upload_url"].split("/", 3)[3] for made in urls]

    def ask(client, i, n):
        if i % 4 == 0:
            return client.ask("POST", "/v1/documents", {}, record(f"p{n}"))
        return client.ask("PUT", "/" + targets[n], {}, b"%04d" % i * 10)

    for n, of_round in enumerate(Spread(cluster.nodes, workspace.key(), MANY).rounds(rounds, ask)):
        sent = [answer for i, answer in enumerate(of_round) if i % 4]
        assert counted(sent) == {200: 1, 403: len(sent) - 1}
        assert counted(of_round[::4]) == {201: 1, 409: MANY // 4 - 1}
        made = next(answer for answer in of_round[::4] if answer.status_code == 201).json()["data"]
        shown = data(api.get(f"/v1/documents/{made['id']}"))
        assert shown["size_bytes"] == 40 and shown["download_url"], "the bytes have no document"
        assert len(api.get(shown["download_url"]).content) == 40
    assert data(api.get("/v1/usage"))["bytes"] == 40 * rounds


def entity_batches(cluster, rounds):
    """Each the same entities in another order: none waits for one that waits for it."""
    workspace, few, chance = cluster.workspace(), 16, random.Random(3)
    names = [f"t{k}" for k in range(60)]
    bodies = [{"entities": [{"entity_type": "task", "entity_id": name, "name": f"{name} of {i}"}
                            for name in chance.sample(names, len(names))]} for i in range(few)]
    answers = Spread(cluster.nodes, workspace.key(), few).rounds(
        rounds, lambda client, i, n: client.ask("POST", "/v1/entities/batch", {}, bodies[i]))
    for n, of_round in enumerate(answers):
        assert counted(of_round) == {200: few}
        created = [answer.json()["data"]["created"] for answer in of_round]
        assert sorted(created)[-1] == sum(created) == (len(names) if n == 0 else 0)
    shown = {data(workspace.api().get(f"/v1/entities/task/{name}"))["name"].split(" of ")[1]
             for name in names}
    assert len(shown) == 1, "the last one did all of it"


RACES = [(one_path, 5), (one_triple, 10), (one_document, 12), (entity_and_links, 5),
         (last_admin, 3), (documents_quota, 5), (bytes_quota, 3), (folders, 3), (docs_users, 5),
         (upload_url, 5), (entity_batches, 2)]


@pytest.mark.parametrize("race, rounds", RACES, ids=lambda one: getattr(one, "__name__", None))
def test_race(cluster, race, rounds):
    race(cluster, rounds)
    cluster.verify()


@pytest.mark.slow
@pytest.mark.timeout(120 + 5 * LONG_ROUNDS)
@pytest.mark.parametrize("race", [race for race, _ in RACES], ids=lambda one: one.__name__)
def test_race_at_length(cluster, race):
    race(cluster, LONG_ROUNDS)
    cluster.verify()
