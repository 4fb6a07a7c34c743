# SPDX-License-Identifier: Apache-2.0
"""
Several nodes of the service on one database and one store, and what tests of them have in common.

    with Cluster(new_database(postgres), new_prefix(ceph), count=3) as cluster:
        workspace = cluster.workspace()
        cluster.nodes[1].kill(); cluster.nodes[1].start()

Each node has a data directory of its own. The secret.key of all is the first one's, as operators
copy it.
"""
import secrets
import shutil
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from bed import postgres
from harness import Server, Workspace, at_once, parse_output, run_binary
from quick import Crowd, Quick

CHECK_SECONDS = 300     # it reads every byte of every test before
BROKEN = (OSError, ValueError, IndexError)      # an answer that did not come, or not whole


def new_database(server):
    """The URL of an empty database of a bed.postgres server."""
    name = "t" + secrets.token_hex(6)
    server.sql(f"CREATE DATABASE {name} OWNER {postgres.OWNER}")
    return server.url_of(name)


def url_of_pair(pair, *options):
    """Of a new database, on whichever of the two takes writes."""
    name = new_database(pair.primary).rsplit("/", 1)[1]
    return "&".join((pair.url.replace(f"/{postgres.DATABASE}?", f"/{name}?"), *options))


def new_prefix(store, endpoint=None):
    """The environment that has bytes kept below a new prefix of a bed.ceph store."""
    url = store.url_at(endpoint or store.endpoint)
    return {"DOSSIER_BLOBS": url.replace("?", f"/{secrets.token_hex(6)}?"), **store.credentials}


class Cluster:
    """`store`: the environment of new_prefix()."""

    def __init__(self, url, store, count=3, options=()):
        self.url, self.env = url, {"DOSSIER_DATABASE": url, **store}
        self.nodes = [Server(*options, env=self.env) for _ in range(count)]

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.remove()
            raise

    def __exit__(self, *_):
        self.remove()

    def share_secret(self):
        """The first node makes it, and the schema."""
        first = self.nodes[0]
        first.run("workspace", "create", "first")
        for node in self.nodes[1:]:
            node.data_dir.mkdir(mode=0o700)
            shutil.copy(first.data_dir / "secret.key", node.data_dir)

    def start(self):
        self.share_secret()
        at_once(len(self.nodes), lambda i: self.nodes[i].start())
        return self

    def remove(self):
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(Server.remove, self.nodes))

    def workspace(self, **options):
        return Workspace(self.nodes[0], **options)

    def sql(self, text):
        """Rows as lists of texts."""
        return postgres.psql(self.url, text)

    def verify(self):
        """No row, byte or audit line is out of order."""
        node = next(node for node in self.nodes if node.process)
        for command in ["check"], ["audit", "verify"]:
            done = run_binary(*command, "--data", node.data_dir, env=node.env,
                              seconds=CHECK_SECONDS)
            assert done.returncode == 0 and parse_output(done.stdout)["ok"] is True, \
                done.stdout + done.stderr


class Spread(Crowd):
    """Clients of all nodes in turn, that ask together, again and again."""

    def __init__(self, nodes, key, count=64):
        self.clients = [Quick(nodes[i % len(nodes)], key) for i in range(count)]
        for client in self.clients:
            assert client.ask("GET", "/healthz").status_code == 200


def audit_total(api, **filters):
    """How many audit lines there are of a kind."""
    answer = api.get("/v1/audit-logs", params={"per_page": 1, **filters})
    assert answer.status_code == 200, answer.text
    return answer.json()["meta"]["total"]


def address_of(url):
    parts = urlsplit(url)
    return parts.hostname, parts.port
