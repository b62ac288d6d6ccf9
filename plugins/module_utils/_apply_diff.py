# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Show what an apply changes: the fields that are ours, and no value of any Secret.

This module is private to the collection.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any

# it comes with the kubernetes client, whose absence the plugins report
with contextlib.suppress(ImportError):
    import yaml

from ansible_collections.homeport.registry.plugins.module_utils._apply_changed import own_entry
from ansible_collections.homeport.registry.plugins.module_utils._apply_objects import Reference

HIDDEN = "(hidden)"
HIDDEN_BEFORE = "(hidden, old value)"
HIDDEN_AFTER = "(hidden, new value)"
_ABSENT = object()


def entry(
    place: Reference, before: dict[str, Any] | None, after: dict[str, Any] | None, manager: str
) -> dict[str, str] | None:
    """Return one item of Ansible's ``diff`` list, None when nothing of ours differs."""
    fields: dict[str, Any] = {}
    for document in (before, after):
        if document is not None:
            fields = merge_fields(fields, own_entry(document, manager).get("fieldsV1") or {})
    old, new = (_view(document, fields) for document in (before, after))
    if place.resource.kind == "Secret" and not place.resource.group:
        old, new = mask_secret(old, new)
    if old == new:
        return None
    return {
        "before_header": place.label,
        "after_header": place.label,
        "before": _dump(old),
        "after": _dump(new),
    }


def _view(document: dict[str, Any] | None, fields: dict[str, Any]) -> dict[str, Any] | None:
    if document is None:
        return None
    metadata = document["metadata"]
    if "managedFields" not in metadata:
        # no server has seen it, so all of it would be ours
        return {key: item for key, item in document.items() if key not in ("apiVersion", "kind")}
    shown = project(document, fields) if fields else {}
    name = {"name": metadata["name"]}
    return {**shown, "metadata": {**shown.get("metadata", {}), **name}}


def _dump(document: dict[str, Any] | None) -> str:
    return "" if document is None else yaml.safe_dump(document, sort_keys=True, default_flow_style=False, width=120)


def merge_fields(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return the union of two ``fieldsV1`` trees."""
    merged = dict(one)
    for key, branch in other.items():
        merged[key] = merge_fields(merged.get(key, {}), branch)
    return merged


def project(value: Any, fields: dict[str, Any]) -> Any:
    """Return the part of ``value`` that a ``fieldsV1`` tree names."""
    parts = {key: branch for key, branch in fields.items() if key != "."}
    if not parts:
        # {".": {}} owns that a map or list exists, {} owns a value or an atomic whole
        return type(value)() if "." in fields and isinstance(value, (dict, list)) else value
    if isinstance(value, dict):
        picked = {key[2:]: _pick(value, key[2:], branch) for key, branch in parts.items() if key.startswith("f:")}
        return {key: item for key, item in picked.items() if item is not _ABSENT}
    if isinstance(value, list):
        return [project(item, branch) for item, branch in _items(value, parts)]
    return value


def _pick(value: dict[str, Any], key: str, branch: dict[str, Any]) -> Any:
    return project(value[key], branch) if key in value else _ABSENT


def _items(value: list[Any], parts: dict[str, Any]) -> list[tuple[Any, dict[str, Any]]]:
    found = []
    for position, item in enumerate(value):
        for key, branch in parts.items():
            if _names(key, item, position):
                found.append((item, branch))
                break
    return found


def _names(key: str, item: Any, position: int) -> bool:
    if key.startswith("i:"):
        return key[2:] == str(position)
    wanted = json.loads(key[2:])
    if key.startswith("k:"):
        return isinstance(item, dict) and all(
            item.get(name, _DEFAULTS.get(name)) == part for name, part in wanted.items()
        )
    return bool(key.startswith("v:") and item == wanted)


# a key field that the server fills in by default may be missing in an older copy of the object
_DEFAULTS = {"protocol": "TCP"}


def mask_secret(
    before: dict[str, Any] | None, after: dict[str, Any] | None
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Hide the values of a Secret so that equal and different stay visible and nothing else."""
    old_data, new_data = ((document or {}).get("data") or {} for document in (before, after))
    old_masked, new_masked = {}, {}
    for key in {*old_data, *new_data}:
        same = key in old_data and key in new_data and old_data[key] == new_data[key]
        old_masked[key] = HIDDEN if same or key not in new_data else HIDDEN_BEFORE
        new_masked[key] = HIDDEN if same or key not in old_data else HIDDEN_AFTER
    return _with_data(before, old_data, old_masked), _with_data(after, new_data, new_masked)


def _with_data(document: dict[str, Any] | None, data: dict[str, Any], masked: dict[str, str]) -> dict[str, Any] | None:
    if document is None:
        return None
    shown = {key: item for key, item in document.items() if key not in ("data", "stringData")}
    if data:
        shown["data"] = {key: masked[key] for key in data}
    return shown
