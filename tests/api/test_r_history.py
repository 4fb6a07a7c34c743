# SPDX-License-Identifier: Apache-2.0
"""
Eight clients at once on few documents: every answer is one that some order in time explains.

Each call is kept with the moments it began and ended. Calls on different storage paths have no
part in each other, so each path has a history of its own, and linearise() looks for an order that
respects time and gives every answer (Wing and Gong, with Lowe's memory of configurations).

DOSSIER_HISTORY_OPS   operations of the long run (20,000)
DOSSIER_HISTORY_SEED  its seed; random, and shown on failure, when not set
"""
import os
import random
import time
from collections import Counter, namedtuple

import pytest

from harness import at_once
from quick import Quick

CLIENTS = 8
PATHS = 4
ENTITIES = ("x", "y")
SHORT_OPS = 2000
LONG_OPS = int(os.environ.get("DOSSIER_HISTORY_OPS", "20000"))

# What a path holds: the id and name of its document, and entity -> link id, in order.
State = namedtuple("State", "id name links", defaults=(None, None, ()))
Call = namedtuple("Call", "began ended client op sent status answer")


# ---- what one call does ----

def create(state, sent, status, answer):
    if status == 409:
        return state if state.id else None
    return State(answer["id"], sent["name"]) if status == 201 and not state.id else None


def patch(state, sent, status, answer):
    return state._replace(name=sent["name"]) if status == 200 and \
        answer["name"] == sent["name"] else None


def get(state, _sent, status, answer):
    linked = sorted(entity["entity_id"] for entity in answer["linked_entities"]) \
        if status == 200 else None
    return state if status == 200 and answer["name"] == state.name and \
        linked == [entity for entity, _ in state.links] else None


def links(state, _sent, status, answer):
    return state if status == 200 and state.links == tuple(sorted(
        (link["entity_id"], link["link_id"]) for link in answer["links"])) else None


def link(state, sent, status, answer):
    known = dict(state.links)
    if status == 200:
        return state if known.get(sent["entity"]) == answer["link_id"] else None
    if status != 201 or sent["entity"] in known:
        return None
    return state._replace(links=tuple(sorted({**known, sent["entity"]: answer["link_id"]}.items())))


def unlink(state, sent, status, _answer):
    left = tuple(one for one in state.links if one[1] != sent["link"])
    there = len(left) < len(state.links)
    return state._replace(links=left) if status == (204 if there else 404) else None


def delete(_state, _sent, status, _answer):
    return State() if status == 204 else None


STEPS = {step.__name__: step for step in (create, patch, get, links, link, unlink, delete)}


def step(state, call):
    """The state after the call; None when the call cannot have had this answer."""
    if call.op != "create" and call.sent["id"] != state.id:
        return state if call.status == 404 else None
    return STEPS[call.op](state, call.sent, call.status, call.answer)


def linearise(history, begin=State()):
    """None when some order explains the history; else the calls about the place it breaks at."""
    calls = sorted(history, key=lambda call: call.began)
    seen, stack, deepest = set(), [(0, frozenset(), begin)], (-1, 0)
    while stack:
        first, ahead, state = stack.pop()   # done: all before `first`, and those in `ahead`
        while first in ahead:
            ahead, first = ahead - {first}, first + 1
        if first == len(calls):
            return None
        if (first, ahead, state) in seen:
            continue
        seen.add((first, ahead, state))
        deepest = max(deepest, (first + len(ahead), first))
        until, i = calls[first].ended, first
        while i < len(calls) and calls[i].began < until:    # what may come next
            if i not in ahead:
                until = min(until, calls[i].ended)
                after = step(state, calls[i])
                if after is not None:
                    stack.append((first, ahead | {i}, after))
            i += 1
    return calls[max(0, deepest[1] - 4):deepest[1] + 2 * CLIENTS]


# ---- clients ----

