# SPDX-License-Identifier: Apache-2.0
"""
What a model expects of an answer, and whether the answer is that.

An expected value is a plain one, or one of the kinds below for what only the server can know.
"""
import re
from dataclasses import dataclass

ULID = "[0-9A-HJKMNP-TV-Z]{26}"
SHAPES = {
    "time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "url": r"http://\S+", "secret": r"wbk_[a-z0-9]{52}",
    "prefix": r"wbk_[a-z0-9]+", "path": rf"workspaces/[^/]+/documents/{ULID}\.[a-z0-9]+",
    "owner": r"[0-9a-z]{26}", "cursor": r"[A-Za-z0-9_-]+",
    **{kind: f"{kind}_{ULID}" for kind in ("doc", "docs", "dlnk", "usr", "key", "upl", "req")},
}
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"


class Disagreement(AssertionError):
    """The server's answer is not the model's."""


class Fresh:
    """A text that the server makes up, of a shape; `since`: a time not before that one."""

    def __init__(self, kind, value=None, since=None):
        self.kind, self.value, self.since = kind, value, since

    def __repr__(self):
        return self.value or f"<new {self.kind}>"

    def floor(self):
        """The latest value known of those before; "" when there is none."""
        before = self.since
        return "" if before is None else before.value or before.floor()

    def accepts(self, actual):
        if self.value is None and isinstance(actual, str) and \
                re.fullmatch(SHAPES[self.kind], actual) and \
                actual >= self.floor():
            self.value = actual
        return actual == self.value and actual is not None


def _digits(number, alphabet):
    text = ""
    for _ in range(26):
        number, digit = divmod(number, len(alphabet))
        text = alphabet[digit] + text
    return text


def respell(text, spelling):
    """An id in the records spelling, in that of another dialect."""
    number = 0
    for sign in text.rsplit("_", 1)[1]:
        number = number * 32 + CROCKFORD.index(sign)
    if spelling == "docs":
        return _digits(number, BASE36)
    digits = f"{number:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


class Spelled:
    """A Fresh id in the spelling of another dialect: "docs" or "upload"."""

    def __init__(self, fresh, spelling):
        self.fresh, self.spelling = fresh, spelling

    def __repr__(self):
        return respell(self.fresh.value, self.spelling) if self.fresh.value else repr(self.fresh)

    def accepts(self, actual):
        if not isinstance(actual, str) or not re.fullmatch(r"[0-9a-z-]{26,36}", actual):
            return False
        digits = actual.replace("-", "")
        number = int(digits, 36 if self.spelling == "docs" else 16)
        records = f"{self.fresh.kind}_{_digits(number, CROCKFORD)}"
        return self.fresh.accepts(records) and actual == repr(self)


@dataclass(frozen=True)
class Between:
    """A number that also depends on what runs in the background."""
    low: int
    high: int

    def accepts(self, actual):
        return self.low <= actual <= self.high


class Anything:
    def accepts(self, _actual):
        return True

    def __repr__(self):
        return "..."


def match(expected, actual, where="data"):
    """Raises Disagreement at the first place where they differ; members stand in order."""
    if hasattr(expected, "accepts"):
        fits = expected.accepts(actual)
    elif isinstance(expected, dict) and isinstance(actual, dict):
        fits = list(expected) == list(actual)
        for name in expected if fits else ():
            match(expected[name], actual[name], f"{where}.{name}")
    elif isinstance(expected, list) and isinstance(actual, list):
        fits = len(expected) == len(actual)
        for i, (one, other) in enumerate(zip(expected, actual) if fits else ()):
            match(one, other, f"{where}[{i}]")
    else:
        fits = type(expected) is type(actual) and expected == actual
    if not fits:
        raise Disagreement(f"{where}: expected {expected!r}, got {actual!r}")


@dataclass
class Answer:
    status: int
    data: object = None
    meta: dict = None
    code: str = None
    fields: list = None
    details: dict = None
    replayed: bool = False
    bare: bool = False      # no envelope around the data
    made: object = None     # Url, Cursor or Docs that the answer shows
    also: tuple = ()        # (status, code) that will do as well: two faults, no order between


def refuse(status, code=None, **more):
    return Answer(status, code=code, **more)
