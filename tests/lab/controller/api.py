# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Answers as the API of AWX does to the modules of awx.awx, and remembers all requests. No controller: nothing runs."""

from __future__ import annotations

import itertools
import json
import threading
import typing as t
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

Item = dict[str, t.Any]
HIDDEN = "$encrypted$"

# Fields of each kind with their defaults; ... must be given, and whatever else is sent is ignored.
ASKS = ("inventory", "credential", "job_type", "diff_mode", "limit", "variables", "tags", "skip_tags", "scm_branch")
ASKED: Item = {f"ask_{name}_on_launch": False for name in ASKS}
PROMPTS: Item = {
    "extra_data": {},
    "inventory": None,
    "job_type": None,
    "limit": None,
    "job_tags": None,
    "diff_mode": None,
}
FIELDS: dict[str, Item] = {
    "organizations": {"name": ..., "description": "", "max_hosts": 0, "default_environment": None},
    "execution_environments": {"name": ..., "image": ..., "description": "", "organization": None, "pull": ""},
    "credential_types": {"name": ..., "kind": ..., "description": "", "inputs": {}, "injectors": {}, "managed": False},
    "credentials": {"name": ..., "credential_type": ..., "organization": None, "description": "", "inputs": {}},
    "projects": {
        "name": ...,
        "organization": None,
        "description": "",
        "scm_type": "",
        "scm_url": "",
        "scm_branch": "",
        "default_environment": None,
        "scm_revision": "",
    },
    "inventories": {
        "name": ...,
        "organization": ...,
        "description": "",
        "kind": "",
        "host_filter": None,
        "variables": "",
    },
    "hosts": {"name": ..., "inventory": ..., "description": "", "enabled": True, "variables": ""},
    "groups": {"name": ..., "inventory": ..., "description": "", "variables": ""},
    "job_templates": {
        "name": ...,
        "project": ...,
        "playbook": ...,
        "organization": None,
        "inventory": None,
        "description": "",
        "job_type": "run",
        "execution_environment": None,
        "extra_vars": "",
        "survey_enabled": False,
        "allow_simultaneous": False,
        **ASKED,
    },
    "workflow_job_templates": {
        "name": ...,
        "organization": None,
        "description": "",
        "extra_vars": "",
        "survey_enabled": False,
        **ASKED,
    },
    "workflow_job_template_nodes": {
        "identifier": ...,
        "workflow_job_template": ...,
        "unified_job_template": None,
        "all_parents_must_converge": False,
        **PROMPTS,
    },
    "workflow_approval_templates": {"name": ..., "description": "", "timeout": 0},
    "schedules": {
        "name": ...,
        "rrule": ...,
        "unified_job_template": ...,
        "description": "",
        "enabled": True,
        **PROMPTS,
    },
}
TYPES = {"inventories": "inventory"}
# What a field that holds a number points to.
POINTERS = {
    "organization": ("organizations",),
    "inventory": ("inventories",),
    "project": ("projects",),
    "execution_environment": ("execution_environments",),
    "default_environment": ("execution_environments",),
    "credential_type": ("credential_types",),
    "workflow_job_template": ("workflow_job_templates",),
    "unified_job_template": ("job_templates", "projects", "workflow_job_templates", "workflow_approval_templates"),
}


class Refused(Exception):
    """The request is answered with a status and a document."""

    def __init__(self, status: int, document: Item) -> None:
        super().__init__(status)
        self.status = status
        self.document = document


