# SPDX-License-Identifier: Apache-2.0
"""
The real binary, its workspaces, and clients that check every answer.

    server = Server(); server.start()          # on a free port, in a temporary directory
    workspace = server.workspace()             # of its own: tests do not see each other
    api = workspace.api("read:documents")      # a client with a new key; all permissions by default
    document = data(api.post("/v1/documents", json={...}), 201)

Every answer that goes through an Api is checked against the rules of all answers and against the
server's own OpenAPI document (schema.py), and remembered in LOG for test_z_coverage.py.
Everything that waits has a time limit.
"""
import contextlib
import itertools
import json
import os
import re
import selectors
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse
from pathlib import Path

import requests

import engines
import schema

ROOT = Path(__file__).resolve().parents[2]
BINARY = os.environ.get("DOSSIER_BIN", str(ROOT / "build" / "dossier"))
SLOWER = int(os.environ.get("TESTS_SLOWER", "1"))   # how many times slower the server is
READY_SECONDS = 30 * SLOWER
STOP_SECONDS = 20 * SLOWER
COMMAND_SECONDS = 30 * SLOWER
REQUEST_SECONDS = 45 * SLOWER

PERMISSIONS = (
    "read:documents", "write:documents", "admin:documents", "extractions:write",
    "extractions:read", "read:docs", "write:docs", "read:entities", "write:entities",
    "read:audit_logs", "admin:api_keys",
)
ALIAS = "/functions/v1/api-gateway"

Exchange = namedtuple("Exchange", "op method path status code")
LOG = []        # every exchange of this run
RUNNING = []    # servers whose log is shown when a test fails
_numbers = itertools.count(1)


def unique(prefix="x"):
    """A text that no other test of this run has."""
    return f"{prefix}-{next(_numbers)}"


class CommandFailed(Exception):
    def __init__(self, argv, status, stderr):
        super().__init__(f"{' '.join(argv)}: exit {status}: {stderr.strip()}")
        self.status = status
        self.stderr = stderr


def run_binary(*argv, seconds=COMMAND_SECONDS, **options):
    """Runs the binary to its end; a CompletedProcess, whatever its exit status. With --data it
    finds the engines of the server that was started there."""
    argv = list(map(str, argv))
    if "--data" in argv:
        env = options.get("env", os.environ)
        options["env"] = {**engines.environment(argv[argv.index("--data") + 1]), **env}
    return subprocess.run([BINARY, *argv], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=seconds, check=False, **options)


def instrumented():
    """True for a sanitizer's build: it looks into its own process, and keeps what is freed."""
    with open(BINARY, "rb") as program:
        return re.search(rb"__[at]san_init", program.read()) is not None


def parse_output(text):
    """JSON of a command: one value, or one a line."""
    if not text.strip():
        return None
    try:
        return json.loads(text)
    except ValueError:
        return [json.loads(line) for line in text.splitlines()]


