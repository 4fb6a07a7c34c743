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
import itertools
import json
import re
from collections import namedtuple
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode, urlsplit

from fresh import Answer, Anything, Between, Fresh, Spelled, refuse, respell
from harness import PERMISSIONS
from model_docs import CODES as DOCS_CODES, DocsPart

TYPES = {"contact": "contacts", "company": "companies", "deal": "deals", "event": "events",
         "matter": "matters", "task": "tasks"}
_numbers = itertools.count()    # every document has a later one than those before it

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
    number: int = field(default_factory=lambda: next(_numbers))

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
class Cursor:
    """What comes after a page of a list in this order."""
    sort: str
    last: tuple
    text: Fresh = field(default_factory=lambda: Fresh("cursor"))


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


NOT_FOUND = refuse(404, "not_found")
FORBIDDEN = refuse(403, "insufficient_permissions")
DONE = Answer(204)


# ---- requests ----

Request = namedtuple("Request", "op ws who args key", defaults=(None,))

# body: True when it is JSON; dialect: "records", "upload" or "docs"
Op = namedtuple("Op", "permission method path body dialect", defaults=(False, "records"))
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
    "walk": Op("read:documents", "GET", "/v1/documents?{query}"),
    "upload": Op("extractions:write", "POST", "/api/v1/upload", False, "upload"),
    "docs_create": Op("write:docs", "POST", "/v1/docs", True, "docs"),
    "docs_get": Op("read:docs", "GET", "/v1/docs/{id}", False, "docs"),
    "docs_list": Op("read:docs", "GET", "/v1/docs?{query}", False, "docs"),
    "docs_patch": Op("write:docs", "PATCH", "/v1/docs/{id}", True, "docs"),
}
UPLOAD_TEXTS = {400: "There was an error parsing the body", 401: "Invalid or missing API key",
                403: "Insufficient permissions", 413: "Request Entity Too Large",
                422: "The idempotency key was used with another request"}


def multipart(files):
    """(Content-Type, body): never with the same boundary twice, which must not matter."""
    boundary = f"part-{next(_numbers)}"
    parts = [f"--{boundary}\r\nContent-Disposition: form-data; name=\"files\"; "
             f"filename=\"{name}\"\r\nContent-Type: {kind}\r\n\r\n".encode() + content + b"\r\n"
             for name, kind, content in files]
    return f"multipart/form-data; boundary={boundary}", \
        b"".join(parts) + f"--{boundary}--\r\n".encode()


def wire(request):
    """(method, target, headers, body): as it goes over the wire. The body is bytes or None."""
    op, args = OPS[request.op], dict(request.args)
    headers, body = {}, args.get("content")
    if request.key is not None:
        name = "X-Idempotency-Key" if op.dialect == "docs" else "Idempotency-Key"
        headers[name] = request.key
    if op.dialect == "docs":
        headers["Docs-Entity-ID"] = args["entity"]
    if "docs" in args:
        args["id"] = args["docs"].id if args["spelling"] == "records" else \
            respell(args["docs"].id.value, args["spelling"])
    if request.op == "walk":
        after = args["after"]
        args["query"] = {**args["query"], "cursor": after.text.value if after else ""}
    if "query" in args:
        args["query"] = urlencode(args["query"])
    if op.body:
        headers["Content-Type"] = "application/json"
        body = json.dumps(args["body"]).encode()
    if request.op == "upload":
        headers["Content-Type"], body = multipart(args["files"])
    target = op.path.format(**args)
    return op.method, urlsplit(target).path if target.startswith("http") else target, headers, body


def sent(request):
    """What makes a request another one under the same idempotency key."""
    if request.op == "upload":
        return request.op, request.args["files"]
    method, target, _, body = wire(request)
    return method, target, body


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

