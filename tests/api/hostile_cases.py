# SPDX-License-Identifier: Apache-2.0
"""
Hostile bytes: what is sent, by name. What must come back stands in hostile_answers.txt.

CASES are whole requests that need no key; CHUNKED_BODIES are bodies for an upload with one. A case
is one request, unless its name says that more of them follow. HIDDEN is a request that stands
inside of bodies: it must never be answered.
"""
from pathlib import Path

HOST = b"Host: h\r\n"
CHUNKED = b"Transfer-Encoding: chunked"
END = b"0\r\n\r\n"
HIDDEN = b"GET /readyz HTTP/1.1\r\nHost: h\r\n\r\n"
PROBE = b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
FILE = (b"--B\r\nContent-Disposition: form-data; name=\"files\"; filename=\"a.txt\"\r\n"
        b"Content-Type: text/plain\r\n\r\nabc\r\n--B--\r\n")


def request(method, target, headers=b"", body=b"", version=b"HTTP/1.1", host=HOST):
    return method + b" " + target + b" " + version + b"\r\n" + host + headers + b"\r\n" + body


def get(target=b"/v1/usage", headers=b"", version=b"HTTP/1.1", host=HOST):
    return request(b"GET", target, headers, b"", version, host)


def post(headers, body=b"", target=b"/v1/documents", version=b"HTTP/1.1"):
    return request(b"POST", target, headers, body, version)


def lines(*headers):
    return b"".join(header + b"\r\n" for header in headers)


def chunk(data=FILE, size=None, ends=b"\r\n"):
    return (b"%x" % len(data) if size is None else size) + ends + data + ends


def length(of=HIDDEN):
    return b"Content-Length: %d\r\n" % len(of)


# ---- Content-Length ----

def _bad_lengths():
    values = {
        "plus": b" +2", "minus": b" -2", "list": b" 2,2", "list-space": b" 2, 3", "comma": b" 2,",
        "empty": b" ", "hex": b" 0x2", "inner-space": b" 1 2", "exponent": b" 1e1",
        "other-digits": " \u0662".encode(), "wide-digits": " \uff12".encode(), "letters": b" two",
        "underscore": b" 1_0", "decimal": b" 2.0", "semicolon": b" 2;", "quoted": b' "2"',
        "many-digits": b" " + b"0" * 30 + b"2", "nul": b" 2\0", "nul-before": b" \x002",
        "vertical-tab": b" \x0b2", "form-feed": b" 2\x0c", "bare-cr": b" 2\r", "inner-cr": b" 2\r3",
        "nbsp": b" \xa02", "folded": b"\r\n 2", "folded-twice": b"\r\n \r\n 2",
        "folded-on": b" 2\r\n 2", "percent": b" %32",
        "space-after": b" 2 ", "tab-after": b" 2\t", "tab-before": b"\t2", "zero-before": b" 02",
        "no-space": b"2",
    }
    return {f"length-{name}": post(b"Content-Length:" + value + b"\r\n", b"{}")
            for name, value in values.items()}


