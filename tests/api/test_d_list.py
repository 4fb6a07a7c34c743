# SPDX-License-Identifier: Apache-2.0
"""GET /v1/documents: filters, order, numbered pages and cursors."""
import sqlite3
import time
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from bed import rows
from harness import Server, data, faulty, wait_for
from test_d_documents import ELEVEN

LIBRARY = [
    {"name": "a", "folder": "/clients", "tags": ["nda"], "mime_type": "image/png"},
    {"name": "b", "folder": "/clients/acme", "tags": ["nda", "old"], "description": "Acme GmbH"},
    {"name": "c", "folder": "/clients/acme/ndas", "tags": ["old"], "mime_type": "text/plain"},
    {"name": "d", "folder": "/clients-acme", "tags": ["NDA"]},
    {"name": "Stra\u00dfe 100%_x", "description": "\u00c4RGER", "tags": ["a,b"]},
    {"name": "f\\g", "folder": "/Clients"},
]
NAMES = [document["name"] for document in LIBRARY]


@pytest.fixture(scope="module")
def library(server):
    """A client of a workspace that holds LIBRARY; nobody changes it."""
    api = server.workspace().api()
    for document in LIBRARY:
        api.new_document(**document)
    return api


def names(api, **params):
    params.setdefault("sort", "created_at")
    answer = data(api.get("/v1/documents", params=params))
    return [document["name"] for document in answer["documents"]]


def meta(api, **params):
    return api.get("/v1/documents", params=params, expect=200).json()["meta"]


# ---- filters ----

@pytest.mark.parametrize("filters, found", [
    ({}, NAMES),
    ({"folder": "/clients"}, ["a", "b", "c"]),
    ({"folder": "/clients/"}, ["a", "b", "c"]),
    ({"folder": "/clients/acme"}, ["b", "c"]),
    ({"folder": "/clients/acm"}, []),
    ({"folder": "/Clients"}, ["f\\g"]),
    ({"folder": "clients"}, []),
    ({"folder": "/cl%"}, []),
    ({"folder": "/client_"}, []),
    ({"tag": "nda"}, ["a", "b"]),
    ({"tag": "NDA"}, ["d"]),
    ({"tag": ["nda", "old"]}, ["b"]),
    ({"tag": ["old", "nda", "old"]}, ["b"]),
    ({"tag": ["nda", "none"]}, []),
    ({"tag": "a,b"}, ["Stra\u00dfe 100%_x"]),
    ({"tag": "a"}, []),
    ({"mime_type": "image/png"}, ["a"]),
    ({"mime_type": "IMAGE/PNG"}, ["a"]),
    ({"mime_type": "image/*"}, []),
    ({"search": "acme"}, ["b"]),
    ({"search": "ACME gmbh"}, ["b"]),
    ({"search": "stra\u00dfe"}, ["Stra\u00dfe 100%_x"]),
    ({"search": "\u00e4rger"}, ["Stra\u00dfe 100%_x"]),
    ({"search": "100%_"}, ["Stra\u00dfe 100%_x"]),
    ({"search": "%"}, ["Stra\u00dfe 100%_x"]),
    ({"search": "_"}, ["Stra\u00dfe 100%_x"]),
    ({"search": "\\"}, ["f\\g"]),
    ({"search": "' OR 1=1 --"}, []),
    ({"folder": "/clients", "tag": "nda", "mime_type": "application/pdf", "search": "gmbh"},
     ["b"]),
    ({"created_after": "2020-01-01T00:00:00Z", "created_before": "2100-01-01"}, NAMES),
    ({"created_after": "2100-01-01T00:00:00Z"}, []),
    ({"created_before": "2020-01-01T00:00:00+02:00"}, []),
], ids=str)
def test_filter(library, filters, found):
    assert names(library, **filters) == found
    assert meta(library, **filters)["total"] == len(found)
    by_cursor = library.get("/v1/documents", params={**filters, "cursor": ""}, expect=200)
    assert len(by_cursor.json()["data"]["documents"]) == len(found)


