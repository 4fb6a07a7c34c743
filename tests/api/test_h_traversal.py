# SPDX-License-Identifier: Apache-2.0
"""
Names that try to leave the data directory, wherever a client may write one.

Each is refused as the API page says, or kept as plain text; files on disk have names of ours only.
The slow test watches every path that the server asks the kernel for while they come in.
"""
import itertools
import os
import re
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from urllib.parse import quote

import pytest

import harness
from harness import Server, data, unique, wait_for

ID = r"[0-9a-f]{16}-[0-9a-f]{32}"
OURS = re.compile(
    r"|admin\.sock|ballast|lock|rows-elsewhere|secret\.key|dossier\.db(-wal|-shm|-journal)?"
    r"|snapshot-[^/]*"
    r"|blobs(/(tmp|store-id|small\.db(-wal|-shm|-journal)?"
    r"|objects(/[0-9a-f]{2}(/[0-9a-f]{2}(/" + ID + r")?)?)?)?)?")
# How a file without a name gets one (linkat), and what the C library looks at. No payload is alike.
ALSO_ASKED_FOR = re.compile(r"/proc/self/fd/\d\d+|/proc/sys/vm/overcommit_memory"
                            r"|/sys/devices/system/cpu/online")
SECRET = "only-in-the-file-outside"
THREADS = 4


def payloads():
    """At least 300 different ones; those with OUTSIDE lead to a file that is there."""
    ups = ["../", "..\\", "....//", "..;/", "..%2f", "%2e%2e/", "%2e%2e%2f", "..%5c",
           "%252e%252e%252f", "..%c0%af", "%c0%ae%c0%ae/", "..%ef%bc%8f", "..\u2215",
           "\uff0e\uff0e/", ".\u200b./", "..//", "../.\\", ".../", "..\u0301/", "x/../../"]
    targets = ["etc/passwd", "secret.key", "dossier.db", "admin.sock", "OUTSIDE", "blobs/objects"]
    found = [up * depth + target for up in ups for depth in (1, 3, 8) for target in targets[:4]]
    found += [up * 6 + "OUTSIDE" for up in ups]
    found += ["/" + target for target in targets] + ["//" + target for target in targets]
    found += ["/proc/self/environ", "/proc/self/mem", "/proc/self/fd/3", "/dev/null", "/dev/shm/x",
              "/proc/self/cwd/x", "/proc/1/root/etc/passwd", "file:///etc/passwd", "~/.ssh/id_rsa",
              "C:\\Windows\\win.ini", "C:/Windows/win.ini", "\\\\host\\share\\x", "//host/share/x",
              "\\\\?\\C:\\x", "\\\\.\\pipe\\x", "/var/run/docker.sock", "|id", "$(id)", "`id`",
              "-rf"]
    found += ["..", ".", "...", "/", "//", "\\", "../", "..\\", "./", "a/..", "a/.", "a/../b",
              "a//b", "a/./b", "a/", "./a", ".//a", "a\\..\\b", "../a/../b", "a/b/../../../c", "\0",
              "a\0", "../\0", "a\0/../../b", "..\0/etc/passwd", "a.pdf\0.png", "a\n../b", "a\r\n",
              "\x7f/..", "tmp/x", "blobs/tmp/x", "objects/aa/bb/x", "blobs/../secret.key", "lock",
              "secret.key", "dossier.db-wal", "a" * 255 + "/..", "a/" * 400 + "x", "../" * 300,
              "a" * 1025, "\u202e/..", "CON", "aux.txt", "a:b", "a::$DATA", "*", "?", "a*", "[a-z]",
              "{a,b}", "%00", "%2500", "%", "%%%", "%s%s%s%n", "'; DROP TABLE document; --",
              "\" OR 1=1", "${jndi:ldap://h/a}"]
    return sorted(set(found))


PAYLOADS = payloads()


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    path = tmp_path_factory.mktemp("outside") / "file"
    path.write_text(SECRET)
    return path


@pytest.fixture
def lone():
    server = Server()
    yield server.start()
    server.remove()


@pytest.fixture(scope="module")
def attempts(outside):
    return [text.replace("OUTSIDE", str(outside)[1:]) for text in PAYLOADS]


def assert_only_ours(server):
    names = {str(path.relative_to(server.data_dir)) for path in server.data_dir.rglob("*")}
    assert [name for name in names if not OURS.fullmatch(name)] == []
    assert {path.name for path in server.home.iterdir()} <= {"data", "stderr"}


