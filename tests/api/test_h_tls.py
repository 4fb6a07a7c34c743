# SPDX-License-Identifier: Apache-2.0
"""
TLS of the server's own: what it speaks, which pairs it takes, how they are changed under way; and
that hostile bytes and slow clients fare as they do without it.

The tests that are taken over from test_h_hostile.py run here on a server with TLS.
"""
import contextlib
import os
import pty
import select
import shutil
import signal
import socket
import ssl
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import certificates
from harness import BINARY, Server, data, instrumented, run_binary, wait_for
from hostile_cases import CASES, PROBE, get
from hostile_wire import assert_healthy, converse, read_until_end, split_replies
from test_h_early_refusal import CLIENTS, SIZE
from test_h_hostile import (  # noqa: F401
    answers as plain_answers, look, test_continue_comes_before_the_body,
    test_no_continue_for_a_body_that_is_refused, test_pipelined, test_pipelined_writes)
from test_h_slow import SLOW_CONNECTIONS, slow_header, slow_second_header, slow_upload

RELOADED = "reload: certificate and key are as their files are now"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def pairs(folder):
    return [certificates.make(folder, "one"), certificates.make(folder, "two")]


@pytest.fixture(scope="module")
def server(pairs):
    made = Server(tls=pairs[0])
    try:
        yield made.start()
    finally:
        made.remove()


@pytest.fixture(scope="module")
def answers(plain_answers):
    """The same, but an absolute target begins with https."""
    return {**plain_answers, "target-absolute": plain_answers["target-absolute-https"],
            "target-absolute-https": plain_answers["target-absolute"]}


def client_hello():
    """The first bytes of a handshake."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    session = context.wrap_bio(incoming, outgoing, server_hostname="h")
    with contextlib.suppress(ssl.SSLWantReadError):
        session.do_handshake()
    return outgoing.read()


# ---- slow clients: begun first, looked at last ----

def cut_after(connection, piece, limit=40):
    """After how many seconds a connection that gets a piece each second is ended."""
    began = time.monotonic()
    while time.monotonic() - began < limit:
        try:
            if select.select([connection], [], [], 1)[0] and not connection.recv(65536):
                break
            connection.sendall(piece)
        except OSError:
            break
    return time.monotonic() - began


def half_hello(server, _key):
    with socket.create_connection(server.address, timeout=20) as connection:
        connection.sendall(client_hello()[:20])
        return cut_after(connection, b"")


def dripping_hello(server, _key):
    hello = client_hello()
    with socket.create_connection(server.address, timeout=20) as connection:
        connection.sendall(hello[:20])
        return cut_after(connection, hello[20:21])


def no_finish(server, _key):
    """The server has shown its certificate, and waits for the client to go on."""
    with socket.create_connection(server.address, timeout=20) as connection:
        connection.sendall(client_hello())
        assert connection.recv(65536)
        return cut_after(connection, b"")


def many_half_hellos(server, _key):
    """How long honest clients took meanwhile, with handshakes of their own."""
    took = []
    with contextlib.ExitStack() as stack:
        for _ in range(SLOW_CONNECTIONS):
            connection = stack.enter_context(socket.create_connection(server.address, timeout=20))
            connection.sendall(client_hello()[:30])
        for _ in range(20):
            began = time.monotonic()
            replies, _ = converse(server, PROBE, seconds=10)
            took.append(time.monotonic() - began)
            assert [reply.status for reply in replies] == [200]
            time.sleep(0.2)
    return sorted(took)


def idle_after_the_handshake(server, _key):
    """As browsers connect ahead: asks after longer than a handshake may take."""
    with server.connect() as connection:
        time.sleep(14)
        connection.sendall(PROBE)
        return [reply.status for reply in split_replies(read_until_end(connection, 10)[0])]


CUT_SCENES = [slow_header, slow_second_header, slow_upload, half_hello, dripping_hello, no_finish]


@pytest.fixture(scope="module", autouse=True)
def scenes(server):
    key = server.workspace().key()
    with ThreadPoolExecutor(len(CUT_SCENES) + 2) as pool:
        yield {scene.__name__: pool.submit(scene, server, key)
               for scene in [*CUT_SCENES, many_half_hellos, idle_after_the_handshake]}


# ---- what it speaks ----

def test_a_whole_round(server):
    """Bytes in and out; the URLs that it makes are https."""
    api = server.api(server.workspace().key())
    content = os.urandom(300_000)
    document = api.new_bytes(content)
    url = data(api.get(f"/v1/documents/{document['id']}"))["download_url"]
    assert url.startswith("https://127.0.0.1:")
    assert api.get(url, expect=200).content == content
    part = api.get(url, expect=206, headers={"Range": "bytes=1000-1999"})
    assert part.content == content[1000:2000]
    head = (f"GET {server.base_url}/healthz HTTP/1.1\r\nHost: {server.base_url[8:]}\r\n\r\n",
            f"GET http://{server.base_url[8:]}/healthz HTTP/1.1\r\n"
            f"Host: {server.base_url[8:]}\r\n\r\n")
    assert [converse(server, text.encode(), seconds=1)[0][0].status for text in head] == [200, 400]


def handshake(server, version=None, ciphers=None):
    """(version, cipher) that were agreed on; None when there is no agreement."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(server.verify)
    context.set_alpn_protocols(["h2", "http/1.1"])
    if version:
        context.minimum_version = context.maximum_version = version
    context.set_ciphers((ciphers or "ALL") + ":@SECLEVEL=0")
    with socket.create_connection(server.address, timeout=20) as connection:
        try:
            with context.wrap_socket(connection, server_hostname="localhost") as wrapped:
                assert wrapped.selected_alpn_protocol() == "http/1.1"
                return wrapped.version(), wrapped.cipher()[0]
        except (ssl.SSLError, ConnectionResetError):
            return None


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_versions_and_ciphers(server):
    v = ssl.TLSVersion
    assert handshake(server, v.TLSv1_3) == ("TLSv1.3", "TLS_AES_256_GCM_SHA384")
    assert handshake(server, v.TLSv1_2) == ("TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384")
    assert handshake(server, v.TLSv1_2, "ECDHE-ECDSA-CHACHA20-POLY1305")
    assert handshake(server, v.TLSv1_2, "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA") is None
    assert handshake(server, v.TLSv1_1) is None
    assert handshake(server, v.TLSv1) is None