@pytest.mark.parametrize("method", ["after", "before"])
def test_times_are_exclusive_and_in_whole_seconds(api, method):
    stamp = api.new_document(name="x")["created_at"]
    at = datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    step = timedelta(seconds=-1 if method == "after" else 1)
    parameter = f"created_{method}"
    assert names(api, **{parameter: stamp}) == []
    assert names(api, **{parameter: stamp.replace("Z", ".999Z")}) == []
    assert names(api, **{parameter: (at + step).strftime("%Y-%m-%dT%H:%M:%SZ")}) == ["x"]
    offset = at.astimezone(timezone(timedelta(hours=2))) + step
    assert names(api, **{parameter: offset.isoformat()}) == ["x"]


@pytest.mark.parametrize("parameter, value", [
    *[(name, value) for name in ("created_after", "created_before")
      for value in ("", "yesterday", "2026-13-01", "2026-02-30T00:00:00Z", "2026-01-01T25:00:00Z",
                    "1700000000", "2026-01-01T00:00:00")],
    *[("sort", value) for value in ("", "size_bytes", "created_at,name", "--name", "+name")],
    *[("cursor", value) for value in ("x", "AAAA", "a" * 500, "\u00fc", "1")],
    ("page", "x"), ("per_page", "1.5"), ("page", ""),
], ids=str)
def test_bad_parameter(library, parameter, value):
    faulty(library.get("/v1/documents", params={parameter: value}), parameter)


def test_all_bad_parameters_come_back_at_once(library):
    answer = library.get("/v1/documents?sort=x&created_after=y&page=z")
    faulty(answer, "sort", "created_after", "page")


def test_items_have_the_eleven_members(library):
    for document in data(library.get("/v1/documents"))["documents"]:
        assert list(document) == ELEVEN


def test_list_sees_its_workspace_only(library, server):
    assert names(server.workspace().api()) == []
    assert names(library) == NAMES


# ---- order ----

@pytest.mark.parametrize("sort, found", [
    (None, NAMES[::-1]),
    ("-created_at", NAMES[::-1]),
    ("created_at", NAMES),
    ("name", sorted(NAMES)),
    ("-name", sorted(NAMES, reverse=True)),
    ("updated_at", NAMES),
    ("-updated_at", NAMES[::-1]),
])
def test_sort(library, sort, found):
    assert names(library, sort=sort) == found
    assert [name for page in cursor_pages(library, sort=sort, per_page=2)
            for name in page] == found


def test_sort_by_update(api):
    made = [api.new_document(name=name) for name in "abc"]
    time.sleep(0.01)
    api.patch(f"/v1/documents/{made[0]['id']}", json={"description": "x"}, expect=200)
    assert names(api, sort="-updated_at") == ["a", "c", "b"]


# ---- numbered pages ----

@pytest.mark.parametrize("asked, page, per_page", [
    ({}, 1, 25),
    ({"page": 2, "per_page": 2}, 2, 2),
    ({"page": 0}, 1, 25),
    ({"page": -5}, 1, 25),
    ({"per_page": 0}, 1, 1),
    ({"per_page": -1}, 1, 1),
    ({"per_page": 100}, 1, 100),
    ({"per_page": 101}, 1, 100),
    ({"per_page": 10**25}, 1, 100),
], ids=str)
def test_page_parameters_are_clamped(library, asked, page, per_page):
    assert meta(library, **asked) == {"page": page, "per_page": per_page, "total": len(LIBRARY)}


def test_pages(library):
    pages = [names(library, page=page, per_page=4) for page in (1, 2, 3)]
    assert pages == [NAMES[:4], NAMES[4:], []]
    assert names(library, page=10**25) == []


# ---- cursors ----

def cursor_pages(api, **params):
    pages, cursor = [], ""
    while cursor is not None:
        shown = api.get("/v1/documents", params={**params, "cursor": cursor}, expect=200).json()
        assert list(shown["meta"]) == ["per_page", "next_cursor"]
        pages.append([document["name"] for document in shown["data"]["documents"]])
        cursor = shown["meta"]["next_cursor"]
        assert len(pages) < 20
    return pages


def test_cursor_pages(library):
    assert cursor_pages(library, per_page=4) == [NAMES[:1:-1], NAMES[1::-1]]
    assert cursor_pages(library, per_page=3) == [NAMES[:2:-1], NAMES[2::-1]]
    assert cursor_pages(library, per_page=500) == [NAMES[::-1]]


