# SPDX-License-Identifier: Apache-2.0
"""
The random load of tests/api on three nodes at once: every answer is one that some order in time
explains (test_r_history.py), and deletes, links, downloads and uploads leave nothing over
(test_n_mix.py).

DOSSIER_HISTORY_OPS, DOSSIER_HISTORY_SEED, DOSSIER_MIX_OPS  as there
"""
import os
import random
from collections import Counter

import pytest

import test_n_mix as mix
import test_r_history as history
from harness import at_once

SHORT_OPS, SHORT_MIX = 800, 400


def play_history(cluster, ops, seed):
    workspace = cluster.workspace(entities="open")
    key, known = workspace.key(), ([None] * history.PATHS, [None] * history.PATHS)
    clients = [history.Client(cluster.nodes[i % 3], key, i, known, random.Random(f"{seed}/{i}"))
               for i in range(history.CLIENTS)]
    done = at_once(history.CLIENTS, lambda i: clients[i].many(ops // history.CLIENTS))
    history.explained([sum((calls[path] for calls in done), []) for path in range(history.PATHS)],
                      seed)
    cluster.verify()


def play_mix(cluster, ops, seed):
    workspace = cluster.workspace()
    key, slots = workspace.key(), [None] * mix.SLOTS
    clients = at_once(mix.CLIENTS, lambda i: mix.Client(
        cluster.nodes[i % 3], key, f"{seed}/{i}", slots).run(ops // mix.CLIENTS))
    mix.at_rest(cluster.nodes[0], workspace.api(), clients)
    cluster.verify()
    return sum((client.seen for client in clients), Counter())


@pytest.mark.concurrent
def test_history(cluster):
    play_history(cluster, SHORT_OPS, 1)


@pytest.mark.concurrent
def test_mix(cluster):
    play_mix(cluster, SHORT_MIX, 1)


@pytest.mark.slow
@pytest.mark.timeout(300 + history.LONG_OPS // 10)
def test_history_at_length(cluster):
    chosen = os.environ.get("DOSSIER_HISTORY_SEED")
    first = int(chosen) if chosen else random.SystemRandom().randrange(2**32)
    games = max(1, history.LONG_OPS // history.SHORT_OPS)
    for seed in range(first, first + games):
        play_history(cluster, history.SHORT_OPS, seed)
    print(f"{games * history.SHORT_OPS} operations on three nodes, seeds {first} to "
          f"{first + games - 1}, 0 violations")


@pytest.mark.slow
@pytest.mark.timeout(300 + mix.LONG_OPS // 10)
def test_mix_at_length(cluster):
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    print(play_mix(cluster, mix.LONG_OPS, seed))
