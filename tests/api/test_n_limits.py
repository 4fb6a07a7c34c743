# SPDX-License-Identifier: Apache-2.0
"""
Rate budgets of several nodes on one PostgreSQL: shared each second without a Redis, exactly with
one, and what happens when that is killed, hangs, forgets, or will not have us.
"""
import re
import secrets
import shutil
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from harness import Server, at_once, run_binary, wait_for
from quick import Quick

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bed import postgres, redis  # noqa: E402

pytestmark = pytest.mark.embedded       # it brings the engines that it needs
DAY = 86400
KEPT = ("--appendonly", "yes", "--appendfsync", "always")   # nothing is forgotten by a kill
PASSWORD = "s3cr3t/p@ss"
IN_URL = "s3cr3t%2Fp%40ss"
PATIENCE = 40   # seconds


@pytest.fixture(scope="module")
def database():
    with postgres.Postgres() as server:
        yield server


@pytest.fixture
def store():
    with redis.Redis(*KEPT) as server:
        yield server


@pytest.fixture
def cluster(database):
    """cluster(2, "--rate-standard", "10/100", limits=URL): started nodes with one database, one
    secret, and a key of tier standard in `cluster.key`."""
    made = []
    name = "n" + secrets.token_hex(6)
    database.sql(f"CREATE DATABASE {name} OWNER {postgres.OWNER}")

    def start(count, *options, limits=None):
        env = {"DOSSIER_DATABASE": database.url_of(name), "DOSSIER_BLOBS": "fs"}
        if limits:
            env["DOSSIER_LIMITS"] = limits
        for i in range(count):
            made.append(Server(*options, env=env))
            if i > 0:
                made[i].data_dir.mkdir(mode=0o700)
                shutil.copy(made[0].data_dir / "secret.key", made[i].data_dir)
                # as if the bytes, of which there are none here, were in one place
                (made[i].data_dir / "blobs").mkdir()
                shutil.copy(made[0].data_dir / "blobs" / "store-id", made[i].data_dir / "blobs")
            made[i].start()
        start.workspace = made[0].workspace()
        start.key = start.workspace.key(tier="standard")
        return made

    yield start
    for server in made:
        server.remove()


def patient(store):
    """A URL with which a slow machine is no reason to count alone."""
    return store.url + "?timeout_ms=10000"


def ask(node, key):
    return Quick(node, key).ask("GET", "/v1/usage")


def remaining(answer):
    assert answer.status_code == 200, answer.content
    return int(answer.headers["X-RateLimit-Remaining"])


def metrics(node):
    text = requests.get(node.base_url + "/metrics", timeout=20).text
    return {name: float(value) for name, value in re.findall(r"^(dossier_\S+) (\S+)$", text, re.M)}


def shared(node):
    return metrics(node)["dossier_limits_shared"] == 1


def fallbacks(nodes):
    return sum(metrics(node)["dossier_limits_fallbacks_total"] for node in nodes)


def saved(*nodes):
    """Once each has saved what it has counted until now, in this order."""
    def last():
        return metrics(node)['dossier_job_last_run_seconds{job="budgets"}']

    for node in nodes:
        begun = last()  # a run that is under way may have begun before
        ended = wait_for(lambda: last() > begun and last(), PATIENCE)
        wait_for(lambda: last() > ended, PATIENCE)


def of_one_day(scene):
    """Runs scene() until no UTC day has ended meanwhile; its value."""
    while True:
        day = time.time() // DAY
        value = scene()
        if day == time.time() // DAY:
            return value


def lines(node, text):
    return [line for line in node.log().splitlines() if text in line]


# ---- without a Redis ----

def test_nodes_on_one_database_share_the_day_within_a_second(cluster):
    nodes = cluster(2, "--rate-standard", "10000/100")

    def scene():
        key = cluster.workspace.key(tier="standard")
        one, other = nodes
        assert remaining(ask(other, key)) == 99
        for _ in range(30):
            ask(one, key)
        saved(one)
        ask(other, key)
        saved(other)    # from which it learns
        assert remaining(ask(other, key)) == 100 - 33
        for _ in range(67):
            assert ask(other, key).status_code == 200
        saved(other)
        ask(one, key)   # which learns only now
        saved(one)
        return [ask(node, key).status_code for node in nodes]

    assert of_one_day(scene) == [429, 429]
    nodes[0].kill()
    nodes[0].start()
    assert of_one_day(lambda: ask(nodes[0], cluster.key).status_code) == 200
    assert not shared(nodes[0])


# ---- with one ----

def asked_everywhere(nodes, key, clients, times):
    """Answers of clients that ask together, each one node so many times."""
    def run(i):
        client = Quick(nodes[i % len(nodes)], key)
        try:
            return [client.ask("GET", "/v1/usage") for _ in range(times)]
        finally:
            client.close()

    return sum(at_once(clients, run), [])


@pytest.mark.concurrent
@pytest.mark.parametrize("rate, limit", [("100000/150", 150), ("150/100000", 150)],
                         ids=["day", "minute"])
