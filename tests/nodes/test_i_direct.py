# SPDX-License-Identifier: Apache-2.0
"""
Bytes past the nodes (--direct-urls): clients put and get them at the store, by URLs of the store.

The nodes reach their store through a proxy that counts, clients reach it directly, so that every
byte that passes a node is seen.
"""
import hashlib
import os
import time

import pytest
import requests

from bed import fault_proxy
from harness import at_once, data, refused, run_binary, unique, wait_for
from nodes import Cluster, audit_total, new_database, new_prefix

PDF = b"%PDF-1.7\n" + bytes(range(256)) * 40
LARGE, LARGEST = 8 << 20, 10 << 20
SECONDS = 60
AT_ONCE = 24


@pytest.fixture(scope="module")
def proxy(store):
    with fault_proxy.FaultProxy(store.number) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def direct(database, store, proxy):
    env = new_prefix(store, proxy.endpoint)
    env["DOSSIER_BLOBS"] += f"&public_endpoint={store.endpoint}"
    with Cluster(new_database(database), env, count=2, options=[
            "--direct-urls", "--purge-after", "1s", "--max-upload-file", LARGEST]) as cluster:
        yield cluster


@pytest.fixture
def api(direct):
    return direct.workspace(entities="open").api()


def ask(api, **members):
    return data(api.post("/v1/documents/upload-url", json=members), 201)


def put(asked, content=PDF, **headers):
    """What the store answers."""
    return requests.put(asked["upload_url"], data=content, timeout=SECONDS,
                        headers={**asked["headers"], **headers})


def sent(asked, content=PDF):
    answer = put(asked, content)
    assert answer.status_code == 200, answer.text
    return asked


def record(path, **members):
    return {"name": "a.pdf", "mime_type": "application/pdf", "storage_path": path, **members}


def register(api, asked, **members):
    return data(api.post("/v1/documents", json=record(asked["storage_path"], **members)), 201)


def read(api, document):
    return data(api.get(f"/v1/documents/{document['id']}"))


def content_of(shown):
    answer = requests.get(shown["download_url"], timeout=SECONDS)
    assert answer.status_code == 200, answer.text
    return answer.content


def counted(direct):
    return direct.workspace(entities="open", quota_bytes=3 * len(PDF)).api()


def stored_bytes(api):
    return data(api.get("/v1/usage"))["bytes"]


# ---- the way ----

def test_no_byte_passes_a_node(api, store, proxy):
    content = os.urandom(LARGE)
    asked = ask(api, mime_type="application/pdf", size_bytes=LARGE,
                sha256=hashlib.sha256(content).hexdigest())
    assert asked["upload_url"].startswith(store.endpoint + "/")
    proxy.forget()
    sent(asked, content)
    made = register(api, asked)
    assert made["size_bytes"] == LARGE
    shown = read(api, made)
    assert shown["download_url"].startswith(store.endpoint + "/")
    assert content_of(shown) == content
    assert proxy.passed["PUT"].requests + proxy.passed["POST"].requests > 0, "it was copied"
    passed = sum(verb.sent + verb.received for verb in proxy.passed.values())
    print(f"{passed} bytes of bodies between node and store for {LARGE} up and down")
    assert passed < 16384


def test_what_the_store_answers(api):
    asked = sent(ask(api, mime_type="application/pdf"))
    shown = read(api, register(api, asked, name="Ä b.pdf"))
    answer = requests.get(shown["download_url"], headers={"Range": "bytes=5-9"}, timeout=SECONDS)
    assert answer.status_code == 206 and answer.content == PDF[5:10]
    assert answer.headers["Content-Type"] == "application/pdf"
    disposition = answer.headers["Content-Disposition"]
    assert "filename*=UTF-8''%C3%84%20b.pdf" in disposition
    head = requests.head(shown["download_url"], timeout=SECONDS)
    assert head.status_code == 403, "the URL is for one method"


def test_content_that_could_act_is_an_attachment(api):
    asked = sent(ask(api, mime_type="text/html"), b"<script>1</script>")
    shown = read(api, register(api, asked, name="a.html", mime_type="text/html"))
    answer = requests.get(shown["download_url"], timeout=SECONDS)
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert "html" not in answer.headers["Content-Type"]


def test_only_what_was_declared_is_taken(api):
    wrong = hashlib.sha256(b"else").hexdigest()
    for members, content in ({"sha256": wrong}, PDF), ({"size_bytes": 9}, PDF), \
            ({"size_bytes": len(PDF) + 1}, PDF):
        asked = ask(api, **members)
        headers = {} if "size_bytes" not in members else {"Content-Length": str(len(content))}
        assert 400 <= put(asked, content, **headers).status_code < 500
        made = register(api, asked)
        assert made["size_bytes"] is None
    asked = ask(api, mime_type="application/pdf")
    assert put(asked, **{"Content-Type": "text/html"}).status_code == 403
    assert register(api, asked)["size_bytes"] is None


def test_a_changed_url_is_refused(api):
    def other_end(text):
        return text[:-1] + ("0" if text[-1] != "0" else "1")

    url = ask(api)["upload_url"]
    key = url.split("?")[0]
    for changed in other_end(url), url.replace(key, other_end(key)), url.split("&")[0]:
        assert requests.put(changed, data=PDF, timeout=SECONDS).status_code in (400, 403)
    assert requests.get(url, timeout=SECONDS).status_code == 403
    assert requests.delete(url, timeout=SECONDS).status_code == 403


