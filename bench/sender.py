# SPDX-License-Identifier: Apache-2.0
"""Large uploads from a file in the page cache: sendfile() copies nothing and costs the sender next
to nothing, so that it is not what is measured."""
import os
import socket
import threading
import time
import urllib.parse

PIECE = 1 << 20
BOUNDARY = "bench-4be1"
PART = (f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="a.bin"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n").encode()
LAST = f"\r\n--{BOUNDARY}--\r\n".encode()


def fill(path, size):
    """A file of random bytes, a piece again and again."""
    piece = os.urandom(PIECE)
    with open(path, "wb") as file:
        for _ in range(size // PIECE):
            file.write(piece)


def exchange(address, head, path, tail=b""):
    """The answer's body; raises on any status but 200 and 201."""
    with socket.create_connection(address, 300) as connection, open(path, "rb") as file:
        connection.sendall(head)
        connection.sendfile(file)
        connection.sendall(tail)
        answer = connection.recv(PIECE)
        while b"\r\n\r\n" not in answer or answer.endswith(b"\r\n\r\n"):
            answer += connection.recv(PIECE)
    if answer.split()[1] not in (b"200", b"201"):
        raise RuntimeError(answer[:300])
    return answer.split(b"\r\n\r\n", 1)[1]


def multipart(api, path):
    """Sends it; what deletes it again."""
    length = os.path.getsize(path) + len(PART) + len(LAST)
    head = (f"POST /api/v1/upload HTTP/1.1\r\nHost: bench\r\nX-API-Key: {api.key}\r\n"
            f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
            f"Content-Length: {length}\r\n\r\n").encode()
    made = exchange(api.server.address, head + PART, path, LAST).decode()
    document = made.split('"')[1]
    return lambda: api.delete(f"/v1/documents/{document}?hard=true", expect=204)


def signed(api, path):
    """The same by a signed URL."""
    made = api.post("/v1/documents/upload-url", json={}, expect=201).json()["data"]
    url = urllib.parse.urlsplit(made["upload_url"])
    lines = "".join(f"{name}: {value}\r\n" for name, value in made["headers"].items())
    head = (f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\n{lines}"
            f"Content-Length: {os.path.getsize(path)}\r\n\r\n").encode()
    exchange(api.server.address, head, path)

    def delete():
        document = api.new_document(storage_path=made["storage_path"])["id"]
        api.delete(f"/v1/documents/{document}?hard=true", expect=204)
    return delete


KINDS = {"multipart": multipart, "signed URL": signed}


def several(api, kind, path, count):
    """`count` at once: MiB a second of all together, until the last answer. Deletes them then."""
    undo, failures = [], []

    def send():
        try:
            undo.append(KINDS[kind](type(api)(api.server, api.key), path))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=send) for _ in range(count)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - begun
    if failures:
        raise failures[0]
    for each in undo:
        each()
    return os.path.getsize(path) * count / seconds / 2**20


class Stream:
    """Uploads `count` at once, again and again, until left."""

    def __init__(self, api, kind, path, count):
        self.ending = threading.Event()
        self.runs, self.failure = 0, None
        self.thread = threading.Thread(target=self._run, args=(api, kind, path, count))

    def _run(self, *what):
        try:
            while not self.ending.is_set():
                several(*what)
                self.runs += 1
        except Exception as error:
            self.failure = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join()
        if self.failure:
            raise self.failure
