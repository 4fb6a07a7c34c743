# SPDX-License-Identifier: Apache-2.0
"""
A proxy between the service and its S3 store that does wrong on cue, in the test's own process.

    with FaultProxy(store.number) as proxy:                 # clients use proxy.endpoint
        rule = proxy.fault("status", verb="PUT", path="partNumber=2", nth=3, status=503)
        ...
        assert rule.hits == 1 and proxy.passed["PUT"].requests == 7

A rule acts on requests of its verb whose target (path and query) its `path`, a regular
expression, is found in: on the nth of them since it was made, and on as many as `times` says
(None: on all from there). Of several rules that would act on a request, the oldest does.

kind            what happens                                                options
refuse          the connection is reset; the store sees nothing
reset_request   ... once so many bytes of the request's body passed         after=0
lose_answer     the store did all of it; the connection is reset
reset_response  the connection is reset after so many bytes of the body     after=0
truncate        the same, but an orderly end of the connection              after=0
shorten         so many bytes, and a Content-Length that says so            after=0
flip            one bit of the answer's body is another one                 at=0
status          an S3 error answer; `reached`: the store did all of it      status=500, code,
                                                                            reached=False
error_in_200    200, and the error is in the body                           code, reached=False
hang            no answer until the client goes; `reached` as above         reached=False
delay           the request waits before it goes on                         seconds
drip            the answer's body comes at so many bytes a second           rate
drip_request    the request's body goes on at so many bytes a second        rate

Of a body that is shorter than `after` or `at`, the last byte is meant; `shorten` needs a
Content-Length. down() and up() are for the whole store: connections are refused by the kernel.
"""
import contextlib
import re
import select
import socket
import struct
import threading
import time
from collections import defaultdict, namedtuple
from dataclasses import dataclass

from . import servers

SECONDS = 120
PIECE = 65536
CODES = {400: "InvalidRequest", 403: "AccessDenied", 404: "NoSuchKey", 412: "PreconditionFailed",
         500: "InternalError", 501: "NotImplemented", 503: "SlowDown"}
KINDS = {
    "refuse": {}, "reset_request": {"after": 0}, "lose_answer": {}, "reset_response": {"after": 0},
    "truncate": {"after": 0}, "shorten": {"after": 0}, "flip": {"at": 0},
    "status": {"status": 500, "code": None, "reached": False},
    "error_in_200": {"code": "InternalError", "reached": False}, "hang": {"reached": False},
    "delay": {"seconds": 1.0}, "drip": {"rate": 1000}, "drip_request": {"rate": 1000},
}


class _Reset(Exception):
    """The client's connection is to be reset."""


class _Ended(Exception):
    """A connection ended where more should have come, or the proxy ends."""


# ---- what the test says and sees ----

class Rule:
    def __init__(self, kind, verb=None, path=None, nth=1, times=1, **options):
        unknown = set(options) - set(KINDS[kind])
        assert not unknown, f"{kind} has no option {unknown}"
        self.kind, self.verb, self.path = kind, verb, re.compile(path or "")
        self.nth, self.times = nth, times
        self.options = {**KINDS[kind], **options}
        self.seen = 0       # requests that it is about
        self.hits = 0       # those it acted on

    def _takes(self, verb, target):
        if self.verb not in (None, verb) or not self.path.search(target):
            return False
        self.seen += 1
        return self.seen >= self.nth and (self.times is None or
                                          self.seen < self.nth + self.times)


@dataclass
class Passed:
    """What went on to the store, and what came back to the client, of one verb."""
    requests: int = 0
    sent: int = 0           # bytes of bodies to the store
    received: int = 0       # bytes of bodies to the client


Seen = namedtuple("Seen", "verb target fault")


# ---- bytes of HTTP/1.1 ----

