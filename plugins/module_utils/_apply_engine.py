# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The entry of the apply engine, used by the action plugin in the controller and by the module elsewhere.

This module is private to the collection.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.homeport.registry.plugins.module_utils._apply_absent import make_absent
from ansible_collections.homeport.registry.plugins.module_utils._apply_errors import ApplyError, explain
from ansible_collections.homeport.registry.plugins.module_utils._apply_objects import (
    InputError,
    Reference,
    expand,
    parse_text,
    resolve,
)
from ansible_collections.homeport.registry.plugins.module_utils._apply_present import make_present
from ansible_collections.homeport.registry.plugins.module_utils._apply_run import Run, Settings, gather
from ansible_collections.homeport.registry.plugins.module_utils._kube_auth import AUTH_SPEC, load_access
from ansible_collections.homeport.registry.plugins.module_utils._kube_http import ApiClient, ApiError, Unreachable
from ansible_collections.homeport.registry.plugins.module_utils._kube_kinds import (
    KNOWN,
    Resource,
    from_discovery,
)

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    **AUTH_SPEC,
    "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
    "refuse": {"type": "list", "elements": "str", "default": []},
    "templates": {"type": "list", "elements": "path"},
    "definitions": {"type": "list", "elements": "raw"},
    "namespace": {"type": "str"},
    "live": {
        "type": "list",
        "elements": "dict",
        "options": {
            "api_version": {"type": "str", "default": "v1"},
            "kind": {"type": "str", "required": True},
            "name": {"type": "str"},
            "namespace": {"type": "str"},
            "label_selector": {"type": "str"},
        },
    },
    "record": {"type": "str"},
    "record_namespace": {"type": "str"},
    "prune": {"type": "bool", "default": True},
    "delete_protected": {"type": "list", "elements": "str", "default": []},
    "force_conflicts": {"type": "bool", "default": False},
    "field_manager": {"type": "str", "default": "homeport"},
    "wait": {"type": "bool", "default": True},
    "wait_timeout": {"type": "int", "default": 300},
    "connections": {"type": "int", "default": 12},
}

ALL_NAMESPACES = "*"

_DISCOVERY = ",".join(
    f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList" for version in ("v2", "v2beta1")
)


class Engine:
    """One task's conversation with one cluster.

    ``params`` are validated options by ARGUMENT_SPEC; ``environ`` is the environment that applies to the task.
    """

    def __init__(self, params: Mapping[str, Any], environ: Mapping[str, str], *, check_mode: bool, diff: bool) -> None:
        """Load the credentials. Raises AccessError; sends no request."""
        self._started = time.monotonic()
        self._params = params
        self._settings = Settings.from_params(params, check_mode=check_mode, diff=diff)
        access = load_access(params, environ)
        self._client = ApiClient(access, connections=self._settings.connections, read_only=check_mode)
        self._discovered: dict[tuple[str, str], Resource] | None = None

    def read_live(self) -> dict[str, Any]:
        """Return what option ``live`` asks for.

        An object is under ``Kind/name``, None when it does not exist; the objects of a kind are a list under ``Kind``.
        Raises ApplyError.
        """
        places: dict[str, Reference | None] = {}
        calls: dict[str, Callable[[], Any]] = {}
        for wanted in self._params.get("live") or ():
            short = f"{wanted['kind']}/{wanted['name']}" if wanted["name"] else wanted["kind"]
            if short in places:
                raise InputError(f"live names {short} twice; its entries are told apart by kind and name only")
            places[short] = place = self._place(wanted)
            if place is not None:
                calls[short] = self._reading(place, wanted["label_selector"])
        found = dict(zip(calls, gather(self._settings.connections, list(calls.values()))))
        for short, outcome in found.items():
            if isinstance(outcome, ApiError):
                place = places[short]
                label = place.label.rstrip() if place else short
                raise ApplyError(f"{label} cannot be read for live: {explain(outcome, label.split()[0])}")
            if isinstance(outcome, Exception):
                raise ApplyError(str(outcome))
        return {short: found.get(short, None if "/" in short else []) for short in places}

    def server_time(self) -> str:
        """Return the time by the server's clock, as the API writes times."""
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._client.now()))

    def _reading(self, place: Reference, selector: str | None) -> Callable[[], Any]:
        if place.name:
            return functools.partial(self._client.find, place.path)
        path = place.resource.collection(place.namespace)
        return functools.partial(self._client.list_metadata, path, {"labelSelector": selector} if selector else {})

    def _place(self, wanted: Mapping[str, Any]) -> Reference | None:
        api_version, kind, name = wanted["api_version"], wanted["kind"], wanted["name"] or ""
        resource = KNOWN.get((api_version, kind)) or self._discover(api_version, kind)
        if resource is None:
            return None
        namespace = wanted.get("namespace") or self._settings.namespace or ""
        if name and wanted["label_selector"]:
            raise InputError(f"live: {kind} {name} has a label_selector; give a name or a selector")
        if resource.namespaced and (not namespace or (name and namespace == ALL_NAMESPACES)):
            raise InputError(f"live: {kind} {name} names no namespace; set it there or with the namespace option")
        return Reference(resource, namespace if resource.namespaced and namespace != ALL_NAMESPACES else "", name)

    def run(self, documents: list[tuple[dict[str, Any], str]]) -> dict[str, Any]:
        """Make the cluster agree with ``documents``, objects with the name of their source.

        Returns the task's result. Raises ApplyError, with the result so far in its details.
        """
        run = Run(self._client, self._settings)
        try:
            if self._settings.state == "present":
                make_present(run, resolve(documents, self._settings.namespace, self._discover))
            else:
                make_absent(run, documents, self._discover)
        except ApplyError as error:
            raise ApplyError(error.message, **{**self._finish(run), **error.details}) from None
        except Unreachable as error:
            raise ApplyError(str(error), **self._finish(run)) from None
        except ApiError as error:
            raise ApplyError(explain(error), **self._finish(run)) from None
        return self._finish(run)

    def _finish(self, run: Run) -> dict[str, Any]:
        result = run.result()
        result["requests"] = self._client.requests
        result["duration"] = round(time.monotonic() - self._started, 3)
        return result

    def _discover(self, api_version: str, kind: str) -> Resource | None:
        """Ask the server once what it serves. Raises ApplyError when it does not say."""
        if self._discovered is None:
            found = {}
            try:
                for path in ("/api", "/apis"):
                    for resource in from_discovery(self._client.get(path, accept=_DISCOVERY)):
                        found[resource.api_version, resource.kind] = resource
            except ApiError as error:
                raise ApplyError(
                    f"cannot find out which resource {kind} ({api_version}) is: {explain(error)}"
                ) from None
            except Unreachable as error:
                raise ApplyError(str(error)) from None
            self._discovered = found
        return self._discovered.get((api_version, kind))


def documents_from(definitions: list[Any] | None) -> list[tuple[dict[str, Any], str]]:
    """Return the objects of option ``definitions`` with their source. Raises InputError."""
    documents = []
    for position, definition in enumerate(definitions or ()):
        source = f"definitions[{position}]"
        found = parse_text(definition, source) if isinstance(definition, str) else expand(definition, source)
        documents += [(document, source) for document in found]
    return documents


def pack(documents: list[tuple[dict[str, Any], str]]) -> str:
    """Return rendered objects as one opaque text for the module on another host."""
    return json.dumps(documents)


def unpack(text: str) -> list[tuple[dict[str, Any], str]]:
    """Return what ``pack`` packed."""
    return [(entry[0], entry[1]) for entry in json.loads(text)]
