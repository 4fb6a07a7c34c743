#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
How fast the jobs of a library on PostgreSQL are that grow with it: the purge, with bytes in files
and in an S3 store on this machine, and the sweep, which looks up each blob.

    script/bench jobs [--entries 20000] [--blobs 50000]

Erasing what is not there takes the same requests as erasing what is. The blobs of the sweep are
empty files; what its walk over the objects of a bucket takes, a thousand a request, the store
decides.
"""
import argparse
import re
import time

from common import harness, machine
from bed import ceph, postgres, rows


def library(node, server, total):
    node.workspace().new_key()
    number, user = postgres.psql(
        server.url, "SELECT workspace_id, encode(user_id, 'hex') FROM api_key")[0]
    return rows.Library(int(number), b"k" * 16, bytes.fromhex(user), int(time.time() * 1000),
                        total, chains=16)


def purge(environment, entries):
    """Entries a second, from when the first is gone."""
    with postgres.Postgres(durable=True) as server:
        node = harness.Server(env={"DOSSIER_DATABASE": server.url, **environment})
        try:
            grown = library(node, server, entries)
            node.start()

            def left():
                return int(postgres.psql(server.url, "SELECT count(*) FROM purge")[0][0])
            past = int(time.time() * 1000) - 1000
            rows.Copy(server.url).write(grown.purges(0, entries, past))
            begun = time.monotonic()
            while left() == entries:        # until the job comes round
                begun = time.monotonic()
            harness.wait_for(lambda: left() == 0, 600)
            return entries / (time.monotonic() - begun)
        finally:
            node.remove()


def put_files(node, grown, blobs):
    """Empty files where the rows say that bytes are."""
    objects = node.data_dir / "blobs" / "objects"
    for number in range(blobs):
        blob = next(row[12] for table, row in grown.document(number) if table == "document")
        folder = objects / f"{blob[14]:02x}" / f"{blob[15]:02x}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{grown.workspace:016x}-{blob.hex()}").touch()


def last_sweep(node):
    text = harness.requests.get(node.base_url + "/metrics", timeout=10).text
    return int(re.search(r'last_run_seconds\{job="sweep"\} (\d+)', text)[1])


def sweep(blobs):
    """Blobs a second that are looked at and have their row."""
    with postgres.Postgres(durable=True) as server:
        node = harness.Server("--orphan-age", "0s", env={"DOSSIER_DATABASE": server.url})
        try:
            grown = library(node, server, blobs)
            node.start().stop()
            rows.Copy(server.url).add(grown, 0, blobs)
            put_files(node, grown, blobs)
            node.start()
            begun = time.monotonic() + 2        # when its first turn comes
            harness.wait_for(lambda: last_sweep(node), 600)
            return blobs / (time.monotonic() - begun)
        finally:
            node.remove()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=20_000)
    parser.add_argument("--blobs", type=int, default=50_000)
    options = parser.parse_args()
    print(machine())
    print(f"purge, bytes in files: {purge({}, options.entries):,.0f} entries/s", flush=True)
    with ceph.Ceph() as store:
        s3 = {"DOSSIER_BLOBS": store.url, **store.credentials}
        print(f"purge, bytes in S3:    {purge(s3, options.entries):,.0f} entries/s", flush=True)
    print(f"sweep:                 {sweep(options.blobs):,.0f} blobs/s")


if __name__ == "__main__":
    main()