class Server:
    """
    One `dossier serve` in a directory of its own, which outlives stops and starts, as do its rows
    and bytes, wherever they are (engines.py).

    With `tls`, a certificates.Pair, it speaks TLS, and clients trust nobody else.
    """

    def __init__(self, *options, data_dir=None, listen="127.0.0.1:0", env=None, tls=None):
        self.options = [str(option) for option in options]
        self.verify = str(tls.authority) if tls else True
        self.trust = ssl.create_default_context(cafile=self.verify) if tls else None
        if tls:
            self.options += ["--tls-cert", str(tls.cert), "--tls-key", str(tls.key)]
        self.home = Path(tempfile.mkdtemp(prefix="dossier-test-"))
        self.data_dir = Path(data_dir) if data_dir else self.home / "data"
        self.listen = listen
        self.env = {**os.environ, **(env or {})}
        self.log_path = self.home / "stderr"
        self.process = None
        self.base_url = None
        self.ready_line = None
        self._document = None

    # ---- life ----

    def start(self):
        if not self.launch():
            self.kill()
            raise AssertionError(f"not ready: {self.ready_line!r}\n{self.log()}")
        return self

    def launch(self):
        """True once it is ready; False when it is not going to be, and most likely has ended."""
        argv = [BINARY, "serve", "--data", str(self.data_dir), "--listen", self.listen,
                *self.options]
        env = {**self.place.env, **self.env}
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, env=env,
                                            stdout=subprocess.PIPE, stderr=log)
        RUNNING.append(self)
        self.ready_line = self._read_line(time.monotonic() + READY_SECONDS)
        found = re.fullmatch(r"dossier: listening on (https?://\S+|unix:/\S+)", self.ready_line)
        if found:
            self.base_url = found[1].rstrip("/")
        return bool(found)

    def _read_line(self, deadline):
        line = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    break
                chunk = os.read(self.process.stdout.fileno(), 1)
                if not chunk:
                    break
                line += chunk
        return line.decode(errors="replace").rstrip("\n")

    def _end(self, number, seconds):
        process, self.process = self.process, None
        if process is None:
            return None
        with contextlib.suppress(ValueError):
            RUNNING.remove(self)
        process.send_signal(number)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)
            return "killed"
        finally:
            process.stdout.close()

    def stop(self):
        """SIGTERM; the exit status, or "killed" when it did not end in time."""
        return self._end(signal.SIGTERM, STOP_SECONDS)

    def kill(self):
        """SIGKILL: as a crash."""
        return self._end(signal.SIGKILL, STOP_SECONDS)

    def remove(self):
        self.stop()
        engines.forget(self.data_dir)
        shutil.rmtree(self.home, ignore_errors=True)

    def log(self, start=0):
        text = self.log_path.read_bytes() if self.log_path.exists() else b""
        return text[start:].decode(errors="replace")

    def log_size(self):
        return self.log_path.stat().st_size if self.log_path.exists() else 0

    # ---- what stands around it ----

    @property
    def place(self):
        return engines.place_of(self.data_dir)

    @property
    def address(self):
        host, port = self.base_url.split("://")[1].rsplit(":", 1)
        return host, int(port)

    def connect(self, seconds=20, receive_buffer=None):
        """A new connection to it, as a socket; with TLS where that is spoken."""
        path = self.base_url[5:] if self.base_url.startswith("unix:") else None
        connection = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        try:
            connection.settimeout(seconds)
            if receive_buffer:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            connection.connect(path or self.address)
            if not self.trust:
                return connection
            # else the first request waits for the server's late ACK of the handshake
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return self.trust.wrap_socket(connection, server_hostname=self.address[0])
        except OSError:
            connection.close()
            raise

    def run(self, *argv):
        """A command against this data directory; its JSON. Raises CommandFailed."""
        argv = [*map(str, argv), "--data", str(self.data_dir)]
        done = run_binary(*argv, env={**self.place.env, **self.env})
        if done.returncode != 0:
            raise CommandFailed(argv, done.returncode, done.stderr or done.stdout)
        return parse_output(done.stdout)

    def openapi(self):
        """schema.Document of this server; asked for once."""
        if self._document is None:
            content = None
            if self.base_url.startswith("http"):
                answer = requests.get(self.base_url + "/openapi.json", timeout=REQUEST_SECONDS,
                                      verify=self.verify)
                content = answer.content if answer.status_code == 200 else None
            # with --admin-listen it is elsewhere
            content = content or run_binary("openapi").stdout.encode()
            self._document = schema.document(content)
        return self._document

    def rows(self):
        """The rows of a stopped server, as somebody opens them who may: see engines.Place."""
        return self.place.rows()

    def workspace(self, **options):
        return Workspace(self, **options)

    def api(self, key=None, **options):
        return Api(self, key, **options)

    def holds(self, marker):
        """True when any part of these bytes stands in any file of the data directory, in any row or
        blob. They need not be in one piece there, so 64 of each thousand are looked for."""
        parts = {marker[at:at + 64] for at in range(0, len(marker), 1000)}
        return any(part in content for content in self.place.contents() for part in parts
                   if len(part) > 15 or len(marker) < 1000)


