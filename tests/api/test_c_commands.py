# SPDX-License-Identifier: Apache-2.0
"""The command line: every command alone and beside a server, its refusals, start and stop."""
import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest
import requests

from harness import (BINARY, PERMISSIONS, CommandFailed, Server, data, refused, run_binary,
                     unique)

COMMANDS = ("serve", "workspace create", "key create", "key list", "key revoke", "entity put",
            "docs-entity add", "check", "audit verify", "migrate", "backup", "restore", "routes",
            "openapi", "version", "help")


@pytest.fixture
def alone():
    """A data directory that nobody serves."""
    server = Server()
    yield server
    server.remove()


@pytest.fixture
def beside():
    """A data directory with a server of its own."""
    server = Server()
    yield server.start()
    server.remove()


@pytest.fixture(params=["alone", "beside"])
def home(request):
    return request.getfixturevalue(request.param)


def fails(home, *argv, status=1):
    """The one line of a command that must end with this status and print nothing else."""
    options = ("--data", home.data_dir) if home else ()
    done = run_binary(*argv, *options)
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("dossier: "), done.stderr
    return lines[0]


# ---- what needs no directory ----

def test_version():
    for argv in (["version"], ["--version"]):
        done = run_binary(*argv)
        assert done.returncode == 0
        versions = json.loads(done.stdout)
        assert set(versions) == {"version", "libmicrohttpd"}
        for version in versions.values():
            assert re.fullmatch(r"\d+\.\d+\.\d+", version)


def test_help():
    everything = run_binary("help")
    assert everything.returncode == 0
    assert run_binary("--help").stdout == everything.stdout
    for command in COMMANDS:
        assert f"\n  {command}" in everything.stdout
        one = run_binary("help", *command.split())
        assert one.returncode == 0 and one.stdout.startswith(f"usage: dossier {command}")
        assert run_binary(*command.split(), "--help").stdout == one.stdout
    assert run_binary("help", "frobnicate").returncode == 2
    assert run_binary().returncode == 2


def test_routes_and_openapi():
    routes = json.loads(run_binary("routes", "--json").stdout)
    document = json.loads(run_binary("openapi").stdout)
    assert {route["path"] for route in routes} == set(document["paths"])
    assert document["openapi"].startswith("3.1")


@pytest.mark.parametrize("argv, says", [
    (["frobnicate"], "frobnicate"),
    (["serve", "--frobnicate"], "--frobnicate"),
    (["serve", "--listen"], "--listen"),
    (["serve", "--loops", "none"], "--loops"),
    (["serve", "--purge-after", "2h"], "0s to 55m"),
    (["serve", "--url-life", "61m"], "--url-life"),
    (["serve", "--max-upload-file", "5TB"], "--max-upload-file"),
    (["serve", "--rate-standard", "600"], "--rate-standard"),
    (["serve", "--database", "mysql://x"], "--database"),
    (["serve", "--blobs", "ftp://x"], "--blobs"),
    (["check", "--listen", ":0"], "--listen"),
    (["workspace", "create"], "NAME"),
    (["workspace", "create", "x", "--id", "a b"], "--id"),
    (["key", "create", "--permissions", "read:docs"], "--workspace"),
    (["key", "create", "--workspace", "ws_1"], "--permissions"),
    (["key", "create", "--workspace", "x", "--permissions", "read:everything"], "read:everything"),
    (["key", "create", "--workspace", "x", "--permissions", "read:docs", "--tier", "x"], "--tier"),
    (["key", "create", "--workspace", "x", "--permissions", "read:docs",
      "--expires-at", "2001-01-01"], "--expires-at"),
    (["entity", "put", "--workspace", "x", "planet", "mars"], "contact"),
    (["entity", "put", "--workspace", "x", "contact", "a/b"], "ENTITY_ID"),
])
def test_wrong_usage_exits_2_and_says_why(alone, argv, says):
    alone.run("migrate")
    assert says in fails(alone, *argv, status=2)


# ---- workspaces, keys, entities ----

