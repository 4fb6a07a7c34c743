# SPDX-License-Identifier: Apache-2.0
"""The docs dialect in the model: Docs objects and their owners. Part of model.Workspace."""
import re
from dataclasses import dataclass, field

from fresh import Answer, Fresh, Spelled, refuse

CODES = {400: "BAD_REQUEST", 401: "UNAUTHORIZED", 403: "FORBIDDEN", 404: "NOT_FOUND",
         409: "CONFLICT", 422: "UNPROCESSABLE_ENTITY"}


@dataclass
class Owner:
    """The user that Docs objects belong to."""
    id: object              # a text or Fresh
    external: str

    def named(self, text):
        return text == getattr(self.id, "value", self.id)


@dataclass
class Docs:
    owner: Owner
    status: str = "created"
    id: Fresh = field(default_factory=lambda: Fresh("docs"))

    def shown(self):
        return {"id": Spelled(self.id, "docs"), "status": self.status,
                "owner": {"id": self.owner.id, "type": "User", "externalId": self.owner.external}}


def create_faults(body):
    """400 when anything is missing, 422 when all that is wrong is wrong; else None."""
    owner = body.get("owner")
    missing = [name for name in ("type", "owner") if body.get(name) is None]
    wrong = []
    if body.get("type") is not None and not re.fullmatch("[a-z][a-z0-9_-]{0,63}", body["type"]):
        wrong.append("type")
    for name, rule in (("id", "[0-9a-z]{20,32}"), ("externalId", ".{1,255}")):
        value = (owner or {}).get(name)
        if value is not None and not re.fullmatch(rule, value):
            wrong.append("owner." + name)
    if missing or wrong:
        return refuse(400 if missing else 422, fields=missing + wrong)
    return None


def patch_faults(body):
    if len(body) != 1 or "value" not in body[0]:
        return refuse(400)
    if (body[0]["op"], body[0]["path"]) != ("replace", "/status"):
        return refuse(400, fields=["op"])
    if body[0]["value"] not in ("active", "pending", "block"):
        return refuse(422, fields=["value"])
    return None


class DocsPart:
    """What it uses of the workspace: line()."""

    def __init__(self):
        self.docs_entity = None
        self.owners = []
        self.docs = []
        self.docs_kept = {}     # X-Idempotency-Key -> Docs

    def docs_checked(self, request):
        args, key = request.args, request.key
        if request.op == "docs_create":
            refused = create_faults(args["body"])
            if not refused and key is None:
                refused = refuse(400, fields=["X-Idempotency-Key"])
            if not refused and key in self.docs_kept:
                before = self.docs_kept[key]
                refused = refuse(409, details={"id": Spelled(before.id, "docs")})
        elif request.op == "docs_patch":
            refused = patch_faults(args["body"])
        else:
            refused = None
        if refused:
            return refused
        answer = getattr(self, request.op)(**{name: value for name, value in args.items()
                                              if name not in ("entity", "spelling")})
        if request.op == "docs_create" and answer.status == 201:
            self.docs_kept[key] = answer.made
        return answer

    def docs_create(self, body):
        by_id, external = body["owner"].get("id"), body["owner"].get("externalId")
        if by_id is None and external is None:
            return refuse(400, fields=["owner"])
        one = next((owner for owner in self.owners if by_id and owner.named(by_id)), None)
        other = next((owner for owner in self.owners
                      if external is not None and owner.external == external), None)
        owner = one or other
        if owner is None and external is None:
            return refuse(400, fields=["owner.id"])
        if owner is None:
            owner = Owner(by_id or Fresh("owner"), external)
            self.owners.append(owner)
        elif by_id is not None and external is not None and one is not other:
            return refuse(422, fields=["owner"])
        docs = Docs(owner)
        self.docs.append(docs)
        self.line("create", "docs", docs.id)
        shown = docs.shown()
        del shown["owner"]["type"]
        return Answer(201, shown, bare=True, made=docs)

    def docs_get(self, docs):
        there = any(docs is one for one in self.docs)
        return Answer(200, docs.shown(), bare=True) if there else refuse(404)

    def docs_list(self, query):
        return Answer(200, [docs.shown() for docs in self.docs
                            if docs.owner.external == query["externalId"]], bare=True)

    def docs_patch(self, docs, body):
        if not any(docs is one for one in self.docs):
            return refuse(404)
        docs.status = body[0]["value"]
        self.line("update", "docs", docs.id, {"status": docs.status})
        return Answer(200, docs.shown(), bare=True)