class Workspace:
    """A new workspace. Options are those of `workspace create`: entities="open", bytes="verify",
    quota_bytes=10, id="ws_1"."""

    def __init__(self, server, name=None, **options):
        argv = ["workspace", "create", name or unique("workspace")]
        for option, value in options.items():
            argv += ["--" + option.replace("_", "-"), str(value)]
        self.server = server
        self.created = server.run(*argv)
        self.id = self.created["id"]

    def new_key(self, *permissions, tier="unmetered", **options):
        """What `key create` prints, "key" included."""
        argv = ["key", "create", "--workspace", self.id, "--tier", tier,
                "--permissions", ",".join(permissions or PERMISSIONS)]
        for option, value in options.items():
            argv += ["--" + option.replace("_", "-"), str(value)]
        return self.server.run(*argv)

    def key(self, permissions=(), **options):
        """The text of a new key; every permission when none is named."""
        return self.new_key(*permissions, **options)["key"]

    def api(self, *permissions, **options):
        """A client with a new key of these permissions; of all when none is named."""
        return Api(self.server, self.key(permissions, **options))

    def entity(self, kind, entity_id, **options):
        argv = ["entity", "put", "--workspace", self.id, kind, entity_id]
        for option, value in options.items():
            argv += ["--" + option.replace("_", "-"), str(value)]
        return self.server.run(*argv)

    def docs_entity(self, entity_id, trust_header=False):
        argv = ["docs-entity", "add", entity_id, "--workspace", self.id]
        return self.server.run(*argv, *(["--trust-header"] if trust_header else []))


class Api:
    """A client of one server with one key. A thread has its own: see at_once()."""

    def __init__(self, server, key=None, header="Authorization"):
        self.server = server
        self.key = key
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = server.verify
        if key is not None:
            value = f"Bearer {key}" if header == "Authorization" else key
            self.session.headers[header] = value

    @property
    def base_url(self):
        return self.server.base_url

    def request(self, method, path, expect=None, **options):
        """`path` is below the base URL, or a whole URL (signed ones). Checks the answer."""
        url = path if path.startswith("http") else self.server.base_url + path
        options.setdefault("timeout", REQUEST_SECONDS)
        options.setdefault("allow_redirects", False)
        answer = self.session.request(method, url, **options)
        check_answer(self.server, method, url, answer)
        if expect is not None:
            assert answer.status_code == expect, show(answer)
        return answer

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def head(self, path, **options):
        return self.request("HEAD", path, **options)

    def post(self, path, **options):
        return self.request("POST", path, **options)

    def put(self, path, **options):
        return self.request("PUT", path, **options)

    def patch(self, path, **options):
        return self.request("PATCH", path, **options)

    def delete(self, path, **options):
        return self.request("DELETE", path, **options)

    def options(self, path, **options):
        return self.request("OPTIONS", path, **options)

    # ---- what nearly every test needs ----

    def new_document(self, **members):
        """A record; what is not named is made up."""
        body = {"name": "a.pdf", "mime_type": "application/pdf",
                "storage_path": unique("path") + ".pdf", **members}
        return data(self.post("/v1/documents", json=body), 201)

    def new_bytes(self, content, **members):
        """Sends bytes by a signed URL and registers them; the record."""
        made = data(self.post("/v1/documents/upload-url", json={}), 201)
        self.put(made["upload_url"], data=content, headers=made["headers"], expect=200)
        return self.new_document(storage_path=made["storage_path"], **members)

    def audit(self, **filters):
        """The newest 200 audit lines, newest first."""
        return data(self.get("/v1/audit-logs", params={"per_page": 200, **filters}))["logs"]


# ---- answers ----

def show(answer):
    text = answer.content[:600].decode(errors="replace")    # .text would guess at an encoding
    return f"{answer.request.method} {answer.url}: {answer.status_code} {text}"


