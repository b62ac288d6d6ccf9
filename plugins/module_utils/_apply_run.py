# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What one run of the apply engine was asked for and what it has done so far.

This module is private to the collection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.homeport.registry.plugins.module_utils import _apply_record as record
from ansible_collections.homeport.registry.plugins.module_utils._apply_diff import entry as diff_entry
from ansible_collections.homeport.registry.plugins.module_utils._apply_errors import InputError
from ansible_collections.homeport.registry.plugins.module_utils._apply_objects import Key, Reference
from ansible_collections.homeport.registry.plugins.module_utils._kube_http import ApiClient, ApiError, Unreachable

PROTECTED_KINDS = ("PersistentVolumeClaim", "Namespace")
CHANGES = {
    "created": "create",
    "updated": "update",
    "deleted": "delete",
    "pruned": "prune",
}


@dataclass(frozen=True)
class Settings:
    """The options of one run; durations in seconds."""

    state: str
    namespace: str | None
    record: str | None
    record_namespace: str | None
    prune: bool
    delete_protected: frozenset[str]
    force_conflicts: bool
    field_manager: str
    wait: bool
    wait_timeout: float
    connections: int
    check_mode: bool
    diff: bool

    @classmethod
    def from_params(cls, params: Mapping[str, Any], *, check_mode: bool, diff: bool) -> Settings:
        """Return the settings for validated options. Raises InputError."""
        record_namespace = params.get("record_namespace") or params.get("namespace")
        if params.get("record") and not record_namespace:
            raise InputError("record needs a namespace to live in; set record_namespace or namespace")
        for name in ("wait_timeout", "connections"):
            if params[name] < 1:
                raise InputError(f"{name} must be at least 1")
        return cls(
            state=params["state"],
            namespace=params.get("namespace") or None,
            record=params.get("record") or None,
            record_namespace=record_namespace or None,
            prune=params["prune"],
            delete_protected=frozenset(params.get("delete_protected") or ()),
            force_conflicts=params["force_conflicts"],
            field_manager=params["field_manager"],
            wait=params["wait"],
            wait_timeout=params["wait_timeout"],
            connections=params["connections"],
            check_mode=check_mode,
            diff=diff,
        )

    def may_delete(self, item: Reference) -> bool:
        """Tell whether the kind of ``item`` may be deleted, or the user has named this very object."""
        return item.resource.kind not in PROTECTED_KINDS or item.short in self.delete_protected

    @property
    def record_place(self) -> Reference | None:
        """Return where the inventory record is, None when there is none."""
        if self.record is None or self.record_namespace is None:
            return None
        return record.reference(self.record, self.record_namespace)

    @property
    def apply_query(self) -> dict[str, str]:
        """Return the query parameters of a server-side apply."""
        force = {"force": "true"} if self.force_conflicts else {}
        return {"fieldManager": self.field_manager, "fieldValidation": "Strict", **force}


@dataclass
class Run:
    """The client, the settings, and everything that has happened."""

    client: ApiClient
    settings: Settings
    outcomes: list[tuple[Reference, str]] = field(default_factory=list)
    diffs: dict[Key, dict[str, str]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    record: dict[str, Any] | None = None
    # leavers that somebody else has deleted: nothing in the cluster changes when the record forgets them
    gone: set[Key] = field(default_factory=set)

    def note(self, item: Reference, action: str) -> None:
        """Remember what was done to one object."""
        self.outcomes.append((item, action))

    def show(self, item: Reference, before: dict[str, Any] | None, after: dict[str, Any] | None) -> None:
        """Remember the difference in one object, if a diff was asked for and there is one."""
        if self.settings.diff:
            difference = diff_entry(item, before, after, self.settings.field_manager)
            if difference is not None:
                self.diffs[item.key] = difference

    def note_record(self, action: str) -> None:
        """Remember what was done to the inventory record."""
        place = self.settings.record_place
        if place is not None:
            self.record = {**place.describe(), "action": action, "changed": action in CHANGES}

    def result(self) -> dict[str, Any]:
        """Return the result of the task as far as it got."""
        objects = [
            {**item.describe(), "action": action, "changed": action in CHANGES} for item, action in self.outcomes
        ]
        actions = [f"{CHANGES[action]} {item.label}" for item, action in self.outcomes if action in CHANGES]
        if self.record and self.record["changed"] and self.settings.record_place:
            actions.append(f"{CHANGES[self.record['action']]} record {self.settings.record_place.label}")
        result: dict[str, Any] = {
            "changed": bool(actions),
            "objects": objects,
            "actions": actions,
            "record": self.record,
        }
        if self.settings.diff:
            result["diff"] = [self.diffs[item.key] for item, _action in self.outcomes if item.key in self.diffs]
        if self.warnings:
            result["warnings"] = self.warnings
        return result


def gather(connections: int, calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Make all calls in parallel; return what each returned, or the ApiError or Unreachable it raised."""

    def attempt(call: Callable[[], Any]) -> Any:
        try:
            return call()
        except (ApiError, Unreachable) as error:
            return error

    if len(calls) < 2:
        return [attempt(call) for call in calls]
    with ThreadPoolExecutor(max_workers=min(connections, len(calls))) as pool:
        return list(pool.map(attempt, calls))