def test_an_upload_url_that_expired(database, store):
    with Cluster(new_database(database), new_prefix(store), count=1,
                 options=["--direct-urls", "--url-life", "1s"]) as hasty:
        asked = ask(hasty.workspace().api())
        time.sleep(3)
        assert put(asked).status_code == 403


# ---- what becomes a document's ----

def test_bytes_may_come_after_the_record(api):
    made = data(api.post("/v1/documents", json=record(unique("late/a"))), 201)
    assert made["size_bytes"] is None
    sent(ask(api, storage_path=made["storage_path"]))
    shown = read(api, made)
    assert shown["size_bytes"] == len(PDF) and content_of(shown) == PDF


def test_what_is_sent_later_changes_nothing(api):
    asked = sent(ask(api))
    made = register(api, asked)
    put(asked, b"other bytes")
    shown = read(api, made)
    assert shown["size_bytes"] == len(PDF) and content_of(shown) == PDF


def test_the_youngest_counts(api):
    path = unique("young/a")
    for content in b"first", b"second, longer":
        sent(ask(api, storage_path=path), content)
    made = register(api, {"storage_path": path})
    assert content_of(read(api, made)) == b"second, longer"


def test_many_look_at_once(direct):
    """One takes the bytes in; all see them."""
    workspace = direct.workspace(entities="open")
    apis = [node.api(workspace.key()) for node in direct.nodes]
    made = data(apis[0].post("/v1/documents", json=record(unique("once/a"))), 201)
    sent(ask(apis[0], storage_path=made["storage_path"]))
    shown = at_once(AT_ONCE, lambda i: read(apis[i % 2], made))
    assert {one["size_bytes"] for one in shown} == {len(PDF)}
    assert stored_bytes(apis[1]) == len(PDF)
    assert audit_total(apis[0], resource_type="uploads", action="create") == 1


def test_a_neighbour_gets_nothing(direct, api):
    asked = sent(ask(api, storage_path=unique("near/a")))
    other = direct.workspace().api()
    assert register(other, asked)["size_bytes"] is None
    assert register(api, asked)["size_bytes"] == len(PDF)


def test_verified_records(direct):
    api = direct.workspace(bytes="verify", entities="open").api()
    asked = ask(api)
    answer = api.post("/v1/documents", json=record(asked["storage_path"]))
    assert answer.status_code == 400
    sent(asked)
    assert register(api, asked)["size_bytes"] == len(PDF)


# ---- bounds ----

def test_the_quota_holds(direct):
    api = counted(direct)
    for _ in range(3):
        register(api, sent(ask(api)))
    asked = sent(ask(api))
    refused(api.post("/v1/documents", json=record(asked["storage_path"])), 413, "quota_exceeded")
    assert stored_bytes(api) == 3 * len(PDF)


def test_the_largest_file_holds(api):
    """The store takes what was not declared; no document gets it."""
    asked = sent(ask(api), bytes(LARGEST + 1))
    refused(api.post("/v1/documents", json=record(asked["storage_path"])), 413,
            "payload_too_large")
    made = register(api, asked)
    assert made["size_bytes"] is None and stored_bytes(api) == 0
    sent(asked, bytes(LARGEST))
    assert read(api, made)["size_bytes"] == LARGEST
    api.delete(f"/v1/documents/{made['id']}?hard=true", expect=204)


def test_erased_from_the_store(api):
    made = register(api, sent(ask(api)))
    shown = read(api, made)
    api.delete(f"/v1/documents/{made['id']}?hard=true", expect=204)
    answer = requests.get(shown["download_url"], timeout=SECONDS)
    assert answer.status_code == 404 and PDF not in answer.content


def test_the_store_is_away(direct, api, proxy):
    """Uploads can be asked for; a record whose bytes may be there waits until that is known."""
    asked = sent(ask(api))
    proxy.fault("refuse", times=None)
    try:
        assert ask(api)["upload_url"]
        answer = api.post("/v1/documents", json=record(asked["storage_path"]))
        refused(answer, 503, "unavailable")
        assert answer.headers["Retry-After"]
        assert data(api.post("/v1/documents", json=record(unique("none/a"))), 201)
    finally:
        proxy.heal()
    wait_for(lambda: api.post("/v1/documents", json=record(asked["storage_path"])).status_code
             == 201, SECONDS)
    direct.verify()


def test_needs_such_a_store(tmp_path):
    done = run_binary("serve", "--data", tmp_path / "data", "--listen", "127.0.0.1:0",
                      "--direct-urls", env={})
    assert done.returncode != 0 and "--direct-urls" in done.stderr


# ---- nobody registers it ----

@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_nobody_registers(direct, api):
    """An hour after its URL has expired it waits for a record as if a node had taken it."""
    asked, empty = sent(ask(api)), ask(api)
    direct.sql("UPDATE incoming SET expires_at = expires_at - 8000000")
    wait_for(lambda: direct.sql("SELECT count(*) FROM incoming")[0][0] == "0", 150)
    assert stored_bytes(api) == len(PDF)
    assert register(api, asked)["size_bytes"] == len(PDF)
    assert register(api, empty)["size_bytes"] is None
    direct.verify()