def test_workspace_create(home):
    made = home.run("workspace", "create", "Demo", "--id", "ws_one")
    assert made["id"] == "ws_one" and made["name"] == "Demo"
    assert (made["bytes"], made["entities"], made["quota_bytes"]) == ("trust", "registered", None)
    assert "ws_one" in fails(home, "workspace", "create", "Other", "--id", "ws_one")
    other = home.run("workspace", "create", "Ünïcode", "--bytes", "verify", "--entities", "open",
                     "--quota-bytes", "5MiB", "--quota-documents", "7", "--audit-days", "30")
    assert re.fullmatch(r"ws_[0-9A-HJKMNP-TV-Z]{26}", other["id"])
    assert other["quota_bytes"] == 5 << 20 and other["quota_documents"] == 7
    assert (other["bytes"], other["entities"], other["audit_days"]) == ("verify", "open", 30)


def test_keys(home):
    workspace = home.workspace()
    made = workspace.new_key("read:documents", "write:extractions", name="CI runner",
                             tier="high", expires_at="2099-01-01")
    assert re.fullmatch(r"wbk_[a-z0-9]{52}", made["key"])
    assert made["prefix"] == made["key"][:10]
    assert made["permissions"] == ["read:documents", "extractions:write"]
    assert made["expires_at"] == "2099-01-01T00:00:00Z"
    revoked = home.run("key", "revoke", made["id"])
    assert revoked["id"] == made["id"] and revoked["revoked_at"]
    assert home.run("key", "revoke", made["id"])["revoked_at"] == revoked["revoked_at"]
    last = workspace.new_key("admin:api_keys")
    assert home.run("key", "revoke", last["id"])["revoked_at"], "the operator may revoke the last"
    listed = home.run("key", "list", "--workspace", workspace.id)["keys"]
    assert [key["id"] for key in listed] == [last["id"], made["id"]]
    assert listed[1]["name"] == "CI runner" and "key" not in listed[1]
    assert made["key"] not in json.dumps(listed)
    assert "no workspace" in fails(home, "key", "list", "--workspace", "ws_none")
    assert "no key" in fails(home, "key", "revoke", "key_" + "0" * 26)
    assert "no id" in fails(home, "key", "revoke", "nonsense", status=2)


def test_a_key_revoked_beside_a_server_ends_at_once(beside):
    workspace = beside.workspace()
    made = workspace.new_key("read:documents")
    api = beside.api(made["key"])
    data(api.get("/v1/documents"))
    beside.run("key", "revoke", made["id"])
    refused(api.get("/v1/documents"), 401, "invalid_key")


def test_long_lists_of_keys(home):
    workspace = home.workspace()
    keys = [workspace.new_key("read:docs")["id"] for _ in range(5)]
    listed = home.run("key", "list", "--workspace", workspace.id)["keys"]
    assert [key["id"] for key in listed] == keys[::-1]


def test_entities(home):
    workspace = home.workspace()
    assert workspace.entity("contact", "c-1")["created"] is True
    again = workspace.entity("contact", "c-1", name="Ada")
    assert again["created"] is False and again["name"] == "Ada"
    assert "no workspace" in fails(home, "entity", "put", "--workspace", "ws_none", "deal", "d")


def test_docs_entities(home):
    workspace = home.workspace()
    assert workspace.docs_entity("4711", trust_header=True) == {
        "id": "4711", "workspace": workspace.id, "trust_header": True}
    assert "4711" in fails(home, "docs-entity", "add", "4711", "--workspace", workspace.id)


def test_what_commands_do_is_audited(home):
    workspace = home.workspace()
    workspace.entity("deal", "d-1")
    workspace.docs_entity(unique("docs"))
    key = workspace.key()
    if home.base_url is None:
        home.start()
    lines = home.api(key).audit()
    assert [(line["action"], line["resource_type"]) for line in lines] == [
        ("create", "api_keys"), ("create", "docs"), ("create", "entities"),
        ("create", "workspaces")]
    assert home.run("audit", "verify", "--workspace", workspace.id) == {
        "ok": True, "workspaces": [{"workspace": workspace.id, "lines": 4, "heads": 0,
                                        "intact": True, "fault": None, "broken_at": None}]}


def test_environment(alone):
    environment = {**os.environ, "DOSSIER_DATA": str(alone.data_dir), "DOSSIER_TIER": "high"}
    run_binary("workspace", "create", "x", "--id", "ws_1", env=environment)
    made = json.loads(run_binary("key", "create", "--workspace", "ws_1", "--permissions",
                                 "read:docs", env=environment).stdout)
    assert made["tier"] == "high"
    done = run_binary("check", env={**environment, "DOSSIER_LOG_LEVEL": "loud"})
    assert done.returncode == 2 and "DOSSIER_LOG_LEVEL" in done.stderr


