# SPDX-License-Identifier: Apache-2.0
"""
A body of 50 MiB that is refused before it is sent: what clients make of it.

None of them asks first (Expect). They differ: some read the answer while they send, some only
afterwards, and for most a reset while they send hides the answer. Each must see the 413 each time.
The slow run makes 100 tries, and one with Go where there is a `go`.
"""
import os
import shutil
import subprocess
import sys
from collections import Counter

import pytest

SIZE = 50 << 20
TRIES = 20
MANY_TRIES = 100

# Each prints a line for each try; its arguments: URL, key, file, tries.
REQUESTS = """
import sys, requests
url, key, path, tries = sys.argv[1:]
for _ in range(int(tries)):
    with open(path, "rb") as body:
        print(requests.post(url, data=body, timeout=60, headers={
            "X-API-Key": key, "Content-Type": "multipart/form-data; boundary=B"}).status_code)
"""
HTTP_CLIENT = """
import sys, http.client, urllib.parse
url, key, path, tries = sys.argv[1:]
url = urllib.parse.urlsplit(url)
for _ in range(int(tries)):
    client = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
    with open(path, "rb") as body:
        client.request("POST", url.path, body, {
            "X-API-Key": key, "Content-Type": "multipart/form-data; boundary=B",
            "Content-Length": str(50 << 20)})
    print(client.getresponse().status)
    client.close()
"""
NODE = """
const [url, key, path, tries] = process.argv.slice(1);
const body = require("fs").readFileSync(path);
const headers = {"X-API-Key": key, "Content-Type": "multipart/form-data; boundary=B"};
const byFetch = () => fetch(url, {method: "POST", body, headers}).then(
    answer => answer.status, error => error.cause.code);
const byHttp = () => new Promise(done => {
    const sent = require("http").request(url, {method: "POST", headers: {
        ...headers, "Content-Length": body.length}}, answer => {
            answer.resume();
            done(answer.statusCode);
        });
    sent.on("error", error => done(error.code));
    sent.end(body);
});
(async () => { for (let i = 0; i < +tries; i++) console.log(await HOW()); })();
"""
GO = """
package main

import ("bytes"; "fmt"; "net/http"; "os"; "strconv")

func main() {
    body, _ := os.ReadFile(os.Args[3])
    tries, _ := strconv.Atoi(os.Args[4])
    for i := 0; i < tries; i++ {
        sent, _ := http.NewRequest("POST", os.Args[1], bytes.NewReader(body))
        sent.Header.Set("X-API-Key", os.Args[2])
        sent.Header.Set("Content-Type", "multipart/form-data; boundary=B")
        answer, err := http.DefaultClient.Do(sent)
        if err != nil { fmt.Println(err); continue }
        fmt.Println(answer.StatusCode)
        answer.Body.Close()
    }
}
"""
CURL = """
for _ in $(seq "$4"); do
    curl -s -o /dev/null -w '%{http_code}\\n' -H Expect: -H "X-API-Key: $2" \
        -H 'Content-Type: multipart/form-data; boundary=B' -X POST -T "$3" "$1"
done
"""

NODE_PROGRAM = ["node", "--dns-result-order=ipv4first"]    # 18 would ask localhost at ::1 only
CLIENTS = {
    "curl": ["sh", "-c", CURL, "sh"],
    "requests": [sys.executable, "-c", REQUESTS],
    "http.client": [sys.executable, "-c", HTTP_CLIENT],
    "node-fetch": [*NODE_PROGRAM, "-e", NODE.replace("HOW", "byFetch")],
    "node-http": [*NODE_PROGRAM, "-e", NODE.replace("HOW", "byHttp")],
}


@pytest.fixture
def attempt(server_factory, tmp_path):
    server = server_factory("--max-upload-request", "10MiB")
    key = server.workspace().key(["extractions:write"])
    body = tmp_path / "body"
    body.write_bytes(bytes(SIZE))

    def run(argv, tries):
        done = subprocess.run([*argv, server.base_url + "/api/v1/upload", key, body, str(tries)],
                              capture_output=True, text=True, timeout=280, check=False)
        assert Counter(done.stdout.splitlines()) == {"413": tries}, done.stderr

    return run


@pytest.mark.parametrize("client", CLIENTS)
def test_the_answer_is_seen(attempt, client):
    attempt(CLIENTS[client], TRIES)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("client", CLIENTS)
def test_the_answer_is_always_seen(attempt, client):
    attempt(CLIENTS[client], MANY_TRIES)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(not shutil.which("go"), reason="there is no `go` here to build a client with")
def test_the_answer_is_always_seen_by_go(attempt, tmp_path):
    source, program = tmp_path / "client.go", tmp_path / "client"
    source.write_text(GO)
    subprocess.run(["go", "build", "-o", program, source], check=True, timeout=200,
                   env={**os.environ, "GO111MODULE": "off"})
    attempt([program], MANY_TRIES)
