# SPDX-License-Identifier: Apache-2.0
"""
Lists of a library that is large enough for all that speeds them up: each answer is what going
through all documents one by one gives, in any order, by page and by cursor, while documents come,
change and go, and from the moment an older file is opened.
"""
import contextlib
import random
import sqlite3
from urllib.parse import urlencode

import pytest

import harness
import schema1
from bed import spread
from quick import Quick

pytestmark = pytest.mark.embedded

DOCUMENTS = 45_000      # more than a signed group of blocks holds
TAIL = 4096             # as many may wait to be taken up
DIGEST = ("digest", "facet_total", "text_block", "text_group", "text_sign")
NEEDLES = ["zebrafink", "acme", "a", "12", "123", "M\u00dcLLER", "\u00fc", ".pdf", "nowhere",
           "9.pdf", "letter 30", "%", "_", "\\", "fink 6", "bericht m\u00fcller invoice", "x" * 300]
FOLDERS = ["/half", "/clients", "/clients/c0007", "/clients/c0007/mail", "/rare", "/nope", "/ha"]
TAGS = [["half"], ["rare"], ["permille"], ["tag007"], ["nope"], ["half", "tag007"],
        ["rare", "half"], ["moved"]]
SORTS = {"created_at": lambda d: d["id"], "name": lambda d: (d["name"].encode(), d["id"]),
         "updated_at": lambda d: (d["ms"], d["id"])}


@pytest.fixture(scope="module")
def large():
    server = harness.Server()
    try:
        key = spread.make(server, DOCUMENTS)
        server.start()
        harness.wait_for(lambda: spread.digested(server.data_dir / "dossier.db") >
                         DOCUMENTS - TAIL, seconds=40)
        yield server, key
    finally:
        server.remove()


def all_documents(server):
    with contextlib.closing(sqlite3.connect(server.data_dir / "dossier.db")) as database:
        rows = database.execute("SELECT storage_path, id, name, search_text, folder, tags,"
                                " mime_type, updated_at FROM document").fetchall()
    return [{"path": path, "id": id_, "name": name, "text": text, "folder": folder or "",
             "tags": set(tags.split("\n")), "type": mime, "ms": ms}
            for path, id_, name, text, folder, tags, mime, ms in rows]


def fits(document, query):
    folder = query.get("folder")
    return (all(tag in document["tags"] for tag in query.get("tag", []))
            and (not folder or (document["folder"] + "/").startswith(folder + "/"))
            and query.get("search", "").casefold() in document["text"]
            and query.get("mime_type", document["type"]) == document["type"])


