# SPDX-License-Identifier: Apache-2.0
"""Rate budgets: exact against many threads, and what a crash or a stop forgets of them."""
import re
import time
from collections import Counter

import pytest
import requests

from harness import wait_for
from quick import Crowd, Quick

MANY = 64
DAY = 86400


def asked_together(server, workspace, rounds):
    """Statuses of 64 clients of one new key that ask together, so many times each."""
    crowd = Crowd(server, workspace.key(tier="standard"), MANY)
    answers = crowd.rounds(rounds, lambda client, _i, _n: client.ask("GET", "/v1/usage"))
    for answer in sum(answers, []):
        assert answer.status_code == 200 or int(answer.headers["Retry-After"]) >= 1
        assert int(answer.headers["X-RateLimit-Remaining"]) >= 0
    return answers


def statuses(answers):
    return Counter(answer.status_code for of_round in answers for answer in of_round)


@pytest.mark.concurrent
@pytest.mark.parametrize("rate, limit", [("100000/100", 100), ("100/100000", 100)],
                         ids=["day", "minute"])
def test_a_budget_is_exact(server_factory, rate, limit):
    """64 clients that ask three times each, of a budget for 100: 100 get through, on each key."""
    server = server_factory("--rate-standard", rate)
    workspace = server.workspace()
    for _ in range(5):
        began = time.time()
        answers = asked_together(server, workspace, 3)
        if began // DAY != time.time() // DAY or time.time() - began > 50:
            continue    # over the turn of a day, or as slow as a budget's minute: once more
        assert statuses(answers) == {200: limit, 429: 3 * MANY - limit}
        left = sorted((int(answer.headers["X-RateLimit-Remaining"])
                       for answer in sum(answers, []) if answer.status_code == 200), reverse=True)
        most = int(rate.split("/")[1])
        assert left == list(range(most - 1, most - 1 - limit, -1)), "no number twice"
        return
    raise AssertionError("five times too slow")


def used(server, key, limit):
    """What the day's budget knew of before this request."""
    answer = Quick(server, key).ask("GET", "/v1/usage")
    assert answer.status_code == 200
    return limit - int(answer.headers["X-RateLimit-Remaining"]) - 1


def last_saved(server):
    text = requests.get(server.base_url + "/metrics", timeout=20).text
    return float(re.search(r'^dossier_job_last_run_seconds{job="budgets"} (\S+)$', text, re.M)[1])


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_what_is_forgotten(server_factory, end):
    """A crash: at most what came since the last save, a second ago. A stop: nothing."""
    server, limit = server_factory("--rate-standard", "100000/100000"), 100000
    key = server.workspace().key(tier="standard")
    client = Quick(server, key)
    for _ in range(50):
        client.ask("GET", "/v1/usage")
    asked = time.time()
    wait_for(lambda: last_saved(server) > asked + 1)
    for _ in range(10):
        client.ask("GET", "/v1/usage")
    if end == "kill":
        server.kill()
    else:
        assert server.stop() == 0
    server.start()
    found = used(server, key, limit)
    if asked // DAY == time.time() // DAY:
        assert 50 <= found <= 60 if end == "kill" else found == 60