def test_the_servers_environment_is_not_the_commands():
    server = Server(env={"DOSSIER_TIER": "high"})
    try:
        server.start()
        workspace = server.workspace()
        argv = ["key", "create", "--workspace", workspace.id, "--permissions", "read:docs",
                "--data", str(server.data_dir)]
        assert json.loads(run_binary(*argv).stdout)["tier"] == "standard"
        done = run_binary(*argv, env={**os.environ, "DOSSIER_TIER": "unmetered"})
        assert json.loads(done.stdout)["tier"] == "unmetered"
    finally:
        server.remove()


# ---- check, audit, migrate ----

def test_check(home):
    home.workspace()
    assert home.run("check")["ok"] is True


def test_check_finds_missing_bytes(beside):
    api = beside.workspace().api()
    api.new_bytes(b"gone soon")
    assert beside.run("check")["ok"] is True
    for blob in beside.place.blobs():
        beside.place.lose_blob(blob)
    done = run_binary("check", "--data", beside.data_dir)
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert report["ok"] is False and report["counts"]["missing"] == 1


def test_migrate(alone):
    fresh = alone.run("migrate")
    assert fresh["from"] == 0 and fresh["to"] >= 1
    assert alone.run("migrate") == {"from": fresh["to"], "to": fresh["to"]}
    alone.start()
    assert alone.run("migrate") == {"from": fresh["to"], "to": fresh["to"]}


# ---- backup and restore ----

def filled(server, count=5):
    """A key, and what each document's bytes are."""
    workspace = server.workspace()
    key = workspace.key()
    api = server.api(key)
    contents = {}
    for number in range(count):
        content = os.urandom(1000 * number)
        contents[api.new_bytes(content)["id"]] = content
    return key, contents


def same(server, key, contents):
    api = server.api(key)
    for document, content in contents.items():
        url = data(api.get(f"/v1/documents/{document}"))["download_url"]
        assert requests.get(url, timeout=30).content == content


@pytest.mark.embedded
@pytest.mark.parametrize("running", [True, False])
def test_backup_and_restore(beside, running):
    key, contents = filled(beside)
    api = beside.api(key)
    api.new_document()
    doomed = api.new_bytes(b"deleted before the backup")
    api.delete(f"/v1/documents/{doomed['id']}", expect=204)
    if not running:
        assert beside.stop() == 0
    target = beside.home / "backup"
    made = beside.run("backup", target)
    assert (made["documents"], made["blobs"]) == (6, 5)
    assert made["bytes"] == sum(map(len, contents.values()))
    assert json.loads((target / "manifest.json").read_text()) == made
    assert not list(target.glob("*.partial*")) and not (target / "unfinished").exists()
    assert stat.S_IMODE(target.stat().st_mode) == 0o700
    copy = Server(data_dir=beside.home / "copy")
    try:
        assert copy.run("restore", target) == made
        assert copy.run("check")["ok"] is True
        assert copy.run("audit", "verify")["ok"] is True
        same(copy.start(), key, contents)
    finally:
        copy.remove()


@pytest.mark.embedded
def test_a_backup_is_brought_up_to_date(beside):
    key, contents = filled(beside, 3)
    target = beside.home / "backup"
    assert beside.run("backup", target)["blobs"] == 3
    gone = next(iter(contents))
    beside.api(key).delete(f"/v1/documents/{gone}", params={"hard": "true"}, expect=204)
    beside.api(key).new_bytes(b"new")
    assert beside.run("backup", target)["blobs"] == 3
    copied = [path for path in (target / "blobs" / "objects").rglob("*") if path.is_file()]
    assert len(copied) == 3


@pytest.mark.embedded
@pytest.mark.concurrent
def test_backup_beside_deletes(beside):
    workspace = beside.workspace()
    key = workspace.key()
    stop = threading.Event()

    def churn():
        api = beside.api(key)
        while not stop.is_set():
            made = api.new_bytes(os.urandom(2000))
            api.delete(f"/v1/documents/{made['id']}", params={"hard": "true"}, expect=204)
            api.new_bytes(os.urandom(2000))

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for number in range(3):
            time.sleep(0.3)
            target = beside.home / f"backup{number}"
            made = beside.run("backup", target)
            copy = Server(data_dir=beside.home / f"copy{number}")
            assert copy.run("restore", target) == made
            assert copy.run("check")["ok"] is True
            copy.remove()
    finally:
        stop.set()
        thread.join()


