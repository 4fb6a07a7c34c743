# SPDX-License-Identifier: Apache-2.0
"""The sandbox of `serve`: entered by default, off on demand, and in the way of nothing."""
import os
import resource
import shutil
import stat
import subprocess

import pytest
import requests

from harness import BINARY, Server, data, instrumented, run_binary

NOBODY = 65534


def status(server=None):
    """The fields of /proc/PID/status; without a server, of these tests."""
    pid = server.process.pid if server else "self"
    with open(f"/proc/{pid}/status", encoding="ascii") as lines:
        return dict(line.rstrip("\n").split(":\t", 1) for line in lines)


@pytest.fixture(autouse=True)
def default(monkeypatch):
    """Whatever the rest of the run does without."""
    monkeypatch.delenv("DOSSIER_SANDBOX", raising=False)


@pytest.fixture
def plain():
    server = Server("--sandbox", "off")
    yield server.start()
    server.remove()


def whole_round(server):
    """Bytes in by both ways, out, listed, erased: all that touches files, and the commands."""
    workspace = server.workspace(entities="open")
    key = workspace.key()
    api = server.api(key)
    record = api.new_bytes(b"%PDF-1.4 signed")
    made = requests.post(server.base_url + "/api/v1/upload", headers={"X-API-Key": key},
                         files=[("files", ("a.pdf", b"%PDF-1.4 " + bytes(300000)))], timeout=30)
    assert made.status_code == 200, made.text
    url = data(api.get(f"/v1/documents/{record['id']}"))["download_url"]
    assert requests.get(url, timeout=30).content == b"%PDF-1.4 signed"
    assert data(api.get("/v1/documents"))["documents"]
    api.delete(f"/v1/documents/{record['id']}", params={"hard": "true"}, expect=204)
    assert server.run("check")["ok"] is True
    assert server.run("audit", "verify")["ok"] is True


def test_it_is_entered_before_any_thread(server_factory):
    server = server_factory()
    pid = server.process.pid
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/status", encoding="ascii") as lines:
            text = lines.read()
        assert "NoNewPrivs:\t1\n" in text and "Seccomp:\t2\n" in text, text
    assert "sandbox" not in server.log(), "the kernel of the tests has all of it"
    whole_round(server)


def test_off(plain):
    found, before = status(plain), status()
    assert (found["NoNewPrivs"], found["Seccomp"]) == (before["NoNewPrivs"], before["Seccomp"])
    whole_round(plain)


def test_off_by_the_environment():
    server = Server(env={"DOSSIER_SANDBOX": "off"})
    try:
        assert status(server.start())["Seccomp"] == status()["Seccomp"]
    finally:
        server.remove()


def test_another_word_is_refused():
    done = run_binary("serve", "--sandbox", "maybe")
    assert done.returncode == 2 and "--sandbox" in done.stderr and "on|off" in done.stderr
    assert run_binary("check", "--sandbox", "off").returncode == 2, "an option of serve only"


def test_no_core_file(server_factory):
    if instrumented():
        pytest.skip("a sanitizer needs its process to be open")
    server = server_factory()
    assert resource.prlimit(server.process.pid, resource.RLIMIT_CORE) == (0, 0)
    # the kernel gives the files of a process that may not be dumped to root
    assert os.stat(f"/proc/{server.process.pid}/mem").st_uid == 0


def test_a_host_name_can_be_listened_on():
    server = Server(listen="localhost:0")
    try:
        assert requests.get(server.start().base_url + "/healthz", timeout=30).status_code == 200
    finally:
        server.remove()


# ---- the one command that writes elsewhere ----

def lent(server):
    return [path.name for path in server.data_dir.glob("snapshot-*")]


@pytest.mark.embedded
def test_a_backup_goes_anywhere_and_belongs_to_who_asked(server_factory, tmp_path):
    server = server_factory()
    whole_round(server)
    target = tmp_path / "far" / "backup"
    target.parent.mkdir()
    made = server.run("backup", target)
    assert made["documents"] == 1
    assert stat.S_IMODE((target / "dossier.db").stat().st_mode) == 0o600
    assert lent(server) == []
    copy = Server(data_dir=tmp_path / "copy")
    try:
        assert copy.run("restore", target) == made
        assert copy.run("check")["ok"] is True
    finally:
        copy.remove()


@pytest.mark.embedded
def test_a_backup_that_fails_leaves_nothing_in_the_directory(server_factory, tmp_path):
    server = server_factory()
    done = run_binary("backup", tmp_path / "no" / "such" / "parent", "--data", server.data_dir)
    assert done.returncode == 1 and "cannot make" in done.stderr
    (tmp_path / "letter").write_text("dear")
    done = run_binary("backup", tmp_path, "--data", server.data_dir)
    assert done.returncode == 1 and "no backup" in done.stderr
    assert lent(server) == []


def test_what_a_killed_backup_left_is_removed_at_the_next_start(server_factory):
    server = server_factory()
    server.stop()
    left = server.data_dir / "snapshot-00000000-0000-7000-8000-000000000000.db"
    left.write_bytes(b"rows")
    server.start()
    assert lent(server) == []


@pytest.mark.embedded
def test_commands_are_not_confined(tmp_path):
    """They write where they are told to, without a server."""
    alone = Server()
    try:
        alone.run("workspace", "create", "x")
        assert alone.run("backup", tmp_path / "backup")["documents"] == 0
    finally:
        alone.remove()


@pytest.mark.embedded
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_without_privileges():
    """As the unit runs it: a user without rights, whose own /proc files now belong to root."""
    server = Server()
    program = server.home / "dossier"
    shutil.copy(BINARY, program)
    server.home.chmod(0o711)
    program.chmod(0o755)
    server.data_dir.mkdir(mode=0o700)
    os.chown(server.data_dir, NOBODY, NOBODY)
    try:
        with open(server.log_path, "wb") as log:
            server.process = subprocess.Popen(
                [program, "serve", "--data", server.data_dir, "--listen", "127.0.0.1:0"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                user=NOBODY, group=NOBODY, extra_groups=[])
        line = server.process.stdout.readline().decode()
        assert line.startswith("dossier: listening on "), server.log()
        server.base_url = line.split()[-1].rstrip("/")
        assert status(server)["Seccomp"] == "2"
        whole_round(server)
        assert server.run("backup", server.home / "backup")["documents"] == 1
        assert server.stop() == 0
    finally:
        server.remove()
