# SPDX-License-Identifier: Apache-2.0
"""
Small blobs as rows of blobs/small.db: kept when the process dies, gone when they are erased,
noticed when they are damaged, given back as room, and beside files of a program of before.
"""
import contextlib
import os
import random
import re
import threading
import time

import pytest

import blob_files
import schema1
from harness import Server, at_once, data, parse_output, requests, run_binary, unique, wait_for

pytestmark = [pytest.mark.embedded, pytest.mark.timeout(120)]

MARK = re.compile(rb"MARK-[0-9a-f]{24}")
PAGE = 4096


def marked(rng, size):
    return (b"MARK-" + rng.randbytes(12).hex().encode() + rng.randbytes(size))[:max(size, 29)]


def upload(api, contents):
    """id -> content, by one request."""
    answer = api.post("/api/v1/upload", files=[("files", ("a", c)) for c in contents], expect=200)
    return dict(zip(answer.json(), contents))


def download(api, document):
    found = data(api.get(f"/v1/documents/{document}"))
    return requests.get(found["download_url"], timeout=30)


def erase(api, document):
    api.delete(f"/v1/documents/{document}?hard=true", expect=204)


def check(server):
    done = run_binary("check", "--data", server.data_dir)
    return done.returncode, parse_output(done.stdout) if done.stdout else done.stderr


def assert_holds(api, contents):
    for document, content in contents.items():
        assert download(api, document).content == content


# ---- where they are ----

def test_where_bytes_are(server):
    """Up to 64 KiB they are rows, beyond that files; and no file of the store tells of others."""
    api = server.workspace().api()
    sizes = [0, 1, 100, 4000, 5000, 65535, 65536, 65537, 100000]
    contents = upload(api, [os.urandom(size) for size in sizes])
    rows, files = blob_files.small(server.data_dir), blob_files.files(server.data_dir)
    assert sorted(map(len, rows.values())) == sizes[:7] and len(files) == 2
    assert_holds(api, contents)
    api.session.headers["Range"] = "bytes=10-19"
    documents = {len(content): document for document, content in contents.items()}
    for size in (100, 65536, 65537):
        url = data(api.get(f"/v1/documents/{documents[size]}"))["download_url"]
        answer = requests.get(url, headers={"Range": "bytes=10-19"}, timeout=30)
        assert answer.status_code == 206 and answer.content == contents[documents[size]][10:20]
    modes = {path.name: path.stat().st_mode & 0o777 for path in
             (server.data_dir / "blobs").iterdir() if path.is_file()}
    assert set(modes) == set(blob_files.OURS[1:]) and set(modes.values()) == {0o600}


def test_no_bytes_where_pages_are_rearranged(server):
    """
    A page of a B-tree is copied to others when it grows or shrinks, and what is then left over in it
    is not overwritten (SQLite's secure_delete does not see it): a row that is erased later would
    leave a copy behind. So no such page has bytes of a blob; they begin in pages of their own.
    """
    api, rng = server.workspace().api(), random.Random(1)
    upload(api, [marked(rng, size) for size in
                 [*range(0, 9000, 61), *range(9000, 65536, 4001), 65536]])
    assert server.stop() == 0
    file = blob_files.database(server.data_dir).read_bytes()
    # the first byte tells a leaf or an inner page of a table or an index
    found = [at // PAGE + 1 for at in range(PAGE, len(file), PAGE)
             if file[at] in (2, 5, 10, 13) and MARK.search(file[at:at + PAGE])]
    assert len(MARK.findall(file)) > 100 and found == []