def data(answer, status=200):
    """The `data` of an answer that must have this status."""
    assert answer.status_code == status, show(answer)
    return answer.json()["data"]


def refused(answer, status, code):
    """The `error` of an answer that must have this status and code."""
    assert answer.status_code == status, show(answer)
    error = answer.json()["error"]
    assert error["code"] == code, show(answer)
    return error


def faulty(answer, *fields):
    """A 400 that names exactly these fields; field -> text."""
    found = refused(answer, 400, "validation_error")["details"]["fields"]
    assert sorted(found) == sorted(fields), show(answer)
    assert all(isinstance(text, str) and text for text in found.values())
    return found


def code_of(answer):
    """The code in an error's body; None when there is none (upload dialect, no body)."""
    try:
        return answer.json()["error"]["code"]
    except (ValueError, KeyError, TypeError):
        return None


def check_answer(server, method, url, answer):
    """What holds for every answer, then what the OpenAPI document says of this one."""
    headers = answer.headers
    where = show(answer) if method != "HEAD" else f"HEAD {url}: {answer.status_code}"
    assert re.fullmatch(r"req_[0-9A-HJKMNP-TV-Z]{26}", headers.get("X-Request-ID", "")), where
    assert headers.get("X-Content-Type-Options") == "nosniff", where
    assert headers.get("Cache-Control") == "no-store", where
    assert not re.search(r"\d", headers.get("Server", "")), "shows a server version"
    if answer.status_code in (429, 503):
        assert int(headers["Retry-After"]) >= 1, where
    op = remember(server, method, url[len(server.base_url):], answer.status_code,
                  code_of(answer) if answer.status_code >= 400 else None)
    if op is not None:
        op.check(answer, body=method != "HEAD")


def remember(server, method, target, status, code):
    """Puts an exchange into LOG; the operation it belongs to, None when there is none."""
    path = target.split("?")[0]
    if path.startswith(ALIAS + "/v1/"):
        path = path[len(ALIAS):]
    op = server.openapi().operation(method, path)
    LOG.append(Exchange(op and op.id, method, path, status, code))
    return op


# ---- raw bytes, for what no client library sends ----

class RawAnswer(namedtuple("RawAnswer", "status headers body")):
    def json(self):
        return json.loads(self.body)


def send_raw(server, content, seconds=15):
    """Sends exactly these bytes on a new connection; the first answer, None when there is none."""
    with server.connect(seconds) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(content)
        answer = HTTPResponse(connection)
        try:
            answer.begin()
            body = answer.read()
        except (OSError, ValueError, EOFError) as error:
            if isinstance(error, (TimeoutError, socket.timeout)):
                raise AssertionError("no answer in time") from error
            return None
        except Exception:  # http.client's own errors: the server closed without an answer
            return None
        return RawAnswer(answer.status, answer.headers, body)


def raw_request(server, method, target, headers=(), body=b"", seconds=15):
    """A request of these headers, (name, value) pairs sent as they are, after Host."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {server.address[0]}:{server.address[1]}"]
    lines += [f"{name}: {value}" for name, value in headers]
    answer = send_raw(server, "\r\n".join(lines + ["", ""]).encode("latin-1") + body, seconds)
    if answer is not None:
        remember(server, method, target, answer.status,
                 code_of(answer) if answer.status >= 400 else None)
    return answer


# ---- time, threads, ports ----

def free_ports(count):
    """Another program may take them before ours does; then the test fails and says so."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def free_port():
    return free_ports(1)[0]


def wait_for(condition, seconds=15, pause=0.05):
    """The first true value of condition(); fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not so within {seconds} s"
        time.sleep(pause)


def at_once(count, function):
    """function(i) in `count` threads that begin together; the results in order."""
    barrier = threading.Barrier(count, timeout=REQUEST_SECONDS)

    def run(i):
        barrier.wait()
        return function(i)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))