@pytest.mark.embedded
def test_restore_refuses(beside):
    key, _ = filled(beside, 3)
    target = beside.home / "backup"
    beside.run("backup", target)
    assert "not empty" in fails(beside, "restore", target)
    other = Server(data_dir=beside.home / "other")
    assert "manifest.json" in fails(other, "restore", beside.home)
    assert not other.data_dir.exists()
    victim = next(path for path in (target / "blobs" / "objects").rglob("*")
                  if path.is_file() and path.stat().st_size)
    content = victim.read_bytes()
    victim.chmod(0o600)
    victim.write_bytes(b"!" + content[1:])
    assert "not what their row says" in fails(other, "restore", target)
    assert "unfinished restore" in fails(other, "serve", "--listen", "127.0.0.1:0")
    victim.unlink()
    last = Server(data_dir=beside.home / "last")
    assert "lacks the bytes" in fails(last, "restore", target)
    for server in (other, last):
        server.remove()


@pytest.mark.embedded
@pytest.mark.parametrize("change, said", [
    (lambda m: "{", "damaged"), (lambda m: "", "damaged"), (lambda m: "[1]", "format"),
    (lambda m: json.dumps({**m, "format": m["format"] + 1}), "newer"),
    (lambda m: json.dumps({**m, "documents": m["documents"] + 1}), "documents"),
    (lambda m: json.dumps({**m, "blobs": m["blobs"] - 1}), "blobs"),
    (lambda m: json.dumps({**m, "bytes": 0}), "bytes"),
], ids=["cut", "empty", "array", "format", "documents", "blobs", "bytes"])
def test_restore_believes_a_manifest_only_when_it_is_right(beside, change, said):
    filled(beside, 2)
    target = beside.home / "backup"
    manifest = target / "manifest.json"
    made = beside.run("backup", target)
    manifest.chmod(0o600)
    manifest.write_text(change(made))
    other = Server(data_dir=beside.home / "other")
    assert said in fails(other, "restore", target)
    manifest.write_text(json.dumps(made))
    last = Server(data_dir=beside.home / "last")
    assert last.run("restore", target) == made


@pytest.mark.embedded
def test_backup_refuses_a_directory_of_something_else(beside):
    (beside.home / "mine").mkdir()
    (beside.home / "mine" / "letter.txt").write_text("dear")
    assert "no backup" in fails(beside, "backup", beside.home / "mine")
    assert (beside.home / "mine" / "letter.txt").read_text() == "dear"


@pytest.mark.embedded
def test_backup_into_a_relative_directory(beside):
    done = run_binary("backup", "here", "--data", beside.data_dir, cwd=beside.home)
    assert done.returncode == 0, done.stderr
    assert (beside.home / "here" / "manifest.json").exists()


# ---- start and stop ----

def test_ready_line_and_modes(beside):
    assert re.fullmatch(r"dossier: listening on http://127\.0\.0\.1:\d+", beside.ready_line)
    assert stat.S_IMODE(beside.data_dir.stat().st_mode) == 0o700
    for path in beside.data_dir.iterdir():
        assert stat.S_IMODE(path.lstat().st_mode) & 0o077 == 0, path


def test_a_long_directory_has_its_socket_too():
    server = Server()
    server.data_dir = server.home / ("d" * 100) / ("e" * 100)
    server.data_dir.parent.mkdir()
    try:
        server.start()
        server.workspace()
    finally:
        server.remove()


def test_one_server_a_directory(beside):
    said = fails(beside, "serve", "--listen", "127.0.0.1:0")
    assert f"(pid {beside.process.pid})" in said and "--data" in said


def test_port_in_use(alone):
    with socket.create_server(("127.0.0.1", 0)) as other:
        said = fails(alone, "serve", "--listen", f"127.0.0.1:{other.getsockname()[1]}")
    assert "--listen" in said and "in use" in said
    alone.start()  # the refusal has left nothing behind that is in the way


