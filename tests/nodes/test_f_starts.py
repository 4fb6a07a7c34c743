# SPDX-License-Identifier: Apache-2.0
"""What a node wants to find before it serves: one schema, one secret, one store for all of them."""
import re
import shutil

import pytest

from bed import postgres
from harness import Server, at_once, data, run_binary
from nodes import Cluster, new_database, new_prefix

KNOWN = "SELECT max(version) FROM schema_version"


def secret_of(directory):
    return (directory / "secret.key").read_bytes()


def refusal(node):
    """What a node that is not going to serve says; it ends by itself, with status 1."""
    assert not node.launch(), "it serves"
    assert node.process.wait(20) == 1
    node.kill()
    return node.log().strip().splitlines()[-1]


@pytest.fixture
def made():
    """made(directory, url, store): nodes that are removed after the test."""
    nodes = []

    def make(url, store, secret=None):
        nodes.append(Server(env={"DOSSIER_DATABASE": url, **store}))
        if secret:
            nodes[-1].data_dir.mkdir(mode=0o700)
            shutil.copy(secret, nodes[-1].data_dir)
        return nodes[-1]

    yield make
    for node in nodes:
        node.remove()


def test_five_at_once_on_an_empty_database(database, store, made):
    """All come up, and the schema was made once."""
    first = made(new_database(database), new_prefix(store))
    first.run("workspace", "create", "only for its secret")
    url, prefix = new_database(database), new_prefix(store)
    nodes = [made(url, prefix, first.data_dir / "secret.key") for _ in range(5)]
    at_once(5, lambda i: nodes[i].start())
    key = nodes[0].workspace().key()
    for node in nodes:
        node.api(key).new_bytes(b"x")
    assert data(nodes[0].api(key).get("/v1/usage"))["documents"] == 5
    for table in "schema_version", "secret_check", "blob_home":
        assert postgres.psql(url, f"SELECT count(*) FROM {table}") == [["1"]]
    assert nodes[4].run("check")["ok"] is True


def test_at_once_with_secrets_of_their_own(database, store, made):
    """One of them has made the database; the others are told what they lack."""
    url, prefix = new_database(database), new_prefix(store)
    nodes = [made(url, prefix) for _ in range(4)]
    serve = at_once(4, lambda i: nodes[i].launch())
    assert sum(serve) == 1
    for node, serves in zip(nodes, serve):
        if not serves:
            assert node.process.wait(20) == 1
            # missing, when the database was there already as this one looked
            assert re.search("secret.key is (not the one this database was made with|missing)",
                             node.log())


def test_at_once_with_stores_of_their_own(database, store, made):
    first = made(new_database(database), new_prefix(store))
    first.run("workspace", "create", "only for its secret")
    url = new_database(database)
    nodes = [made(url, {}, first.data_dir / "secret.key") for _ in range(4)]
    serve = at_once(4, lambda i: nodes[i].launch())
    assert sum(serve) == 1
    for node, serves in zip(nodes, serve):
        if not serves:
            assert node.process.wait(20) == 1
            assert "--blobs is not the store that this database's bytes are in" in node.log()


@pytest.fixture(scope="module")
def running(database, store):
    with Cluster(new_database(database), new_prefix(store), count=2) as cluster:
        yield cluster


def test_another_secret(running, made):
    another = made(running.url, running.env)
    another.data_dir.mkdir(mode=0o700)
    (another.data_dir / "secret.key").write_text("00" * 32 + "\n")
    assert "secret.key is not the one this database was made with" in refusal(another)
    assert secret_of(another.data_dir) == b"00" * 32 + b"\n"


def test_no_secret(running, made):
    another = made(running.url, running.env)
    assert "copy it from another node" in refusal(another)
    assert not (another.data_dir / "secret.key").exists()


def test_another_store(running, store, made):
    another = made(running.url, new_prefix(store), running.nodes[0].data_dir / "secret.key")
    assert "--blobs is not the store" in refusal(another)


@pytest.mark.parametrize("rows", ["postgres", "sqlite"])
def test_a_store_of_another_database(database, store, made, rows):
    """Though it is empty: each would sweep what the other one has stored."""
    prefix = new_prefix(store)
    first, second = (made(new_database(database) if rows == "postgres" else rows, prefix)
                     for _ in range(2))
    assert first.launch()
    assert "--blobs is the store of another database" in refusal(second)
    first.stop()
    first.start()


def test_one_directory_for_two(running):
    second = Server(data_dir=running.nodes[1].data_dir, env=running.env)
    assert "is in use by another dossier" in refusal(second)
    second.remove()
    running.nodes[1].api().get("/healthz", expect=200)


def test_beside_a_newer_program(running, made):
    """It goes on, and starts, for as long as the newer one says that it can."""
    [[known]] = running.sql(KNOWN)
    key = running.workspace().key()
    another = made(running.url, running.env, running.nodes[0].data_dir / "secret.key")
    try:
        running.sql(f"UPDATE schema_version SET version = {known} + 1, oldest = {known}")
        running.nodes[0].api(key).new_document()
        another.start().api(key).new_document()
        another.stop()
        running.sql(f"UPDATE schema_version SET oldest = {known} + 1")
        assert f"schema version {int(known) + 1}, this program knows up to {known}: use the newer" \
            in refusal(another)
        assert running.sql("SELECT version, oldest FROM schema_version") == \
            [[str(int(known) + 1)] * 2]
    finally:
        running.sql(f"UPDATE schema_version SET version = {known}, oldest = {known}")
    another.start().api(key).new_document()


def test_an_older_program_does_not_go_on_without_small_blobs(database, store, made):
    """It would not find those that are rows beside files; in S3 there are none."""
    oldest = []
    for place in {}, new_prefix(store):
        url = new_database(database)
        node = made(url, place).start()
        node.api(node.workspace().key()).new_bytes(b"x")
        node.stop()
        node.start()
        oldest += postgres.psql(url, "SELECT oldest FROM schema_version")[0]
    assert oldest == ["6", "3"]


@pytest.mark.parametrize("rest", [["serve"], ["key", "list", "--workspace", "first"], ["check"]],
                         ids=lambda rest: rest[0])
def test_without_its_database(database, store, made, rest):
    """An empty library of its own would be served to whom the balancer sends there."""
    first = made(new_database(database), new_prefix(store))
    first.run("workspace", "create", "first")
    listen = ["--listen", "127.0.0.1:0"] if rest == ["serve"] else []
    done = run_binary(*rest, *listen, "--data", first.data_dir, env={})
    assert done.returncode != 0 and "say by --database" in done.stderr
    assert not (first.data_dir / "dossier.db").exists()


def test_commands_name_the_server_that_they_ask(running):
    node = running.nodes[0]
    same = [option for name, option in (("DOSSIER_DATABASE", "--database"),
                                        ("DOSSIER_BLOBS", "--blobs"))
            for option in (option, running.env[name])]
    asked = ["key", "list", "--workspace", running.workspace().id, "--data", node.data_dir]
    assert run_binary(*asked, env={}).returncode == 0
    assert run_binary(*asked, *same, env={}).returncode == 0
    for option, other in ("--database", "postgres://dossier@127.0.0.1/prod"), \
            ("--database", "sqlite"), ("--blobs", "s3://prod?endpoint=http://127.0.0.1:1"):
        done = run_binary(*asked, option, other, env={})
        assert done.returncode == 2 and f"has another {option}" in done.stderr
