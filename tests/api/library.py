# SPDX-License-Identifier: Apache-2.0
"""
A library with something of every kind in it, and what it has to tell: for tests that move it.

    library = Library(server)       # a server that runs; in workspaces of its own
    facts = library.facts(server)   # all that can be asked for, of this server or another's copy
    library.resume(copy)            # keys, kept answers and URLs are good there, too
"""
import os

import requests

from harness import Api, REQUEST_SECONDS, data, show, unique

ODD_NAMES = (
    "\u00c4rger", "A\u0308rger", "\ufb00", "\u0130\u0131", "\u05e9\u05dc\u05d5\u05dd",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467", "\U0010fffd", "\uffff", "\ufffd", "q\"\\/'",
    "%00 \\u0000 \\x", "\u2028\u2029", "a" * 255,
)
PAGE = 200


def bytes_of(size):
    """A megabyte costs no time here."""
    return os.urandom(min(size, 4096)).ljust(size, b"\1")[:size]


class Library:
    """Three workspaces: one with nearly all, one that wants bytes first, one with nothing."""

    def __init__(self, server, documents=60, quota_documents=5000):
        self.full = server.workspace(entities="open", quota_bytes=10 ** 10,
                                     quota_documents=quota_documents)
        self.strict = server.workspace(bytes="verify")
        self.empty = server.workspace()
        self.keys = {w.id: w.key() for w in (self.full, self.strict, self.empty)}
        self.contents = {}      # document id -> bytes
        self.requests = []      # (method, path, options, key, answer): kept under idempotency keys
        self.heads = {}         # workspace id -> the texts of `audit head`
        self.fill(Api(server, self.keys[self.full.id]), documents)
        self.fill_strict(Api(server, self.keys[self.strict.id]))
        for shown in server.run("audit", "head")["heads"]:
            if shown["lines"]:
                self.heads.setdefault(shown["workspace"], []).append(
                    f"{shown['lines']}:{shown['hash']}")
        api = Api(server, self.keys[self.full.id])
        for _ in range(5):      # lines behind the heads
            api.new_document()

    # ---- what is in it ----

    def fill(self, api, documents):
        self.records(api)
        self.uploads(api, documents)
        self.around(api)
        self.kept(api)
        self.deleted(api)
        self.waiting(api)
        self.docs(api)
        self.keys_of_all_kinds(api)

    def records(self, api):
        for name in ODD_NAMES:
            folder = "/" + "".join("-" if c in "/\\%" else c for c in name[:60])
            api.new_document(name=name, description=f"{name}\n\t."[:200], tags=[name[:64], "b"],
                             folder=folder)
        changed = api.new_document(folder="/a/b/c", tags=["x", "y"])
        api.patch(f"/v1/documents/{changed['id']}", json={"tags": ["y", "z"], "name": "later"},
                  expect=200)

    def uploads(self, api, documents):
        for first in range(0, documents, 20):
            contents = [bytes_of(97 * (first + i)) for i in range(20)]
            files = [("files", (f"{i}.bin", content)) for i, content in enumerate(contents)]
            ids = api.post("/api/v1/upload", files=files, expect=200).json()
            self.contents.update(zip(ids, contents))
        for size in (0, 1, 262144, 262145, 3 << 20):
            content = bytes_of(size)
            made = api.new_bytes(content, folder="/big", tags=["big"])
            self.contents[made["id"]] = content

    def around(self, api):
        """Links, references, entities."""
        self.full.entity("contact", "c-1", name="J\u00f6rg \"J\" Roe")
        self.full.entity("deal", "d-1")
        many = [{"entity_type": "task", "entity_id": f"t-{i}"} for i in range(700)]
        api.post("/v1/entities/batch", json={"entities": many}, expect=200)     # several batches
        ids = list(self.contents)
        for i, name in enumerate(ids[:12]):
            path = f"/v1/documents/{name}"
            body = {"entity_type": ("contact", "deal", "task")[i % 3], "entity_id": f"e-{i % 4}"}
            data(api.post(path + "/link", json={**body, "role": "signed"} if i % 2 else body), 201)
            if i % 3 == 0:
                api.put(f"{path}/references/workflow/wf-{i}", expect=204)
                api.put(f"{path}/references/template/t", expect=204)

    def kept(self, api):
        """Answers that are kept for a retry; one of them is a new key."""
        for method, path, options in (
                ("POST", "/v1/documents", {"json": {"name": "kept", "mime_type": "a/b",
                                                    "storage_path": unique("kept")}}),
                ("POST", "/v1/api-keys", {"json": {"name": "kept", "permissions":
                                                   ["read:documents"]}}),
                ("POST", "/v1/documents/upload-url", {"json": {}})):
            headers = {"Idempotency-Key": unique("key")}
            answer = api.request(method, path, headers=headers, **options)
            assert answer.status_code == 201, show(answer)
            self.requests.append((method, path, {"headers": headers, **options}, api.key,
                                  answer.content))

    def deleted(self, api):
        """Softly, so that their bytes are still there, and for good."""
        for name in list(self.contents)[-4:]:
            api.delete(f"/v1/documents/{name}", expect=204)
            del self.contents[name]
        name = list(self.contents)[15]
        headers = {"Idempotency-Key": unique("key")}
        path = f"/v1/documents/{name}?hard=true"
        answer = api.delete(path, headers=headers, expect=204)
        self.requests.append(("DELETE", path, {"headers": headers}, api.key, answer.content))
        del self.contents[name]

    def waiting(self, api):
        """Bytes without a document yet; a URL that nobody has used yet, and one that is used up."""
        made = data(api.post("/v1/documents/upload-url", json={}), 201)
        self.object = (made["storage_path"], bytes_of(5000))
        api.put(made["upload_url"], data=self.object[1], headers=made["headers"], expect=200)
        self.used_url = made
        self.fresh_url = data(api.post("/v1/documents/upload-url", json={}), 201)

    def docs(self, api):
        self.entity = unique("entity")
        self.full.docs_entity(self.entity, trust_header=True)
        self.docs_ids = []
        for i in range(4):
            body = {"type": "full", "owner": {"externalId": f"client-{i % 2}"}}
            answer = api.post("/v1/docs", json=body,
                              headers={"Docs-Entity-ID": self.entity,
                                       "X-Idempotency-Key": unique("key")})
            assert answer.status_code == 201, show(answer)
            self.docs_ids.append(answer.json()["id"])

    def keys_of_all_kinds(self, api):
        revoked = self.full.new_key("read:documents", name="revoked")
        api.delete(f"/v1/api-keys/{revoked['id']}", expect=204)
        self.revoked = revoked["key"]
        self.narrow = self.full.key(["read:documents"], tier="high",
                                    expires_at="2099-01-01T00:00:00Z")

    def fill_strict(self, api):
        for i in range(3):
            content = bytes_of(1000 * i)
            self.contents[api.new_bytes(content)["id"]] = content

    # ---- what it tells ----

    def facts(self, server):
        return {workspace: facts_of(Api(server, key)) for workspace, key in self.keys.items()}

    def read_bytes(self, server):
        """All that has bytes has the right ones."""
        for key in (self.keys[self.full.id], self.keys[self.strict.id]):
            api = Api(server, key)
            for document in pages(api, "/v1/documents", "documents"):
                if document["id"] not in self.by_record_id():
                    continue
                found = data(api.get(f"/v1/documents/{document['id']}"))
                content = requests.get(found["download_url"], timeout=REQUEST_SECONDS).content
                assert content == self.by_record_id()[document["id"]], document["id"]

    def by_record_id(self):
        from ledger import record_id
        return {record_id(name): content for name, content in self.contents.items()}

    def resume(self, server):
        """Goes on with a copy where the first server stopped."""
        for method, path, options, key, content in self.requests:
            answer = Api(server, key).request(method, path, **options)
            assert answer.content == content, show(answer)
            assert answer.headers.get("Idempotent-Replayed") == "true", show(answer)
        api = Api(server, self.keys[self.full.id])
        Api(server, self.revoked).get("/v1/documents", expect=401)
        Api(server, self.narrow).get("/v1/documents", expect=200)
        Api(server, self.narrow).post("/v1/documents", json={}, expect=403)
        path, content = self.object
        made = api.new_document(storage_path=path)
        assert made["size_bytes"] == len(content)
        for url, status in ((self.used_url, 403), (self.fresh_url, 200)):
            target = "/v1/" + url["upload_url"].split("/v1/", 1)[1]
            answer = api.put(target, data=b"late", headers=url["headers"])
            assert answer.status_code == status, show(answer)
        answer = api.get(f"/v1/docs/{self.docs_ids[0]}", headers={"Docs-Entity-ID": self.entity})
        assert answer.status_code == 200, show(answer)


def pages(api, path, name, **params):
    """All items of a list."""
    found = []
    for page in range(1, 1000):
        items = data(api.get(path, params={"page": page, "per_page": PAGE, **params}))[name]
        found += items
        if len(items) < PAGE:
            return found
    raise AssertionError("a list without an end")


def facts_of(api):
    documents = pages(api, "/v1/documents", "documents")
    for document in documents:
        path = f"/v1/documents/{document['id']}"
        document["links"] = data(api.get(path + "/links"))["links"]
        document["references"] = data(api.get(path + "/references"))["references"]
    keys = pages(api, "/v1/api-keys", "api_keys")
    for key in keys:
        key.pop("last_used_at")
    return {"documents": documents, "keys": keys, "usage": data(api.get("/v1/usage")),
            "audit": pages(api, "/v1/audit-logs", "logs"),
            "contact": api.get("/v1/contacts/e-0/documents").json()}
