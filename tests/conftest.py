# SPDX-License-Identifier: Apache-2.0
"""Of all tests in Python: the servers' logs stand in the report of a test that failed."""
import pytest

from bed import servers


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        report.sections += [(f"log of {engine.name}", engine.log()) for engine in servers.RUNNING]
