# SPDX-License-Identifier: Apache-2.0
"""What no request waits for is done by some node, once, whichever of them dies."""
import re
import threading
import time
from collections import Counter

import pytest

from bed import postgres
from bed.tcp_proxy import TcpProxy
from harness import Server, at_once, data, wait_for
from ledger import FORM, metric, multipart, record_id
from nodes import Cluster, audit_total, new_database, new_prefix
from quick import Quick

LEASE, INTERVAL = 30, 5     # seconds; jobs.c, purge.c
SLACK = 10


def uploaded(node, key, count):
    """Documents with bytes of their own, by requests of 50."""
    client, made = Quick(node, key), []
    while len(made) < count:
        n = min(50, count - len(made))
        answer = client.ask("POST", "/api/v1/upload", FORM,
                            multipart([b"%6d" % (len(made) + i) * 50 for i in range(n)]))
        assert answer.status_code == 200, answer.text
        made += answer.json()
    return made


def delete_all(cluster, key, ids):
    """Softly, by all nodes."""
    def some(i):
        client = Quick(cluster.nodes[i % 3], key)
        for one in ids[i::6]:
            assert client.ask("DELETE", f"/v1/documents/{one}").status_code == 204
    at_once(6, some)


def purged(api, ids):
    """Whether all are; each of them once."""
    total = audit_total(api, action="purge")
    assert total <= len(ids)
    return total == len(ids)