def check(server, key, query, documents, sort):
    """The first page, one further on, and four by cursor."""
    expected = [d for d in documents if fits(d, query)]
    expected.sort(key=SORTS[sort.lstrip("-")], reverse=sort[0] == "-")
    paths = [d["path"] for d in expected]
    client = Quick(server, key)

    def ask(**more):
        target = "/v1/documents?" + urlencode({**query, "sort": sort, **more}, doseq=True)
        answer = client.ask("GET", target)
        assert answer.status_code == 200, (target, answer.text)
        body = answer.json()
        return [d["storage_path"] for d in body["data"]["documents"]], body["meta"]

    for page, size in (1, 25), (3, 10), (len(paths) // 7 + 1, 7):
        got, meta = ask(page=page, per_page=size)
        assert meta["total"] == len(paths), (query, sort)
        assert got == paths[(page - 1) * size:page * size], (query, sort, page)
    cursor, seen = "", []
    for _ in range(4):
        got, meta = ask(per_page=9, cursor=cursor)
        seen, cursor = seen + got, meta["next_cursor"]
        if cursor is None:
            break
    assert seen == paths[:36], (query, sort)
    client.close()


def queries(seed, count):
    """All kinds alone, and some together."""
    yield from ({"search": needle} for needle in NEEDLES)
    yield from ({"folder": folder} for folder in FOLDERS)
    yield from ({"tag": tags} for tags in TAGS)
    yield {"mime_type": "text/plain"}
    yield {"mime_type": "no/such"}
    chosen = random.Random(seed)
    for _ in range(count):
        query = {"search": chosen.choice(NEEDLES), "folder": chosen.choice(FOLDERS),
                 "tag": chosen.choice(TAGS), "mime_type": chosen.choice(["text/plain", "a/b"])}
        for name in chosen.sample(sorted(query), 2):
            del query[name]
        yield query


def check_all(server, key, seed, count=12):
    documents, chosen = all_documents(server), random.Random(seed)
    for query in queries(seed, count):
        sorts = [way + name for name in SORTS for way in ("", "-")]
        for sort in chosen.sample(sorts, 2):
            check(server, key, query, documents, sort)


def test_lists_are_what_the_documents_say(large):
    check_all(*large, seed=1)


def test_a_new_name_of_an_old_document_is_found(large):
    """What only one document has, where the blocks were signed before it had it."""
    server, key = large
    oldest = sorted(all_documents(server), key=SORTS["created_at"])[100]
    server.api(key).patch(f"/v1/documents/{uuid_text(oldest['id'])}", json={"name": "Quagga"},
                          expect=200)
    for sort in "-created_at", "name":
        check(server, key, {"search": "quagga"}, all_documents(server), sort)


def digest_from_scratch(server):
    """{(facet, value): documents} of all that is taken up, as the rows of documents have it."""
    with contextlib.closing(sqlite3.connect(server.data_dir / "dossier.db")) as database:
        database.execute("BEGIN")       # more may be taken up between these queries
        upto, stated = database.execute("SELECT upto, documents FROM digest").fetchone()
        rows = database.execute("SELECT folder, mime_type, tags, search_text FROM document WHERE"
                                " id <= ? ORDER BY id", (upto,)).fetchall()
        totals = {(facet, value): n for facet, value, n in database.execute(
            "SELECT facet, value, documents FROM facet_total")}
        texts = b"".join(text for text, in database.execute(
            "SELECT texts FROM text_block ORDER BY last_id"))
    expected = {}
    for folder, mime, tags, _ in rows:
        for entry in [(2, folder), (3, mime), *((1, tag) for tag in tags.split("\n") if tag)]:
            if entry[1] is not None:
                expected[entry] = expected.get(entry, 0) + 1
    assert stated == len(rows)
    assert totals == expected
    assert texts == b"".join(row[3].encode() + b"\0" for row in rows)


def test_it_holds_while_documents_change(large):
    server, key = large
    api = server.api(key)
    documents, chosen = all_documents(server), random.Random(2)
    run = sorted(documents, key=SORTS["created_at"])[20_000:20_120]     # blocks that get empty
    changed = chosen.sample(documents, 120) + run
    for number, document in enumerate(changed):
        target = f"/v1/documents/{uuid_text(document['id'])}"
        if document in run or number % 2:
            assert api.delete(target).status_code in (204, 404)
        else:
            api.patch(target, json={"name": f"New fink 6 {number}", "folder": "/rare/new",
                                    "tags": ["moved", "half"]}, expect=200)
    for number in range(30):
        api.new_document(name=f"Late zebrafink {number}", folder="/half", tags=["half", "rare"])
    digest_from_scratch(server)
    check_all(server, key, seed=3)
    server.kill()
    server.start()
    check_all(server, key, seed=4, count=3)


def uuid_text(identifier):
    text = identifier.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def test_a_file_of_an_older_program(large, tmp_path):
    """Taken up behind the requests; answers are right at any time."""
    server, key = large
    old = harness.Server(data_dir=tmp_path / "data")
    server.stop()
    harness.shutil.copytree(server.data_dir, tmp_path / "data")
    server.start()
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "dossier.db")) as database:
        for table in DIGEST:
            database.execute(f"DROP TABLE {table}")
        schema1.keep_answers_as_before(database)
        database.commit()
    schema1.set_version(tmp_path / "data", 3)
    try:
        old.start()
        documents = all_documents(old)
        for query in {"search": "zebrafink"}, {"tag": ["half"]}, {"folder": "/clients"}:
            check(old, key, query, documents, "-created_at")    # not taken up yet, or in part
        harness.wait_for(lambda: spread.digested(old.data_dir / "dossier.db") >
                         len(documents) - TAIL, seconds=40)
        digest_from_scratch(old)
        check_all(old, key, seed=5, count=3)
    finally:
        old.remove()