LENGTHS = {
    **_bad_lengths(),
    "length-space-before-colon": post(b"Content-Length : 2\r\n", b"{}"),
    "length-space-before-name": post(b"X-A: b\r\n Content-Length: 2\r\n", b"{}"),
    "length-nul-in-name": post(b"Content-Length\0: 2\r\n", b"{}"),
    "length-capitals": post(b"CONTENT-LENGTH: 2\r\n", b"{}"),
    "length-after-bare-lf": post(b"X-A: b\nContent-Length: 2\r\n", b"{}"),
    "length-after-bare-cr": post(b"X-A: b\rContent-Length: 2\r\n", b"{}"),
    "length-2^31": post(b"Content-Length: 2147483648\r\n"),
    "length-2^32+2": post(b"Content-Length: 4294967298\r\n", b"{}"),
    "length-2^63-1": post(b"Content-Length: 9223372036854775807\r\n"),
    "length-2^63": post(b"Content-Length: 9223372036854775808\r\n"),
    "length-2^64-1": post(b"Content-Length: 18446744073709551615\r\n"),
    "length-2^64": post(b"Content-Length: 18446744073709551616\r\n"),
    "length-2^64+2": post(b"Content-Length: 18446744073709551618\r\n", b"{}"),
    "length-named-in-connection": post(lines(b"Content-Length: 2", b"Connection: Content-Length"),
                                       b"{}"),
    "two-lengths": post(lines(b"Content-Length: 2", b"Content-Length: 3"), b"{} "),
    "two-equal-lengths": post(lines(b"Content-Length: 2", b"Content-Length: 2"), b"{}"),
    "two-lengths-two-cases": post(lines(b"content-length: 2", b"CONTENT-LENGTH: 5"), b"{}"),
    "two-lengths-one-empty": post(lines(b"Content-Length:", b"Content-Length: 2"), b"{}"),
    "three-lengths": post(lines(*[b"Content-Length: 2"] * 3), b"{}"),
    "length-and-chunked": post(lines(b"Content-Length: 5", CHUNKED), END),
    "chunked-and-length": post(lines(CHUNKED, b"Content-Length: 5"), END),
    "length-and-identity": post(lines(b"Content-Length: 2", b"Transfer-Encoding: identity"),
                                b"{}"),
    "length-hides-request-from-chunked": post(length(END + HIDDEN) + CHUNKED + b"\r\n",
                                              END + HIDDEN),
    "chunked-hides-request-from-length": post(b"Content-Length: 4\r\n" + CHUNKED + b"\r\n",
                                              chunk(HIDDEN) + END),
    "body-of-get": get(b"/healthz", length()) + HIDDEN,
    "body-of-get-chunked": get(b"/healthz", CHUNKED + b"\r\n") + chunk(HIDDEN) + END,
    "body-of-get-both": get(b"/healthz", length(END) + CHUNKED + b"\r\n") + END,
    "body-of-get-empty": get(b"/healthz", b"Content-Length: 0\r\n"),
    "body-of-head": request(b"HEAD", b"/healthz", length(), HIDDEN),
    "body-of-head-chunked": request(b"HEAD", b"/healthz", CHUNKED + b"\r\n", chunk(HIDDEN) + END),
    "body-of-delete": request(b"DELETE", b"/v1/documents/x", length(), HIDDEN),
    "body-of-delete-chunked": request(b"DELETE", b"/v1/documents/x", CHUNKED + b"\r\n",
                                      chunk(HIDDEN) + END),
    "body-of-options": request(b"OPTIONS", b"/v1/documents", length(), HIDDEN),
    "body-of-trace": request(b"TRACE", b"/v1/usage", length(), HIDDEN),
    "body-without-route": post(length(), HIDDEN, b"/missing"),
    "body-without-route-chunked": post(CHUNKED + b"\r\n", chunk(HIDDEN) + END, b"/missing"),
    "body-without-key": post(length(), HIDDEN),
    "body-with-wrong-method": request(b"PUT", b"/healthz", length(), HIDDEN),
    "body-256-KiB-without-key": post(length(bytes(256 << 10)), HIDDEN.ljust(256 << 10, b"\n")),
    "body-257-KiB-without-key": post(length(bytes(257 << 10)), HIDDEN.ljust(257 << 10, b"\n")),
    "body-missing": post(b""),
    "body-missing-without-route": post(b"", target=b"/missing"),
    "content-encoding-gzip": post(lines(b"Content-Length: 2", b"Content-Encoding: gzip"), b"{}"),
}

# ---- Transfer-Encoding ----


def _bad_encodings():
    values = {
        "gzip": b" gzip", "gzip-chunked": b" gzip, chunked",
        "deflate-chunked": b" deflate, chunked", "chunked-gzip": b" chunked, gzip",
        "twice-in-one": b" chunked, chunked",
        "identity-chunked": b" identity, chunked", "parameter": b" chunked;q=1",
        "semicolon": b" chunked;", "prefix": b" xchunked", "suffix": b" chunkedx", "cut": b" chunk",
        "identity": b" identity", "trailers": b" trailers", "empty": b"", "quoted": b' "chunked"',
        "single-quoted": b" 'chunked'", "comma": b" chunked,", "comma-before": b" ,chunked",
        "two-words": b" chunked chunked", "vertical-tab": b" \x0bchunked",
        "form-feed": b" chunked\x0c", "nbsp": b" \xa0chunked", "next-line": b" chunked\x85",
        "nul": b" chunked\0", "nul-text": b" chunked\0, gzip", "control": b" \x01chunked",
        "folded": b"\r\n chunked", "folded-tab": b"\r\n\tchunked", "folded-on":
        b" chunked\r\n , gzip", "bare-cr": b" \rchunked", "bare-lf": b" \nchunked",
        "dotless": " chun\u212aed".encode(), "percent": b" %63hunked",
        "tab": b"\tchunked", "spaces-after": b" chunked  ", "tab-after": b" chunked\t",
    }
    return {f"encoding-{name}": post(b"Transfer-Encoding:" + value + b"\r\n", END)
            for name, value in values.items()}


