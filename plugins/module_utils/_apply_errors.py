# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Say in one sentence why the API server refused something and what to do about it.

This module is private to the collection.
"""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.homeport.registry.plugins.module_utils._kube_http import ApiError

_FORBIDDEN = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\S+) resource "(?P<resource>[^"]*)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]*)")?'
)
_TERMINATED = re.compile(r"namespace (?P<namespace>\S+) is being terminated")
_OWNER = re.compile(r'conflict with "(?P<owner>[^"]*)"')
_UNDECLARED = re.compile(r"(?P<field>\.[\w.\[\]\"=:/-]+): field not declared in schema")
_UNKNOWN = re.compile(r'unknown field "(?P<field>[^"]+)"')


class ApplyError(Exception):
    """A failure that ends the task.

    ``details`` are keys for the task's result that say how far the work got.
    """

    def __init__(self, message: str, **details: Any) -> None:
        self.message = message
        self.details = details
        super().__init__(message)


class InputError(ApplyError):
    """The desired objects cannot be understood; no request that writes was sent."""


def explain(error: ApiError, kind: str = "", api_version: str = "") -> str:
    """Return the cause and the remedy of a refusal, without the object that it is about."""
    if error.status == 401:
        return "the API server does not accept the credentials (401 Unauthorized)"
    if error.missing_namespace:
        remedy = "create it first, or add a Namespace object to the same task"
        return f"namespace {error.missing_namespace} does not exist; {remedy}"
    if error.missing_kind and kind:
        return f"this cluster does not serve {kind} ({api_version}); is its CustomResourceDefinition installed?"
    if error.status == 403:
        return _explain_forbidden(error)
    if error.status == 409:
        return _explain_conflict(error)
    unknown = _unknown_fields(error)
    if unknown:
        return f"unknown field {', '.join(unknown)}; check its spelling and the API version"
    if error.status == 422:
        return _explain_invalid(error)
    text = error.message or error.reason or "no explanation"
    return f"the API server answered {error.status}: {text}"


def _explain_forbidden(error: ApiError) -> str:
    for cause in error.causes:
        if cause.get("reason") == "NamespaceTerminating":
            named = _TERMINATED.search(cause.get("message", ""))
            which = f"namespace {named['namespace']}" if named else "the namespace"
            return f"{which} is being deleted; wait until it is gone and run again"
    match = _FORBIDDEN.search(error.message)
    if not match:
        return f"forbidden: {error.message}"
    resource = f"{match['resource']}.{match['group']}" if match["group"] else match["resource"]
    where = f"in namespace {match['namespace']}" if match["namespace"] else "at cluster scope"
    return f"forbidden: user {match['user']} may not {match['verb']} {resource} {where}"


def _explain_conflict(error: ApiError) -> str:
    owned: dict[str, list[str]] = {}
    for cause in error.causes:
        match = _OWNER.search(cause.get("message", ""))
        if cause.get("reason") == "FieldManagerConflict" and match:
            owned.setdefault(match["owner"], []).append(cause.get("field", "").lstrip("."))
    if not owned:
        return f"conflict: {error.message}"
    owners = "; ".join(f"{', '.join(fields)} belongs to {owner}" for owner, fields in owned.items())
    return f"conflict: {owners}. Leave the field out, or take it over with force_conflicts: true"


def _unknown_fields(error: ApiError) -> list[str]:
    matches = [match["field"] for match in _UNDECLARED.finditer(error.message)]
    matches += [match["field"] for match in _UNKNOWN.finditer(error.message)]
    return [field.lstrip(".") for field in matches]


def _explain_invalid(error: ApiError) -> str:
    parts = []
    for cause in error.causes:
        field, text = cause.get("field", ""), cause.get("message", "")
        if "immutable" in text:
            # the value in front of the verdict is a dump of a Go structure
            verdict = text.rsplit(": ", 1)[-1] if "Invalid value" in text else text
            parts.append(f"{field} cannot be changed on an existing object ({verdict})")
        else:
            parts.append(f"{field}: {text}")
    if not parts:
        return f"invalid: {error.message}"
    remedy = ""
    if any("cannot be changed" in part for part in parts):
        remedy = ". Keep the old value, or delete the object first"
    return f"invalid: {'; '.join(parts)}{remedy}"