@pytest.mark.parametrize("listen, status", [
    ("nonsense", 2), ("127.0.0.1", 2), ("127.0.0.1:http", 2), ("127.0.0.1:99999", 2),
    ("no.such.host.:1", 1),
])
def test_bad_address(alone, listen, status):
    assert "listen" in fails(alone, "serve", "--listen", listen, status=status)


def test_another_address_family():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    server = Server("--log-requests", listen="[::1]:0")
    try:
        server.start()
        assert server.base_url.startswith("http://[::1]:")
        assert requests.get(server.base_url + "/healthz", timeout=15).status_code == 200
        assert " ::1 healthz " in server.log()
    finally:
        server.remove()


def test_a_mistyped_directory_is_not_made(alone):
    assert "holds no dossier" in fails(alone, "check")
    assert not alone.data_dir.exists()


@pytest.mark.embedded
def test_a_directory_behind_a_link(alone):
    real = alone.data_dir.parent / "elsewhere"
    real.mkdir(mode=0o700)
    alone.data_dir.symlink_to(real)
    alone.start()
    assert (real / "dossier.db").exists()
    assert alone.run("check")["ok"]


@pytest.mark.embedded
@pytest.mark.parametrize("size", [8, 100_000])
@pytest.mark.parametrize("left", [None, b""])
@pytest.mark.parametrize("end", [Server.stop, Server.kill])
def test_a_lost_database_is_not_made_anew(beside, end, left, size):
    """Else the sweep would take all bytes: no row names them any more."""
    beside.workspace().api().new_bytes(b"precious".ljust(size))
    assert end(beside) in (0, -9)
    for path in beside.data_dir.glob("dossier.db*"):
        path.unlink()
    if left is not None:
        (beside.data_dir / "dossier.db").write_bytes(left)
    done = run_binary("serve", "--data", beside.data_dir, "--listen", "127.0.0.1:0")
    assert done.returncode == 1 and "no database" in done.stderr
    assert beside.holds(b"precious")


def test_the_secret_of_another_database_is_refused(alone):
    alone.workspace()
    secret = alone.data_dir / "secret.key"
    right = secret.read_text()
    secret.write_text(format(int(right[0], 16) ^ 1, "x") + right[1:])
    for argv in (["serve", "--listen", "127.0.0.1:0"], ["check"]):
        done = run_binary(*argv, "--data", alone.data_dir)
        assert done.returncode == 1 and "secret.key is not the one" in done.stderr, done.stderr
    secret.write_text(right)
    assert alone.run("check")["ok"] is True


@pytest.mark.embedded
def test_newer_schema_is_not_touched(alone):
    alone.run("migrate")
    path = alone.data_dir / "dossier.db"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE schema_version SET version = 1000, oldest = 1000")
        db.commit()
    before = path.read_bytes()
    for argv in (["serve", "--listen", "127.0.0.1:0"], ["check"], ["migrate"]):
        said = fails(alone, *argv)
        assert "1000" in said and "newer" in said
    assert path.read_bytes() == before


@pytest.mark.embedded
def test_a_database_that_is_none(alone):
    alone.run("migrate")
    (alone.data_dir / "dossier.db").write_bytes(b"not a database, by any means" * 100)
    assert "dossier.db" in fails(alone, "serve", "--listen", "127.0.0.1:0")


@pytest.fixture
def commoner():
    """run(*argv): the binary as a user without rights, and a directory that user can look into."""
    if b"GCOV_PREFIX" in Path(BINARY).read_bytes():
        pytest.skip("a build that counts lines says that it cannot, on standard error")
    place = Path(tempfile.mkdtemp(prefix="dossier-common-"))
    place.chmod(0o755)
    binary = shutil.copy(os.path.realpath(BINARY), place / "dossier")
    who = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}

    def run(*argv):
        return subprocess.run([binary, *map(str, argv)], capture_output=True, text=True,
                              timeout=30, check=False, cwd="/", **who)

    yield run, place
    subprocess.run(["chmod", "-R", "u+rwX", str(place)], check=False)
    shutil.rmtree(place)


