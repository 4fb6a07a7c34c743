# SPDX-License-Identifier: Apache-2.0
"""
The vendors' own samples, as they are printed, against a demo workspace as script/server makes it.

Nothing is replaced but the host, the key and the id of the document. Where a vendor shows one
client only, the others send what they would send. Then every row of every table of errors.
"""
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import textwrap
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest

from harness import ALIAS, Api, PERMISSIONS, data, refused, unique, wait_for

CONTACT, DEAL = "123e4567-e89b-12d3-a456-426614174000", "deal_01HY1"
PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n"
CLIENT_SECONDS = 20
ELEVEN = ["id", "name", "description", "mime_type", "size_bytes", "storage_path", "folder", "tags",
          "created_by", "created_at", "updated_at"]

CREATE = {
    "curl": """
        curl -X POST \\
          https://data.leadlex.com/functions/v1/api-gateway/v1/documents \\
          -H "Authorization: Bearer wbk_your_api_key_here" \\
          -H "Content-Type: application/json" \\
          -d '{
            "name": "Acme-NDA-2026.pdf",
            "mime_type": "application/pdf",
            "storage_path": "workspaces/ws_123/documents/new-upload.pdf",
            "size_bytes": 183204,
            "folder": "/clients/acme/ndas",
            "tags": ["nda", "confidentiality"]
          }'
        """,
    "python": """
        import requests

        API_KEY = "wbk_your_api_key_here"
        BASE_URL = "https://data.leadlex.com/functions/v1/api-gateway"

        payload = {
            "name": "Acme-NDA-2026.pdf",
            "mime_type": "application/pdf",
            "storage_path": "workspaces/ws_123/documents/new-upload.pdf",
            "size_bytes": 183204,
            "folder": "/clients/acme/ndas",
            "tags": ["nda", "confidentiality"],
        }
        r = requests.post(
            f"{BASE_URL}/v1/documents",
            headers={
                "Authorization": f"Bearer {API_KEY}",
                "Content-Type": "application/json",
            },
            json=payload,
        )
        print(r.json()["data"]["id"])
        """,
    "node": """
        const res = await fetch(
          'https://data.leadlex.com/functions/v1/api-gateway/v1/documents',
          {
            method: 'POST',
            headers: {
              'Authorization': 'Bearer wbk_your_api_key_here',
              'Content-Type': 'application/json',
            },
            body: JSON.stringify({
              name: 'Acme-NDA-2026.pdf',
              mime_type: 'application/pdf',
              storage_path: 'workspaces/ws_123/documents/new-upload.pdf',
              size_bytes: 183204,
              folder: '/clients/acme/ndas',
              tags: ['nda'],
            }),
          }
        );
        const { data } = await res.json();
        console.log(data.id);
        """,
}

LINK = {
    "curl": """
        curl -X POST \\
          https://data.leadlex.com/functions/v1/api-gateway/v1/documents/doc_01HY1/link \\
          -H "Authorization: Bearer wbk_your_api_key_here" \\
          -H "Content-Type: application/json" \\
          -d '{
            "entity_type": "contact",
            "entity_id": "123e4567-e89b-12d3-a456-426614174000",
            "role": "signed"
          }'
        """,
    "python": """
        import requests

        r = requests.post(
            "https://data.leadlex.com/functions/v1/api-gateway/v1/documents/doc_01HY1/link",
            headers={"Authorization": "Bearer wbk_your_api_key_here"},
            json={"entity_type": "contact",
                  "entity_id": "123e4567-e89b-12d3-a456-426614174000", "role": "signed"},
        )
        print(r.text)
        print(r.status_code)
        """,
    "node": """
        const res = await fetch(
          'https://data.leadlex.com/functions/v1/api-gateway/v1/documents/doc_01HY1/link',
          {
            method: 'POST',
            headers: {
              'Authorization': 'Bearer wbk_your_api_key_here',
              'Content-Type': 'application/json',
            },
            body: JSON.stringify({
              entity_type: 'contact',
              entity_id: '123e4567-e89b-12d3-a456-426614174000',
              role: 'signed',
            }),
          }
        );
        console.log(await res.text());
        console.log(res.status);
        """,
}

