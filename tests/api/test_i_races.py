# SPDX-License-Identifier: Apache-2.0
"""
Many that ask for the same thing at the same moment, round after round: one effect each time.

DOSSIER_RACE_ROUNDS  rounds of each long run (200)
"""
import os
from collections import Counter

import pytest

from harness import data, refused
from quick import Crowd

MANY = 64
LONG_ROUNDS = int(os.environ.get("DOSSIER_RACE_ROUNDS", "200"))
RECORD = {"name": "n", "mime_type": "a/b"}


def one_key(server, rounds):
    """64 with one idempotency key: one does the work, and all get its answer."""
    workspace = server.workspace()
    key, api = workspace.key(), workspace.api()
    answers = Crowd(server, key, MANY).rounds(rounds, lambda client, _i, n: client.ask(
        "POST", "/v1/documents", {"Idempotency-Key": f"k{n}"}, {**RECORD, "storage_path": f"p{n}"}))
    for of_round in answers:
        assert {answer.status_code for answer in of_round} == {201}
        assert len({answer.content for answer in of_round}) == 1
        replayed = Counter(answer.headers.get("Idempotent-Replayed") for answer in of_round)
        assert replayed == {None: 1, "true": MANY - 1}
    assert data(api.get("/v1/usage"))["documents"] == rounds
    assert api.get("/v1/audit-logs?action=create&resource_type=documents").json()["meta"][
        "total"] == rounds
    assert len({of_round[0].content for of_round in answers}) == rounds


def one_triple(server, rounds):
    """64 links of one document and entity: one row, one link_id, one audit line."""
    workspace = server.workspace(entities="open")
    key, api = workspace.key(), workspace.api()
    paths = [f"/v1/documents/{api.new_document()['id']}/link" for _ in range(5)]
    answers = Crowd(server, key, MANY).rounds(rounds, lambda client, i, n: client.ask(
        "POST", paths[n % 5], {}, {"entity_type": "deal", "entity_id": f"e{n}", "role": f"r{i}"}))
    for of_round in answers:
        statuses = Counter(answer.status_code for answer in of_round)
        assert statuses == {201: 1, 200: MANY - 1}
        assert len({answer.content for answer in of_round}) == 1
    listed = [link["link_id"] for path in paths
              for page in range(1, 2 + rounds // 5000)
              for link in data(api.get(f"{path}s?page={page}"))["links"]]
    assert sorted(listed) == sorted(data(of_round[0], of_round[0].status_code)["link_id"]
                                    for of_round in answers)
    assert api.get("/v1/audit-logs?action=link").json()["meta"]["total"] == rounds


def one_path(server, rounds):
    """64 records of one storage path: one is made, 63 are told that it is taken."""
    workspace = server.workspace()
    key, api = workspace.key(), workspace.api()
    answers = Crowd(server, key, MANY).rounds(rounds, lambda client, _i, n: client.ask(
        "POST", "/v1/documents", {}, {**RECORD, "storage_path": f"p{n}"}))
    for of_round in answers:
        statuses = Counter(answer.status_code for answer in of_round)
        assert statuses == {201: 1, 409: MANY - 1}
        for answer in of_round:
            if answer.status_code == 409:
                refused(answer, 409, "storage_conflict")
    assert data(api.get("/v1/usage"))["documents"] == rounds


RACES = [(one_key, 20), (one_triple, 50), (one_path, 20)]


@pytest.mark.concurrent
@pytest.mark.parametrize("race, rounds", RACES, ids=lambda one: getattr(one, "__name__", None))
def test_race(server, race, rounds):
    race(server, rounds)
    assert server.run("check")["ok"] is True


@pytest.mark.slow
@pytest.mark.timeout(120 + LONG_ROUNDS)
@pytest.mark.parametrize("race", [race for race, _ in RACES], ids=lambda one: one.__name__)
def test_race_at_length(server, race):
    race(server, LONG_ROUNDS)
    assert server.run("check")["ok"] is True
