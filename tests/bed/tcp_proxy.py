# SPDX-License-Identifier: Apache-2.0
"""
A proxy for any protocol on TCP, that does wrong on cue: for what stands between the service and
PostgreSQL or Redis.

    with TcpProxy(database.number) as proxy:            # clients connect to proxy.port
        cut = proxy.cut(towards="client", pattern=b"COMMIT")
        ...                                             # the commit was done; its answer is lost
        assert cut.hits == 1

One thread moves all bytes; each method returns once it has taken effect.
"""
import contextlib
import selectors
import socket
import struct
import threading
from dataclasses import dataclass

from . import servers

PIECE = 65536
MOST = 1 << 20      # bytes waiting in one direction
TOWARDS = {"server": 0, "client": 1}


@dataclass
class Cut:
    """Ends a connection with a reset towards the client, and an orderly end towards the server:
    that one reads what it was sent before."""
    towards: str        # whose bytes are looked at: those on their way to "server" or "client"
    pattern: bytes      # found in them ...
    after: int          # ... or so many of them passed on one connection
    passing: bool       # with the pattern's own bytes
    nth: int
    times: int
    seen: int = 0
    hits: int = 0


class _Pair:
    """A client's connection and ours to the server."""

    def __init__(self, client, server):
        self.sockets = server, client       # [i]: where bytes of direction i go
        self.waiting = [bytearray(), bytearray()]
        self.tails = [b"", b""]
        self.passed = [0, 0]
        self.closing = [False, False]       # nothing more comes for direction i