class Client:
    """Does random calls on all paths, and keeps what it saw."""

    def __init__(self, server, key, number, known, chance):
        self.quick = Quick(server, key)
        self.documents, self.links = known  # of each path the newest id that anyone has seen
        self.number, self.chance = number, chance
        self.calls = [[] for _ in range(PATHS)]

    def ask(self, path, op, method, target, body=None, **sent):
        began = time.monotonic_ns()
        answer = self.quick.ask(method, target, {}, body)
        ended = time.monotonic_ns()
        status, found = answer.status_code, None
        if status < 300 and answer.content:
            found = answer.json().get("data")
        self.calls[path].append(Call(began, ended, self.number, op, sent, status, found))
        return found

    def one(self, count):
        path, op = self.chance.randrange(PATHS), self.chance.choice(
            ["create", "create", "patch", "get", "get", "links", "link", "link", "unlink",
             "delete"])
        known, known_link = self.documents[path], self.links[path]
        target = f"/v1/documents/{known}"
        name, entity = f"{self.number}-{count}", self.chance.choice(ENTITIES)
        if op == "create" or known is None:
            made = self.ask(path, "create", "POST", "/v1/documents", {
                "name": name, "mime_type": "a/b", "storage_path": f"p{path}"}, name=name)
            if made:
                self.documents[path] = made["id"]
        elif op == "patch":
            self.ask(path, op, "PATCH", target, {"name": name}, id=known, name=name)
        elif op == "link":
            made = self.ask(path, op, "POST", target + "/link", {
                "entity_type": "deal", "entity_id": entity}, id=known, entity=entity)
            if made:
                self.links[path] = made["link_id"]
        elif op == "unlink" and known_link:
            self.ask(path, op, "DELETE", f"{target}/links/{known_link}", id=known,
                     link=known_link)
        elif op == "delete":
            self.ask(path, op, "DELETE", target, id=known)
        else:
            parts = "/links" if op == "links" else ""
            self.ask(path, op if parts else "get", "GET", target + parts, id=known)

    def many(self, count):
        for i in range(count):
            self.one(i)
        self.quick.close()
        return self.calls


def play(server, ops, seed):
    """The history of each path."""
    workspace = server.workspace(entities="open")
    key, known = workspace.key(), ([None] * PATHS, [None] * PATHS)
    clients = [Client(server, key, i, known, random.Random(f"{seed}/{i}"))
               for i in range(CLIENTS)]
    done = at_once(CLIENTS, lambda i: clients[i].many(ops // CLIENTS))
    return [sum((calls[path] for calls in done), []) for path in range(PATHS)]


def explained(histories, seed):
    for path, history in enumerate(histories):
        broken = linearise(history)
        assert broken is None, f"seed {seed}, path p{path}: no order explains\n" + \
            "\n".join(map(str, broken))


# ---- the checker itself ----

def call(began, ended, op, status, answer=None, **sent):
    return Call(began, ended, 0, op, sent, status, answer)


MADE = call(0, 1, "create", 201, {"id": "d"}, name="n")
SEEN = {"name": "n", "linked_entities": []}


@pytest.mark.parametrize("history, fits", [
    ([MADE, call(2, 3, "get", 200, SEEN, id="d")], True),
    ([MADE, call(2, 3, "get", 404, id="d")], False),
    ([MADE, call(2, 3, "delete", 204, id="d"), call(4, 5, "get", 200, SEEN, id="d")], False),
    ([MADE, call(2, 5, "delete", 204, id="d"), call(4, 6, "get", 200, SEEN, id="d")], True),
    ([MADE, call(2, 5, "delete", 204, id="d"), call(3, 6, "delete", 204, id="d")], False),
    ([MADE, call(2, 9, "link", 201, {"link_id": "l"}, id="d", entity="x"),
      call(3, 8, "link", 200, {"link_id": "l"}, id="d", entity="x")], True),
    ([MADE, call(2, 9, "link", 201, {"link_id": "l"}, id="d", entity="x"),
      call(3, 8, "link", 201, {"link_id": "m"}, id="d", entity="x")], False),
    ([MADE, call(2, 9, "patch", 200, {"name": "o"}, id="d", name="o"),
      call(3, 4, "get", 200, {**SEEN, "name": "o"}, id="d"),
      call(5, 6, "get", 200, SEEN, id="d")], False),
], ids=str)
def test_checker(history, fits):
    assert (linearise(history) is None) is fits


# ---- the server ----

@pytest.mark.concurrent
def test_history(server):
    histories = play(server, SHORT_OPS, 1)
    explained(histories, 1)
    seen = Counter((one.op, one.status) for history in histories for one in history)
    for expected in [("create", 201), ("create", 409), ("patch", 200), ("patch", 404),
                     ("get", 200), ("get", 404), ("links", 200), ("link", 201), ("link", 200),
                     ("link", 404), ("unlink", 204), ("unlink", 404), ("delete", 204),
                     ("delete", 404)]:
        assert seen[expected], f"{expected} never happened: {seen}"
    assert server.run("check")["ok"] is True


@pytest.mark.slow
@pytest.mark.timeout(120 + LONG_OPS // 20)
def test_history_at_length(server):
    chosen = os.environ.get("DOSSIER_HISTORY_SEED")
    first = int(chosen) if chosen else random.SystemRandom().randrange(2**32)
    began, games = time.monotonic(), max(1, LONG_OPS // SHORT_OPS)
    for seed in range(first, first + games):
        explained(play(server, SHORT_OPS, seed), seed)
    print(f"{games * SHORT_OPS} operations in {time.monotonic() - began:.0f} s, seeds {first} to "
          f"{first + games - 1}, 0 violations")
    assert server.run("check")["ok"] is True
