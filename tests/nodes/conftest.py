# SPDX-License-Identifier: Apache-2.0
"""
Fixtures of the tests of several nodes.

database        a PostgreSQL server for the whole run; nobody harms it
store           an S3 store, the same
cluster         three nodes for the whole run, with --purge-after 1s; all run after each test
new_cluster     new_cluster(count=2, ...) starts others; removed after the test
"""
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "api")]

import harness          # noqa: E402
import nodes            # noqa: E402
from bed import ceph, postgres  # noqa: E402


@pytest.fixture(scope="session")
def database():
    with postgres.Postgres() as server:
        yield server


@pytest.fixture(scope="session")
def store():
    with ceph.Ceph() as server:
        yield server


@pytest.fixture(scope="session")
def cluster(database, store):
    with nodes.Cluster(nodes.new_database(database), nodes.new_prefix(store),
                       options=["--purge-after", "1s"]) as cluster:
        yield cluster


@pytest.fixture
def new_cluster(database, store):
    made = []

    def start(url=None, prefix=None, **options):
        made.append(nodes.Cluster(url or nodes.new_database(database),
                                  prefix or nodes.new_prefix(store), **options))
        return made[-1].start()

    yield start
    for one in made:
        one.remove()


_log_starts = {}


def pytest_runtest_setup(item):
    _log_starts.clear()
    _log_starts.update((server, server.log_size()) for server in harness.RUNNING)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for server in harness.RUNNING:
            text = server.log(_log_starts.get(server, 0))[-4000:]
            report.sections.append((f"log of {server.base_url}", text))