class Workspace(DocsPart):
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
        super().__init__()
        self.dropped = {}       # upl Fresh -> size: replaced, erased in the background
        self.caller = self.request = None

    # ---- the order of checks ----

    def answer(self, request):
        op, found = OPS[request.op], self.checked(request)
        if found.status >= 400 and op.dialect == "docs":
            return replace(found, code=DOCS_CODES[found.status])
        if found.status >= 400 and op.dialect == "upload":
            return Answer(found.status, {"detail": UPLOAD_TEXTS[found.status]}, bare=True)
        return found

    def checked(self, request):
        op, args = OPS[request.op], request.args
        self.request = Fresh("req")
        if op.permission is None:
            self.caller = None
            return self.receive_checked(request) if request.op == "receive" else \
                self.download(**args)
        self.caller = self.keys[request.who]
        if self.caller.revoked or args.get("entity", self.docs_entity) != self.docs_entity:
            return refuse(401, "invalid_key")
        needed = op.permission
        if request.op == "delete" and "hard=true" in args["hard"]:
            needed = "admin:documents"
        if needed not in self.caller.permissions:
            return FORBIDDEN
        if op.dialect == "docs":
            return self.docs_checked(request)
        found = faults(request.op, args["body"]) if op.body else None
        if found:
            return refuse(400, "validation_error", fields=found)
        if request.op == "make_key" and \
                not set(args["body"]["permissions"]) <= set(self.caller.permissions):
            return FORBIDDEN    # whoever asks for a replay must hold them as well
        return self.once(request)

    def once(self, request):
        """The work, or the answer kept under the idempotency key."""
        keyed = request.key is not None and OPS[request.op].method != "GET"
        if keyed and request.key in self.kept:
            before, answer = self.kept[request.key]
            return replace(answer, replayed=True) if before == sent(request) else \
                refuse(422, "idempotency_mismatch")
        now = sent(request) if keyed else None
        answer = getattr(self, request.op)(**request.args)
        if keyed and answer.status < 300:
            self.kept[request.key] = (now, answer)
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
        members = normal({name: body.get(name) for name in (
            "name", "description", "mime_type", "size_bytes", "storage_path", "folder", "tags")})
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

    def found(self, query):
        """The documents that a list's filters let through."""
        for doc in self.living():
            m = doc.members
            text = (m["name"] + "\n" + (m["description"] or "")).casefold()
            if "folder" in query and not ((m["folder"] or "") + "/").startswith(
                    query["folder"] + "/"):
                continue
            if "tag" in query and query["tag"] not in m["tags"] or \
                    "mime_type" in query and query["mime_type"] != m["mime_type"] or \
                    "search" in query and query["search"].casefold() not in text:
                continue
            yield doc

    def sorted(self, query):
        """(place in the order, document) of those found; two names may be equal, no place is."""
        sort = query.get("sort", "-created_at")
        by_name = sort.lstrip("-") == "name"
        places = [((doc.members["name"].encode() if by_name else b"", doc.number), doc)
                  for doc in self.found(query)]
        return sorted(places, key=lambda one: one[0], reverse=sort.startswith("-"))

    def list(self, query):
        found, meta = page_of([doc.shown() for _, doc in self.sorted(query)], query)
        return Answer(200, {"documents": found}, meta)

    def walk(self, query, after):
        sort, size = query.get("sort", "-created_at"), query.get("per_page", 25)
        places = self.sorted(query)
        if after and after.sort != sort:
            return refuse(400, "validation_error", fields=["cursor"])
        if after and sort.startswith("-"):
            places = [one for one in places if one[0] < after.last]
        elif after:
            places = [one for one in places if one[0] > after.last]
        page = places[:size]
        cursor = Cursor(sort, page[-1][0]) if len(places) > size else None
        return Answer(200, {"documents": [doc.shown() for _, doc in page]},
                      {"per_page": size, "next_cursor": cursor and cursor.text}, made=cursor)

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
        return Answer(201, {"upload_url": url.url, "method": "PUT", "headers": {},
                            "storage_path": url.path, "expires_at": Fresh("time")}, made=url)

    def receive_checked(self, request):
        url, content = request.args["url"], request.args["content"]
        if url.size is None or len(content) == url.size:
            return self.once(request)
        wrong = (413, "payload_too_large") if len(content) > url.size else (400, "validation_error")
        return refuse(403, "invalid_signature", also=(wrong,)) if url.used else refuse(*wrong)

    def receive(self, url, content):
        path = getattr(url.path, "value", url.path)
        if url.used:
            return refuse(403, "invalid_signature")
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

    def upload(self, files):
        if self.over(len(files), sum(len(content) for _, _, content in files)):
            return refuse(413, "quota_exceeded")
        new = []
        for name, kind, content in files:
            members = {"name": name, "description": None, "mime_type": kind.lower(),
                       "size_bytes": len(content), "storage_path": Fresh("path"), "folder": None,
                       "tags": []}
            new.append(Document(members, self.caller.user, content))
            self.line("create", "documents", new[-1].id)
        self.documents += new
        return Answer(200, [Spelled(doc.id, "upload") for doc in new], bare=True)

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
        granted = [one for one in PERMISSIONS if one in body["permissions"]]    # in this order
        key = Key(Fresh("key"), Fresh("secret"), granted, body["name"])
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
