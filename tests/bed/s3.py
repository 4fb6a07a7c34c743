# SPDX-License-Identifier: Apache-2.0
"""
A small S3 client of the tests' own: what they look at in a bucket is not seen through the
code under test. Path style, Signature Version 4.
https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""
import base64
import datetime
import hashlib
import hmac
import http.client
from collections import namedtuple
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

SECONDS = 60
Answer = namedtuple("Answer", "status headers body")


class Refused(Exception):
    """The store answered something else than success."""


def _hmac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class Client:
    """`endpoint`: http://HOST:PORT. Every call is a connection of its own."""

    def __init__(self, endpoint, access_key, secret_key, region="us-east-1"):
        self.endpoint, self.region = endpoint, region
        self.access_key, self.secret_key = access_key, secret_key

    def request(self, method, path, body=b"", query=(), headers=()):
        """Sends one signed request, whatever the answer; `path` begins with the bucket."""
        host = urlsplit(self.endpoint).netloc
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        target = "/" + quote(path.lstrip("/"), safe="/-_.~")
        text = "&".join(f"{quote(name, safe='-_.~')}={quote(str(value), safe='-_.~')}"
                        for name, value in sorted(dict(query).items()))
        digest = hashlib.sha256(body).hexdigest()
        sent = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": now,
                **{name.lower(): value for name, value in dict(headers).items()}}
        signed = ";".join(sorted(sent))
        lines = "".join(f"{name}:{sent[name]}\n" for name in sorted(sent))
        canonical = "\n".join((method, target, text, lines, signed, digest))
        scope = f"{now[:8]}/{self.region}/s3/aws4_request"
        to_sign = "\n".join(("AWS4-HMAC-SHA256", now, scope,
                             hashlib.sha256(canonical.encode()).hexdigest()))
        key = ("AWS4" + self.secret_key).encode()
        for part in scope.split("/"):
            key = _hmac(key, part)
        sent["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.access_key}/{scope}, SignedHeaders={signed},"
            f" Signature={_hmac(key, to_sign).hex()}")
        connection = http.client.HTTPConnection(host, timeout=SECONDS)
        try:
            connection.request(method, target + ("?" + text if text else ""), body, sent)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def _done(self, method, path, *args, **options):
        answer = self.request(method, path, *args, **options)
        if answer.status // 100 != 2:
            raise Refused(f"{method} {path}: {answer.status} {answer.body[:500]!r}")
        return answer

    def make_bucket(self, bucket):
        self._done("PUT", bucket)

    def put(self, bucket, key, body, **headers):
        self._done("PUT", f"{bucket}/{key}", body, headers=headers)

    def get(self, bucket, key):
        """The bytes; None when there is no such object."""
        answer = self.request("GET", f"{bucket}/{key}")
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise Refused(f"GET {bucket}/{key}: {answer.status} {answer.body[:500]!r}")
        return answer.body

    def delete(self, bucket, key):
        self._done("DELETE", f"{bucket}/{key}")

    def _pages(self, bucket, marker, element, **query):
        while True:
            page = ElementTree.fromstring(self._done("GET", bucket, query=query).body)
            yield from page.findall(f"{{*}}{element}")
            if page.findtext("{*}IsTruncated") != "true":
                return
            for name, source in marker.items():
                query[name] = page.findtext("{*}" + source)

    def keys(self, bucket, prefix=""):
        """Every key that begins with `prefix`, in order."""
        pages = self._pages(bucket, {"continuation-token": "NextContinuationToken"}, "Contents",
                            **{"list-type": 2, "prefix": prefix})
        return [entry.findtext("{*}Key") for entry in pages]

    def uploads(self, bucket, prefix=""):
        """(key, upload id) of the multipart uploads that were begun and not ended."""
        pages = self._pages(bucket, {"key-marker": "NextKeyMarker",
                                     "upload-id-marker": "NextUploadIdMarker"}, "Upload",
                            uploads="", prefix=prefix)
        return [(entry.findtext("{*}Key"), entry.findtext("{*}UploadId")) for entry in pages]

    def clear(self, bucket, prefix=""):
        """Deletes what is below a prefix, and its unfinished uploads."""
        for key, upload in self.uploads(bucket, prefix):
            self._done("DELETE", f"{bucket}/{key}", query={"uploadId": upload})
        keys = self.keys(bucket, prefix)
        for at in range(0, len(keys), 1000):
            entries = "".join(f"<Object><Key>{escape(key)}</Key></Object>"
                              for key in keys[at:at + 1000])
            body = f"<Delete><Quiet>true</Quiet>{entries}</Delete>".encode()
            digest = base64.b64encode(hashlib.md5(body).digest()).decode()
            answer = self._done("POST", bucket, body, {"delete": ""}, {"Content-MD5": digest})
            if b"<Error>" in answer.body:
                raise Refused(f"not all deleted: {answer.body[:500]!r}")
