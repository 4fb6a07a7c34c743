# SPDX-License-Identifier: Apache-2.0
"""
What is stored, opened in a real browser: no document acts, and each is saved under its name.

A content that acts asks the test's own web server for /acted/NAME, sets a title and raises an
alert; any of them, or any script that the browser read from the service, is a failure. That all of
this is noticed is shown by the same contents served as a careless server would.

About 2 minutes on two idle cores (170 s of processor time).
"""
import contextlib
import html
import re
import threading
import time
import unicodedata
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from active_content import CONTENTS
from chromium import Browser
from file_names import NAMES
from harness import Server, data

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TYPES = ("text/html", "image/svg+xml", "application/xhtml+xml", "text/xml", "text/javascript",
         "text/css", "text/plain", "image/png", "application/pdf", "application/octet-stream",
         "multipart/mixed", "nonsense/type")
ACTS_SECONDS = 15
# One for each type that is served: what is not on the list is the same as text/html.
SERVED_TYPES = ("text/html", "text/plain", "image/png", "application/pdf")
LATE_SECONDS = 1    # for what a page asks for after it has loaded
EMBEDDED = {
    "page": '<iframe src="URL"></iframe><object data="URL"></object><embed src="URL">'
            '<img src="URL">',
    "script": '<script src="URL"></script>',
    "module": '<script type="module" src="URL"></script>',
    "style": '<link rel="stylesheet" href="URL">',
    "worker": '<script>try{new Worker("URL")}catch(e){}'
              'navigator.serviceWorker&&navigator.serviceWorker.register("URL").catch(e=>0)'
              "</script>",
}


class Home:
    """A web server that answers what it was given and notes who asked for /acted/…"""

    def __init__(self):
        self.answers = {}       # path -> (headers, body)
        self.acted = set()
        home = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                path = self.path.split("?")[0]
                if path.startswith("/acted/"):
                    home.acted.add(path.split("/")[2])
                headers, body = home.answers.get(path, ({"Content-Type": "text/plain"}, b""))
                self.send_response(200)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def put(self, path, body, headers):
        self.answers[path] = (headers, body)
        return self.url + path

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def home():
    home = Home()
    yield home
    home.close()


@pytest.fixture(scope="module")
def browser():
    with Browser() as browser:
        browser.call("Browser.setDownloadBehavior", behavior="deny")
        yield browser


@pytest.fixture
def page(browser, home):
    """A new tab; afterwards nothing has acted."""
    page = browser.page()
    page.call("Debugger.enable")
    home.acted.clear()
    since = len(browser.events)
    yield page
    time.sleep(LATE_SECONDS)
    page.value("0")             # takes in what was said until now
    page.close()
    new = browser.events[since:]
    assert home.acted == set()
    assert not [event for event in new if event["method"] == "Page.javascriptDialogOpening"]
    assert scripts(new, "/v1/signed/") == set()


def scripts(events, part):
    """URLs with this part that the browser took a script from."""
    return {event["params"]["url"] for event in events
            if event["method"] == "Debugger.scriptParsed" and part in event["params"]["url"]}


@pytest.fixture(scope="module")
def server():
    server = Server()
    yield server.start()
    server.remove()


@pytest.fixture(scope="module")
def stored(server, home):
    """(content, declared type) -> its download URL; all uploaded in one request."""
    api = server.workspace().api()
    cases = [(content, media_type) for content in CONTENTS for media_type in TYPES]
    assert len(CONTENTS) >= 40 and len(TYPES) >= 10
    files = [("files", (content.name, content.build(f"{home.url}/acted/{content.name}"),
                        media_type)) for content, media_type in cases]
    ids = api.post("/api/v1/upload", files=files, expect=200).json()
    return {case: data(api.get(f"/v1/documents/{document_id}"))["download_url"]
            for case, document_id in zip(cases, ids)}


def embedding(uses, urls):
    tags = "".join(EMBEDDED[use].replace("URL", html.escape(url)) for url in urls for use in uses)
    return f"<!doctype html><title>untouched</title><body>{tags}</body>"


# ---- the detector ----

def careless(home, content):
    """The URL of a page in which a server that trusts uploads would let it act."""
    url = home.put(f"/careless/{content.name}", content.build(f"{home.url}/acted/{content.name}"),
                   {"Content-Type": content.shown_as})
    if content.used_as == "page":
        return url
    return home.put(f"/user/{content.name}", embedding([content.used_as], [url]).encode(),
                    {"Content-Type": "text/html"})