def test_a_budget_is_exact_over_three_nodes(cluster, store, rate, limit):
    nodes = cluster(3, "--rate-standard", rate, limits=patient(store))
    assert all(map(shared, nodes))
    for _ in range(5):
        began, before = time.time(), fallbacks(nodes)
        key = cluster.workspace.key(tier="standard")
        answers = asked_everywhere(nodes, key, 30, 10)
        if (began // DAY != time.time() // DAY or time.time() - began > 50 or
                fallbacks(nodes) != before):
            continue    # over the turn of a day, or so slow that Redis seemed to be away
        assert Counter(answer.status_code for answer in answers) == {200: limit, 429: 300 - limit}
        most = int(rate.split("/")[1])
        left = [remaining(answer) for answer in answers if answer.status_code == 200]
        assert sorted(left) == list(range(most - limit, most)), "no number twice"
        refused = [answer for answer in answers if answer.status_code == 429]
        for answer in refused:
            assert answer.headers["X-RateLimit-Limit"] == str(limit)
            assert answer.headers["X-RateLimit-Remaining"] == "0"
            assert 1 <= int(answer.headers["Retry-After"]) <= (60 if limit < most else DAY)
        return
    raise AssertionError("five times too slow")


def test_an_unmetered_key_asks_no_redis(cluster, store):
    nodes = cluster(2, limits=patient(store))
    key = cluster.workspace.key(tier="unmetered")
    for node in nodes:
        assert remaining(ask(node, key)) == 2147483647
    assert store.ask("DBSIZE") == b":0\r\n"
    ask(nodes[0], cluster.key)
    assert store.ask("DBSIZE") == b":2\r\n"


def test_killed_under_load_and_back(cluster, store):
    """Requests go on; in the end each of them is in the shared counter, once."""
    limit, done = 1000000, threading.Event()
    nodes = cluster(2, "--rate-standard", f"0/{limit}", limits=patient(store))

    def load(i):
        client, count = Quick(nodes[i % 2], cluster.key), 0
        while not done.is_set():
            assert client.ask("GET", "/v1/usage").status_code == 200
            count += 1
        client.close()
        return count

    def disturb():
        for _ in range(2):
            time.sleep(0.5)
            store.server.kill()
            wait_for(lambda: not any(map(shared, nodes)), PATIENCE)
            store.server.start()
            wait_for(lambda: all(map(shared, nodes)), PATIENCE)
        done.set()

    def act(i):
        try:
            return load(i) if i else disturb()
        finally:
            if not i:
                done.set()

    def scene():
        before = limit - remaining(ask(nodes[0], cluster.key))
        done.clear()
        granted = sum(at_once(5, act)[1:])
        wait_for(lambda: all(map(shared, nodes)), PATIENCE)
        saved(*nodes)
        return before, granted, [limit - remaining(ask(node, cluster.key)) for node in nodes]

    before, granted, known = of_one_day(scene)
    assert known == [before + granted + 1, before + granted + 2]
    assert 0 < fallbacks(nodes) < granted
    for node in nodes:
        # how it is lost depends on the moment; each change of state is one line
        assert len(lines(node, "are counted by this node alone")) >= 2
        assert (len(lines(node, "are counted by this node alone")) ==
                len(lines(node, "shared again")))


def test_counted_alone_no_further_than_the_limit(cluster, store):
    def scene():
        key = cluster.workspace.key(tier="standard")
        assert [remaining(ask(node, key)) for node in nodes * 2] == [9, 8, 7, 6]
        store.server.kill()
        alone = [ask(nodes[0], key).status_code for _ in range(12)]
        saved(nodes[0])
        ask(nodes[1], key)      # learns by the database, once it has something to save itself
        saved(nodes[1])
        other = ask(nodes[1], key)
        store.server.start()
        wait_for(lambda: all(map(shared, nodes)), PATIENCE)
        return alone, [other.status_code, *(ask(node, key).status_code for node in nodes)]

    nodes = cluster(2, "--rate-standard", "1000/10", limits=patient(store))
    alone, then = of_one_day(scene)
    # a node that had not drawn last knows one draw less
    assert alone in ([200] * 7 + [429] * 5, [200] * 6 + [429] * 6)
    assert then == [429, 429, 429]


def test_a_redis_that_hangs_is_not_waited_for(cluster, store):
    nodes = cluster(2, "--rate-standard", "100000/1000", limits=store.url + "?timeout_ms=500")

    def scene():
        key = cluster.workspace.key(tier="standard")
        before = remaining(ask(nodes[0], key))
        store.server.freeze()
        try:
            began = time.monotonic()
            for _ in range(20):
                assert ask(nodes[0], key).status_code == 200
            took = time.monotonic() - began
        finally:
            store.server.resume()
        wait_for(lambda: all(map(shared, nodes)), PATIENCE)
        return before - remaining(ask(nodes[1], key)), took

    used, took = of_one_day(scene)
    assert used == 21, "the one that Redis did after all is not counted twice"
    assert took < 15