def test_cursor_keeps_its_place_while_the_list_changes(api):
    for i in range(6):
        api.new_document(name=f"n{i}")
    first = api.get("/v1/documents?cursor=&per_page=3", expect=200).json()
    last = first["data"]["documents"][-1]
    api.new_document(name="newer")
    api.delete(f"/v1/documents/{last['id']}", expect=204)
    cursor = first["meta"]["next_cursor"]
    assert names(api, cursor=cursor, sort="-created_at") == ["n2", "n1", "n0"]


def test_equal_names_are_not_lost_between_pages(api):
    for _ in range(5):
        api.new_document(name="same")
    seen = []
    for sort in ("name", "-name"):
        cursor = ""
        while cursor is not None:
            shown = api.get("/v1/documents", expect=200,
                            params={"sort": sort, "per_page": 2, "cursor": cursor}).json()
            seen += [document["id"] for document in shown["data"]["documents"]]
            cursor = shown["meta"]["next_cursor"]
    assert len(seen) == 10 and len(set(seen)) == 5


def test_cursor_of_another_order_is_refused(library):
    cursor = meta(library, cursor="", per_page=2, sort="name")["next_cursor"]
    for sort in ("-name", "created_at", None):
        faulty(library.get("/v1/documents", params={"cursor": cursor, "sort": sort}), "cursor")


def test_changed_cursor_is_refused(library):
    cursor = meta(library, cursor="", per_page=2)["next_cursor"]
    for i in (0, len(cursor) // 2, len(cursor) - 3):
        changed = cursor[:i] + ("A" if cursor[i] != "A" else "B") + cursor[i + 1:]
        faulty(library.get("/v1/documents", params={"cursor": changed}), "cursor")


def test_cursor_carries_no_name_out_of_its_workspace(library, server):
    cursor = meta(library, cursor="", per_page=2)["next_cursor"]
    other = server.workspace().api()
    answer = other.get("/v1/documents", params={"cursor": cursor})
    assert answer.status_code == 400 or data(answer)["documents"] == []


# ---- how much is read for it ----

GROWN = 30_000      # documents, all below /clients, some 30 in each of its folders


@pytest.fixture(scope="module")
def grown():
    """(node, key) of a library that is large enough for a walk through all of it to show."""
    node = Server()
    try:
        key = node.workspace().new_key()["key"]
        file = node.data_dir / "dossier.db"
        with closing(sqlite3.connect(file)) as database:
            number, user = database.execute("SELECT workspace_id, user_id FROM api_key").fetchone()
        library = rows.Library(number, b"k" * 16, user, int(time.time() * 1000), GROWN)
        rows.Sqlite(file).add(library, 0, GROWN)
        node.start()
        wait_for(lambda: rests(node), 60)
        yield node, key
    finally:
        node.remove()


def read_so_far(node):
    return int(Path(f"/proc/{node.process.pid}/io").read_text().split()[1])


def rests(node):
    """Whether it reads nothing for a while: a filled library is taken up after the start."""
    before = read_so_far(node)
    time.sleep(1)
    return read_so_far(node) - before < 1 << 16


def read_by(node, api, path):
    """Bytes that a node reads for a request, at worst: what it keeps in memory is not read."""
    before = read_so_far(node)
    answer = data(api.get(path, expect=200))["documents"]
    return read_so_far(node) - before, answer


@pytest.mark.embedded
@pytest.mark.parametrize("folder, found", [
    ("/clients/c0005/ndas", True), ("/clients/c0005", True), ("/clients", True), ("/none", False)])
@pytest.mark.parametrize("order", ["sort=-created_at&cursor=", "sort=name&cursor=",
                                   "sort=-updated_at&cursor=", "page=1"])
def test_a_folder_is_read_alone(grown, folder, found, order):
    """Or the workspace in the order of the list, when most of it is below the folder."""
    node, key = grown
    size = (node.data_dir / "dossier.db").stat().st_size
    read, documents = read_by(node, node.api(key),
                              f"/v1/documents?folder={folder}&per_page=25&{order}")
    assert bool(documents) == found
    assert read < size / 4, f"{read} bytes of {size}"
