# SPDX-License-Identifier: Apache-2.0
"""The server lives, and one document goes in and out. Red here: look no further."""
import requests

from harness import ALIAS, data


def test_ready_line_names_the_address(server):
    host, port = server.address
    assert host == "127.0.0.1" and port > 0


def test_healthz(anonymous):
    anonymous.get("/healthz", expect=200)


def test_readyz(anonymous):
    anonymous.get("/readyz", expect=200)


def test_metrics(anonymous):
    text = anonymous.get("/metrics", expect=200).text
    assert "# TYPE dossier_" in text


def test_openapi(anonymous):
    assert anonymous.get("/openapi.json", expect=200).json()["openapi"].startswith("3.1.")


def test_one_document(api):
    made = api.new_document(name="first.pdf")
    found = data(api.get(f"/v1/documents/{made['id']}"))
    assert {name: found[name] for name in made} == made


def test_sample_of_the_vendor(server, workspace):
    """The seed page's own Python sample, host and key replaced."""
    base_url = server.base_url + ALIAS
    answer = requests.post(
        f"{base_url}/v1/documents",
        headers={
            "Authorization": f"Bearer {workspace.key()}",
            "Content-Type": "application/json",
        },
        json={
            "name": "Acme-NDA-2026.pdf",
            "mime_type": "application/pdf",
            "storage_path": "workspaces/ws_123/documents/new-upload.pdf",
            "size_bytes": 183204,
            "folder": "/clients/acme/ndas",
            "tags": ["nda", "confidentiality"],
        }, timeout=20)
    shown = data(answer, 201)
    assert answer.headers["Location"] == f"/v1/documents/{shown['id']}"
    assert shown["size_bytes"] == 183204 and shown["description"] is None


def test_data_outlives_a_restart(server_factory):
    server = server_factory()
    api = server.workspace().api()
    made = api.new_document()
    assert server.stop() == 0
    server.start()
    assert data(api.get(f"/v1/documents/{made['id']}"))["id"] == made["id"]
    server.kill()
    server.start()
    assert data(api.get(f"/v1/documents/{made['id']}"))["id"] == made["id"]