class TcpProxy:
    def __init__(self, upstream_port):
        self.upstream = "127.0.0.1", int(upstream_port)
        self.passed = [0, 0]                # bytes to the server, bytes to the client
        self.accepted = 0
        self._cuts = []
        self._pairs = []
        self._frozen = self._ending = False
        self._listener = None
        self._lock = threading.RLock()      # held while bytes move
        self._selector = selectors.DefaultSelector()
        self._wake = socket.socketpair()
        self._selector.register(self._wake[0], selectors.EVENT_READ)

    def __enter__(self):
        self._claim = servers.Port()
        self.port = self._claim.number
        self.up()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        with self._changing():
            self.down()
            self._ending = True
        self._thread.join()
        self._selector.close()
        for end in self._wake:
            end.close()
        self._claim.close()

    # ---- what a test does ----

    def drop(self):
        """Resets every connection; new ones are welcome."""
        with self._changing():
            for pair in list(self._pairs):
                self._end(pair, reset=True)

    def down(self):
        """The same, and new connections are refused."""
        with self._changing():
            if self._listener is not None:
                self._selector.unregister(self._listener)
                self._listener.close()
                self._listener = None
            self.drop()

    def up(self):
        with self._changing():
            assert self._listener is None, "it is up"
            self._listener = socket.create_server(("127.0.0.1", self.port), backlog=256)
            self._selector.register(self._listener, selectors.EVENT_READ)

    def freeze(self):
        """Connections stay, and are accepted, but no byte moves: a network that lost its way."""
        with self._changing():
            self._frozen = True

    def resume(self):
        with self._changing():
            self._frozen = False

    def cut(self, towards="server", pattern=None, after=None, passing=None, nth=1, times=1):
        """A new Cut: at the nth time that `pattern` is seen, on any connection, or once `after`
        bytes passed on one; as often as `times` says. Bytes of the pattern reach the server, but
        not the client, unless `passing` says otherwise."""
        assert (pattern is None) != (after is None), "a pattern, or a number of bytes"
        passing = towards == "server" if passing is None else passing
        cut = Cut(towards, pattern, after, passing, nth, times)
        with self._changing():
            self._cuts.append(cut)
        return cut

    def heal(self):
        with self._changing():
            self._cuts.clear()
            self._frozen = False

    @property
    def connections(self):
        with self._lock:
            return len(self._pairs)

    # ---- the thread ----

    @contextlib.contextmanager
    def _changing(self):
        with self._lock:
            yield
            for pair in self._pairs:
                self._watch(pair)
        self._wake[1].send(b"!")

    def _run(self):
        while True:
            events = self._selector.select()
            with self._lock:
                if self._ending:
                    return
                for key, mask in events:
                    if key.fileobj is self._wake[0]:
                        self._wake[0].recv(PIECE)
                    elif key.fileobj is self._listener:
                        self._accept()
                    elif key.data in self._pairs and not self._frozen:
                        self._move(key.data, key.fileobj, mask)

    def _accept(self):
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        self.accepted += 1
        try:
            server = socket.create_connection(self.upstream, 5)
        except OSError:
            client.close()
            return
        for end in server, client:
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pairs.append(_Pair(client, server))
        self._watch(self._pairs[-1])

    def _watch(self, pair):
        """Says what is waited for at both ends."""
        for i, end in enumerate(pair.sockets):
            reads = not pair.closing[1 - i] and len(pair.waiting[1 - i]) < MOST
            mask = (selectors.EVENT_READ if reads else 0) | \
                (selectors.EVENT_WRITE if pair.waiting[i] else 0)
            known = end in self._selector.get_map()
            if self._frozen or not mask:
                if known:
                    self._selector.unregister(end)
            elif known:
                self._selector.modify(end, mask, pair)
            else:
                self._selector.register(end, mask, pair)

    def _move(self, pair, end, mask):
        i = pair.sockets.index(end)
        try:
            if mask & selectors.EVENT_READ:
                self._read(pair, 1 - i, end)
            for to in (0, 1) if pair in self._pairs else ():
                self._write(pair, to)
        except BlockingIOError:
            pass
        except OSError:
            self._end(pair, reset=True)
        if pair in self._pairs:
            if all(pair.closing) and not any(pair.waiting):
                self._end(pair, reset=False)
            else:
                self._watch(pair)

    def _read(self, pair, to, end):
        piece = end.recv(PIECE)
        if not piece:
            pair.closing[to] = True
            return
        for cut in self._cuts:
            where = self._cut_at(cut, pair, to, piece)
            if where is not None:
                cut.hits += 1
                pair.waiting[to] += piece[:where]
                with contextlib.suppress(OSError):
                    self._write(pair, to)
                self._end(pair, reset=True)
                return
        pair.tails[to] = (pair.tails[to] + piece)[-256:]
        pair.waiting[to] += piece

    @staticmethod
    def _cut_at(cut, pair, to, piece):
        """How many of these bytes still pass; None when the connection goes on."""
        if TOWARDS[cut.towards] != to or cut.hits >= cut.times:
            return None
        if cut.pattern is None:
            before = pair.passed[to] + len(pair.waiting[to])
            return max(0, cut.after - before) if before + len(piece) >= cut.after else None
        tail = pair.tails[to][-(len(cut.pattern) - 1):] if len(cut.pattern) > 1 else b""
        found = (tail + piece).find(cut.pattern)
        while found >= 0:
            cut.seen += 1
            if cut.seen >= cut.nth:
                end = found - len(tail) + len(cut.pattern)
                return end if cut.passing else max(0, end - len(cut.pattern))
            found = (tail + piece).find(cut.pattern, found + 1)
        return None

    def _write(self, pair, to):
        if pair.waiting[to]:
            try:
                count = pair.sockets[to].send(pair.waiting[to])
            except BlockingIOError:
                return
            del pair.waiting[to][:count]
            pair.passed[to] += count
            self.passed[to] += count
        elif pair.closing[to]:
            with contextlib.suppress(OSError):
                pair.sockets[to].shutdown(socket.SHUT_WR)

    def _end(self, pair, reset):
        self._pairs.remove(pair)
        server, client = pair.sockets
        for end in pair.sockets:
            if end in self._selector.get_map():
                self._selector.unregister(end)
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        for end in server, client:
            end.close()