def _bad_names():
    """Of the header that says how a body ends, beside an honest length."""
    names = {
        "space-before-colon": b"Transfer-Encoding : chunked",
        "tab-before-colon": b"Transfer-Encoding\t: chunked",
        "vertical-tab-before-colon": b"Transfer-Encoding\x0b: chunked",
        "space-before-name": b" Transfer-Encoding: chunked",
        "nul-in-name": b"Transfer-Encoding\0: chunked",
        "space-in-name": b"Transfer Encoding: chunked",
        "underscore-in-name": b"Transfer_Encoding: chunked",
        "no-colon": b"Transfer-Encoding chunked",
        "two-colons": b"Transfer-Encoding:: chunked",
        "colon-first": b":Transfer-Encoding: chunked",
        "after-bare-lf": b"X-A: b\nTransfer-Encoding: chunked",
        "after-bare-cr": b"X-A: b\rTransfer-Encoding: chunked",
        "after-two-crs": b"X-A: b\r\r\nTransfer-Encoding: chunked",
        "after-folded-line": b"X-A: b\r\n c\r\nTransfer-Encoding: chunked",
        "capitals": b"TRANSFER-ENCODING: CHUNKED",
        "without-space": b"Transfer-Encoding:chunked",
    }
    return {f"length-and-encoding-{name}": post(b"Content-Length: 5\r\n" + header + b"\r\n", END)
            for name, header in names.items()}


ENCODINGS = {
    **_bad_encodings(),
    **_bad_names(),
    "encoding-twice": post(lines(CHUNKED, CHUNKED), END),
    "encoding-twice-one-identity": post(lines(CHUNKED, b"Transfer-encoding: identity"), END),
    "encoding-twice-one-unknown": post(lines(b"Transfer-Encoding: x", CHUNKED), END),
    "encoding-twice-one-empty": post(lines(b"Transfer-Encoding:", CHUNKED), END),
    "encoding-space-before-colon": post(b"Transfer-Encoding : chunked\r\n", END),
    "encoding-http-1.0": post(CHUNKED + b"\r\n", END, version=b"HTTP/1.0"),
    "encoding-http-1.0-keep-alive": post(CHUNKED + b"\r\nConnection: keep-alive\r\n", END,
                                         version=b"HTTP/1.0"),
    "encoding-capitals": post(b"TRANSFER-ENCODING: CHUNKED\r\n", END),
    "encoding-plain": post(CHUNKED + b"\r\n", END),
    "encoding-named-in-connection": post(CHUNKED + b"\r\nConnection: Transfer-Encoding\r\n", END),
    "te-header": get(b"/healthz", b"TE: trailers, chunked;q=0.5\r\nConnection: TE\r\n"),
    "trailer-header": get(b"/healthz", b"Trailer: Content-Length\r\n"),
}

# ---- header lines ----


def _bad_header_names():
    names = {"space": b"X A", "tab": b"X\tA", "nul": b"X\0A", "slash": b"X/A", "at": b"X@A",
             "quote": b'X"A', "bracket": b"X(A)", "brace": b"{X}", "equals": b"X=A",
             "comma": b"X,A", "semicolon": b"X;A", "backslash": b"X\\A", "control": b"X\x01A",
             "high-byte": b"X\xe9", "utf-8": "X\u00e9".encode(), "delete": b"X\x7f",
             "trailing-space": b"X-A ", "trailing-tab": b"X-A\t", "leading-space": b" X-A",
             "empty": b"", "only-space": b" "}
    return {f"name-{name}": get(headers=b"X-B: c\r\n" + value + b": b\r\n")
            for name, value in names.items()}