def check_purges(cluster, workspace, api, ids):
    lines = Counter()
    for page in range(1, 2 + len(ids) // 200):
        found = data(api.get(f"/v1/audit-logs?action=purge&per_page=200&page={page}"))["logs"]
        lines.update(line["resource_id"] for line in found)
    assert lines == Counter(map(record_id, ids))
    assert data(api.get("/v1/usage"))["pending_purge_bytes"] == 0
    cluster.verify()


def blobs_of(store, cluster):
    prefix = cluster.env["DOSSIER_BLOBS"].split("?")[0].split("/", 3)[3]
    return [key for key in store.s3.keys(store.bucket, prefix) if "objects/" in key]


def test_due_bytes_are_erased_once(cluster, store):
    workspace = cluster.workspace()
    key, api = workspace.key(), workspace.api()
    others = set(blobs_of(store, cluster))
    ids = uploaded(cluster.nodes[0], key, 200)
    assert len(set(blobs_of(store, cluster)) - others) == len(ids)
    delete_all(cluster, key, ids)
    wait_for(lambda: purged(api, ids), 1 + 2 * INTERVAL + SLACK)
    assert not set(blobs_of(store, cluster)) - others
    check_purges(cluster, workspace, api, ids)


def test_bytes_about_to_be_named_are_not_swept(database, store):
    """A node that starts sweeps what was left behind; not what another has just received, though
    the transaction that names it takes its time."""
    url, prefix = new_database(database), new_prefix(store)
    with TcpProxy(database.number) as proxy, Cluster(url, prefix, count=2) as cluster:
        receiving, sweeping = cluster.nodes
        receiving.stop()
        receiving.env["DOSSIER_DATABASE"] = (url.replace(f":{database.number}/", f":{proxy.port}/")
                                             + "?dossier_statement_ms=50000")
        receiving.start()
        api = receiving.api(cluster.workspace().key())
        made = data(api.post("/v1/documents/upload-url", json={"storage_path": "slow"}), 201)
        go_on = threading.Event()

        def body():
            yield b"a" * 200_000    # more than waits for a thread that takes it
            wait_for(lambda: metric(receiving, "dossier_uploaded_bytes_total"), 30)
            proxy.freeze()
            go_on.set()
            yield b"b" * 70000

        def send():
            return api.put(made["upload_url"], data=body())

        def sweep():
            assert go_on.wait(30)
            wait_for(lambda: blobs_of(store, cluster), 30)
            sweeping.kill()
            sweeping.start()
            wait_for(lambda: metric(sweeping, 'dossier_job_last_run_seconds{job="sweep"}'), 40)
            proxy.heal()

        answer, _ = at_once(2, lambda i: (send, sweep)[i]())
        assert answer.status_code == 200, answer.text
        shown = data(api.get(f"/v1/documents/{api.new_document(storage_path='slow')['id']}"))
        assert api.get(shown["download_url"]).content == b"a" * 200_000 + b"b" * 70000
        cluster.verify()


def test_all_stop_at_once(cluster):
    """Each ends in order; the heads of the audit trails are signed once."""
    workspace = cluster.workspace()
    for node in cluster.nodes:
        node.api(workspace.key()).new_document()
    starts = [node.log_size() for node in cluster.nodes]
    assert at_once(3, lambda i: cluster.nodes[i].stop()) == [0, 0, 0]
    said = Counter(re.findall(rf"audit head ({workspace.id} \S+)", "".join(
        node.log(start) for node, start in zip(cluster.nodes, starts))))
    at_once(3, lambda i: cluster.nodes[i].start())
    assert said and set(said.values()) == {1}, said
    cluster.verify()


# ---- the node that is at it dies ----

def the_one_at_it(nodes, before):
    """The node that has begun to erase."""
    def found():
        return next((node for node, count in zip(nodes, before)
                     if metric(node, "dossier_purged_total") > count), None)
    return wait_for(found, 1 + 2 * INTERVAL + SLACK, 0.01)


def taken_over(cluster, end):
    """The node that erases is ended in the middle; seconds until another has erased the rest."""
    workspace = cluster.workspace()
    key, ids = workspace.key(), []
    while len(ids) < 3000:
        ids += sum(at_once(3, lambda i: uploaded(cluster.nodes[i], key, 200)), [])
    before = [metric(node, "dossier_purged_total") for node in cluster.nodes]
    delete_all(cluster, key, ids)
    victim = the_one_at_it(cluster.nodes, before)
    end(victim)
    ended = time.monotonic()
    other = next(node for node in cluster.nodes if node is not victim).api(key)
    assert not purged(other, ids), "it was done before it could be ended"
    wait_for(lambda: purged(other, ids), LEASE + INTERVAL + 60 + SLACK)
    return workspace, other, ids, time.monotonic() - ended, victim


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_one_at_it_is_killed(cluster):
    workspace, api, ids, seconds, victim = taken_over(cluster, lambda node: node.kill())
    victim.start()
    check_purges(cluster, workspace, api, ids)
    print(f"{len(ids)} erased {seconds:.1f} s after the node at it was killed")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_one_at_it_is_frozen(cluster):
    """It goes on when it is resumed, though its lease is another's by then: still once each."""
    def freeze(node):
        node.process.send_signal(19)
        threading.Timer(LEASE + 5, lambda: node.process.send_signal(18)).start()

    workspace, api, ids, seconds, _ = taken_over(cluster, freeze)
    time.sleep(8)
    check_purges(cluster, workspace, api, ids)
    print(f"{len(ids)} erased {seconds:.1f} s after the node at it was frozen")


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_answers_that_have_expired_go_however_many(database):
    """In one run: with many writers more come in a minute than one writer could bring."""
    node = Server(env={"DOSSIER_DATABASE": new_database(database)})
    try:
        node.workspace()
        url = node.env["DOSSIER_DATABASE"]
        postgres.psql(url, "INSERT INTO idempotency SELECT workspace_id, sha256(n::text::bytea),"
                           " sha256(''), '', 1 FROM workspace, generate_series(1, 45000) n")
        node.start()
        wait_for(lambda: metric(node, 'dossier_job_last_run_seconds{job="expiry"}'), 90)
        assert metric(node, 'dossier_job_backlog{job="expiry"}') == 0
        assert postgres.psql(url, "SELECT count(*) FROM idempotency") == [["0"]]
    finally:
        node.remove()