def test_what_is_served_carelessly_acts(browser, home):
    home.acted.clear()
    since = len(browser.events)
    titles = set()
    for content in CONTENTS:
        page = browser.page()       # a tab of its own: a dialog may stay behind
        page.call("Debugger.enable")
        page.open(careless(home, content), loads=False)
        deadline = time.monotonic() + (ACTS_SECONDS if content.acts else 0.2)
        while content.name not in home.acted and time.monotonic() < deadline:
            titles.add(page.value("document.title"))
            time.sleep(0.02)
        page.close()
    new = browser.events[since:]
    assert home.acted == {content.name for content in CONTENTS if content.acts}
    assert "acted" in titles
    assert [event for event in new if event["method"] == "Page.javascriptDialogOpening"]
    assert len(scripts(new, "/careless/")) > 20


# ---- documents ----

def test_opened(page, stored):
    """Each is a download: nothing is shown."""
    page.open("about:blank")
    for (content, media_type), url in stored.items():
        assert page.open(url) == "net::ERR_ABORTED", (content.name, media_type)
    assert page.value("location.href") == "about:blank"


def test_embedded_elsewhere(page, home, stored):
    for content in CONTENTS:
        urls = [stored[content, media_type] for media_type in TYPES]
        url = home.put(f"/page/{content.name}", embedding(EMBEDDED, urls).encode(),
                       {"Content-Type": "text/html"})
        page.open(url)
        assert page.value("[location.href, document.title]") == [url, "untouched"]


def test_embedded_in_a_page_of_the_same_origin(page, server, stored):
    """As beside another application behind one host name."""
    page.invent(server.base_url + "/page/*")
    for content in CONTENTS:
        urls = [stored[content, media_type] for media_type in SERVED_TYPES]
        url = f"{server.base_url}/page/{content.name}"
        page.browser.pages[url] = embedding(EMBEDDED, urls)
        page.open(url)
        assert page.value("[location.href, document.title]") == [url, "untouched"]


LAYERS = {
    "disposition": ["Content-Disposition"],
    "policy": ["Content-Security-Policy"],
    "type": ["Content-Type", "X-Content-Type-Options"],
}


@pytest.mark.parametrize("layer", LAYERS)
def test_each_layer_alone_is_enough(page, home, stored, layer):
    """The document's own answer, but of its protecting headers only those of one layer."""
    for content in CONTENTS:
        answers = {}        # served type -> headers
        for media_type in SERVED_TYPES:
            real = requests.get(stored[content, media_type], timeout=30)
            headers = {"Content-Type": content.shown_as,
                       **{name: real.headers[name] for name in LAYERS[layer]}}
            answers[headers["Content-Type"]] = headers
        for number, headers in enumerate(answers.values()):
            url = home.put(f"/{layer}/{content.name}/{number}", real.content, headers)
            page.open(url, loads=False)


# ---- names ----

def core(name):
    """What no browser changes in a name: its letters, digits and harmless marks, composed."""
    return "".join(c for c in unicodedata.normalize("NFC", name)
                   if c not in '"*/:<>?\\|~%-._ ' and unicodedata.category(c)[0] not in "CZ"
                   or unicodedata.category(c) == "Co")


def test_saved_under_the_right_name(browser, server):
    browser.call("Browser.setDownloadBehavior", behavior="deny", eventsEnabled=True)
    api = server.workspace().api()
    document = api.new_bytes(b"x")
    path = f"/v1/documents/{document['id']}"
    url = data(api.get(path))["download_url"]
    page = browser.page()
    for name in NAMES:
        data(api.patch(path, json={"name": name}))
        since = len(browser.events)
        assert page.open(url) == "net::ERR_ABORTED"
        begun = browser.wait("Browser.downloadWillBegin", since=since)
        suggested = begun["suggestedFilename"]
        assert not any(c in suggested for c in "/\\\0") and not suggested.startswith(".")
        if not core(name):
            assert suggested == "download" or not core(suggested), (ascii(name), suggested)
            continue
        assert core(suggested) == core(name), (ascii(name), suggested)
        ending = re.search(r"[^. ](\.[A-Za-z0-9]+)$", name)
        assert not ending or suggested.endswith(ending[1]), (ascii(name), suggested)
    page.close()