class _Stream:
    """A socket, read with a buffer."""

    def __init__(self, sock):
        self.socket, self.buffer = sock, b""
        sock.settimeout(SECONDS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def fill(self):
        try:
            piece = self.socket.recv(PIECE)
        except OSError:
            piece = b""
        self.buffer += piece
        return piece

    def take(self, most):
        """1 to `most` bytes; none at the end."""
        if not self.buffer:
            self.fill()
        piece, self.buffer = self.buffer[:most], self.buffer[most:]
        return piece

    def until(self, end):
        """Up to and with these bytes. None at an end before the first of them."""
        while end not in self.buffer:
            if not self.fill():
                if self.buffer:
                    raise _Ended()
                return None
        cut = self.buffer.index(end) + len(end)
        piece, self.buffer = self.buffer[:cut], self.buffer[cut:]
        return piece

    def send(self, content):
        try:
            self.socket.sendall(content)
        except OSError:
            raise _Ended() from None

    def reset(self):
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def end(self):
        """Wakes whoever reads it, in any thread."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)


class _Head:
    """A request's or an answer's first lines, kept byte for byte: they are signed."""

    def __init__(self, raw):
        self.raw = raw
        lines = raw.decode("latin-1").split("\r\n")
        self.words = lines[0].split(" ", 2)
        self.fields = {name.strip().lower(): value.strip() for name, _, value in
                       (line.partition(":") for line in lines[1:] if line)}

    def closes(self):
        return self.fields.get("connection", "").lower() == "close"

    def with_length(self, length):
        return re.sub(rb"(?i)(content-length: *)\d+", rb"\g<1>%d" % length, self.raw)


def _pieces(stream, head, has_body=True, until_end=False):
    """The body as (bytes, True) and, between chunks, (bytes, False)."""
    def some(length):
        while length:
            piece = stream.take(min(length, PIECE))
            if not piece:
                raise _Ended()
            length -= len(piece)
            yield piece, True

    if not has_body:
        return
    if "chunked" in head.fields.get("transfer-encoding", "").lower():
        while True:
            line = stream.until(b"\r\n")
            if line is None:
                raise _Ended()
            yield line, False
            length = int(line.split(b";")[0], 16)
            yield from some(length)
            yield stream.until(b"\r\n"), False  # after the last chunk: no trailer, an empty line
            if length == 0:
                return
    elif "content-length" in head.fields:
        yield from some(int(head.fields["content-length"]))
    elif until_end:
        while piece := stream.take(PIECE):
            yield piece, True


def _error(code):
    return (f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code>'
            "<Message>said by the fault proxy</Message></Error>").encode()


# ---- one connection ----

class _Connection:
    def __init__(self, proxy, client):
        self.proxy, self.client, self.store = proxy, _Stream(client), None

    def run(self):
        try:
            while (raw := self.client.until(b"\r\n\r\n")) is not None:
                if not self._exchange(_Head(raw)):
                    break
        except _Reset:
            self.client.reset()
        except _Ended:
            pass
        finally:
            for stream in filter(None, (self.store, self.client)):
                stream.end()
                stream.socket.close()

    def _exchange(self, request):
        """One request and its answer; false when the connection is to end."""
        verb, target = request.words[:2]
        rule = self.proxy._rule_for(verb, target)
        kind, options = (rule.kind, rule.options) if rule else (None, {})
        if kind == "refuse":
            raise _Reset()
        if kind in ("status", "error_in_200", "hang"):
            return self._instead(request, kind, options)
        if kind == "delay":
            self.proxy._pause(options["seconds"])
        if kind == "lose_answer":
            self._swallow(request)
            raise _Reset()
        answer, pump = self._pass(request, kind, options)
        self._answer(request, answer, kind, options)
        pump.join()
        return not (request.closes() or answer.closes())

    # ---- towards the store ----

    def _pass(self, request, kind=None, options=None, tell_client=True):
        """Sends the request on; the answer's head, and the thread that sends the body."""
        self._connect()
        self.proxy._count(request, requests=1)
        self.store.send(request.raw)
        cut = []
        pump = threading.Thread(target=self._pump, args=(request, kind, options, cut),
                                daemon=True)
        pump.start()
        while True:
            raw = self.store.until(b"\r\n\r\n") if not cut else None
            if raw is None or cut:
                raise _Reset()
            answer = _Head(raw)
            if answer.words[1] != "100":
                return answer, pump
            if tell_client:
                self.client.send(raw)

    def _connect(self):
        """A connection to the store; the last one, unless the store has closed it meanwhile."""
        if self.store is not None and select.select([self.store.socket], [], [], 0)[0]:
            self.store.socket.close()
            self.store = None
        if self.store is None:
            try:
                self.store = _Stream(socket.create_connection(self.proxy.upstream, SECONDS))
            except OSError:
                raise _Reset() from None
            self.proxy._track(self.store)

    def _pump(self, request, kind, options, cut):
        """The request's body, in a thread: an answer may come before its end."""
        left = options["after"] if kind == "reset_request" else None
        try:
            for piece, is_data in _pieces(self.client, request):
                if left is not None and is_data and len(piece) >= left:
                    self.store.send(piece[:left])
                    self.proxy._count(request, sent=left)
                    break
                self._at_rate(self.store, piece, options["rate"] if kind == "drip_request" else 0)
                if is_data:
                    self.proxy._count(request, sent=len(piece))
                    left = None if left is None else left - len(piece)
        except _Ended:
            cut.append("client")
            self.store.end()
        if left is not None:
            cut.append("rule")
            self.store.end()

    def _swallow(self, request):
        """The request is done and answered, and nobody learns of it."""
        if "expect" in request.fields:
            self.client.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        answer, pump = self._pass(request, tell_client=False)
        for _ in _pieces(self.store, answer, *self._has_body(request, answer)):
            pass
        pump.join()

    # ---- towards the client ----

    @staticmethod
    def _has_body(request, answer):
        none = request.words[0] == "HEAD" or answer.words[1] in ("204", "304")
        return not none, True

    def _answer(self, request, answer, kind, options):
        body = _pieces(self.store, answer, *self._has_body(request, answer))
        length = int(answer.fields.get("content-length", "0"))
        if kind == "shorten":
            keep = min(options["after"], max(0, length - 1))
            content = b"".join(piece for piece, is_data in body if is_data)[:keep]
            self.client.send(answer.with_length(keep) + content)
            self.proxy._count(request, received=keep)
            return
        self.client.send(answer.raw)
        at = options.get("at", options.get("after", 0)) if options else 0
        if length:
            at = min(at, length - 1)
        position = 0
        for piece, is_data in body:
            if is_data:
                here = at - position
                if kind in ("reset_response", "truncate") and here < len(piece):
                    self.client.send(piece[:here])
                    self.proxy._count(request, received=here)
                    raise _Reset() if kind == "reset_response" else _Ended()
                if kind == "flip" and 0 <= here < len(piece):
                    piece = piece[:here] + bytes([piece[here] ^ 1]) + piece[here + 1:]
                position += len(piece)
                self.proxy._count(request, received=len(piece))
            self._at_rate(self.client, piece, options["rate"] if kind == "drip" else 0)

    def _instead(self, request, kind, options):
        """An answer of the proxy's own; true when the connection can go on."""
        expects = "expect" in request.fields
        if options["reached"]:
            self._swallow(request)
        elif not expects:
            for _ in _pieces(self.client, request):
                pass
        if kind == "hang":
            self._wait_for_end()
            raise _Ended()
        status = 200 if kind == "error_in_200" else options["status"]
        body = _error(options["code"] or CODES.get(status, "InternalError"))
        ends = expects or request.closes()
        self.client.send(
            f"HTTP/1.1 {status} Fault\r\nContent-Type: application/xml\r\n"
            f"Content-Length: {len(body)}\r\n{'Connection: close' if ends else 'X-Fault: 1'}"
            "\r\n\r\n".encode() + (b"" if request.words[0] == "HEAD" else body))
        return not ends

    def _wait_for_end(self):
        while not self.proxy._ending.is_set():
            if select.select([self.client.socket], [], [], 0.1)[0] and not self.client.fill():
                return

    def _at_rate(self, stream, piece, rate):
        if not rate:
            stream.send(piece)
            return
        step = max(1, rate // 10)
        for i in range(0, len(piece), step):
            stream.send(piece[i:i + step])
            self.proxy._pause(step / rate)


# ---- the proxy ----

class FaultProxy:
    """In front of a store on a loopback port."""

    def __init__(self, upstream_port):
        self.upstream = "127.0.0.1", int(upstream_port)
        self.passed = defaultdict(Passed)
        self.seen = []              # every request, with the kind of fault it met or None
        self.rules = []
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._streams = []
        self._listener = None

    def __enter__(self):
        self._claim = servers.Port()
        self.port = self._claim.number
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.up()
        return self

    def __exit__(self, *_):
        self._ending.set()
        self.down()
        self._claim.close()

    def fault(self, kind, **options):
        """A new Rule; see above."""
        rule = Rule(kind, **options)
        with self._lock:
            self.rules.append(rule)
        return rule

    def heal(self):
        """No rule acts any more."""
        with self._lock:
            self.rules.clear()

    def forget(self):
        """Counts from 0 again."""
        with self._lock:
            self.passed.clear()
            self.seen.clear()

    def down(self):
        """Ends all connections and refuses new ones."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)     # wakes accept()
        listener.close()
        with self._lock:
            streams, self._streams = self._streams, []
        for stream in streams:
            stream.end()

    def up(self):
        assert self._listener is None, "it is up"
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    # ---- for connections ----

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            connection = _Connection(self, client)
            self._track(connection.client)
            threading.Thread(target=connection.run, daemon=True).start()

    def _track(self, stream):
        with self._lock:
            self._streams = [one for one in self._streams if one.socket.fileno() >= 0] + [stream]

    def _rule_for(self, verb, target):
        with self._lock:
            acting = [rule for rule in self.rules if rule._takes(verb, target)][:1]
            for rule in acting:
                rule.hits += 1
            self.seen.append(Seen(verb, target, acting[0].kind if acting else None))
            return acting[0] if acting else None

    def _count(self, request, requests=0, sent=0, received=0):
        with self._lock:
            passed = self.passed[request.words[0]]
            passed.requests += requests
            passed.sent += sent
            passed.received += received

    def _pause(self, seconds):
        if self._ending.wait(seconds):
            raise _Ended()