def test_no_cipher_without_forward_secrecy(server_factory, folder):
    server = server_factory(tls=certificates.make(folder, "rsa", certificates.RSA))
    assert handshake(server, ssl.TLSVersion.TLSv1_2)[1] == "ECDHE-RSA-AES256-GCM-SHA384"
    assert handshake(server, ssl.TLSVersion.TLSv1_2, "AES256-GCM-SHA384:AES128-SHA") is None


def test_plain_http_is_not_answered(server):
    with socket.create_connection(server.address, timeout=20) as connection:
        connection.sendall(get(b"/healthz"))
        got, ended = read_until_end(connection, 10)
    assert ended and b"HTTP" not in got
    assert_healthy(server)


def test_the_chain_is_shown(server_factory, folder):
    """To a client that knows the root only."""
    assert_healthy(server_factory(tls=certificates.make_chain(folder, "chain")))


@pytest.mark.parametrize("client", ["curl", "requests", pytest.param(
    "node-fetch", marks=pytest.mark.slow)])
def test_an_early_refusal_is_seen(server_factory, pairs, tmp_path, client):
    """50 MiB are on the way when the 413 comes."""
    server = server_factory("--max-upload-request", "10MiB", tls=pairs[0])
    body = tmp_path / "body"
    body.write_bytes(bytes(SIZE))
    trusted = {name: server.verify for name in
               ("CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")}
    done = subprocess.run(
        [*CLIENTS[client], server.base_url + "/api/v1/upload",
         server.workspace().key(["extractions:write"]), body, "2"],
        capture_output=True, text=True, timeout=100, check=False, env={**os.environ, **trusted})
    assert done.stdout.split() == ["413"] * 2, done.stderr


def test_no_reply_to_what_breaks_off(server):
    """The TCP connection ends its sending side in the middle of a body, without a word of TLS."""
    head = b"POST /api/v1/upload HTTP/1.1\r\nHost: h\r\nContent-Length: 900\r\n\r\n"
    with server.connect() as connection:
        connection.sendall(head + b"a")
        with socket.socket(fileno=os.dup(connection.fileno())) as raw:
            raw.shutdown(socket.SHUT_WR)
        assert read_until_end(connection, 5) == (b"", True)
    assert_healthy(server)


@pytest.mark.parametrize("name", [
    name if i % 4 == 0 else pytest.param(name, marks=pytest.mark.slow)
    for i, name in enumerate(CASES)])
def test_framing(server, answers, name):
    """Hostile bytes are answered as they are without TLS; each case is one of test_h_hostile.py."""
    look(server, CASES[name], answers[name],
         heads=(0,) if CASES[name].startswith(b"HEAD ") else ())


# ---- which pairs it takes ----