LINK_PLAYGROUND = """
    curl --request POST \\
      --url https://api.example.com/v1/documents/{id}/link \\
      --header 'Content-Type: application/json' \\
      --data '
    {
      "entity_type": "<string>",
      "entity_id": "<string>",
      "role": "<string>"
    }
    '
    """

DOCS = {
    "curl": """
        curl -X POST "{BASE_URL}/v1/docs" \\
         -H "Docs-Entity-ID: 12345" \\
         -H "X-Idempotency-Key: 9c8c-123abc-99" \\
         -H "Content-Type: application/json" \\
         -d '{
        "type": "full",
        "owner": {
        "id": "0f5ly1v7p3gqj5ii56e6k6q61x",
        "externalId": "unique-customer-code"
        }
        }'
        """,
    "python": """
        import requests

        r = requests.post(
            "{BASE_URL}/v1/docs",
            headers={"Docs-Entity-ID": "12345", "X-Idempotency-Key": "9c8c-123abc-99"},
            json={"type": "full", "owner": {"id": "0f5ly1v7p3gqj5ii56e6k6q61x",
                                            "externalId": "unique-customer-code"}},
        )
        print(r.text)
        print(r.status_code)
        """,
    "node": """
        const res = await fetch('{BASE_URL}/v1/docs', {
          method: 'POST',
          headers: {
            'Docs-Entity-ID': '12345',
            'X-Idempotency-Key': '9c8c-123abc-99',
            'Content-Type': 'application/json',
          },
          body: JSON.stringify({
            type: 'full',
            owner: { id: '0f5ly1v7p3gqj5ii56e6k6q61x', externalId: 'unique-customer-code' },
          }),
        });
        console.log(await res.text());
        console.log(res.status);
        """,
}

DOCS_GET = {
    "curl": """
        curl -X GET "{BASE_URL}/v1/docs/0f5w7ir5wcqj8ydeih3wpv0807" \\
          -H "Docs-Entity-ID: 12345"
        """,
    "python": """
        import requests

        r = requests.get("{BASE_URL}/v1/docs/0f5w7ir5wcqj8ydeih3wpv0807",
                         headers={"Docs-Entity-ID": "12345"})
        print(r.text)
        print(r.status_code)
        """,
    "node": """
        const res = await fetch('{BASE_URL}/v1/docs/0f5w7ir5wcqj8ydeih3wpv0807', {
          headers: { 'Docs-Entity-ID': '12345' },
        });
        console.log(await res.text());
        console.log(res.status);
        """,
}

UPLOAD_ONE = {
    "curl": """
        curl -X POST https://api.documind.cloud/api/v1/upload -H "X-API-Key: your_api_key_here" \\
          -F "files=@invoice.pdf"
        """,
    "python": """
        import requests

        API_KEY = "your_api_key_here"
        headers = {"X-API-Key": API_KEY}

        # Upload single file
        with open("invoice.pdf", "rb") as f:
            files = {"files": f}
            response = requests.post(
                "https://api.documind.cloud/api/v1/upload",
                headers=headers,
                files=files
            )

        document_ids = response.json()
        print(f"Uploaded document: {document_ids[0]}")
        """,
    "node": """
        import { readFile } from 'node:fs/promises';
        const form = new FormData();
        form.append('files', new Blob([await readFile('invoice.pdf')]), 'invoice.pdf');
        const res = await fetch('https://api.documind.cloud/api/v1/upload', {
          method: 'POST',
          headers: { 'X-API-Key': 'your_api_key_here' },
          body: form,
        });
        console.log(await res.text());
        """,
}

