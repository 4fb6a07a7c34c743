# SPDX-License-Identifier: Apache-2.0
"""
The contract as a program: what the server must answer, worked out in plain Python.

A Request names an operation, a workspace, the key it comes with and arguments that are the model's
own objects. wire() says how it is sent; Model.answer() says what must come back, and changes the
model as the server must have changed. What only the server can know (ids, times, URLs) is Fresh:
the first answer that shows it binds it, and every later one must show the same.

 I1  Nothing here is learnt from the server but the values of Fresh.
 I2  Answers are built anew for each request, so a kept one stays as it was (replays).
"""
import hashlib
import json
import re
from collections import namedtuple
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

from harness import PERMISSIONS

TYPES = {"contact": "contacts", "company": "companies", "deal": "deals", "event": "events",
         "matter": "matters", "task": "tasks"}
ULID = "[0-9A-HJKMNP-TV-Z]{26}"
SHAPES = {
    "time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "url": r"http://\S+", "secret": r"wbk_[a-z0-9]{52}",
    "prefix": r"wbk_[a-z0-9]+", "path": rf"workspaces/[^/]+/documents/{ULID}\.[a-z0-9]+",
    **{kind: f"{kind}_{ULID}" for kind in ("doc", "dlnk", "usr", "key", "upl", "req")},
}


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


# ---- what a workspace holds ----

@dataclass
class Key:
    id: Fresh
    secret: Fresh
    permissions: list
    name: object = Anything()
    user: Fresh = field(default_factory=lambda: Fresh("usr"))
    created: Fresh = field(default_factory=lambda: Fresh("time"))
    prefix: Fresh = field(default_factory=lambda: Fresh("prefix"))
    revoked: Fresh = None


@dataclass
class Link:
    document: object
    entity: tuple
    role: str
    number: int     # links made before it, in the workspace
    id: Fresh = field(default_factory=lambda: Fresh("dlnk"))
    created: Fresh = field(default_factory=lambda: Fresh("time"))


@dataclass
class Document:
    members: dict           # name ... tags, as answers show them
    author: Fresh
    content: bytes = None   # None until bytes have come
    id: Fresh = field(default_factory=lambda: Fresh("doc"))
    created: Fresh = field(default_factory=lambda: Fresh("time"))
    updated: Fresh = None
    alive: bool = True
    links: list = field(default_factory=list)
    references: dict = field(default_factory=dict)
    url: str = None         # the newest download URL an answer has shown

    def __post_init__(self):
        self.updated = self.updated or self.created

    def touch(self):
        self.updated = Fresh("time", since=self.updated)

    def shown(self, *names):
        everything = {"id": self.id, **self.members, "created_by": self.author,
                      "created_at": self.created, "updated_at": self.updated}
        return {name: everything[name] for name in names or everything}


@dataclass
class Url:
    """A signed URL for an upload."""
    path: object            # a text or Fresh
    size: int               # declared; None when not
    url: Fresh = field(default_factory=lambda: Fresh("url"))
    used: bool = False


@dataclass
class Entity:
    place: tuple
    name: str
    created: Fresh = field(default_factory=lambda: Fresh("time"))
    updated: Fresh = None

    def shown(self):
        return {"entity_type": self.place[0], "entity_id": self.place[1], "name": self.name,
                "created_at": self.created, "updated_at": self.updated or self.created}


@dataclass
class Line:
    """An audit line."""
    action: str
    kind: str
    resource: object
    details: dict
    key: Fresh              # None: the signed URL that came without one
    request: Fresh


@dataclass
class Answer:
    status: int
    data: object = None
    meta: dict = None
    code: str = None
    fields: list = None
    details: dict = None
    replayed: bool = False
    also: tuple = ()        # (status, code) that will do as well: two faults, no order between


def refuse(status, code, **more):
    return Answer(status, code=code, **more)


NOT_FOUND = refuse(404, "not_found")
FORBIDDEN = refuse(403, "insufficient_permissions")
DONE = Answer(204)


# ---- requests ----

Request = namedtuple("Request", "op ws who args key", defaults=(None,))