def plain(text):
    """No control character or bidi override."""
    return not re.search("[\0-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)


def is_storage_path(text):
    return (plain(text) and "\\" not in text and len(text.encode()) <= 1024 and
            not {"", ".", ".."} & set(text.split("/")))


def is_folder(text):
    parts = text[1:].removesuffix("/").split("/")
    return (plain(text) and "\\" not in text and text.startswith("/") and len(text) <= 1024 and
            len(parts) <= 32 and not {"", ".", ".."} & set(parts) and max(map(len, parts)) <= 255)


def kept_or_refused(answer, good, member, text):
    """As documented; a NUL is no good JSON already."""
    assert answer.status_code == (201 if good else 400), (member, ascii(text), answer.text)
    if good:
        kept = text.removesuffix("/") if member == "folder" else text
        assert data(answer, 201)[member] == kept, ascii(text)
    elif "\0" not in text:
        assert list(answer.json()["error"]["details"]["fields"]) == [member], ascii(text)


def in_threads(function, items):
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(function, items):
            pass


def send_in_bodies(workspace, attempts):
    """Each as storage_path, folder, name, and as a path for bytes by signed URL."""
    key = workspace.key()

    def send(text):
        api = workspace.server.api(key)
        body = {"name": "n", "mime_type": "a/b", "storage_path": unique("p")}
        answer = api.post("/v1/documents", json={**body, "folder": text})
        kept_or_refused(answer, is_folder(text), "folder", text)
        answer = api.post("/v1/documents", json={**body, "name": text, "storage_path": unique("p")})
        kept_or_refused(answer, plain(text) and len(text) <= 255, "name", text)
        answer = api.post("/v1/documents/upload-url", json={"storage_path": text})
        kept_or_refused(answer, is_storage_path(text), "storage_path", text)
        if answer.status_code == 201:
            asked = answer.json()["data"]
            api.put(asked["upload_url"], data=b"kept", expect=200)
        answer = api.post("/v1/documents", json={**body, "storage_path": text})
        kept_or_refused(answer, is_storage_path(text), "storage_path", text)
        if answer.status_code == 201:
            shown = data(api.get(f"/v1/documents/{answer.json()['data']['id']}"))
            assert shown["storage_path"] == text
            assert api.get(shown["download_url"]).content == b"kept"

    in_threads(send, attempts)


def send_as_ids(workspace, attempts):
    """Each as the id of an entity and of a reference, in a body and in a path."""
    key = workspace.key()
    document = workspace.api().new_document()["id"]

    def send(text):
        api = workspace.server.api(key)
        good = re.fullmatch(r"[A-Za-z0-9._:-]{1,128}", text)
        entity = {"entity_type": "deal", "entity_id": text}
        answer = api.post("/v1/entities/batch", json={"entities": [entity]})
        assert answer.status_code == (200 if good else 400), ascii(text)
        answer = api.post(f"/v1/documents/{document}/link", json=entity)
        assert answer.status_code == (201 if good else 400), ascii(text)
        quoted = quote(text, safe="")
        for path in (f"/v1/entities/deal/{quoted}",
                     f"/v1/documents/{document}/references/workflow/{quoted}"):
            # requests would take the dots out of a path
            status, body = raw(workspace.server, "PUT", path, key)
            assert status in ((200, 201, 204) if good else (204, 400, 404)), (path, status, body)

    in_threads(send, attempts)


def raw(server, method, target, key=None):
    connection = HTTPConnection(*server.address, timeout=30)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    if method == "PUT":
        headers["Content-Length"] = "0"
    connection.putrequest(method, target, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def send_as_file_names(workspace, attempts):
    """Every other one becomes a file."""
    parts = b"".join(
        b'--b\r\nContent-Disposition: form-data; name="files"; filename="' +
        text.replace("\\", "\\\\").replace('"', "%22").encode() + b'"\r\n\r\n' +
        b"kept" * (1 if i % 2 else 20000) + b"\r\n"
        for i, text in enumerate(attempts) if not re.search("[\0-\x1f\x7f-\x9f]", text))
    api = workspace.api()
    ids = api.post("/api/v1/upload", data=parts + b"--b--\r\n", expect=200,
                   headers={"Content-Type": "multipart/form-data; boundary=b"}).json()
    for document_id in ids:
        assert re.fullmatch(r"workspaces/\w+/documents/[0-9A-Z]{26}\.[a-z0-9]{1,8}",
                            data(api.get(f"/v1/documents/{document_id}"))["storage_path"])


def send_as_targets(workspace, attempts):
    """As the path of a request, raw and escaped, alone and behind a route; nothing is served."""
    server, key = workspace.server, workspace.key()
    prefixes = ("/", "/v1/documents/", "/v1/signed/download/", "/v1/docs/", "/api/v1/", "")

    def send(pair):
        prefix, text = pair
        for path in {text, quote(text, safe="/%"), quote(text, safe="")}:
            target = (prefix + path).encode()[:6000]
            request = (b"GET " + target + b" HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer " +
                       key.encode() + b"\r\nConnection: close\r\n\r\n")
            got = b""
            with socket.create_connection(server.address, timeout=30) as connection:
                connection.sendall(request)
                while chunk := connection.recv(65536):
                    got += chunk
            status = got[9:12]
            listed = target.rstrip(b"/") in (b"/v1/documents",)
            assert status in (b"400", b"401", b"403", b"404", b"405", b"414", b"505") or listed, (
                target, got)
            assert SECRET.encode() not in got and b"root:" not in got, target

    in_threads(send, itertools.product(prefixes, attempts))


def test_there_are_enough():
    assert len(PAYLOADS) >= 300


def test_in_bodies(lone, attempts):
    send_in_bodies(lone.workspace(), attempts)
    assert_only_ours(lone)


def test_as_ids(lone, attempts):
    send_as_ids(lone.workspace(), attempts)
    assert_only_ours(lone)


def test_as_file_names(lone, attempts):
    send_as_file_names(lone.workspace(), attempts)
    assert_only_ours(lone)


def test_as_targets(lone, attempts):
    send_as_targets(lone.workspace(), attempts)
    assert_only_ours(lone)


def test_as_ids_of_workspaces(attempts):
    """The operator's own names are no file names either."""
    server = Server()
    try:
        for text in [text for text in attempts if "\0" not in text][::20]:
            done = harness.run_binary("workspace", "create", "x", "--id", text, "--data",
                                      server.data_dir)
            assert done.returncode in (0, 1, 2), done.stderr
        assert_only_ours(server)
    finally:
        server.remove()


# ---- the kernel's view ----

CALL = re.compile(r"^\d+ +(?:<\.\.\. )?(\w+)\((.*)")
AT = re.compile(r'(?:(AT_FDCWD|\d+)(?:<([^>]*)>)?, )?"((?:[^"\\]|\\.)*)"')


def paths_of(line):
    """The absolute paths that a line of strace names."""
    call = CALL.match(line)
    if not call:
        return []
    found = []
    for number, folder, text in AT.findall(call[2]):
        text = text.encode().decode("unicode_escape")
        if text == "" and number:       # AT_EMPTY_PATH: the descriptor itself
            continue
        found.append(os.path.normpath(os.path.join(folder or "/", text)))
    return found


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_kernel_is_asked_for_our_names_only(attempts, tmp_path, monkeypatch):
    """About a minute."""
    assert shutil.which("strace"), "this test needs the Debian package strace"
    trace, wrapper = tmp_path / "trace", tmp_path / "dossier"
    # -D: the server stays the child of the test, which stops it by its process id
    wrapper.write_text(f'#!/bin/sh\nexec strace -D -f -y -q -s 9000 -e trace=%file -o {trace} '
                       f'{harness.BINARY} "$@"\n')
    wrapper.chmod(0o755)
    server = Server()
    workspaces = [server.workspace() for _ in range(4)]
    try:
        with monkeypatch.context() as patch:
            patch.setattr(harness, "BINARY", str(wrapper))
            server.start()
        keys = [workspace.key() for workspace in workspaces]    # so that admin.sock is used
        assert len(keys) == 4
        begin = trace.stat().st_size
        send_in_bodies(workspaces[0], attempts)
        send_as_ids(workspaces[1], attempts)
        send_as_file_names(workspaces[2], attempts)
        send_as_targets(workspaces[3], attempts)
        stored = sum(1 for path in (server.data_dir / "blobs" / "objects").rglob("*")
                     if path.is_file())
        assert server.stop() == 0
        wait_for(lambda: "+++ exited" in trace.read_text()[-4000:])
        asked = {path for line in trace.read_text()[begin:].splitlines()
                 for path in paths_of(line)}
    finally:
        server.remove()
    root = str(server.data_dir)
    above = {root, *map(str, server.data_dir.parents)}      # SQLite looks for symbolic links
    strangers = {path for path in asked - above if not (
        path.startswith(root + "/") and OURS.fullmatch(path[len(root) + 1:]))}
    assert [path for path in strangers if not ALSO_ASKED_FOR.fullmatch(path)] == []
    linked = {path for path in asked if re.search("/blobs/objects/.*/" + ID + "$", path)}
    assert len(linked) >= stored > 100, "the trace shows what is stored"