def test_a_redis_without_memory_does_not_forget_the_day(cluster):
    """What the database knows is in the counter again; and what no node had saved yet, from who
    draws first."""
    with redis.Redis() as store:
        nodes = cluster(2, "--rate-standard", "10000/100", limits=patient(store))

        def scene():
            key = cluster.workspace.key(tier="standard")
            for node in nodes * 5:
                ask(node, key)
            saved(*nodes)
            last = remaining(ask(nodes[0], key))
            store.server.restart()
            wait_for(lambda: all(map(shared, nodes)), PATIENCE)
            return last, [remaining(ask(node, key)) for node in nodes]

        last, left = of_one_day(scene)
        assert (last, left) == (89, [88, 87])


def test_away_at_the_start(cluster):
    with redis.Redis() as store:
        store.server.kill()
        nodes = cluster(2, "--rate-standard", "10000/100", limits=patient(store))
        assert not any(map(shared, nodes))
        first = [remaining(ask(node, cluster.key)) for node in nodes]
        assert first == [99, 99]
        assert all(len(lines(node, "are counted by this node alone")) == 1 for node in nodes)
        store.server.start()
        wait_for(lambda: all(map(shared, nodes)), PATIENCE)
        assert of_one_day(lambda: remaining(ask(nodes[0], cluster.key))) <= 97
        assert [node.stop() for node in nodes] == [0, 0]


def test_a_stop_while_it_is_away(cluster, store):
    nodes = cluster(1, limits=store.url)
    ask(nodes[0], cluster.key)
    store.server.freeze()
    ask(nodes[0], cluster.key)
    assert nodes[0].stop() == 0
    store.server.resume()


def test_a_restarted_node_goes_on(cluster, store):
    nodes = cluster(2, "--rate-standard", "1000/100", limits=patient(store))

    def scene():
        key = cluster.workspace.key(tier="standard")
        left = [remaining(ask(node, key)) for node in nodes * 3]
        nodes[0].kill()
        nodes[0].start()
        return left + [remaining(ask(node, key)) for node in nodes]

    assert of_one_day(scene) == list(range(99, 91, -1))


# ---- how it is reached ----

@pytest.mark.parametrize("url, why", [
    ("redis.example:6379", "no such URL"),
    (f"http://:{IN_URL}@redis.example", "no such URL"),
    (f"rediss://:{IN_URL}@redis.example", "TLS"),
    (f"redis://:{IN_URL}@redis.example:port", "port"),
    (f"redis://:{IN_URL}@redis.example/first", "database"),
    (f"redis://{IN_URL}@redis.example", "password"),
])
def test_a_wrong_url_is_refused_and_not_repeated(tmp_path, url, why):
    done = run_binary("serve", "--data", tmp_path / "data", "--limits", url)
    assert done.returncode == 2 and done.stdout == ""
    assert "--limits" in done.stderr and why in done.stderr
    assert IN_URL not in done.stderr and "redis.example" not in done.stderr
    assert not (tmp_path / "data").exists()


def guarded(store):
    """A user with no more rights than are needed; host:port."""
    assert store.ask("ACL", "SETUSER", "dossier", "on", ">" + PASSWORD, "~dossier:*", "+ping",
                     "+select", "+eval", "+evalsha", "+script|load", "+time", "+hget", "+hset",
                     "+hmget", "+hsetnx", "+hincrby", "+expireat", "+pexpire", "+del") == b"+OK\r\n"
    assert store.ask("ACL", "SETUSER", "default", "off") == b"+OK\r\n"
    return urlsplit(store.url).netloc


def test_a_password_is_used_and_told_to_nobody(cluster, store):
    place = guarded(store)
    nodes = cluster(2, "--log-level", "debug", limits=f"redis://dossier:{IN_URL}@{place}/2")
    of_one_day(lambda: [ask(node, cluster.key) for node in nodes])
    assert all(map(shared, nodes))
    store.server.kill()
    ask(nodes[0], cluster.key)
    wait_for(lambda: not any(map(shared, nodes)), PATIENCE)
    for node in nodes:
        text = node.log() + requests.get(node.base_url + "/metrics", timeout=20).text
        assert lines(node, place) and IN_URL not in text and PASSWORD not in text


@pytest.mark.parametrize("who, why", [
    ("", "NOAUTH"), ("dossier:wrong-pa55@", "WRONGPASS"), ("nobody:wrong-pa55@", "WRONGPASS")])
def test_one_that_will_not_have_us_ends_the_start(store, tmp_path, who, why):
    place = guarded(store)
    done = run_binary("serve", "--data", tmp_path / "data", "--listen", "127.0.0.1:0",
                      env={"DOSSIER_LIMITS": f"redis://{who}{place}"})
    assert done.returncode == 1 and "listening" not in done.stdout
    assert why in done.stderr and place in done.stderr and "wrong-pa55" not in done.stderr


def test_by_a_unix_socket(server_factory, tmp_path):
    with redis.Redis("--unixsocket", "redis.sock", "--unixsocketperm", "777") as store:
        store.home.chmod(0o755)
        server = server_factory("--rate-standard", "1000/100",
                                "--limits", f"unix:{store.home}/redis.sock")
        assert shared(server)
        key = server.workspace().key(tier="standard")
        assert of_one_day(lambda: remaining(ask(server, key))) <= 99
        assert store.ask("DBSIZE") == b":2\r\n"