Op = namedtuple("Op", "permission method path body", defaults=(False,))
OPS = {
    "create": Op("write:documents", "POST", "/v1/documents", True),
    "get": Op("read:documents", "GET", "/v1/documents/{doc.id}?download={download}"),
    "list": Op("read:documents", "GET", "/v1/documents?{query}"),
    "patch": Op("write:documents", "PATCH", "/v1/documents/{doc.id}", True),
    "delete": Op("write:documents", "DELETE", "/v1/documents/{doc.id}{hard}"),
    "link": Op("write:documents", "POST", "/v1/documents/{doc.id}/link", True),
    "links": Op("read:documents", "GET", "/v1/documents/{doc.id}/links"),
    "unlink": Op("write:documents", "DELETE", "/v1/documents/{doc.id}/links/{link.id}"),
    "refer": Op("write:documents", "PUT", "/v1/documents/{doc.id}/references/{kind}/{ref}"),
    "unrefer": Op("write:documents", "DELETE", "/v1/documents/{doc.id}/references/{kind}/{ref}"),
    "references": Op("read:documents", "GET", "/v1/documents/{doc.id}/references"),
    "put_entity": Op("write:entities", "PUT", "/v1/entities/{place[0]}/{place[1]}", True),
    "get_entity": Op("read:entities", "GET", "/v1/entities/{place[0]}/{place[1]}"),
    "delete_entity": Op("write:entities", "DELETE", "/v1/entities/{place[0]}/{place[1]}"),
    "batch": Op("write:entities", "POST", "/v1/entities/batch", True),
    "entity_documents": Op("read:documents", "GET", "/v1/{plural}/{entity_id}/documents?{query}"),
    "ask": Op("write:documents", "POST", "/v1/documents/upload-url", True),
    "receive": Op(None, "PUT", "{url.url}"),
    "download": Op(None, "GET", "{doc.url}"),
    "usage": Op("read:documents", "GET", "/v1/usage"),
    "make_key": Op("admin:api_keys", "POST", "/v1/api-keys", True),
    "list_keys": Op("admin:api_keys", "GET", "/v1/api-keys?per_page=100&include_revoked={revoked}"),
    "revoke": Op("admin:api_keys", "DELETE", "/v1/api-keys/{target.id}"),
}


def wire(request):
    """(method, target, body): as it goes over the wire. The body is bytes or None."""
    op, args = OPS[request.op], request.args
    if request.op == "receive":
        return op.method, op.path.format(**args), args["content"]
    if "query" in args:
        args = {**args, "query": urlencode(args["query"])}
    body = json.dumps(args["body"]).encode() if op.body else None
    return op.method, op.path.format(**args), body


# ---- faults of a body ----

def _text(longest):
    return lambda v: isinstance(v, str) and 1 <= len(v) <= longest and v.isprintable()


def _folder(v):
    if not isinstance(v, str) or not v.startswith("/") or len(v) > 1024:
        return False
    parts = v[1:].removesuffix("/").split("/")
    return all(part not in ("", ".", "..") for part in parts)


def _path(v):
    return isinstance(v, str) and 1 <= len(v.encode()) <= 1024 and "\\" not in v and \
        all(part not in ("", ".", "..") for part in v.split("/"))


RULES = {
    "name": _text(255),
    "mime_type": lambda v: isinstance(v, str) and re.fullmatch(r"[\w.+-]+/[\w.+-]+", v) is not None,
    "storage_path": _path,
    "size_bytes": lambda v: type(v) is int and 0 <= v < 2**53,
    "description": lambda v: isinstance(v, str) and len(v) <= 4000,
    "folder": _folder,
    "tags": lambda v: isinstance(v, list) and len(v) <= 50 and all(map(_text(64), v)),
    "entity_type": lambda v: v in TYPES,
    "entity_id": lambda v: isinstance(v, str) and
    re.fullmatch(r"[A-Za-z0-9._:-]{1,128}", v) is not None,
    "role": _text(64),
    "permissions": lambda v: isinstance(v, list) and v and set(v) <= set(PERMISSIONS),
}
REQUIRED = {"create": ["name", "mime_type", "storage_path"], "link": ["entity_type", "entity_id"],
            "make_key": ["name", "permissions"]}


def faults(op, body):
    """The names of the faulty members."""
    if op == "batch":
        return [f"entities[{i}].{name}" for i, item in enumerate(body["entities"])
                for name in faults("link", item)]
    found = []
    required = REQUIRED.get(op, [])
    for name in {*required, *body} & set(RULES):
        value = body.get(name)
        if value is None:
            wrong = name in required or \
                (op == "patch" and name in body and name in ("name", "mime_type"))
        else:
            wrong = not RULES[name](value)
        if wrong:
            found.append(name)
    return sorted(found)


def normal(body):
    """Members as they are kept."""
    kept = dict(body)
    if kept.get("folder"):
        kept["folder"] = kept["folder"].removesuffix("/")
    if "tags" in kept:
        kept["tags"] = list(dict.fromkeys(kept["tags"] or []))
    if kept.get("mime_type"):
        kept["mime_type"] = kept["mime_type"].lower()
    return kept


