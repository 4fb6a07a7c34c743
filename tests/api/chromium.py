# SPDX-License-Identifier: Apache-2.0
"""
A headless Chromium, driven by the DevTools protocol over a pipe.

    with Browser() as browser:
        page = browser.page()
        page.open("http://127.0.0.1:1/")
        page.value("document.title")

It runs the program named by DOSSIER_CHROMIUM, else `chromium`, with an empty profile. What it
says unasked is in `browser.events`. Pages in `browser.pages` (URL -> HTML) are answered here, not
by the server they seem to come from, once the tab has called invent(). Everything that waits has
a time limit.
"""
import base64
import contextlib
import itertools
import json
import os
import queue
import shutil
import signal
import subprocess
import tempfile
import threading
import time

START_SECONDS = 60
CALL_SECONDS = 60
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic",
    "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-proxy-server", "--remote-debugging-pipe",
)


class DevToolsError(Exception):
    pass


class Browser:
    """One process; used by one thread."""

    def __init__(self):
        self.program = shutil.which(os.environ.get("DOSSIER_CHROMIUM", "chromium"))
        assert self.program, "these tests need Chromium; install the Debian package chromium"
        self.home = tempfile.mkdtemp(prefix="dossier-chromium-")
        self.events = []
        self.pages = {}
        self._numbers = itertools.count(1)
        self._inbox = queue.Queue()

    def __enter__(self):
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        # Chromium reads descriptor 3 and writes descriptor 4
        argv = ["bash", "-c", f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}', self.program,
                *FLAGS, f"--user-data-dir={self.home}", "about:blank"]
        self._log = open(os.path.join(self.home, "stderr"), "wb")
        self.process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
            pass_fds=(theirs_in, theirs_out), start_new_session=True)
        os.close(theirs_in)
        os.close(theirs_out)
        threading.Thread(target=self._read, daemon=True).start()
        self.version = self.call("Browser.getVersion", seconds=START_SECONDS)["product"]
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError, DevToolsError, AssertionError):
            self.call("Browser.close", seconds=5)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)     # its session: also what it started
        self.process.wait(10)
        os.close(self._out)
        self._log.close()
        shutil.rmtree(self.home, ignore_errors=True)

    def _read(self):
        pending = b""
        while True:
            chunk = os.read(self._in, 1 << 16)
            if not chunk:
                break
            *messages, pending = (pending + chunk).split(b"\0")
            for message in messages:
                self._inbox.put(json.loads(message))
        os.close(self._in)
        self._inbox.put(None)

    def _take(self, seconds):
        """The next message, None when there is none in time."""
        try:
            message = self._inbox.get(timeout=max(0.0, seconds))
        except queue.Empty:
            return None
        if message is None:
            self._inbox.put(None)
            raise AssertionError("Chromium has ended: " + self.stderr())
        if "method" in message:
            self.events.append(message)
            self._react(message["method"], message.get("sessionId"), message["params"])
        return message

    def _react(self, method, session, params):
        """What would otherwise wait for ever."""
        if method == "Page.javascriptDialogOpening":
            self._send("Page.handleJavaScriptDialog", session, {"accept": True})
        elif method == "Fetch.requestPaused":
            html = self.pages[params["request"]["url"]]
            self._send("Fetch.fulfillRequest", session, {
                "requestId": params["requestId"], "responseCode": 200,
                "responseHeaders": [{"name": "Content-Type", "value": "text/html; charset=utf-8"}],
                "body": base64.b64encode(html.encode()).decode()})

    def _send(self, method, session, params):
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        return number

    def call(self, method, session=None, seconds=CALL_SECONDS, **params):
        """The result of a command."""
        number = self._send(method, session, params)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            message = self._take(deadline - time.monotonic())
            if message and message.get("id") == number:
                if "error" in message:
                    raise DevToolsError(f"{method}: {message['error']['message']}")
                return message["result"]
        raise AssertionError(f"{method}: no answer within {seconds} s")

    def wait(self, method, matches=lambda params: True, seconds=CALL_SECONDS, since=0):
        """The parameters of the first such event after the first `since` ones."""
        deadline = time.monotonic() + seconds
        at = since
        while True:
            for event in self.events[at:]:
                if event["method"] == method and matches(event["params"]):
                    return event["params"]
            at = len(self.events)
            left = deadline - time.monotonic()
            assert left > 0, f"no {method} within {seconds} s"
            self._take(left)

    def stderr(self):
        with open(os.path.join(self.home, "stderr"), encoding="utf-8", errors="replace") as file:
            return file.read()[-2000:]

    def page(self):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return Page(self, target, session)


class Page:
    """A tab."""

    def __init__(self, browser, target, session):
        self.browser = browser
        self.target = target
        self.session = session
        self.call("Page.enable")

    def call(self, method, seconds=CALL_SECONDS, **params):
        return self.browser.call(method, self.session, seconds, **params)

    def open(self, url, loads=True):
        """
        Goes there; the error's text, None when it was shown. `loads`: waits until all that it
        embeds has been loaded or refused.
        """
        since = len(self.browser.events)
        answer = self.call("Page.navigate", url=url)
        error = answer.get("errorText")
        if loads and not error:
            self.browser.wait("Page.loadEventFired", since=since)
        return error

    def invent(self, pattern):
        """Requests for such URLs ("http://host/page/*") are answered from browser.pages."""
        self.call("Fetch.enable", patterns=[{"urlPattern": pattern}])

    def value(self, expression):
        """What an expression is in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return answer["result"].get("value")

    def close(self):
        self.browser.call("Target.closeTarget", targetId=self.target)