UPLOAD_MANY = {
    "curl": """
        curl -X POST https://api.documind.cloud/api/v1/upload -H "X-API-Key: your_api_key_here" \\
          -F "files=@invoice1.pdf" -F "files=@invoice2.pdf" -F "files=@invoice3.pdf"
        """,
    "python": """
        import requests

        API_KEY = "your_api_key_here"
        headers = {"X-API-Key": API_KEY}

        # Upload multiple files
        files = [
            ("files", open("invoice1.pdf", "rb")),
            ("files", open("invoice2.pdf", "rb")),
            ("files", open("invoice3.pdf", "rb"))
        ]

        response = requests.post(
            "https://api.documind.cloud/api/v1/upload",
            headers=headers,
            files=files
        )

        document_ids = response.json()
        print(f"Uploaded {len(document_ids)} documents")

        # Close files
        for _, f in files:
            f.close()
        print(document_ids)
        """,
    "node": """
        import { readFile } from 'node:fs/promises';
        const form = new FormData();
        for (const name of ['invoice1.pdf', 'invoice2.pdf', 'invoice3.pdf'])
          form.append('files', new Blob([await readFile(name)], {type: 'application/pdf'}), name);
        const res = await fetch('https://api.documind.cloud/api/v1/upload', {
          method: 'POST',
          headers: { 'X-API-Key': 'your_api_key_here' },
          body: form,
        });
        console.log(await res.text());
        """,
}

DELETE = {
    "curl": """
        curl -X DELETE \\
          https://data.leadlex.com/functions/v1/api-gateway/v1/documents/doc_01HY1 \\
          -H "Authorization: Bearer wbk_your_api_key_here" \\
          -i
        """,
    "python": """
        import requests

        API_KEY = "wbk_your_api_key_here"
        doc_id = "doc_01HY1"

        r = requests.delete(
            f"https://data.leadlex.com/functions/v1/api-gateway/v1/documents/{doc_id}",
            headers={"Authorization": f"Bearer {API_KEY}"},
        )
        assert r.status_code == 204, r.text
        """,
    "node": """
        const id = 'doc_01HY1';
        const res = await fetch(
          `https://data.leadlex.com/functions/v1/api-gateway/v1/documents/${id}`,
          {
            method: 'DELETE',
            headers: { Authorization: 'Bearer wbk_your_api_key_here' },
          }
        );
        if (res.status !== 204) throw new Error(`Failed: ${res.status}`);
        """,
}

CLIENTS = {"curl": ["bash"], "python": [sys.executable, "-"],
           "node": ["node", "--input-type=module", "-"]}