def page_of(items, query):
    page, size = query.get("page", 1), query.get("per_page", 25)
    return items[(page - 1) * size:page * size], \
        {"page": page, "per_page": size, "total": len(items)}


# ---- the model ----

class Workspace:
    def __init__(self, entities="registered", verify=False, quota_bytes=None,
                 quota_documents=None):
        self.open, self.verify = entities == "open", verify
        self.quota_bytes, self.quota_documents = quota_bytes, quota_documents
        self.keys = []
        self.documents = []     # every one there ever was, oldest first
        self.objects = {}       # path -> (bytes, upl Fresh): waiting for a record
        self.entities = {}
        self.kept = {}          # idempotency key -> (what was sent, Answer)
        self.lines = []
        self.linked = 0         # links there ever were
        self.pending = 0        # bytes that a soft delete has left
        self.dropped = {}       # upl Fresh -> size: replaced, erased in the background
        self.caller = self.request = None

    # ---- the order of checks ----

    def answer(self, request):
        op = OPS[request.op]
        self.request = Fresh("req")
        if op.permission is None:
            self.caller = None
            return getattr(self, request.op)(**request.args)
        self.caller = self.keys[request.who]
        if self.caller.revoked:
            return refuse(401, "invalid_key")
        needed = op.permission
        if request.op == "delete" and "hard=true" in request.args["hard"]:
            needed = "admin:documents"
        if needed not in self.caller.permissions:
            return FORBIDDEN
        found = faults(request.op, request.args["body"]) if op.body else None
        if found:
            return refuse(400, "validation_error", fields=found)
        return self.once(request)

    def once(self, request):
        """The work, or the answer kept under the idempotency key."""
        keyed = request.key is not None and OPS[request.op].method != "GET"
        sent = wire(request)
        if keyed and request.key in self.kept:
            before, answer = self.kept[request.key]
            return replace(answer, replayed=True) if before == sent else \
                refuse(422, "idempotency_mismatch")
        answer = getattr(self, request.op)(**request.args)
        if keyed and answer.status < 300:
            self.kept[request.key] = (sent, answer)
        return answer

    def line(self, action, kind, resource, details=None):
        self.lines.append(Line(action, kind, resource, details or {},
                               self.caller and self.caller.id, self.request))

    # ---- documents ----

    def living(self):
        return [doc for doc in self.documents if doc.alive]

    def has(self, doc):
        return doc.alive and any(doc is one for one in self.documents)

    def at(self, path):
        return next((doc for doc in self.living() if doc.members["storage_path"] == path), None)

    def totals(self):
        docs = self.living()
        return len(docs), sum(doc.members["size_bytes"] or 0 for doc in docs) + \
            sum(len(content) for content, _ in self.objects.values())

    def over(self, documents, more):
        now_documents, now_bytes = self.totals()
        return (documents and self.quota_documents is not None and
                now_documents + documents > self.quota_documents) or \
            (more > 0 and self.quota_bytes is not None and now_bytes + more > self.quota_bytes)

    def create(self, body):
        members = normal({"name": None, "description": None, "mime_type": None,
                          "size_bytes": None, "storage_path": None, "folder": None, "tags": [],
                          **body})
        path, declared = members["storage_path"], members["size_bytes"]
        content, _ = self.objects.get(path, (None, None))
        if self.at(path):
            return refuse(409, "storage_conflict")
        if content is None and self.verify:
            return refuse(400, "validation_error", fields=["storage_path"])
        if content is not None and declared not in (None, len(content)):
            return refuse(400, "validation_error", fields=["size_bytes"])
        if self.over(1, (declared or 0) if content is None else 0):
            return refuse(413, "quota_exceeded")
        if content is not None:
            members["size_bytes"] = len(content)
            del self.objects[path]
        doc = Document(members, self.caller.user, content)
        self.documents.append(doc)
        self.line("create", "documents", doc.id)
        return Answer(201, doc.shown())

    def get(self, doc, download):
        if not self.has(doc):
            return NOT_FOUND
        shown = doc.shown()
        shown["linked_entities"] = [
            {"entity_type": link.entity[0], "entity_id": link.entity[1], "role": link.role}
            for link in doc.links]
        if download == "true":
            there = doc.content is not None
            shown["download_url"] = Fresh("url") if there else None
            shown["download_url_expires_at"] = Fresh("time") if there else None
        return Answer(200, shown)

    def list(self, query):
        found = []
        for doc in reversed(self.living()):
            m = doc.members
            text = (m["name"] + "\n" + (m["description"] or "")).casefold()
            if "folder" in query and not ((m["folder"] or "") + "/").startswith(
                    query["folder"] + "/"):
                continue
            if "tag" in query and query["tag"] not in m["tags"] or \
                    "mime_type" in query and query["mime_type"] != m["mime_type"] or \
                    "search" in query and query["search"].casefold() not in text:
                continue
            found.append(doc.shown())
        found, meta = page_of(found, query)
        return Answer(200, {"documents": found}, meta)

    def patch(self, doc, body):
        if not self.has(doc):
            return NOT_FOUND
        changed = normal({name: value for name, value in body.items()
                          if name in ("name", "description", "mime_type", "folder", "tags")})
        doc.members = {**doc.members, **changed}
        doc.touch()
        self.line("update", "documents", doc.id)
        return Answer(200, doc.shown())

    def delete(self, doc, hard):
        if not self.has(doc):
            return NOT_FOUND
        if doc.references:
            return refuse(409, "in_use", details={"references": [
                {"type": kind, "id": ref} for kind, ref in sorted(doc.references)]})
        doc.alive, doc.links = False, []
        details = {"hard": True} if hard else {}
        self.line("delete", "documents", doc.id, details)
        if doc.content is not None and hard:
            self.line("purge", "documents", doc.id, details)
        elif doc.content is not None:
            self.pending += len(doc.content)
        return DONE

    # ---- links and references ----

    def exists(self, place):
        return self.open or place in self.entities

    def link(self, doc, body):
        place = (body["entity_type"], body["entity_id"])
        if not self.has(doc) or not self.exists(place):
            return NOT_FOUND
        found = next((link for link in doc.links if link.entity == place), None)
        link = found or Link(doc, place, body.get("role"), self.linked)
        if not found:
            self.linked += 1
            doc.links.append(link)
            self.line("link", "documents", doc.id, {"link_id": link.id})
        return Answer(200 if found else 201, self.shown_link(link))

    @staticmethod
    def shown_link(link):
        return {"link_id": link.id, "document_id": link.document.id,
                "entity_type": link.entity[0], "entity_id": link.entity[1], "role": link.role,
                "created_at": link.created}

    def links(self, doc):
        if not self.has(doc):
            return NOT_FOUND
        return Answer(200, {"links": [self.shown_link(link) for link in doc.links]})

    def unlink(self, doc, link):
        if not self.has(doc) or not any(link is one for one in doc.links):
            return NOT_FOUND
        doc.links = [one for one in doc.links if one is not link]
        self.line("unlink", "documents", doc.id, {"link_id": link.id})
        return DONE

    def refer(self, doc, kind, ref):
        if not self.has(doc):
            return NOT_FOUND
        if (kind, ref) not in doc.references:
            doc.references[kind, ref] = Fresh("time")
            self.line("update", "documents", doc.id, {"reference_added": f"{kind}/{ref}"})
        return DONE

    def unrefer(self, doc, kind, ref):
        if not self.has(doc):
            return NOT_FOUND
        if doc.references.pop((kind, ref), None):
            self.line("update", "documents", doc.id, {"reference_removed": f"{kind}/{ref}"})
        return DONE

    def references(self, doc):
        if not self.has(doc):
            return NOT_FOUND
        return Answer(200, {"references": [
            {"type": kind, "id": ref, "created_at": created}
            for (kind, ref), created in sorted(doc.references.items(), key=lambda item: item[0])]})

    # ---- entities ----

    def put(self, place, body):
        """True when the entity is new."""
        entity = self.entities.get(place)
        if entity is None:
            self.entities[place] = Entity(place, body.get("name"))
            self.line("create", "entities", "/".join(place))
            return True
        if "name" in body:      # nothing to say otherwise, and no effect
            entity.name = body["name"]
            entity.updated = Fresh("time", since=entity.updated or entity.created)
            self.line("update", "entities", "/".join(place))
        return False

    def put_entity(self, place, body):
        new = self.put(place, body)
        return Answer(201 if new else 200, self.entities[place].shown())

    def get_entity(self, place):
        return Answer(200, self.entities[place].shown()) if place in self.entities else NOT_FOUND

    def delete_entity(self, place):
        if place not in self.entities:
            return NOT_FOUND
        del self.entities[place]
        for doc in self.documents:
            doc.links = [link for link in doc.links if link.entity != place]
        self.line("delete", "entities", "/".join(place))
        return DONE

    def batch(self, body):
        new = [self.put((item["entity_type"], item["entity_id"]), item)
               for item in body["entities"]]
        return Answer(200, {"created": new.count(True), "updated": new.count(False)})

    def entity_documents(self, plural, entity_id, query):
        place = (next(kind for kind, many in TYPES.items() if many == plural), entity_id)
        if not self.exists(place):
            return NOT_FOUND
        links = [link for doc in self.documents for link in doc.links if link.entity == place and
                 query.get("role", link.role) == link.role]
        items = []
        for link in sorted(links, key=lambda link: -link.number):
            shown = link.document.shown("id", "name", "mime_type", "size_bytes", "folder", "tags")
            items.append({**shown, "role": link.role, "linked_at": link.created,
                          "created_at": link.document.created})
        found, meta = page_of(items, query)
        return Answer(200, {"documents": found}, meta)

    # ---- bytes ----

    def ask(self, body):
        url = Url(body.get("storage_path") or Fresh("path"), body.get("size_bytes"))
        answer = Answer(201, {"upload_url": url.url, "method": "PUT", "headers": {},
                              "storage_path": url.path, "expires_at": Fresh("time")})
        answer.made = url
        return answer

    def receive(self, url, content):
        path = getattr(url.path, "value", url.path)
        wrong = ()
        if url.size is not None and len(content) != url.size:
            wrong = (413, "payload_too_large") if len(content) > url.size else \
                (400, "validation_error")
        if url.used:
            return refuse(403, "invalid_signature", also=(wrong,))
        if wrong:
            return refuse(*wrong)
        doc, (old, upload) = self.at(path), self.objects.get(path, (None, None))
        if doc and doc.content is not None:
            return refuse(409, "storage_conflict")
        before = (doc.members["size_bytes"] or 0) if doc else len(old or b"")
        if self.over(0, len(content) - before):
            return refuse(413, "quota_exceeded")
        url.used = True
        new = Fresh("upl")
        if doc:
            doc.content = content
            doc.members = {**doc.members, "size_bytes": len(content)}
            doc.updated = Fresh("time", since=doc.updated)
        else:
            self.objects[path] = (content, new)
        if old is not None:
            self.dropped[upload] = len(old)
            self.line("delete", "uploads", upload, {"storage_path": path})
        self.line("create", "uploads", new, {"storage_path": path})
        return Answer(200, {"storage_path": path, "size_bytes": len(content),
                            "sha256": hashlib.sha256(content).hexdigest()})

    def download(self, doc):
        return Answer(200, doc.content) if doc.alive else NOT_FOUND

    # ---- the rest ----

    def usage(self):
        documents, count = self.totals()
        return Answer(200, {
            "documents": documents, "bytes": count, "quota_documents": self.quota_documents,
            "quota_bytes": self.quota_bytes,
            "pending_purge_bytes": Between(self.pending,
                                           self.pending + sum(self.dropped.values()))})

    def make_key(self, body):
        if not set(body["permissions"]) <= set(self.caller.permissions):
            return FORBIDDEN
        key = Key(Fresh("key"), Fresh("secret"), list(body["permissions"]), body["name"])
        self.keys.append(key)
        self.line("create", "api_keys", key.id)
        return Answer(201, {
            "id": key.id, "key": key.secret, "prefix": key.prefix, "name": key.name,
            "description": None, "permissions": key.permissions,
            "rate_limit_tier": "unmetered", "expires_at": None, "created_at": key.created})

    def keys_in_force(self):
        return [key for key in self.keys if not key.revoked]

    def revoke(self, target):
        if not any(target is key for key in self.keys):
            return NOT_FOUND
        if target.revoked:
            return DONE
        if [key for key in self.keys_in_force() if "admin:api_keys" in key.permissions] == [target]:
            return FORBIDDEN
        target.revoked = Fresh("time")
        self.line("delete", "api_keys", target.id)
        return DONE

    def list_keys(self, revoked):
        keys = self.keys if revoked == "true" else self.keys_in_force()
        return Answer(200, {"api_keys": [
            {"id": key.id, "prefix": key.prefix, "name": key.name, "description": None,
             "permissions": key.permissions, "rate_limit_tier": "unmetered", "expires_at": None,
             "created_at": key.created, "created_by": Anything(), "last_used_at": Anything(),
             "revoked_at": key.revoked} for key in reversed(keys)]},
            {"page": 1, "per_page": 100, "total": len(keys)})