def spoilt(folder, pairs, kind):
    """Files that are no pair, and a word of what is said of them."""
    one, two = pairs
    text, folder = folder / "text", folder / kind
    folder.mkdir()
    text.write_text("no PEM\n")
    if kind == "another's key":
        return one.cert, two.key, "does not belong"
    if kind == "a text for a certificate":
        return text, one.key, "no certificate"
    if kind == "a text for a key":
        return one.cert, text, "no key"
    if kind == "exchanged":
        return one.key, one.cert, "no certificate"
    if kind == "absent":
        return folder / "none", one.key, "No such file"
    if kind == "a password":
        certificates.openssl("pkey", "-in", one.key, "-aes256", "-passout", "pass:secret", "-out",
                             folder / "key")
        return one.cert, folder / "key", "without a password"
    return spoilt_text(folder, one, kind)


def spoilt_text(folder, one, kind):
    cut = folder / "cut"
    if kind == "empty":
        cut.write_bytes(b"")
        return cut, one.key, "is not a file"
    cut.write_bytes(one.cert.read_bytes()[:-100])
    return cut, one.key, "no certificate"


@pytest.mark.parametrize("kind", [
    "another's key", "a text for a certificate", "a text for a key", "exchanged", "absent",
    "a password", "empty", "cut"])
def test_a_spoilt_pair_is_refused_at_the_start(tmp_path, pairs, kind):
    cert, key, word = spoilt(tmp_path, pairs, kind)
    done = run_binary("serve", "--data", tmp_path / "data", "--listen", "127.0.0.1:0",
                      "--tls-cert", cert, "--tls-key", key)
    assert done.returncode == 1 and done.stdout == "", done
    assert word in done.stderr and done.stderr.count("\n") == 1


NO_TLS = """
enum { NO };
int MHD_is_feature_supported(int feature) { (void)feature; return NO; }
"""


@pytest.mark.skipif(instrumented(), reason="the sanitizer's library must be loaded first")
def test_a_library_without_tls_is_refused_clearly(tmp_path, pairs):
    (tmp_path / "no_tls.c").write_text(NO_TLS)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", tmp_path / "no_tls.so", tmp_path / "no_tls.c"],
                   check=True, timeout=60)
    done = run_binary("serve", "--data", tmp_path / "data", "--tls-cert", pairs[0].cert,
                      "--tls-key", pairs[0].key, "--listen", "127.0.0.1:0",
                      env={**os.environ, "LD_PRELOAD": str(tmp_path / "no_tls.so")})
    assert done.returncode == 1 and "was built without TLS" in done.stderr


@pytest.mark.parametrize("option", ["--tls-cert", "--tls-key"])
def test_both_or_none(tmp_path, option):
    done = run_binary("serve", "--data", tmp_path / "data", option, "/nowhere")
    assert done.returncode == 2 and "give both, or none" in done.stderr


@pytest.mark.parametrize("mode, said", [(0o600, False), (0o640, False), (0o644, True)])
def test_a_key_that_all_may_read_is_told(server_factory, folder, mode, said):
    pair = certificates.make(folder, f"mode-{mode:o}")
    pair.key.chmod(mode)
    server = server_factory(tls=pair)
    assert ("may be read by everybody" in server.log()) == said


def test_when_it_ends_is_a_metric(server_factory, folder):
    server = server_factory(tls=certificates.make(folder, "ends", days=3))
    text = server.api().get("/metrics").text
    ends = int(text.split("\ndossier_tls_certificate_expires_seconds ")[1].split()[0])
    assert 2.9 * 86400 < ends - time.time() < 3.1 * 86400


# ---- another pair, while it runs ----

def shown(server, trusted):
    """The common name of the certificate that a new connection is shown."""
    context = ssl.create_default_context(cafile=str(trusted.authority))
    with socket.create_connection(server.address, timeout=20) as connection:
        with context.wrap_socket(connection, server_hostname="localhost") as wrapped:
            return dict(part[0] for part in wrapped.getpeercert()["subject"])["commonName"]


def reload(server, said=RELOADED):
    start = server.log_size()
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: said in server.log(start))


def put(pair, cert, key):
    """Copies a pair to where a server looks for it."""
    shutil.copyfile(pair.cert, cert)
    shutil.copyfile(pair.key, key)


@pytest.fixture
def placed(tmp_path, pairs):
    """Pair one, at a place of its own."""
    place = certificates.Pair(tmp_path / "authority", tmp_path / "cert", tmp_path / "key")
    shutil.copyfile(pairs[0].authority, place.authority)
    put(pairs[0], place.cert, place.key)
    place.key.chmod(0o600)
    return place


def test_a_reload_drops_no_connection(server_factory, placed, pairs):
    server = server_factory(tls=placed)
    api = server.workspace().api()
    content = os.urandom(1 << 20)
    with server.connect() as kept, server.connect() as sending:
        made = data(api.post("/v1/documents/upload-url", json={}), 201)
        sending.sendall(b"PUT %s HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % (
            made["upload_url"][len(server.base_url):].encode(), len(content)) + content[:500_000])
        put(pairs[1], placed.cert, placed.key)
        reload(server)
        assert shown(server, pairs[1]) == "two"
        sending.sendall(content[500_000:])
        assert sending.recv(65536).startswith(b"HTTP/1.1 200")
        kept.sendall(PROBE)
        assert [reply.status for reply in split_replies(read_until_end(kept, 10)[0])] == [200]
        with pytest.raises(ssl.SSLCertVerificationError):
            shown(server, pairs[0])


