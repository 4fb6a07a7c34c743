# SPDX-License-Identifier: Apache-2.0
"""Who waits for whom at a document: those who link it do not wait for each other, who deletes it
waits for them. Otherwise many links at once end in deadlocks, which take a second each."""
import subprocess
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

import harness
import nodes
from bed import servers
from harness import refused

pytestmark = pytest.mark.concurrent


@pytest.fixture(scope="module")
def api(database):
    node = harness.Server(env={"DOSSIER_DATABASE": nodes.new_database(database)})
    try:
        yield node.start().workspace(entities="open").api()
    finally:
        node.remove()


class Session:
    """A transaction of another program that holds the documents as `how` says."""

    def __init__(self, url, how):
        argv = [servers.program("psql"), "-qAtX", "-d", url]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.process.stdin.write(f"BEGIN; SELECT count(*) FROM (SELECT 1 FROM document {how}) d;\n")
        self.process.stdin.flush()
        assert int(self.process.stdout.readline()) > 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.end()

    def end(self):
        self.process.communicate("COMMIT;\n", timeout=harness.COMMAND_SECONDS)


def test_links_wait_for_no_link(api):
    path = f"/v1/documents/{api.new_document()['id']}"
    url = api.server.env["DOSSIER_DATABASE"]
    with Session(url, "FOR KEY SHARE") as other, ThreadPoolExecutor(1) as pool:
        api.post(path + "/link", json={"entity_type": "deal", "entity_id": "e"}, expect=201)
        api.put(path + "/references/workflow/w", expect=204)
        api.delete(path + "/references/workflow/w", expect=204)
        deleted = pool.submit(api.delete, path)
        assert not wait([deleted], 1).done, "a delete did not wait for a link"
        other.end()
        assert deleted.result().status_code == 204
    refused(api.post(path + "/link", json={"entity_type": "deal", "entity_id": "e"}), 404,
            "not_found")


def test_links_wait_for_a_delete(api):
    path = f"/v1/documents/{api.new_document()['id']}"
    url = api.server.env["DOSSIER_DATABASE"]
    with Session(url, "FOR UPDATE") as other, ThreadPoolExecutor(1) as pool:
        linked = pool.submit(api.post, path + "/link",
                             json={"entity_type": "deal", "entity_id": "e"})
        assert not wait([linked], 1).done, "a link did not wait for a delete"
        other.end()
        assert linked.result().status_code == 201
