#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Nodes on a PostgreSQL server with fsync, beside pgbench with the same statements
(script/bench pg ... installs and builds first)

Parts, all without any:
  pgbench  durable creates of one node at 64 connections, against what pgbench does with the same
           statements over as many connections (bench/create.pgbench), in turns
  loads    creates without and with an idempotency key, links, gets and lists
  rows     64 writers in one workspace against 64 writers in 64 workspaces: no row is hot
  nodes    1, 2 and 3 nodes on the server, 64 connections in all
Medians of all rounds; a ratio is the median of the ratios within a round.
us: processor time a request in microseconds, of the node and of PostgreSQL's connections; works: of
a transaction; reruns: transactions run again because others came first.
"""
import argparse
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from common import (CONNECTIONS, ROOT, Backends, Callers, Load, harness, machine, median_of,
                    memory_mib, metrics, save, seconds_of, table)
from bed import postgres

# An operator's settings on a small machine; the rest is PostgreSQL's own.
SETTINGS = """
shared_buffers = 1GB
max_wal_size = 8GB
checkpoint_timeout = 30min
"""
LOADS = ["create", "create_idempotent", "link", "get", "list"]
DOCUMENTS = 256     # that gets and links are spread over
HEAD = ["", "requests/s", "p50 ms", "p99 ms", "errors", "us node", "us pg", "WAL bytes", "works",
        "reruns"]


class Bench:
    """A server, its nodes, and what happens on them in a while."""

    def __init__(self, server, options):
        self.server, self.options = server, options
        self.backends = Backends(server)
        self.nodes = []
        self.result = {"machine": machine(), "seconds": options.seconds, "rounds": options.rounds}

    def node(self):
        """One more node, with the secret of the first, and bytes that pass for the same."""
        node = harness.Server("--database-writers", self.options.writers,
                              env={"DOSSIER_DATABASE": self.server.url})
        if self.nodes:
            (node.data_dir / "blobs").mkdir(parents=True)
            for name in "secret.key", "blobs/store-id":
                shutil.copy(self.nodes[0].data_dir / name, node.data_dir / name)
        self.nodes.append(node.start())
        return node

    def wal(self):
        return int(self.server.sql("SELECT pg_current_wal_insert_lsn() - '0/0'")[0][0])

    def _state(self, nodes):
        sums = [metrics(node) for node in nodes]
        return {
            "node": sum(seconds_of(node.process.pid) for node in nodes),
            "pg": self.backends.seconds(), "wal": self.wal(),
            "works": sum(m["dossier_works_total"] for m in sums),
            "commits": sum(m["dossier_commits_total"] for m in sums),
            "reruns": sum(m.get("dossier_reruns_total", 0) for m in sums),
        }

    def load(self, kind, callers, nodes=None):
        """One run: rates, times, and what each request cost."""
        nodes = nodes or self.nodes[:1]
        before, begun = self._state(nodes), time.monotonic()
        row = Load(nodes, kind, callers, self.options.seconds).result()
        seconds, after = time.monotonic() - begun, self._state(nodes)
        spent = {name: after[name] - before[name] for name in after}
        requests = max(row["rate"] * seconds, 1)
        row["us_node"] = spent["node"] * 1e6 / requests
        row["us_pg"] = spent["pg"] * 1e6 / requests
        row["wal"] = spent["wal"] / requests
        row["works_a_commit"] = spent["works"] / spent["commits"] if spent["commits"] else 0.0
        row["reruns"] = spent["reruns"]
        return row

    def rounds(self, runs):
        """Each run of a dict in turn, as often as asked; {name: [row of each round]}."""
        rows = {name: [] for name in runs}
        for _ in range(self.options.rounds):
            for name, run in runs.items():
                rows[name].append(run())
        return rows


def cells(name, row):
    return [name, row["rate"], row["p50_ms"], row["p99_ms"], str(int(row["errors"])),
            f"{row['us_node']:.0f}", f"{row['us_pg']:.0f}", f"{row['wal']:.0f}",
            f"{row['works_a_commit']:.1f}", str(int(row["reruns"]))]


def ratio(over, under):
    """The median of the ratios of each round, and their range."""
    ratios = [a["rate"] / b["rate"] for a, b in zip(over, under)]
    return {"median": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios)}


def words(r):
    return f"{r['median']:.2f} ({r['lowest']:.2f} to {r['highest']:.2f})"


class Pgbench:
    """bench/create.pgbench with values as ours; `pipelined`: one round trip a transaction."""

    def __init__(self, bench, workspace, pipelined=False):
        self.bench = bench
        self.number = postgres.psql(bench.server.url, "SELECT workspace_id FROM workspace"
                                                      f" WHERE public_id = '{workspace.id}'")[0][0]
        text = (ROOT / "bench" / "create.pgbench").read_text(encoding="utf-8")
        if pipelined:
            text = text.replace("BEGIN ", "\\startpipeline\nBEGIN ", 1) + "\\endpipeline\n"
        self.file = tempfile.NamedTemporaryFile("w", suffix=".pgbench", encoding="utf-8")
        self.file.write(text)
        self.file.flush()

    def __call__(self):
        bench, word = self.bench, "\\x" + "a5" * 16
        values = {
            "workspace": self.number, "base": time.time_ns() // 1000, "n": 0,
            "name": "Acme-NDA-2026.pdf", "search": "acme-nda-2026.pdf", "type": "application/pdf",
            "folder": "/clients/acme/ndas", "tags": "nda\nconfidentiality", "tag1": "nda",
            "tag2": "confidentiality", "user": word, "hash": word + "a5" * 16,
        }
        argv = [postgres.tool("pgbench"), "-n", "-M", "prepared", "-c", str(bench.options.writers),
                "-j", "2", "-T", str(bench.options.seconds), "-f", self.file.name,
                *[f"-D{name}={value}" for name, value in values.items()], bench.server.url]
        before = bench.backends.seconds(), bench.wal()
        with bench.backends:
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"pgbench: {done.stderr}")
        words_of = dict(line.split(" = ") for line in done.stdout.splitlines() if " = " in line)
        rate = float(words_of["tps"].split()[0])
        count = rate * bench.options.seconds
        return {"rate": rate, "p50_ms": float(words_of["latency average"].split()[0]),
                "p99_ms": 0.0, "errors": 0, "us_node": 0.0, "works_a_commit": 1.0, "reruns": 0,
                "us_pg": (bench.backends.seconds() - before[0]) * 1e6 / count,
                "wal": (bench.wal() - before[1]) / count}


# ---- the parts ----

def part_pgbench(bench):
    callers = Callers(bench.nodes[0])
    workspace = callers.workspaces[0]
    callers.apis[0].post("/v1/documents", expect=201, json={
        "name": "a", "mime_type": "text/plain", "storage_path": "a",
        "folder": "/clients/acme/ndas"})
    rows = bench.rounds({"pgbench": Pgbench(bench, workspace),
                         "pgbench, pipelined": Pgbench(bench, workspace, pipelined=True),
                         "create": lambda: bench.load("create", callers)})
    ours = rows["create"]
    ratios = {f"create : {name}": ratio(ours, rows[name]) for name in list(rows)[:2]}
    return rows, ratios


def part_loads(bench):
    # each its own: links make a document heavier to read, documents a workspace to list
    callers = {kind: Callers(bench.nodes[0], documents=DOCUMENTS) for kind in LOADS}
    return bench.rounds({kind: lambda kind=kind: bench.load(kind, callers[kind])
                         for kind in LOADS}), {}


def part_rows(bench):
    one, many = Callers(bench.nodes[0]), Callers(bench.nodes[0], workspaces=CONNECTIONS)
    rows = bench.rounds({"one workspace": lambda: bench.load("create", one),
                         f"{CONNECTIONS} workspaces": lambda: bench.load("create", many)})
    first, second = rows.values()
    return rows, {"one workspace : many": ratio(first, second)}


def part_nodes(bench):
    callers = Callers(bench.nodes[0])
    while len(bench.nodes) < 3:
        bench.node()
    rows = bench.rounds({f"{n} nodes": lambda n=n: bench.load("create", callers, bench.nodes[:n])
                         for n in (1, 2, 3)})
    ratios = {f"{n} nodes : 1": ratio(rows[f"{n} nodes"], rows["1 nodes"]) for n in (2, 3)}
    return rows, ratios


PARTS = {"pgbench": part_pgbench, "loads": part_loads, "rows": part_rows, "nodes": part_nodes}


def run(bench):
    for name in bench.options.parts or PARTS:
        rows, ratios = PARTS[name](bench)
        medians = {each: median_of(list_of) for each, list_of in rows.items()}
        print(f"\n==> {name}")
        table(HEAD, [cells(each, row) for each, row in medians.items()])
        for each, value in ratios.items():
            print(f"{each}: {words(value)}")
        bench.result[name] = {"medians": medians, "rounds": rows, "ratios": ratios}
    bench.result["node_memory_mib"] = memory_mib(bench.nodes[0].process.pid)
    print(f"\nmemory of a node at its highest: {bench.result['node_memory_mib']} MiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__, add_help=True,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], metavar="part")
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--json")
    options = parser.parse_args()
    with postgres.Postgres(durable=True, settings=SETTINGS) as server:
        bench = Bench(server, options)
        print(f"==> {CONNECTIONS} connections, {options.rounds} rounds of {options.seconds} s,"
              f" {options.writers} writers a node; {bench.result['machine']}")
        try:
            bench.node()
            run(bench)
        finally:
            for node in bench.nodes:
                node.remove()
    save(options.json, bench.result)


if __name__ == "__main__":
    main()
