# SPDX-License-Identifier: Apache-2.0
"""Three nodes are one service: all see what one did, and a key that ends, ends everywhere."""
import time

import pytest

from harness import at_once, data, refused
from nodes import audit_total

KEYS = 3


def test_each_sees_what_the_others_did(cluster):
    workspace = cluster.workspace(entities="open")
    key = workspace.key()
    one, two, three = (node.api(key) for node in cluster.nodes)
    made = one.new_document()
    path = f"/v1/documents/{made['id']}"
    link = data(two.post(path + "/link", json={"entity_type": "deal", "entity_id": "d"}), 201)
    assert data(three.get(path))["linked_entities"][0]["entity_id"] == "d"
    three.patch(path, json={"name": "b.pdf"}, expect=200)
    assert data(one.get(path))["name"] == "b.pdf"
    assert data(one.get(path + "/links"))["links"][0]["link_id"] == link["link_id"]
    two.delete(path, expect=204)
    assert one.get(path).status_code == three.get(path).status_code == 404
    assert audit_total(one, resource_type="documents") == 4
    cluster.verify()


@pytest.mark.concurrent
def test_revoked_key(cluster):
    """Refused by every node a second after the answer to the revocation, at the latest."""
    workspace = cluster.workspace()
    admin = workspace.api()

    def refused_after(node, key, revoked_at):
        api = node.api(key)
        while True:
            asked = time.monotonic()
            status = api.get("/v1/usage").status_code
            if status == 401:
                return asked - revoked_at
            assert status == 200 and asked - revoked_at < 1.0, "a revoked key still works"

    for _ in range(KEYS):
        made = workspace.new_key("read:documents")
        for node in cluster.nodes:
            node.api(made["key"]).get("/v1/usage", expect=200)
        admin.delete(f"/v1/api-keys/{made['id']}", expect=204)
        revoked_at = time.monotonic()
        late = at_once(3, lambda i: refused_after(cluster.nodes[i], made["key"], revoked_at))
        assert late[0] < 0.9, "the node that revoked it knows at once"
        for node in cluster.nodes:
            refused(node.api(made["key"]).get("/v1/usage"), 401, "invalid_key")
