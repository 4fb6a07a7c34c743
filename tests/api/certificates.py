# SPDX-License-Identifier: Apache-2.0
"""
Certificates for tests, made with openssl(1): for 127.0.0.1 and localhost, good for two days.

    pair = certificates.make(tmp_path, "one")           # signs itself
    pair = certificates.make_chain(tmp_path, "two")     # authority, intermediate, server
"""
import subprocess
from collections import namedtuple

# Files: what a client trusts; what a server shows, with the chain; its key.
Pair = namedtuple("Pair", "authority cert key")

EC = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")
RSA = ("rsa:2048",)
NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1"


def openssl(*argv):
    done = subprocess.run(["openssl", *map(str, argv)], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def make(folder, name, kind=EC, days=2):
    """Signs itself; its key is readable by its owner only."""
    cert, key = folder / f"{name}.crt", folder / f"{name}.key"
    openssl("req", "-x509", "-newkey", *kind, "-nodes", "-keyout", key, "-out", cert,
            "-days", days, "-subj", f"/CN={name}", "-addext", NAMES)
    key.chmod(0o600)
    return Pair(cert, cert, key)


def signed(folder, name, by, extension):
    """A certificate of `name` that `by` (certificate, key) has signed."""
    request, cert, key = (folder / f"{name}.{end}" for end in ("csr", "crt", "key"))
    extensions = folder / f"{name}.ext"
    extensions.write_text(extension)
    openssl("req", "-newkey", *EC, "-nodes", "-keyout", key, "-out", request,
            "-subj", f"/CN={name}")
    openssl("x509", "-req", "-in", request, "-CA", by[0], "-CAkey", by[1], "-CAcreateserial",
            "-days", "2", "-extfile", extensions, "-out", cert)
    key.chmod(0o600)
    return cert, key


def make_chain(folder, name):
    root = make(folder, f"{name}-root")
    middle = signed(folder, f"{name}-middle", (root.cert, root.key),
                    "basicConstraints=critical,CA:TRUE\n")
    leaf = signed(folder, name, middle, NAMES + "\n")
    chain = folder / f"{name}-chain.crt"
    chain.write_bytes(leaf[0].read_bytes() + middle[0].read_bytes())
    return Pair(root.cert, chain, leaf[1])
