# SPDX-License-Identifier: Apache-2.0
"""
The floors: small programs of bench/floors (built by `script/build bench`) and stock servers, each
with the part of our work that nobody can go without. A program prints JSON: what it measured, or
the port it serves at.
"""
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import urllib.request

from common import ROOT, harness

PROGRAMS = ROOT / "build" / "bench" / "bench" / "floors"


def measure(name, *words, seconds=600):
    """Runs a program to its end; what it printed."""
    done = subprocess.run([PROGRAMS / name, *map(str, words)], capture_output=True, text=True,
                          timeout=seconds, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{name}: {done.stderr.strip() or done.returncode}")
    return json.loads(done.stdout)


class Serving:
    """A process that serves at base_url until stop(); as a node of ours, for Load."""

    def __init__(self, process, base_url):
        self.process, self.base_url = process, base_url

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        if self.process.stdout:
            self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def canned(answer, loops=None):
    """F1: libmicrohttpd as our server uses it, with this answer (of the requests library)."""
    own = {"date", "content-length", "connection"}      # the library writes them itself
    with tempfile.TemporaryDirectory(prefix="dossier-bench-") as home:
        head, body = pathlib.Path(home, "head"), pathlib.Path(home, "body")
        head.write_text("".join(f"{name}: {value}\n" for name, value in answer.headers.items()
                                if name.lower() not in own), encoding="latin-1")
        body.write_bytes(answer.content)
        process = subprocess.Popen([PROGRAMS / "canned", str(loops or os.cpu_count()), head, body],
                                   stdout=subprocess.PIPE, text=True)
        port = json.loads(process.stdout.readline())["port"]
    return Serving(process, f"http://127.0.0.1:{port}")


NGINX = """
daemon off;
master_process on;
worker_processes auto;
pid {home}/pid;
error_log {home}/error;
events {{ worker_connections 4096; use epoll; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000000;
    default_type application/octet-stream;
    client_body_temp_path {home}/t1; proxy_temp_path {home}/t2; fastcgi_temp_path {home}/t3;
    uwsgi_temp_path {home}/t4; scgi_temp_path {home}/t5;
    server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


@contextlib.contextmanager
def nginx(root):
    """F5: Debian's nginx with sendfile, serving the files below `root`."""
    home = pathlib.Path(tempfile.mkdtemp(prefix="dossier-bench-"))
    home.chmod(0o755)       # its workers are somebody else
    port = harness.free_port()
    config = home / "nginx.conf"
    user = "user root;\n" if os.geteuid() == 0 else ""      # the files are ours alone
    config.write_text(user + NGINX.format(home=home, port=port, root=root), encoding="ascii")
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    process = subprocess.Popen([program, "-e", home / "error", "-c", config])
    serving = Serving(process, f"http://127.0.0.1:{port}")
    try:
        harness.wait_for(lambda: answers(serving.base_url))
        yield serving
    finally:
        serving.stop()
        shutil.rmtree(home, ignore_errors=True)


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        time.sleep(0.02)
        return False
