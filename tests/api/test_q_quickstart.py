# SPDX-License-Identifier: Apache-2.0
"""The README's quick start, run as it stands: only host and key are replaced."""
import json
import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
VOLATILE = re.compile(
    r"\b\w+_[0-9A-HJKMNP-TV-Z]{26}\b|[0-9A-HJKMNP-TV-Z]{26}|[0-9a-f]{8}-[0-9a-f-]{27}"
    r"|\d{4}-\d\d-\d\dT[\d:]{8}Z|http://[\d.:]+|/download/[\w-]+"
)


def steps():
    """(shell text, printed answer) of every fenced pair in the README."""
    text = (ROOT / "README.md").read_text()
    return re.findall(r"```sh\n((?:(?!```).)*)```\n```(?:json)?\n(.*?)```", text, re.S)


def plain(answer):
    """An answer with everything that differs from run to run blanked out."""
    return VOLATILE.sub("*", answer.strip())


@pytest.fixture
def shell_environment(server_factory, tmp_path):
    server = server_factory()
    server.run("workspace", "create", "Demo", "--id", "ws_123")
    server.run("entity", "put", "--workspace", "ws_123", "deal", "deal_01HY1")
    permissions = "read:documents,write:documents,admin:documents,extractions:write"
    made = server.run("key", "create", "--workspace", "ws_123", "--permissions", permissions)
    return dict(os.environ, BASE=server.base_url, KEY=made["key"], HOME=str(tmp_path))


def test_quick_start_runs_verbatim(shell_environment, tmp_path):
    pairs = steps()
    assert len(pairs) == 5
    # one shell for all, since a later step uses what an earlier one has set
    script = "set -e\n" + "printf '\\1'\n".join(shell for shell, _ in pairs)
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=shell_environment,
                          capture_output=True, text=True, timeout=60, check=True)
    answers = done.stdout.split("\x01")
    for (shell, shown), answer in zip(pairs, answers):
        assert plain(answer) == plain(shown), shell
        if shown.startswith("{"):
            assert list(json.loads(answer)["data"]) == list(json.loads(shown)["data"])
