# SPDX-License-Identifier: Apache-2.0
"""A store that is away is no reason to take a node out of service: what needs no bytes goes on."""
import pytest

from bed.tcp_proxy import TcpProxy
from harness import data
from nodes import Cluster, new_database, new_prefix

TRIES = 5


@pytest.mark.timeout(180)
def test_ready_without_the_store(database, store):
    with TcpProxy(store.number) as proxy, \
            Cluster(new_database(database),
                    new_prefix(store, f"http://127.0.0.1:{proxy.port}"), count=1) as cluster:
        api = cluster.workspace().api()
        made = api.new_bytes(b"x" * 1000)
        url = data(api.get(f"/v1/documents/{made['id']}"))["download_url"]
        proxy.down()
        for n in range(TRIES):
            answer = api.get(url.removeprefix(cluster.nodes[0].base_url))
            assert answer.status_code == 503 and int(answer.headers["Retry-After"]) >= 1
            ready = api.get("/readyz")
            assert ready.status_code == 200, ready.text
            api.new_document(storage_path=f"p{n}")
        proxy.up()