class Demo:
    """The workspace of script/server, in a server of its own, and a directory for clients."""

    def __init__(self, server, directory):
        self.server, self.directory = server, directory
        self.workspace = server.workspace(id="ws_123")
        self.workspace.entity("contact", CONTACT)
        self.workspace.entity("deal", DEAL)
        self.workspace.docs_entity("12345", trust_header=True)
        self.key = self.workspace.key()
        self.api = Api(server, self.key)
        (directory / ".curlrc").write_text('silent\nshow-error\nwrite-out = "\\n%{http_code}\\n"\n')
        for i, name in enumerate(("invoice", "invoice1", "invoice2", "invoice3")):
            (directory / f"{name}.pdf").write_bytes(PDF + b"%" * i)

    def here(self, sample, document="doc_01HY1"):
        text = textwrap.dedent(sample)
        for host in ("https://data.leadlex.com", "https://api.documind.cloud",
                     "https://api.example.com", "{BASE_URL}"):
            text = text.replace(host, self.server.base_url)
        for key in ("wbk_your_api_key_here", "your_api_key_here"):
            text = text.replace(key, self.key)
        for example in ("doc_01HY1", "/{id}/", "0f5w7ir5wcqj8ydeih3wpv0807"):
            text = text.replace(example, document if example[0] != "/" else f"/{document}/")
        return text

    def run(self, client, sample, document="doc_01HY1"):
        """What the client prints; it must end well."""
        if shutil.which(CLIENTS[client][0]) is None:
            pytest.skip(f"no {client} here")
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.directory), "NO_PROXY": "*",
                       "CURL_HOME": str(self.directory), "LC_ALL": "C.UTF-8"}
        done = subprocess.run(CLIENTS[client], input=self.here(sample, document), text=True,
                              capture_output=True, cwd=self.directory, env=environment,
                              timeout=CLIENT_SECONDS, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def answer(self, client, sample, document="doc_01HY1"):
        """(status, JSON) of a sample that prints body and status."""
        lines = self.run(client, sample, document).strip().splitlines()
        return int(lines[-1]), json.loads("\n".join(lines[:-1]))

    def document(self):
        return self.api.new_document()["id"]


@pytest.fixture
def demo(server_factory, tmp_path):
    return Demo(server_factory(), tmp_path)


every_client = pytest.mark.parametrize("client", CLIENTS)


def is_now(text):
    then = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    return abs(time.time() - then.timestamp()) < 30


# ---- the samples ----

@every_client
def test_create_document(demo, client):
    printed = demo.run(client, CREATE[client])
    if client == "curl":
        body, status = printed.strip().rsplit("\n", 1)
        document = json.loads(body)["data"]
        assert status == "201" and list(json.loads(body)) == ["data"]
    else:
        document = data(demo.api.get(f"/v1/documents/{printed.strip()}"))
    assert list(document)[:11] == ELEVEN
    assert {name: document[name] for name in ELEVEN[1:8]} == {
        "name": "Acme-NDA-2026.pdf", "description": None, "mime_type": "application/pdf",
        "size_bytes": 183204, "storage_path": "workspaces/ws_123/documents/new-upload.pdf",
        "folder": "/clients/acme/ndas",
        "tags": ["nda"] if client == "node" else ["nda", "confidentiality"]}
    assert re.fullmatch("doc_[0-9A-Z]{26}", document["id"])
    assert re.fullmatch("usr_[0-9A-Z]{26}", document["created_by"])
    assert is_now(document["created_at"]) and document["updated_at"] == document["created_at"]


@every_client
def test_link_document(demo, client):
    document = demo.document()
    status, body = demo.answer(client, LINK[client], document)
    assert status == 201 and list(body) == ["data"]
    link = body["data"]
    assert list(link) == ["link_id", "document_id", "entity_type", "entity_id", "role",
                          "created_at"]
    assert re.fullmatch("dlnk_[0-9A-Z]{26}", link["link_id"]) and is_now(link["created_at"])
    assert [link[name] for name in ("document_id", "entity_type", "entity_id", "role")] == \
        [document, "contact", CONTACT, "signed"]
    status, again = demo.answer(client, LINK[client], document)
    assert (status, again) == (200, body)


def test_link_as_the_example_answer_shows(demo):
    document = demo.document()
    link = data(demo.api.post(f"{ALIAS}/v1/documents/{document}/link", json={
        "entity_type": "deal", "entity_id": DEAL, "role": "signed"}), 201)
    assert (link["entity_type"], link["entity_id"], link["role"]) == ("deal", DEAL, "signed")


def test_link_as_the_playground_prints_it(demo):
    document = demo.document()
    status, body = demo.answer("curl", LINK_PLAYGROUND, document)
    assert (status, body["error"]["code"]) == (401, "invalid_key")
    keyed = LINK_PLAYGROUND.replace("--data", "--header 'Authorization: Bearer "
                                              "wbk_your_api_key_here' --data")
    status, body = demo.answer("curl", keyed, document)
    assert (status, body["error"]["code"]) == (400, "validation_error")
    assert "entity_type" in body["error"]["details"]["fields"]


@every_client
def test_create_docs_object(demo, client):
    status, body = demo.answer(client, DOCS[client])
    owner = {"id": "0f5ly1v7p3gqj5ii56e6k6q61x", "externalId": "unique-customer-code"}
    assert (status, list(body)) == (201, ["id", "status", "owner"])
    assert (body["status"], body["owner"]) == ("created", owner)
    assert re.fullmatch("[0-9a-z]{26}", body["id"])
    status, shown = demo.answer(client, DOCS_GET[client], body["id"])
    assert (status, shown["id"], shown["owner"]) == (200, body["id"], {"type": "User", **owner})
    status, again = demo.answer(client, DOCS[client])
    assert (status, again["error"]["code"], again["error"]["details"]) == \
        (409, "CONFLICT", {"id": body["id"]})


UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


@every_client
def test_upload_one(demo, client):
    printed = demo.run(client, UPLOAD_ONE[client])
    (document_id,) = re.findall(UUID, printed)
    if client == "curl":
        assert printed.strip() == f'["{document_id}"]\n200'
    document = data(demo.api.get(f"/v1/documents/{document_id}"))
    assert (document["name"], document["mime_type"], document["size_bytes"]) == \
        ("invoice.pdf", "application/pdf", len(PDF))


@every_client
def test_upload_many(demo, client):
    printed = demo.run(client, UPLOAD_MANY[client])
    assert client != "python" or printed.startswith("Uploaded 3 documents\n")
    documents = [data(demo.api.get(f"/v1/documents/{i}")) for i in re.findall(UUID, printed)]
    assert [document["name"] for document in documents] == \
        ["invoice1.pdf", "invoice2.pdf", "invoice3.pdf"]
    assert [document["size_bytes"] - len(PDF) for document in documents] == [1, 2, 3]


@every_client
def test_delete_document(demo, client):
    document = demo.document()
    printed = demo.run(client, DELETE[client], document)
    if client == "curl":
        head, body = printed.replace("\r\n", "\n").split("\n\n", 1)
        assert head.startswith("HTTP/1.1 204 No Content\n") and body.strip() == "204"
        for name in ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"):
            assert re.search(rf"^{name}: \d+$", head, re.M)
        assert re.search(r"^X-Request-ID: req_[0-9A-HJKMNP-TV-Z]{26}$", head, re.M)
    refused(demo.api.get(f"/v1/documents/{document}"), 404, "not_found")


@every_client
def test_one_document_through_all_dialects(demo, client):
    (document,) = re.findall(UUID, demo.run(client, UPLOAD_ONE[client]))
    assert demo.answer(client, LINK[client], document)[0] == 201
    listed = data(demo.api.get(f"/v1/contacts/{CONTACT}/documents"))["documents"]
    assert [item["name"] for item in listed] == ["invoice.pdf"]
    demo.run(client, DELETE[client], document)
    assert data(demo.api.get(f"/v1/contacts/{CONTACT}/documents"))["documents"] == []


# ---- the tables of errors ----

SAMPLE = {"name": "Acme-NDA-2026.pdf", "mime_type": "application/pdf",
          "storage_path": "workspaces/ws_123/documents/new-upload.pdf", "size_bytes": 183204,
          "folder": "/clients/acme/ndas", "tags": ["nda", "confidentiality"]}
SIGNED = {"entity_type": "contact", "entity_id": CONTACT, "role": "signed"}
DOC = {"type": "full", "owner": {"id": "0f5ly1v7p3gqj5ii56e6k6q61x",
                                 "externalId": "unique-customer-code"}}


def without(body, *names):
    return {name: value for name, value in body.items() if name not in names}


def expired_key(demo):
    at = datetime.fromtimestamp(time.time() + 1.2, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    api = Api(demo.server, demo.workspace.key(expires_at=at))
    wait_for(lambda: api.get("/v1/usage").status_code == 401, seconds=5)
    return api


def bad_callers(demo):
    revoked = demo.workspace.new_key("write:documents", "admin:documents")
    demo.server.run("key", "revoke", revoked["id"])
    clients = [Api(demo.server), Api(demo.server, "wbk_your_api_key_here"), expired_key(demo),
               Api(demo.server, revoked["key"])]
    wait_for(lambda: clients[-1].get("/v1/documents").status_code == 401, seconds=3)
    return clients


def others(demo, *permissions):
    """A caller with every permission but these."""
    return demo.workspace.api(*(name for name in PERMISSIONS if name not in permissions))


@pytest.mark.parametrize("prefix", ["", ALIAS])
def test_errors_of_create(demo, prefix):
    path = prefix + "/v1/documents"
    for name in ("name", "mime_type", "storage_path"):
        error = refused(demo.api.post(path, json=without(SAMPLE, name)), 400, "validation_error")
        assert list(error["details"]["fields"]) == [name]
    for mime_type in ("pdf", "application/", "/pdf", "a b/c", ""):
        refused(demo.api.post(path, json={**SAMPLE, "mime_type": mime_type}), 400,
                "validation_error")
    for api in bad_callers(demo):
        refused(api.post(path, json=SAMPLE), 401, "invalid_key")
    refused(others(demo, "write:documents").post(path, json=SAMPLE), 403,
            "insufficient_permissions")
    demo.api.post(path, json=SAMPLE, expect=201)
    refused(demo.api.post(path, json={**SAMPLE, "name": "other"}), 409, "storage_conflict")


@pytest.mark.parametrize("prefix", ["", ALIAS])
def test_errors_of_link(demo, prefix):
    path = f"{prefix}/v1/documents/{demo.document()}/link"
    for body, field in (({**SIGNED, "entity_type": "invoice"}, "entity_type"),
                        (without(SIGNED, "entity_id"), "entity_id"),
                        ({**SIGNED, "role": "r" * 65}, "role")):
        error = refused(demo.api.post(path, json=body), 400, "validation_error")
        assert list(error["details"]["fields"]) == [field]
    for api in bad_callers(demo):
        refused(api.post(path, json=SIGNED), 401, "invalid_key")
    refused(others(demo, "write:documents").post(path, json=SIGNED), 403,
            "insufficient_permissions")
    refused(demo.api.post(f"{prefix}/v1/documents/doc_01HY1/link", json=SIGNED), 404, "not_found")
    refused(demo.api.post(path, json={**SIGNED, "entity_id": unique("nobody")}), 404, "not_found")
    refused(demo.api.post(path, json={**SIGNED, "entity_type": "deal"}), 404, "not_found")
    assert data(demo.api.get(path + "s"))["links"] == []


@pytest.mark.parametrize("prefix", ["", ALIAS])
def test_errors_of_delete(demo, prefix):
    document = demo.document()
    path = f"{prefix}/v1/documents/{document}"
    for api in bad_callers(demo):
        refused(api.delete(path), 401, "invalid_key")
    for query, missing in (("", "write:documents"), ("?hard=true", "admin:documents"),
                           ("?hard=false", "write:documents")):
        refused(others(demo, missing).delete(path + query), 403, "insufficient_permissions")
    refused(demo.api.delete(f"{prefix}/v1/documents/doc_01HY1"), 404, "not_found")
    for kind in ("workflow", "template"):
        demo.api.put(f"{path}/references/{kind}/r1", expect=204)
        for query in ("", "?hard=true"):
            error = refused(demo.api.delete(path + query), 409, "in_use")
            assert error["details"] == {"references": [{"type": kind, "id": "r1"}]}
        demo.api.delete(f"{path}/references/{kind}/r1", expect=204)
    demo.api.delete(path, expect=204)


def docs_refused(answer, status, code):
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code), answer.text
    assert list(error) == ["code", "message", "details"] and isinstance(error["details"], dict)


def test_errors_of_docs(demo):
    def post(body=None, key="9c8c-123abc-99", entity="12345"):
        headers = {"Docs-Entity-ID": entity, "X-Idempotency-Key": key}
        return Api(demo.server).post("/v1/docs", json=DOC if body is None else body, headers={
            name: value for name, value in headers.items() if value})
    for answer in (post(without(DOC, "type")), post(without(DOC, "owner")),
                   post({**DOC, "owner": {}}), post(key=None)):
        docs_refused(answer, 400, "BAD_REQUEST")
    for entity in (None, "54321"):
        docs_refused(post(entity=entity), 401, "UNAUTHORIZED")
    for body in ({**DOC, "type": 7}, {**DOC, "owner": {"id": "0F5LY"}},
                 {**DOC, "owner": {"externalId": ""}}):
        docs_refused(post(body), 422, "UNPROCESSABLE_ENTITY")
    assert post().status_code == 201
    docs_refused(post(), 409, "CONFLICT")


def upload(api, content=PDF, **options):
    return api.post("/api/v1/upload", files={"files": ("a.pdf", content)}, **options)


def test_errors_of_upload(server_factory, tmp_path):
    demo = Demo(server_factory("--max-upload-file", "1000"), tmp_path)
    for answer, status, detail in (
        (demo.api.post("/api/v1/upload", data=b"--x\r\n", headers={
            "Content-Type": "multipart/form-data; boundary=x"}), 400,
         "There was an error parsing the body"),
        (upload(Api(demo.server)), 401, "Invalid or missing API key"),
        (upload(Api(demo.server, "your_api_key_here", header="X-API-Key")), 401,
         "Invalid or missing API key"),
        (upload(others(demo, "extractions:write")), 403, "Insufficient permissions"),
        (upload(demo.api, b"x" * 1001), 413, "Request Entity Too Large"),
    ):
        assert (answer.status_code, answer.json()) == (status, {"detail": detail})
    assert data(demo.api.get("/v1/usage"))["documents"] == 0


TRY_AGAIN = {"detail": "Failed to upload documents. Please try again later."}


@pytest.mark.embedded
def test_upload_into_a_broken_store(demo):
    """500, also for root: a directory that the server holds open is no more."""
    (demo.server.data_dir / "blobs" / "objects").rmdir()
    for _ in range(2):
        answer = upload(demo.api, PDF * 5000)
        assert (answer.status_code, answer.json()) == (500, TRY_AGAIN)
    assert data(demo.api.get("/v1/usage"))["documents"] == 0
    demo.server.stop()
    demo.server.start()
    assert data(demo.api.get("/v1/usage"))["documents"] == 0
    (document_id,) = upload(demo.api, expect=200).json()
    url = data(demo.api.get(f"/v1/documents/{document_id}"))["download_url"]
    assert demo.api.get(url).content == PDF


@pytest.mark.embedded
def test_upload_without_a_free_file_descriptor(demo):
    """503 and when to come again; afterwards all is well."""
    upload(demo.api, expect=200)
    pid = demo.server.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = {int(link.name) for link in Path(f"/proc/{pid}/fd").iterdir()}
    free = next(number for number in range(len(used) + 1) if number not in used)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        answer = upload(demo.api, PDF * 5000)
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    assert (answer.status_code, answer.json()) == (503, TRY_AGAIN)
    assert data(demo.api.get("/v1/usage"))["documents"] == 1
    upload(demo.api, expect=200)


def test_every_rate_limit(server_factory, tmp_path):
    demo = Demo(server_factory("--rate-standard", "1/1000"), tmp_path)
    document = demo.document()

    def spent():
        api = demo.workspace.api(tier="standard")
        api.get("/v1/usage", expect=200)
        return api
    for answer in (spent().post("/v1/documents", json=SAMPLE),
                   spent().post(f"/v1/documents/{document}/link", json=SIGNED),
                   spent().delete(f"{ALIAS}/v1/documents/{document}")):
        error = refused(answer, 429, "rate_limited")
        assert list(error) == ["code", "message"] and int(answer.headers["Retry-After"]) >= 1
    answer = upload(spent())
    assert (answer.status_code, answer.json()) == (429, {"detail": "Rate limit exceeded"})
    headers = {"Docs-Entity-ID": "12345"}
    Api(demo.server).get("/v1/docs?externalId=x", headers=headers, expect=200)
    docs_refused(Api(demo.server).post("/v1/docs", json=DOC, headers={
        "X-Idempotency-Key": "k", **headers}), 429, "RATE_LIMITED")