def test_a_reload_of_a_spoilt_pair_changes_nothing(server_factory, placed, pairs):
    server = server_factory(tls=placed)
    for spoil in (lambda: shutil.copyfile(pairs[1].key, placed.key),
                  lambda: placed.cert.write_text("no PEM"), placed.cert.unlink):
        spoil()
        reload(server, "the certificate stays as it was")
        assert shown(server, pairs[0]) == "one"
    put(pairs[1], placed.cert, placed.key)
    reload(server)
    assert shown(server, pairs[1]) == "two"


def test_links_that_lead_elsewhere_after_a_renewal(server_factory, tmp_path, pairs):
    """As certbot has them: live/x -> ../archive/x1, then x2; in the sandbox."""
    live, archive = tmp_path / "live", tmp_path / "archive"
    for folder in (live, archive):
        folder.mkdir()

    def renew(number, pair):
        put(pair, archive / f"cert{number}", archive / f"key{number}")
        (archive / f"key{number}").chmod(0o600)
        for name in ("cert", "key"):
            (live / name).unlink(missing_ok=True)
            (live / name).symlink_to(f"../archive/{name}{number}")

    renew(1, pairs[0])
    server = server_factory(tls=certificates.Pair(pairs[0].authority, live / "cert", live / "key"))
    renew(2, pairs[1])
    reload(server)
    assert shown(server, pairs[1]) == "two"


def test_a_folder_that_is_exchanged_below_the_named_one(server_factory, tmp_path, pairs):
    """As Kubernetes mounts secrets: cert -> ..data/cert, ..data -> ..1, then ..2."""
    def renew(number, pair):
        (tmp_path / f"..{number}").mkdir()
        put(pair, tmp_path / f"..{number}" / "cert", tmp_path / f"..{number}" / "key")
        (tmp_path / "fresh").symlink_to(f"..{number}")
        (tmp_path / "fresh").rename(tmp_path / "..data")

    for name in ("cert", "key"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    renew(1, pairs[0])
    server = server_factory(
        tls=certificates.Pair(pairs[0].authority, tmp_path / "cert", tmp_path / "key"))
    renew(2, pairs[1])
    reload(server)
    assert shown(server, pairs[1]) == "two"


@pytest.mark.concurrent
def test_reloads_under_load(server_factory, placed, pairs, tmp_path):
    """Each new connection is shown one pair or the other, whole."""
    server = server_factory(tls=placed)
    both = tmp_path / "both"
    both.write_text(pairs[0].cert.read_text() + pairs[1].cert.read_text())
    trusted = certificates.Pair(both, None, None)
    over = False

    def connect():
        seen = []
        while not over:
            seen.append(shown(server, trusted))
        return seen

    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(connect) for _ in range(4)]
        try:
            for turn in range(10):
                put(pairs[turn % 2], placed.cert, placed.key)
                reload(server)
        finally:
            over = True
    seen = {name for client in clients for name in client.result()}
    assert seen == {"one", "two"}


# ---- the signal itself ----

def test_without_tls_a_hangup_changes_nothing(server_factory):
    server = server_factory()
    reload(server)
    assert_healthy(server)
    assert server.stop() == 0


def test_the_end_of_the_terminal_ends_it_orderly(tmp_path):
    """The hangup comes from the kernel then, and nobody is left to stop it otherwise."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(BINARY, [BINARY, "serve", "--data", str(tmp_path / "data"), "--listen",
                          "127.0.0.1:0"])
    ended = False
    try:
        said = b""
        while b"listening on" not in said:
            assert select.select([terminal], [], [], 30)[0], said
            said += os.read(terminal, 1000)
        os.close(terminal)
        ended = wait_for(lambda: os.waitpid(pid, os.WNOHANG) != (0, 0))
    finally:
        if not ended:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


# ---- what became of the slow ----

@pytest.mark.parametrize("scene", [scene.__name__ for scene in CUT_SCENES])
def test_the_slow_are_cut(scenes, scene):
    assert 5 <= scenes[scene].result(50) <= 30


def test_half_handshakes_hold_nobody_up(scenes):
    took = scenes["many_half_hellos"].result(50)
    assert took[-1] < 5 and took[len(took) // 2] < 1


def test_a_connection_may_be_idle_after_its_handshake(scenes):
    assert scenes["idle_after_the_handshake"].result(50) == [200]
