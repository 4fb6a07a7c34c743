# SPDX-License-Identifier: Apache-2.0
"""
The server's own OpenAPI 3.1 document, as the rule for its answers.

An answer fits when its status is documented for its operation, the documented required headers
are there, and its body fits the schema of its media type (JSON Schema 2020-12, RFC 8259).
"""
import json
import re

from jsonschema import Draft202012Validator, FormatChecker, RefResolver

METHODS = ("get", "head", "post", "put", "patch", "delete")
_documents = {}


def essence(media_type):
    """A media type without its parameters."""
    return media_type.split(";")[0].strip()


def document(content):
    """The Document of these bytes; one for all servers that show the same."""
    if content not in _documents:
        _documents[content] = Document(json.loads(content))
    return _documents[content]


class Document:
    def __init__(self, tree):
        self.tree = tree
        self.resolver = RefResolver("", tree)
        self.operations = []
        for path, item in tree["paths"].items():
            for method in METHODS:
                if method in item:
                    self.operations.append(Operation(self, method, path, item[method]))
        # a segment spelled out wins over one that stands for a name
        self.operations.sort(key=lambda op: -len(op.path.split("{")[0]))

    def operation(self, method, path):
        """The Operation of a request, None when no path fits."""
        method = "get" if method == "HEAD" else method.lower()
        best = next((op.path for op in self.operations if op.matches(path)), None)
        for op in self.operations:
            if op.method == method and op.path == best:
                return op
        return None

    def follow(self, node):
        """What a node stands for, when it is a reference."""
        while "$ref" in node:
            node = self.resolver.resolve(node["$ref"])[1]
        return node


class Operation:
    def __init__(self, owner, method, path, tree):
        self.document = owner
        self.method = method
        self.path = path
        self.tree = tree
        self.id = tree["operationId"]
        self._pattern = re.compile(re.sub(r"\\{.*?\\}", "[^/]+", re.escape(path)))
        self._validators = {}

    def matches(self, path):
        return self._pattern.fullmatch(path) is not None

    @property
    def secured(self):
        """True when it asks for a key."""
        security = self.tree.get("security", self.document.tree.get("security", []))
        return bool(security) and {} not in security

    @property
    def statuses(self):
        return {int(status) for status in self.tree["responses"] if status.isdigit()}

    def response(self, status):
        return self.document.follow(self.tree["responses"][str(status)])

    def _validator(self, status, media_type, schema):
        key = (status, media_type)
        if key not in self._validators:
            self._validators[key] = Draft202012Validator(
                schema, resolver=self.document.resolver, format_checker=FormatChecker())
        return self._validators[key]

    def check(self, answer, body=True):
        status = answer.status_code
        where = f"{self.id} {status}"
        assert str(status) in self.tree["responses"], \
            f"{where} is not documented; {answer.text[:300]!r}"
        response = self.response(status)
        for name, header in response.get("headers", {}).items():
            if self.document.follow(header).get("required"):
                assert name in answer.headers, f"{where}: no header {name}"
        if body:
            self._check_body(answer, response, where)

    def _check_body(self, answer, response, where):
        content = response.get("content", {})
        if not content:
            assert not answer.content, f"{where}: a body where none is documented"
            return
        media_type = essence(answer.headers.get("Content-Type", ""))
        content = {essence(name): node for name, node in content.items()}
        found = content.get(media_type) or content.get("*/*")
        assert found is not None, f"{where}: {media_type!r} is not one of {list(content)}"
        if media_type != "application/json" or "schema" not in found:
            return
        validator = self._validator(answer.status_code, media_type, found["schema"])
        problems = sorted(validator.iter_errors(answer.json()), key=str)
        assert not problems, f"{where}: {problems[0].message} at {list(problems[0].path)}"
