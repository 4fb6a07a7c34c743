# SPDX-License-Identifier: Apache-2.0
"""
Many slow clients in one process: python3 slow_crowd.py HOST PORT COUNT SECONDS < REQUEST

Each sends REQUEST, then a byte every two seconds, and reads nothing. One that is cut comes again
at once. Prints a line when all are connected, and at the end one of JSON: how many were cut, how
old they were then, and how old the oldest is that is still open; ages in seconds.
"""
import heapq
import json
import resource
import select
import socket
import sys
import time

PAUSE_SECONDS = 2
BATCH = 200     # connections opened in a row, so that the listen queue does not overflow


class Crowd:
    def __init__(self, address, request):
        self.address = address
        self.request = request
        self.poll = select.epoll()
        self.clients = {}       # descriptor -> (socket, when it was opened)
        self.due = []           # heap of (when the next byte is sent, descriptor, opened)
        self.ages = []

    def open(self):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(30)
        client.connect(self.address)
        client.sendall(self.request)
        client.setblocking(False)
        now = time.monotonic()
        self.clients[client.fileno()] = client, now
        self.poll.register(client, select.EPOLLRDHUP)   # reset and hang-up are always told
        heapq.heappush(self.due, (now + PAUSE_SECONDS, client.fileno(), now))

    def close(self, descriptor):
        client, opened = self.clients.pop(descriptor)
        client.close()
        self.ages.append(time.monotonic() - opened)

    def drip(self):
        now = time.monotonic()
        while self.due and self.due[0][0] <= now:
            _, descriptor, opened = heapq.heappop(self.due)
            client, since = self.clients.get(descriptor, (None, None))
            if since != opened:
                continue        # it was cut, and its number is another's by now
            try:
                client.send(b"a")
            except BlockingIOError:
                pass
            except OSError:
                self.close(descriptor)
                continue
            heapq.heappush(self.due, (now + PAUSE_SECONDS, descriptor, opened))

    def run(self, count, seconds):
        for number in range(count):
            self.open()
            if number % BATCH == 0:
                self.turn()
        print("all are there", flush=True)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.turn()
            for _ in range(min(BATCH, count - len(self.clients))):
                self.open()

    def turn(self):
        for descriptor, _ in self.poll.poll(0.05):
            self.close(descriptor)
        self.drip()

    def report(self):
        now = time.monotonic()
        still = [now - opened for _, opened in self.clients.values()]
        return {"cut": len(self.ages), "youngest_cut": min(self.ages, default=0),
                "oldest_cut": max(self.ages, default=0),
                "oldest_open": max(still, default=0)}


def main():
    host, port, count, seconds = sys.argv[1:]
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    crowd = Crowd((host, int(port)), sys.stdin.buffer.read())
    crowd.run(int(count), float(seconds))
    print(json.dumps(crowd.report()))


if __name__ == "__main__":
    main()