def _bad_values():
    values = {"bare-cr": b"a\rb", "bare-lf": b"a\nb", "nul": b"a\0b", "nul-last": b"a\0",
              "control": b"\x01", "escape": b"\x1b[2J", "backspace": b"a\x08", "delete": b"\x7f",
              "cr-cr-lf": b"a\r", "high-bytes": b"\xe4\xff", "tab": b"a\tb", "empty": b"",
              "spaces": b"   ", "colons": b"::", "20-KiB": b"v" * 20480}
    return {f"value-{name}": get(headers=b"X-A: " + value + b"\r\nX-B: c\r\n")
            for name, value in values.items()}


def _hosts():
    values = {"empty": b"", "list": b" h, i", "path": b" h/evil", "user": b" u@h", "space": b" a b",
              "tab": b" a\tb", "nul": b" h\0x", "quote": b' "h"', "markup": b" <h>",
              "query": b" h?x", "fragment": b" h#x", "high-byte": b" h\xff", "256-bytes":
              b" " + b"h" * 256, "folded": b"\r\n h", "newline-escape": b" h%0d%0aX: y",
              "port": b" h:8080", "address-6": b" [::1]:80", "underscore": b" a_b"}
    return {f"host-{name}": get(b"/healthz", host=b"Host:" + value + b"\r\n")
            for name, value in values.items()}


def _connections():
    values = {"close-keep-alive": b"close, keep-alive", "keep-alive-close": b"keep-alive, close",
              "capitals": b"CLOSE", "unknown": b"wonders", "empty": b"", "commas": b",,,",
              "host": b"Host", "near-close": b"closed"}
    return {f"connection-{name}": get(b"/healthz", b"Connection: " + value + b"\r\n")
            for name, value in values.items()}


