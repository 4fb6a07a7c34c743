# SPDX-License-Identifier: Apache-2.0
"""
Fixtures of the API tests.

server          one for the whole run, with default settings; a test makes its own workspace in it
server_factory  server_factory("--purge-after", "1s") starts one more; stopped after the test
workspace       a new workspace of `server`
api             a client of `workspace` with every permission and no rate limit
anonymous       a client of `server` without a key
"""
from pathlib import Path

import pytest

import engines
import harness


@pytest.fixture(scope="session")
def server():
    server = harness.Server()
    try:
        yield server.start()
    finally:
        server.remove()


@pytest.fixture
def server_factory():
    made = []

    def start(*options, **more):
        made.append(harness.Server(*options, **more))
        return made[-1].start()

    yield start
    for server in made:
        server.remove()


@pytest.fixture
def workspace(server):
    return server.workspace()


@pytest.fixture
def api(workspace):
    return workspace.api()


@pytest.fixture
def anonymous(server):
    return server.api()


_collected = set()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    elsewhere = [item for item in items if item.get_closest_marker("embedded")]
    if not engines.EMBEDDED and elsewhere:
        config.hook.pytest_deselected(items=elsewhere)
        items[:] = [item for item in items if item not in elsewhere]
    _collected.update(item.path.name for item in items)


@pytest.fixture
def whole_run(request):
    """Skips a test that says something only when all others, but slow ones, have run before it."""
    option = request.config.option
    missing = {path.name for path in Path(__file__).parent.glob("test_*.py")} - _collected
    part = option.keyword or option.deselect or option.markexpr not in ("", "not slow")
    if not engines.EMBEDDED or missing or part:
        pytest.skip("says something about a run of all tests only")


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