def test_unwritable_directory(commoner):
    run, place = commoner
    (place / "closed").mkdir(mode=0o555)
    (place / "closed").chmod(0o555)
    for path in (place / "closed", place / "closed" / "new"):
        done = run("serve", "--listen", "127.0.0.1:0", "--data", path)
        assert done.returncode == 1
        assert str(path) in done.stderr and "Permission denied" in done.stderr
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", ["dossier.db", "secret.key", "blobs"])
def test_missing_right_on_a_file(commoner, name):
    run, place = commoner
    home = place / "data"
    if os.geteuid() == 0:
        home.mkdir()
        os.chown(home, 65534, 65534)
    assert run("migrate", "--data", home).returncode == 0
    (home / name).chmod(0)
    done = run("serve", "--listen", "127.0.0.1:0", "--data", home)
    assert done.returncode == 1
    assert name in done.stderr and "Permission denied" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def half_an_upload(server, key):
    """A connection on which a record is half sent; the rest of its bytes."""
    body = json.dumps({"name": "a", "mime_type": "text/plain",
                       "storage_path": unique("p")}).encode()
    head = (f"POST /v1/documents HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n").encode()
    connection = socket.create_connection(server.address, timeout=15)
    connection.sendall(head + body[:10])
    return connection, body[10:]


def test_sigterm_answers_what_is_under_way(beside):
    key = beside.workspace().key()
    connection, rest = half_an_upload(beside, key)
    time.sleep(0.3)
    process = beside.process
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    with pytest.raises(OSError):
        socket.create_connection(beside.address, timeout=2).close()
    connection.sendall(rest)
    answer = connection.makefile("rb").read().decode()
    assert answer.startswith("HTTP/1.1 201")
    assert process.wait(15) == 0
    beside.process = None
    assert not (beside.data_dir / "admin.sock").exists()
    assert not (beside.data_dir / "dossier.db-wal").exists()
    beside.start()
    found = data(beside.api(key).get("/v1/documents"))["documents"]
    assert [document["name"] for document in found] == ["a"]


def test_drain_has_an_end(server_factory):
    server = server_factory("--drain", "1s")
    connection, _ = half_an_upload(server, server.workspace().key())
    time.sleep(0.3)
    begun = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - begun < 8
    connection.close()


def test_a_second_signal_ends_at_once(beside):
    connection, _ = half_an_upload(beside, beside.workspace().key())
    time.sleep(0.3)
    process, beside.process = beside.process, None
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    assert process.wait(5) == 1
    connection.close()
    beside.start()
    assert beside.run("check")["ok"] is True


def test_a_crash_leaves_a_directory_that_opens(beside):
    beside.workspace()
    beside.kill()
    assert (beside.data_dir / "admin.sock").exists()
    beside.workspace()  # alone, with a dead socket in the directory
    beside.start()
    beside.workspace()


def test_operations_elsewhere():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Server("--admin-listen", f"127.0.0.1:{port}")
    try:
        server.start()
        key = server.workspace().key()
        operations = f"http://127.0.0.1:{port}"
        for path in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
            assert requests.get(server.base_url + path, timeout=15).status_code == 404
            assert requests.get(operations + path, timeout=15).status_code == 200
        authorization = {"Authorization": f"Bearer {key}"}
        path = "/v1/documents"
        assert requests.get(operations + path, headers=authorization,
                            timeout=15).status_code == 404
        assert requests.get(server.base_url + path, headers=authorization,
                            timeout=15).status_code == 200
    finally:
        server.remove()


# ---- admin.sock ----

def test_admin_socket_survives_nonsense(beside):
    path = beside.data_dir / "admin.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for content in (b"", b"\n", b"nonsense\n", b"[]\n", b'{"argv":[1,2]}\n',
                    b'{"argv":["serve"]}\n',
                    b'{"argv":["restore","/tmp/x"]}\n', b'{"argv":["check","--frob"]}\n',
                    b"x" * 70000):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(15)
            client.connect(str(path))
            client.sendall(content)
            client.shutdown(socket.SHUT_WR)
            answer = client.makefile("rb").read()
        if answer:
            assert json.loads(answer)["exit"] == 2
    beside.workspace()


def test_a_command_that_fails_in_the_server(beside):
    with pytest.raises(CommandFailed) as failure:
        beside.run("key", "create", "--workspace", "ws_none", "--permissions",
                   ",".join(PERMISSIONS))
    assert failure.value.status == 1 and "ws_none" in failure.value.stderr


def test_a_command_waits_for_another_to_leave_the_directory(alone):
    alone.run("migrate")
    with open(alone.data_dir / "lock", "r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        threading.Timer(1, lambda: fcntl.flock(lock, fcntl.LOCK_UN)).start()
        alone.workspace()
