# SPDX-License-Identifier: Apache-2.0
"""
No statement of the hot path reads more rows than it answers with: the plans that PostgreSQL really
used for requests to a library of 100,000 documents, as its auto_explain logs them.

They hold before the first ANALYZE, when the server knows nothing about the tables, and after it;
each request comes often enough that a prepared statement gets its plan for good (after five).
"""
import json
import re
import time
import uuid
from collections import namedtuple

import pytest

import harness
from bed import postgres, rows

DOCUMENTS = 100_000
TIMES = 8               # more than the five after which a prepared statement gets a generic plan
ROWS_MAX = 700          # of one scan: a page, a purge batch of 256 and what it looks ahead
SETTINGS = """
session_preload_libraries = 'auto_explain'
auto_explain.log_min_duration = 0
auto_explain.log_analyze = on
auto_explain.log_timing = off
auto_explain.log_format = json
autovacuum = off
log_min_duration_statement = -1
"""
LARGE = {"document", "document_tag", "link", "entity", "audit", "idempotency", "purge"}
# What the jobs ask once in a while, and what counts: not on the path of a request
SELDOM = re.compile(r"count\(\*\)|min\(|FROM lease|INTO lease|audit_head")

Hot = namedtuple("Hot", "node api library database")


@pytest.fixture(scope="module")
def hot():
    with postgres.Postgres(settings=SETTINGS) as database:
        node = harness.Server(env={"DOSSIER_DATABASE": database.url})
        try:
            workspace = node.workspace()
            key = workspace.new_key()
            number, owner = postgres.psql(
                database.url, "SELECT workspace_id, encode(user_id, 'hex') FROM api_key")[0]
            library = rows.Library(int(number), b"k" * 16, bytes.fromhex(owner),
                                   int(time.time() * 1000), DOCUMENTS, chains=16, folders=30)
            copy = rows.Copy(database.url)
            copy.add(library, 0, DOCUMENTS)
            copy.write(library.purges(0, DOCUMENTS // 5, int(time.time() * 1000) + 600_000))
            yield Hot(node.start(), node.api(key["key"]), library, database)
        finally:
            node.remove()


# ---- what the server logged ----

def plans(text):
    """(statement, plan) of each plan in a log."""
    for found in re.finditer(r"plan:\n((?:\t.*\n)+)", text):
        entry = json.loads(found[1])
        yield entry["Query Text"], entry["Plan"]


def nodes_of(plan):
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes_of(child)


def read_by(node):
    """How many rows a node of a plan looked at."""
    kept = sum(node.get(word, 0) for word in (
        "Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck"))
    return kept * node.get("Actual Loops", 1)


def faults(text):
    """What is wrong with the plans in a log: {what of which statement: how many rows}."""
    found = {}
    for statement, plan in plans(text):
        if SELDOM.search(statement):
            continue
        for node in nodes_of(plan):
            kind, count = node["Node Type"], read_by(node)
            whole = node.get("Relation Name") in LARGE and (
                kind == "Seq Scan" or "Index" in kind and "Index Cond" not in node)
            if whole or count > ROWS_MAX:
                what = f"{kind} {'of a whole table' if whole else 'of many rows'}: {statement}"
                found[what] = max(found.get(what, 0), count)
    return found


class Log:
    """The part of the server's log that is written meanwhile."""

    def __init__(self, database):
        self.path = database.server.log_path
        self.begin = self.path.stat().st_size

    def text(self):
        with open(self.path, encoding="utf-8") as log:
            log.seek(self.begin)
            return log.read()


# ---- requests ----

def spread(hot, i):
    """The id of a document somewhere in the library."""
    number = (i * 7919 + 13) % DOCUMENTS
    return str(uuid.UUID(bytes=hot.library.document_id(number)))


def record(name):
    return {"name": f"{name}.pdf", "mime_type": "application/pdf", "size_bytes": 5,
            "storage_path": f"hot/{name}.pdf", "folder": "/clients/c0001/mail",
            "tags": ["tag001", "new"]}


def get(hot, i):
    hot.api.get(f"/v1/documents/{spread(hot, i)}", expect=200)


def list_first(hot, i):
    listed = hot.api.get("/v1/documents?per_page=25", expect=200).json()
    assert listed["meta"]["total"] >= DOCUMENTS - 100


def list_by_cursor(hot, i):
    """Next pages, from any time on, in all orders."""
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(
        hot.library.time_ms(1000 + (i * 7919) % DOCUMENTS) / 1000))
    for sort in "-created_at", "name", "-updated_at":
        path = f"/v1/documents?per_page=25&sort={sort}&cursor="
        if sort == "-created_at":
            path = f"/v1/documents?per_page=25&created_before={since}&cursor="
        for _ in range(2):
            answer = hot.api.get(path, expect=200).json()
            path = re.sub("cursor=.*", f"cursor={answer['meta']['next_cursor']}", path)


def list_folder(hot, i):
    hot.api.get(f"/v1/documents?per_page=25&folder={hot.library.folder(i)}&cursor=", expect=200)


def create(hot, i):
    hot.api.post("/v1/documents", json=record(harness.unique("hot")), expect=201)
    hot.api.post("/v1/documents", json=record(harness.unique("hot")), expect=201,
                 headers={"Idempotency-Key": harness.unique("hot")})


def link(hot, i):
    body = {"entity_type": "deal", "entity_id": f"deal_{i}", "role": harness.unique("role")}
    for _ in range(2):      # a new one, then the same again
        answer = hot.api.post(f"/v1/documents/{spread(hot, i)}/link", json=body)
        assert answer.status_code in (200, 201)


def documents_of_entity(hot, i):
    hot.api.get(f"/v1/deals/deal_{i}/documents", expect=200)


def update(hot, i):
    hot.api.patch(f"/v1/documents/{spread(hot, i)}", json={"name": "new"}, expect=200)


def delete(hot, i):
    hot.api.delete(f"/v1/documents/{spread(hot, 1000 + i)}", expect=204)


def purge(hot, i):
    """Due at once; the job comes every five seconds."""
    if i % 100:
        return
    due = int(time.time() * 1000) - 1000
    rows.Copy(hot.database.url).write(hot.library.purges(DOCUMENTS, DOCUMENTS + 2000, due))
    harness.wait_for(lambda: postgres.psql(
        hot.database.url, f"SELECT count(*) FROM purge WHERE due_at <= {due}") == [["0"]])


PATHS = [get, list_first, list_by_cursor, list_folder, create, link, documents_of_entity, update,
         delete, purge]


@pytest.mark.parametrize("known", [False, True], ids=["before-analyze", "analyzed"])
def test_plans(hot, known):
    if known:
        postgres.psql(hot.database.url, "ANALYZE")
    log = Log(hot.database)
    for path in PATHS:
        for i in range(TIMES):
            path(hot, i + 100 * known)
    text = log.text()
    assert len(list(plans(text))) > TIMES * len(PATHS)
    found = faults(text)
    assert not found, "\n".join(f"{count} {what}" for what, count in sorted(found.items()))


def test_a_scan_is_seen(hot):
    """The eye of this test is open."""
    log = Log(hot.database)
    postgres.psql(hot.database.url, "SET enable_indexscan = off; SET enable_bitmapscan = off;"
                                    "SELECT name FROM document WHERE name = 'nobody'")
    assert any(fault.startswith("Seq Scan of a whole table") for fault in faults(log.text()))


# ---- the library itself ----

FREE = {"name", "search_text", "tags", "tag", "folder", "path", "entity_id", "answer",
        "size_bytes", "seq", "chain", "address"}
FORM = ("SELECT k, length(v) FROM (SELECT to_jsonb(t) j FROM {0} t WHERE {1} ORDER BY {2} LIMIT 1)"
        " r, jsonb_each_text(j) e(k, v)")


def form(hot, table, where, order):
    """{column: how long it is as a text, "" for NULL} of the first row."""
    return dict(postgres.psql(hot.database.url, FORM.format(table, where, order)))


def test_generated_rows_are_like_real_ones(hot):
    """Columns that are empty are so in both, and those of a fixed form are as long."""
    hot.api.post("/v1/documents", json=record("real"), expect=201,
                 headers={"Idempotency-Key": "real"})
    hot.api.put("/v1/entities/deal/real", json={"name": "Deal 1"}, expect=201)
    hot.api.delete(f"/v1/documents/{hot.api.new_bytes(b'x')['id']}", expect=204)
    document = hot.api.new_bytes(b"x", mime_type="application/pdf", folder="/f", tags=["t", "u"])
    hot.api.post(f"/v1/documents/{document['id']}/link", expect=201, json={
        "entity_type": "deal", "entity_id": "deal_1", "role": "signed"})
    for table, where, order in [
            ("document", "TRUE", "id"), ("document_tag", "TRUE", "document_id"),
            ("link", "TRUE", "id"), ("folder", "TRUE", "id"), ("entity", "TRUE", "created_at"),
            ("idempotency", "TRUE", "completed_at"), ("purge", "TRUE", "blob_id"),
            ("audit", "action = 'link'", "id"),
            ("audit", "action = 'create' AND resource_type = 'documents'", "id")]:
        real, made = (form(hot, table, where, order + way) for way in (" DESC", ""))
        assert set(real) == set(made)
        for name in set(real) - FREE:
            assert real[name] == made[name], (table, name, real, made)
