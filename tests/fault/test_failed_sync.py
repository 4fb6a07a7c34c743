# SPDX-License-Identifier: Apache-2.0
"""A sync that fails: nothing is acknowledged, the process stops, and recovery is consistent.

What a failed commit left on disk is unknown until recovery, so its bytes must not be thrown away:
the row may come back.
"""
import os
import pathlib
import subprocess
import sys

import pytest
import requests

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "api"))
import harness  # noqa: E402

FAIL_STOP = 70


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    library = tmp_path_factory.mktemp("shim") / "fail_sync.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, HERE / "fail_sync.c", "-ldl"],
                   check=True, timeout=60)
    return library


@pytest.fixture
def failing(shim, tmp_path):
    """Starts servers whose syncs of some path fail once switch.touch() was called."""
    switch, made = tmp_path / "fail", []

    def start(path):
        # a sanitizer's runtime wants to be the first library; it works as the second, too
        options = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        server = harness.Server(env={"LD_PRELOAD": str(shim), "FAIL_SYNC_WHEN": str(switch),
                                     "FAIL_SYNC_PATH": path, "ASAN_OPTIONS": options}).start()
        made.append(server)
        return server, switch

    yield start
    for server in made:
        server.remove()


REQUESTS = {
    "create": lambda url, key: requests.post(
        url + "/v1/documents", headers={"X-API-Key": key}, timeout=10,
        json={"name": "n", "mime_type": "text/plain", "storage_path": "p"}),
    "upload": lambda url, key: requests.post(
        url + "/api/v1/upload", headers={"X-API-Key": key}, timeout=10,
        files=[("files", ("a.txt", b"x" * 5000))]),
}


@pytest.mark.parametrize("name, path", [("create", "dossier.db-wal"), ("upload", "dossier.db-wal"),
                                        ("upload", "/objects/")])
def test_failed_sync(failing, name, path):
    server, switch = failing(path)
    key = server.workspace().key()
    switch.touch()
    try:
        status = REQUESTS[name](server.base_url, key).status_code
    except requests.ConnectionError:
        status = None  # it stopped before the answer had left
    assert status in (None, 500, 503)
    assert server.process.wait(timeout=15) == FAIL_STOP
    switch.unlink()
    server.start()
    found = server.run("check")
    assert found["counts"]["missing"] == 0 and found["ok"], found
