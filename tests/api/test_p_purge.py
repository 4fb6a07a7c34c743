# SPDX-License-Identifier: Apache-2.0
"""Deleted bytes are gone in time, looked for in every file of the data directory."""
import secrets
import time

import pytest

from harness import data, wait_for


def marker():
    """Bytes that stand nowhere else."""
    return secrets.token_bytes(64)


def pending(api):
    return data(api.get("/v1/usage"))["pending_purge_bytes"]


def purges(api, document):
    return api.audit(action="purge", resource_id=document["id"])


@pytest.mark.parametrize("size", [64, 5000, 300000])
def test_hard_delete_erases_before_the_answer(server, api, size):
    content = (marker() * (size // 64 + 1))[:size]
    document = api.new_bytes(content)
    assert server.holds(content)
    answer = api.delete(f"/v1/documents/{document['id']}?hard=true", expect=204)
    assert not server.holds(content[:64])
    assert pending(api) == 0
    (line,) = purges(api, document)
    assert line["details"] == {"hard": True}
    assert line["request_id"] == answer.headers["X-Request-ID"]


def test_soft_delete_erases_later(server_factory):
    server = server_factory("--purge-after", "1s")
    api = server.workspace().api()
    content = marker()
    document = api.new_bytes(content)
    api.delete(f"/v1/documents/{document['id']}", expect=204)
    assert server.holds(content) or purges(api, document)
    wait_for(lambda: not server.holds(content), seconds=10)
    (line,) = wait_for(lambda: purges(api, document), seconds=5)
    assert line["user"]["type"] == "system" and line["request_id"] is None
    assert pending(api) == 0


def test_bytes_stay_until_they_are_due(server, api):
    content = marker()
    document = api.new_bytes(content)
    api.delete(f"/v1/documents/{document['id']}", expect=204)
    time.sleep(1)
    assert server.holds(content) and purges(api, document) == []
    assert pending(api) == len(content)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_what_fell_due_meanwhile_is_gone_before_ready(server_factory, end):
    server = server_factory("--purge-after", "3s")
    api = server.workspace().api()
    contents = [marker() for _ in range(5)]
    documents = [api.new_bytes(content) for content in contents]
    for document in documents[:4]:
        api.delete(f"/v1/documents/{document['id']}", expect=204)
    getattr(server, end)()
    assert server.holds(contents[0])
    time.sleep(3.2)
    server.start()
    assert [server.holds(content) for content in contents] == [False] * 4 + [True]
    assert pending(api) == 0
    assert [len(purges(api, document)) for document in documents] == [1] * 4 + [0]


def test_a_document_without_bytes_needs_no_purge(api):
    document = api.new_document(size_bytes=100)
    api.delete(f"/v1/documents/{document['id']}?hard=true", expect=204)
    assert pending(api) == 0 and purges(api, document) == []


def test_hard_delete_of_one_leaves_its_twin(server, api):
    content = marker()
    first, second = api.new_bytes(content), api.new_bytes(content)
    api.delete(f"/v1/documents/{first['id']}?hard=true", expect=204)
    assert server.holds(content)
    url = data(api.get(f"/v1/documents/{second['id']}"))["download_url"]
    assert api.get(url, expect=200).content == content


def test_check_is_clean_beside_a_running_server(server_factory):
    server = server_factory("--purge-after", "1s")
    api = server.workspace().api()
    for query in ("", "?hard=true", None):
        document = api.new_bytes(marker())
        if query is not None:
            api.delete(f"/v1/documents/{document['id']}{query}", expect=204)
    wait_for(lambda: pending(api) == 0)
    assert server.run("check") is not None


@pytest.mark.slow  # the sweep begins half a minute after the start
def test_bytes_that_nobody_registers_go(server_factory):
    server = server_factory("--object-age", "1s")
    api = server.workspace().api()
    content = marker()
    made = data(api.post("/v1/documents/upload-url", json={}), 201)
    api.put(made["upload_url"], data=content, expect=200)
    assert data(api.get("/v1/usage"))["bytes"] == len(content)
    server.stop()
    time.sleep(1.2)
    server.start()
    wait_for(lambda: not server.holds(content), seconds=45)
    assert data(api.get("/v1/usage"))["bytes"] == 0
