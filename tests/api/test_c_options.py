# SPDX-License-Identifier: Apache-2.0
"""Options: the operators' page tells them as the program does; a password is told by neither."""
import re

import pytest

from harness import ROOT, run_binary


def test_options_are_documented():
    """In the operators' table, in the same order, with the same values and defaults."""
    entries = re.findall(r"^  (--.*?)(?:  |\n)(.*?)\(DOSSIER_", run_binary("help", "serve").stdout,
                         re.S | re.M)
    told = []
    for option, text in entries:
        default = re.search(r"\[(\S+)\]\s*$", text)
        told.append((option.strip(), default and default[1]))
    section = (ROOT / "docs/operations.md").read_text().split("\n## Options of serve\n")[1]
    rows = re.findall(r"^\| `(--.+?)` \| (?:`(.+?)`|\w+) \|", section.split("\n## ")[0], re.M)
    assert told == [(option.replace("\\|", "|"), default or None) for option, default in rows]


@pytest.mark.parametrize("rest", [
    "@127.0.0.1:1/x", "@[::1]x/db", "%zz@h/x", "@h/x?nonsense=1", "@h:port/x", "@h/x?a=b=c",
    "%00@h/x", "@127.0.0.1:1/x?sslmode=some"])
def test_the_password_of_a_database_is_not_told(tmp_path, rest):
    for command in "check", "serve":
        done = run_binary(command, "--data", str(tmp_path / "data"),
                          "--database", f"postgres://u:s3cretword{rest}")
        assert done.returncode in (1, 2) and len(done.stderr) > 20
        assert "s3cretword" not in done.stdout + done.stderr