class Controller:
    """The objects, by kind and number, and what was asked."""

    def __init__(self, token: str) -> None:
        """Take the token that every request has to bring."""
        self.token = token
        self.requests: list[tuple[str, str]] = []
        self.lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Become as after the installation."""
        self._numbers = itertools.count(1)
        self.kinds: dict[str, dict[int, Item]] = {kind: {} for kind in FIELDS}
        self.links: dict[str, list[int]] = {}
        self.surveys: dict[int, Item] = {}
        secret = [{"id": "username"}, {"id": "ssh_key_data", "secret": True}]
        self.create("credential_types", {"name": "Machine", "kind": "ssh", "inputs": {"fields": secret}})

    @property
    def writes(self) -> list[tuple[str, str]]:
        """Return the requests that would change something."""
        return [(method, path) for method, path in self.requests if method != "GET"]

    def create(self, kind: str, sent: Item) -> Item:
        """Add an object. Raises Refused as the API would refuse it."""
        missing = [name for name, default in FIELDS[kind].items() if default is ... and sent.get(name) in (None, "")]
        if missing:
            raise Refused(400, {name: ["This field is required."] for name in missing})
        number = next(self._numbers)
        self.kinds[kind][number] = {name: None if default is ... else default for name, default in FIELDS[kind].items()}
        try:
            return self.update(kind, number, sent)
        except Refused:
            del self.kinds[kind][number]
            raise

    def update(self, kind: str, number: int, sent: Item) -> Item:
        """Change an object. Raises Refused as the API would refuse it."""
        item = self.find(kind, number)
        known = {name: value for name, value in sent.items() if name in FIELDS[kind]}
        for name, value in known.items():
            if value is not None and name in POINTERS and not any(value in self.kinds[to] for to in POINTERS[name]):
                raise Refused(400, {name: [f"Invalid pk {value!r} - object does not exist."]})
            if value is None and FIELDS[kind][name] == "":
                known[name] = ""
        if kind == "credentials" and "inputs" in known:
            kept = item["inputs"] or {}
            known["inputs"] = {key: kept[key] if value == HIDDEN else value for key, value in known["inputs"].items()}
        if "extra_data" in known:
            self._check_answers(
                known["extra_data"] or {}, known.get("unified_job_template", item["unified_job_template"])
            )
        new = {**item, **known}
        unique = [
            name for name in ("name", "identifier", "organization", "inventory", "workflow_job_template") if name in new
        ]
        for other, found in self.kinds[kind].items():
            if (
                other != number
                and all(found[name] == new[name] for name in unique)
                and kind != "workflow_approval_templates"
            ):
                raise Refused(400, {"__all__": [f"{kind} with this name already exists."]})
        self.kinds[kind][number] = new
        return self.shown(kind, number)

    def _check_answers(self, answers: Item, template: int | None) -> None:
        asked = {question["variable"]: question for question in self.surveys.get(template or 0, {}).get("spec", [])}
        for name, value in answers.items():
            if name not in asked:
                raise Refused(400, {"extra_data": [f"Variables {name} are not allowed on launch."]})
            if "choices" in asked[name] and value not in asked[name]["choices"]:
                raise Refused(400, {"extra_data": [f"Value {value!r} for {name} expected to be one of its choices."]})

    def find(self, kind: str, number: int) -> Item:
        """Return an object. Raises Refused for an unknown one."""
        if kind not in self.kinds or number not in self.kinds[kind]:
            raise Refused(404, {"detail": "Not found."})
        return self.kinds[kind][number]

    def shown(self, kind: str, number: int) -> Item:
        """Return an object as the API shows it: with its type and relations, and without secrets."""
        item = dict(self.find(kind, number))
        url = f"/api/v2/{kind}/{number}/"
        related = {"survey_spec": f"{url}survey_spec/", "hosts": f"{url}hosts/", "children": f"{url}children/"}
        if target := item.get("unified_job_template"):
            owner = next(kind for kind in POINTERS["unified_job_template"] if target in self.kinds[kind])
            related["unified_job_template"] = f"/api/v2/{owner}/{target}/"
        if kind == "credentials":
            fields = self.kinds["credential_types"][item["credential_type"]]["inputs"].get("fields", [])
            secret = {field["id"] for field in fields if field.get("secret")}
            item["inputs"] = {key: HIDDEN if key in secret else value for key, value in (item["inputs"] or {}).items()}
        return {
            **item,
            "id": number,
            "type": TYPES.get(kind, kind.removesuffix("s")),
            "url": url,
            "related": related,
            "summary_fields": {"current_update": {"id": number}} if kind == "projects" else {},
        }

    def search(self, kind: str, query: t.Mapping[str, str]) -> list[Item]:
        """Return the objects that match all of the plain words of a query, and one of those with or__."""
        kinds = POINTERS["unified_job_template"] if kind == "unified_job_templates" else (kind,)
        every = [self.shown(kind, number) for kind in kinds for number in self.kinds[kind]]
        either = {name.removeprefix("or__"): value for name, value in query.items() if name.startswith("or__")}
        plain = {name: value for name, value in query.items() if not name.startswith("or__")}
        return [
            item
            for item in every
            if all(str(item.get(name)) == value for name, value in plain.items())
            and (not either or any(str(item.get(name)) == value for name, value in either.items()))
        ]

    def delete(self, kind: str, number: int) -> None:
        """Delete an object and what belongs to it."""
        gone = self.find(kind, number)
        del self.kinds[kind][number]
        # An approval exists for its node only.
        self.kinds["workflow_approval_templates"].pop(gone.get("unified_job_template") or 0, None)
        for other in self.kinds:
            for belonging, item in list(self.kinds[other].items()):
                if number in [item.get(name) for name in POINTERS if name in item]:
                    self.delete(other, belonging)

    def keep_survey(self, number: int, survey: Item) -> None:
        """Keep the survey of a template. Raises Refused for one that the API would refuse."""
        needed = {"name", "description", "spec"} - set(survey)
        for question in survey.get("spec", []):
            needed |= {"type", "question_name", "variable", "required"} - set(question)
            choices = question.get("choices")
            if question.get("type") in ("multiplechoice", "multiselect"):
                needed |= {"choices"} if not choices else set()
                if question.get("default") not in (None, "", *(choices or ())):
                    raise Refused(400, {"error": f"default of {question['variable']} is not one of its choices"})
        if needed:
            raise Refused(400, {"error": f"missing from survey spec: {', '.join(sorted(needed))}"})
        self.surveys[number] = survey

    def answer(self, method: str, path: str, query: t.Mapping[str, str], body: Item) -> tuple[int, t.Any]:
        """Return status and document. Raises Refused."""
        kind, *rest = path.removeprefix("/api/v2/").strip("/").split("/")
        if kind == "project_updates":
            return 200, {"status": "successful"}
        if not rest:
            if method == "POST":
                return 201, self.create(kind, body)
            return 200, self.page(self.search(kind, query))
        number = int(rest[0])
        if len(rest) == 1:
            if method == "DELETE":
                self.delete(kind, number)
                return 204, None
            return 200, self.update(kind, number, body) if method == "PATCH" else self.shown(kind, number)
        return self._below(method, kind, number, rest[1], body)

    def _below(self, method: str, kind: str, number: int, part: str, body: Item) -> tuple[int, t.Any]:
        self.find(kind, number)
        if part == "survey_spec":
            if method == "POST":
                self.keep_survey(number, body)
            return 200, self.surveys.get(number, {})
        if part == "create_approval_template":
            made = self.create("workflow_approval_templates", body)
            self.update(kind, number, {"unified_job_template": made["id"]})
            return 201, made
        linked = self.links.setdefault(f"{kind}/{number}/{part}", [])
        if method == "POST":
            linked.remove(body["id"]) if body.get("disassociate") else linked.append(body["id"])
            return 204, None
        return 200, self.page([{"id": other} for other in linked])

    @staticmethod
    def page(items: list[Item]) -> Item:
        """Return a list as the API does, where all fits on one page."""
        return {"count": len(items), "next": None, "previous": None, "results": items}


def serve(controller: Controller) -> ThreadingHTTPServer:
    """Return a server on a free loopback port; `serve_forever` and `shutdown` are the caller's."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            parts = urlsplit(self.path)
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
            with controller.lock:
                controller.requests.append((self.command, self.path))
                try:
                    if self.headers.get("Authorization") != f"Bearer {controller.token}":
                        raise Refused(401, {"detail": "Authentication credentials were not provided."})
                    status, document = controller.answer(self.command, parts.path, dict(parse_qsl(parts.query)), body)
                except Refused as refused:
                    status, document = refused.status, refused.document
            data = b"" if document is None else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("X-API-Product-Name", "AWX")
            self.send_header("X-API-Product-Version", "24.6.1")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_DELETE = handle_any

        def log_message(self, *_arguments: object) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)