HEADERS = {
    **_bad_header_names(),
    **_bad_values(),
    **_hosts(),
    **_connections(),
    "connection-twice": get(b"/healthz", lines(b"Connection: keep-alive", b"Connection: close")),
    "folded-first-line": b"GET /v1/usage HTTP/1.1\r\n X: y\r\n" + HOST + b"\r\n",
    "folded": get(headers=b"X-A: a\r\n b\r\n"),
    "folded-tab": get(headers=b"X-A: a\r\n\tb\r\n"),
    "folded-blank": get(headers=b"X-A: a\r\n \r\n"),
    "folded-key": get(headers=b"X-API-Key: a\r\n b\r\n"),
    "bare-cr-lines": b"GET /healthz HTTP/1.1\rHost: h\r\r",
    "bare-lf-lines": b"GET /v1/usage HTTP/1.1\nHost: h\n\n",
    "bare-lf-end": b"GET /v1/usage HTTP/1.1\r\nHost: h\r\n\n",
    "lf-cr-lines": b"GET /v1/usage HTTP/1.1\n\rHost: h\n\r\n\r",
    "no-colon": get(headers=b"Foo\r\n"),
    "no-space-after-colon": get(headers=b"X-A:b\r\n"),
    "second-request-line": get(headers=b"GET /readyz HTTP/1.1\r\n"),
    "status-line": get(headers=b"HTTP/1.1 200 OK\r\n"),
    "two-keys": get(headers=lines(b"X-API-Key: a", b"X-API-Key: a")),
    "two-authorizations": get(headers=lines(b"Authorization: Bearer a",
                                            b"authorization: Bearer b")),
    "two-types": post(lines(b"Content-Length: 2", b"Content-Type: application/json",
                            b"Content-Type: text/plain"), b"{}"),
    "two-idempotency-keys": post(lines(b"Content-Length: 2", b"Idempotency-Key: a",
                                       b"Idempotency-Key: b"), b"{}"),
    "no-host": get(host=b""),
    "two-hosts": get(host=HOST + b"Host: i\r\n"),
    "two-equal-hosts": get(host=HOST + HOST),
    "host-space-before-colon": get(host=b"Host : h\r\n"),
    "upgrade-h2c": get(b"/healthz", lines(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c",
                                          b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA")),
    "upgrade-websocket": get(b"/healthz", lines(
        b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")),
    "method-override": get(b"/healthz", b"X-HTTP-Method-Override: DELETE\r\n"),
    "original-url": get(b"/healthz", lines(b"X-Original-URL: /metrics", b"X-Rewrite-URL: /a")),
    "range-nonsense": get(b"/healthz", b"Range: bytes=9999999999999999999-,-1,a\r\n"),
    "expect-continue-without-body": get(b"/healthz", b"Expect: 100-continue\r\n"),
    "expect-unknown": get(b"/healthz", b"Expect: wonders\r\n"),
    "expect-empty": get(b"/healthz", b"Expect:\r\n"),
    "headers-100": get(headers=lines(*[b"X-%d: v" % i for i in range(99)])),
    "headers-101": get(headers=lines(*[b"X-%d: v" % i for i in range(100)])),
    "headers-5000": get(headers=lines(*[b"X-%d: v" % i for i in range(5000)])),
    "headers-5000-without-colon": get(headers=b"Foo\r\n" * 5000),
    "headers-40-KiB": get(headers=b"X-A: " + b"v" * 40960 + b"\r\n"),
    "headers-200-KiB": get(headers=b"X-A: " + b"v" * 204800 + b"\r\n"),
    "name-40-KiB": get(headers=b"X" * 40960 + b": v\r\n"),
    "cookie-33-KiB": get(headers=b"Cookie: " + b"a=b; " * 6758 + b"\r\n"),
}

# ---- request line ----


def _versions():
    values = {"1.2": b"HTTP/1.2", "1.9": b"HTTP/1.9", "2.0": b"HTTP/2.0", "0.9": b"HTTP/0.9",
              "3": b"HTTP/3", "lower-case": b"http/1.1", "1.10": b"HTTP/1.10", "01.1": b"HTTP/01.1",
              "1.01": b"HTTP/1.01", "1": b"HTTP/1", "1-dot": b"HTTP/1.", "1.1x": b"HTTP/1.1x",
              "comma": b"HTTP/1,1", "minus": b"HTTP/-1.1", "no-slash": b"HTTP1.1",
              "inner-space": b"HTTP/ 1.1", "wide-digit": "HTTP/\uff11.1".encode(),
              "huge": b"HTTP/1." + b"1" * 8000, "icap": b"ICAP/1.0", "https": b"HTTPS/1.1",
              "rtsp": b"RTSP/1.0", "trailing-space": b"HTTP/1.1 ", "trailing-tab": b"HTTP/1.1\t",
              "trailing-cr": b"HTTP/1.1\r", "nul": b"HTTP/1.1\0", "nul-text": b"HTTP/1.1\0x"}
    return {f"version-{name}": get(b"/healthz", version=value) for name, value in values.items()}


VERSIONS = {
    **_versions(),
    "version-none": b"GET /healthz\r\n\r\n",
    "version-1.0-without-host": get(b"/healthz", version=b"HTTP/1.0", host=b""),
    "version-1.0-keep-alive": get(b"/healthz", b"Connection: keep-alive\r\n", b"HTTP/1.0"),
    "version-2-preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "tls-hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "noise": bytes(range(256)) + b"\r\n\r\n",
    "nuls": b"\0" * 100 + b"\r\n\r\n",
    "empty-line-before": b"\r\n" + get(b"/healthz"),
    "empty-lines-before": b"\r\n" * 3 + get(b"/healthz"),
    "bare-lf-before": b"\n" + get(b"/healthz"),
    "bare-cr-before": b"\r" + get(b"/healthz"),
    "space-before": b" " + get(b"/healthz"),
    "space-line-before": b" \r\n" + get(b"/healthz"),
    "header-before": b"X-A: b\r\n" + get(b"/healthz"),
}


def _targets():
    values = {
        "absolute": b"http://h/healthz", "absolute-capitals": b"HTTP://H/healthz",
        "absolute-other-host": b"http://i/healthz", "absolute-longer-host": b"http://hh/healthz",
        "absolute-user": b"http://h@i/healthz", "absolute-port": b"http://h:80/healthz",
        "absolute-without-path": b"http://h", "absolute-query": b"http://h?x",
        "absolute-empty-host": b"http:///healthz", "absolute-one-slash": b"http:/healthz",
        "absolute-https": b"https://h/healthz", "absolute-ftp": b"ftp://h/healthz",
        "script-scheme": b"javascript:alert(1)", "file-scheme": b"file:///etc/passwd",
        "authority-form": b"h:80", "asterisk": b"*", "asterisk-path": b"*/healthz",
        "relative": b"healthz", "query-only": b"?x", "fragment": b"/healthz#x",
        "space": b"/heal thz", "tab": b"/heal\tthz", "control": b"/healthz\x01",
        "bare-cr": b"/heal\rthz", "form-feed": b"/healthz\x0c", "delete": b"/healthz\x7f",
        "nul": b"/healthz\0/x", "nul-last": b"/healthz\0", "high-byte": b"/healthz\xff",
        "utf-8": "/\u00e9".encode(), "escaped-nul": b"/healthz%00",
        "escaped-nul-in-id": b"/v1/documents/a%00b", "escaped-line-end": b"/a%0d%0aX-A:%20b",
        "escaped-lf": b"/healthz%0a", "escaped-delete": b"/healthz%7f", "broken-escape":
        b"/healthz%zz", "cut-escape": b"/healthz%2", "lone-percent": b"/healthz%",
        "unicode-escape": b"/%u002e%u002e/healthz", "escaped-letter": b"/%68ealthz",
        "escaped-slash": b"/v1%2fusage", "escaped-slash-in-id": b"/v1/documents/a%2fb",
        "escaped-backslash": b"/v1/documents/a%5cb", "escaped-dots": b"/v1/documents/%2e%2e/usage",
        "escaped-dots-slash": b"/v1/documents/..%2fusage", "escaped-twice":
        b"/v1/documents/%252e%252e%252fusage", "dots": b"/v1/../../../etc/passwd",
        "dots-to-route": b"/x/../healthz", "dot": b"/./healthz", "dots-semicolon":
        b"/v1/..;/healthz", "semicolon": b"/healthz;x=y", "backslashes": b"/..\\..\\etc\\passwd",
        "drive": b"/C:/windows/win.ini", "two-slashes": b"//healthz", "two-slashes-host":
        b"//h/healthz", "inner-slashes": b"/v1//usage", "trailing-slash": b"/healthz/",
        "overlong-dot": b"/v1/%c0%ae%c0%ae/usage", "overlong-slash": b"/v1%c0%afusage",
        "overlong-slash-3": b"/v1%e0%80%afusage", "overlong-nul": b"/healthz%c0%80",
        "surrogate": b"/v1/documents/%ed%a0%80", "above-unicode": b"/v1/documents/%f4%90%80%80",
        "escaped-high-byte": b"/v1/documents/%ff", "capitals": b"/HEALTHZ", "markup":
        b"/<script>alert(1)</script>", "braces": b"/v1/documents/{id}", "empty-query": b"/healthz?",
        "query-nul": b"/healthz?a=%00", "query-broken-escape": b"/healthz?a=%zz",
        "query-control": b"/healthz?a=\x01", "query-question-marks": b"/healthz???",
        "query-twice": b"/v1/usage?a=1&a=2", "query-300-names":
        b"/v1/usage?" + b"&".join(b"p%d=1" % i for i in range(300)),
        "query-7-KiB": b"/healthz?" + b"q" * 7000, "query-9-KiB": b"/healthz?" + b"q" * 9000,
        "8192-bytes": b"/" + b"a" * 8191, "8193-bytes": b"/" + b"a" * 8192,
        "16-KiB": b"/" + b"a" * 16384, "100-KiB": b"/" + b"a" * 102400,
        "escapes-8-KiB": b"/" + b"%41" * 2700, "slashes-8-KiB": b"/" * 8000,
    }
    return {f"target-{name}": get(value) for name, value in values.items()}


TARGETS = {
    **_targets(),
    "target-absolute-without-host": get(b"http://h/healthz", host=b""),
    "target-asterisk-of-options": request(b"OPTIONS", b"*"),
    "target-asterisk-of-post": request(b"POST", b"*", b"Content-Length: 0\r\n"),
    "target-missing-of-options": request(b"OPTIONS", b"/missing"),
    "target-after-two-spaces": b"GET  /healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "target-before-two-spaces": b"GET /healthz  HTTP/1.1\r\n" + HOST + b"\r\n",
    "target-between-tabs": b"GET\t/healthz\tHTTP/1.1\r\n" + HOST + b"\r\n",
    "target-between-vertical-tabs": b"GET\x0b/healthz\x0bHTTP/1.1\r\n" + HOST + b"\r\n",
    "target-empty": b"GET  HTTP/1.1\r\n" + HOST + b"\r\n",
    "target-absent": b"GET HTTP/1.1\r\n" + HOST + b"\r\n",
}


def _methods():
    values = {"unknown": b"FOO", "lower-case": b"get", "mixed-case": b"Get", "webdav": b"PROPFIND",
              "dash": b"M-SEARCH", "mark": b"GET!", "trace": b"TRACE", "control": b"GE\x01T",
              "nul": b"GET\0", "bracket": b"G(T)", "quote": b'"GET"', "comma": b"GET,POST",
              "brace": b"{}GET", "high-byte": b"GET\xff", "3000-bytes": b"G" * 3000,
              "40-KiB": b"G" * 40960, "empty": b"", "escaped": b"%47ET", "put": b"PUT",
              "delete": b"DELETE", "patch": b"PATCH"}
    return {f"method-{name}": request(value, b"/healthz") for name, value in values.items()}


METHODS = {
    **_methods(),
    "method-head": request(b"HEAD", b"/healthz"),
    "method-head-missing": request(b"HEAD", b"/missing"),
    "method-options": request(b"OPTIONS", b"/healthz"),
    "method-connect": b"CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n",
    "method-connect-path": request(b"CONNECT", b"/healthz"),
    "method-alone": b"GET\r\n" + HOST + b"\r\n",
}

# ---- several requests ----

SEVERAL = {
    "two-requests": get(b"/healthz") + get(b"/missing"),
    "two-requests-head-first": request(b"HEAD", b"/missing") + get(b"/missing"),
    "two-requests-empty-body-first": post(b"Content-Length: 0\r\n") + get(b"/missing"),
    "two-requests-chunked-first": post(CHUNKED + b"\r\n", END, b"/missing") + get(b"/healthz"),
    "two-requests-first-closes": get(b"/healthz", b"Connection: close\r\n") + get(b"/missing"),
    "two-requests-first-1.0": get(b"/healthz", version=b"HTTP/1.0") + get(b"/missing"),
    "two-requests-first-refused": get(host=b"") + get(b"/missing"),
    "two-requests-second-noise": get(b"/healthz") + b"\x01\x02\x03\r\n\r\n",
    "two-requests-second-smuggles": get(b"/healthz") + post(length(END) + CHUNKED + b"\r\n", END),
    "two-requests-lines-between": get(b"/healthz") + b"\r\n" + get(b"/missing"),
    "two-requests-unasked-continue": post(b"Expect: 100-continue\r\nContent-Length: 2\r\n", b"{}")
    + get(b"/missing"),
}

# ---- chunks ----

CHUNKED_BODIES = {
    "plain": chunk() + END,
    "capitals": chunk(size=b"%X" % len(FILE)) + END,
    "a-byte-each": b"".join(chunk(FILE[i:i + 1]) for i in range(len(FILE))) + END,
    "extension": chunk(size=b"%x;a=b" % len(FILE)) + END,
    "extension-quoted": chunk(size=b'%x;a="b c"' % len(FILE)) + END,
    "extension-spaces": chunk(size=b"%x ; a = b" % len(FILE)) + END,
    "extension-empty": chunk(size=b"%x;" % len(FILE)) + END,
    "extension-bare-lf": chunk(size=b"%x;a\nb" % len(FILE)) + END,
    "extension-bare-cr": chunk(size=b"%x;a\rb" % len(FILE)) + END,
    "extension-nul": chunk(size=b"%x;a\0b" % len(FILE)) + END,
    "extension-of-end": chunk() + b"0;a=b\r\n\r\n",
    "extension-4-KiB": chunk(size=b"%x;" % len(FILE) + b"a" * 4096) + END,
    "extension-endless": b"%x;" % len(FILE) + b"a" * 100000,
    "leading-zeros": chunk(size=b"0000%x" % len(FILE)) + b"000\r\n\r\n",
    "leading-zeros-40": chunk(size=b"0" * 40 + b"%x" % len(FILE)) + END,
    "space-after": chunk(size=b"%x " % len(FILE)) + END,
    "tab-after": chunk(size=b"%x\t" % len(FILE)) + END,
    "space-before": chunk(size=b" %x" % len(FILE)) + END,
    "inner-space": chunk(size=b"%x 0" % len(FILE)) + END,
    "vertical-tab-before": chunk(size=b"\x0b%x" % len(FILE)) + END,
    "prefix": chunk(size=b"0x%x" % len(FILE)) + END,
    "minus": chunk(size=b"-%x" % len(FILE)) + END,
    "minus-zero": chunk() + b"-0\r\n\r\n",
    "plus": chunk(size=b"+%x" % len(FILE)) + END,
    "underscore": chunk(size=b"0_%x" % len(FILE)) + END,
    "comma": chunk(size=b"%x,%x" % (len(FILE), len(FILE))) + END,
    "no-digits": chunk(size=b"") + END,
    "letter": chunk(size=b"G") + END,
    "quoted": chunk(size=b'"%x"' % len(FILE)) + END,
    "wide-digits": chunk(size="\uff18\uff14".encode()) + END,
    "nul-after": chunk(size=b"%x\0" % len(FILE)) + END,
    "2^64": chunk(size=b"10000000000000000") + END,
    "2^64-and-length": chunk(size=b"1%016x" % len(FILE)) + END,
    "2^64-1": chunk(size=b"ffffffffffffffff") + END,
    "2^63": chunk(size=b"8000000000000000") + END,
    "2^63-1": chunk(size=b"7fffffffffffffff") + END,
    "2^32-and-length": chunk(size=b"1%08x" % len(FILE)) + END,
    "too-short": chunk(size=b"%x" % (len(FILE) - 3)) + END,
    "too-long": chunk(size=b"%x" % (len(FILE) + 3)) + END,
    "no-end-of-chunk": b"%x\r\n" % len(FILE) + FILE + END,
    "two-ends-of-chunk": b"%x\r\n" % len(FILE) + FILE + b"\r\n\r\n" + END,
    "end-first": END + chunk() + END,
    "bare-cr": chunk(ends=b"\r") + b"0\r\r",
    "bare-lf": chunk(ends=b"\n") + b"0\n\n",
    "bare-lf-after-size": b"%x\n" % len(FILE) + FILE + b"\r\n" + END,
    "bare-lf-after-data": b"%x\r\n" % len(FILE) + FILE + b"\n" + END,
    "bare-lf-at-end": chunk() + b"0\r\n\n",
    "cr-cr-lf-after-size": b"%x\r\r\n" % len(FILE) + FILE + b"\r\n" + END,
    "trailer": chunk() + b"0\r\nX-A: b\r\n\r\n",
    "trailer-length": chunk() + b"0\r\nContent-Length: 3\r\n\r\n",
    "trailer-encoding": chunk() + b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "trailer-host": chunk() + b"0\r\nHost: i\r\n\r\n",
    "trailer-request-line": chunk() + b"0\r\nGET /readyz HTTP/1.1\r\n\r\n",
    "trailer-no-colon": chunk() + b"0\r\nFoo\r\n\r\n",
    "trailer-folded": chunk() + b"0\r\nX-A: b\r\n c\r\n\r\n",
    "trailer-control": chunk() + b"0\r\nX-A: \x01\r\n\r\n",
    "trailer-40-KiB": chunk() + b"0\r\nX-A: " + b"v" * 40960 + b"\r\n\r\n",
    "trailers-5000": chunk() + b"0\r\n" + b"X-A: b\r\n" * 5000 + b"\r\n",
}

CASES = {**LENGTHS, **ENCODINGS, **HEADERS, **VERSIONS, **TARGETS, **METHODS, **SEVERAL}

# ---- what must come back ----


def read_answers(version):
    """Name of a case -> the answer with this version of libmicrohttpd, (1, 0, 1)."""
    answers, columns = {}, [(0, 9, 75), (1, 0, 1), (1, 0, 10)]
    known = sum(column <= version for column in columns)
    for line in (Path(__file__).parent / "hostile_answers.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, *cells = (cell.strip() for cell in line.split("|"))
            assert name not in answers, f"{name} stands there twice"
            assert len(cells) in (len(columns), len(columns) + 1), line
            answers[name] = [cell for cell in cells[:known] if cell != "="][-1]
    return answers
