# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The inventory record: a ConfigMap that lists what one task has applied, so that leavers can be pruned.

This module is private to the collection.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from typing import Any

from ansible_collections.homeport.registry.plugins.module_utils._apply_changed import Mark
from ansible_collections.homeport.registry.plugins.module_utils._apply_errors import ApplyError
from ansible_collections.homeport.registry.plugins.module_utils._apply_objects import Key, Reference
from ansible_collections.homeport.registry.plugins.module_utils._kube_kinds import (
    CONFIG_MAP,
    Resource,
    split_api_version,
)

DATA_KEY = "objects"
LABEL = "registry.homeport.dev/record"


@dataclasses.dataclass(frozen=True)
class Member(Reference):
    """One object as the record knows it, with the mark of its last apply.

    ``joined`` is not empty for an object of somebody else that only holds entries of ours: names by list.
    """

    uid: str
    mark: Mark
    joined: dict[str, list[str]] = dataclasses.field(default_factory=dict)

    def to_line(self) -> str:
        """Return the member as one line of JSON."""
        entry = {
            **self.describe(),
            "resource": self.resource.plural,
            "uid": self.uid,
            **dataclasses.asdict(self.mark),
            **({"joined": self.joined} if self.joined else {}),
        }
        return json.dumps(entry, separators=(",", ":"))


def reference(name: str, namespace: str) -> Reference:
    """Return the place of the record called ``name``."""
    return Reference(CONFIG_MAP, namespace, f"homeport-{name}")


def read_members(document: dict[str, Any] | None, label: str) -> dict[Key, Member]:
    """Return the members listed in a record, empty for no record.

    Raises ApplyError when the record cannot be understood, because pruning by guesswork is out of question.
    """
    if document is None:
        return {}
    lines = ((document.get("data") or {}).get(DATA_KEY) or "").splitlines()
    try:
        members = [_from_line(line) for line in lines if line.strip()]
    except (ValueError, KeyError, TypeError) as error:
        raise ApplyError(
            f"the inventory record {label} cannot be read ({type(error).__name__}); "
            "restore it, or delete it and accept that earlier objects are no longer pruned"
        ) from None
    return {member.key: member for member in members}


def _from_line(line: str) -> Member:
    entry = json.loads(line)
    group, version = split_api_version(entry["api_version"])
    resource = Resource(group, version, entry["kind"], entry["resource"], bool(entry["namespace"]))
    mark = Mark(*(entry.get(field.name) for field in dataclasses.fields(Mark)))
    return Member(resource, entry["namespace"], entry["name"], entry["uid"], mark, entry.get("joined") or {})


def same_members(old: dict[Key, Member], new: dict[Key, Member]) -> bool:
    """Tell whether two lists name the same objects, whatever the times."""
    views = [{key: (member.uid, member.joined) for key, member in members.items()} for members in (old, new)]
    return views[0] == views[1]


def compose(place: Reference, name: str, members: Iterable[Member]) -> dict[str, Any]:
    """Return the record as an object to apply."""
    ordered = sorted(members, key=lambda member: member.key)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": place.name,
            "namespace": place.namespace,
            "labels": {"app.kubernetes.io/managed-by": "homeport", LABEL: name},
        },
        "data": {DATA_KEY: "".join(member.to_line() + "\n" for member in ordered)},
    }
