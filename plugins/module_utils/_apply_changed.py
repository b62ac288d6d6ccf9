# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Tell from the answer to a server-side apply whether that apply changed the object.

The server moves the time of our entry in ``metadata.managedFields`` exactly when our apply changed
something; a status update or another writer moves the resourceVersion but never that time.
This module is private to the collection.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from ansible_collections.homeport.registry.plugins.module_utils._kube_http import Answer


def own_entry(document: dict[str, Any], manager: str) -> dict[str, Any]:
    """Return our entry of ``managedFields``, empty when there is none."""
    for entry in document.get("metadata", {}).get("managedFields") or ():
        if entry.get("manager") == manager and entry.get("operation") == "Apply" and not entry.get("subresource"):
            found: dict[str, Any] = entry
            return found
    return {}


def own_time(document: dict[str, Any], manager: str) -> str | None:
    """Return when an apply of ours last changed the object; None for an adopted object that already matched."""
    return own_entry(document, manager).get("time")


def seconds(time: str | None) -> int | None:
    """Return a Kubernetes time as whole seconds since the epoch, None when it is no time."""
    try:
        return int(datetime.datetime.fromisoformat((time or "").replace("Z", "+00:00")).timestamp())
    except ValueError:
        return None


@dataclass(frozen=True)
class Mark:
    """What is remembered of an object to recognise a change within one second of the previous one.

    ``digest`` covers what was applied; a Secret has none, because a digest would give its value away to guessing.
    """

    time: str | None
    version: str | None
    generation: int | None
    digest: str | None


# what would be created has no state yet
NO_MARK = Mark(None, None, None, None)


def mark(document: dict[str, Any], body: dict[str, Any], manager: str) -> Mark:
    """Return the mark of an object after ``body`` was applied and the server answered ``document``."""
    metadata = document["metadata"]
    digest = None
    if body.get("kind") != "Secret":
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:8]
    return Mark(own_time(document, manager), metadata.get("resourceVersion"), metadata.get("generation"), digest)


def mark_before(document: dict[str, Any], now: Mark, manager: str) -> Mark:
    """Return the mark of an object as it was read before the apply that led to ``now``."""
    metadata = document["metadata"]
    return Mark(own_time(document, manager), metadata["resourceVersion"], metadata.get("generation"), now.digest)


def verdict(answer: Answer, now: Mark, known: Mark | None, kind: str) -> str:
    """Return ``created``, ``updated`` or ``unchanged`` for the answer to one apply.

    ``known`` is an earlier mark of the object, from the inventory record or read just before. Times are whole
    seconds, so the time alone cannot tell our change from one that an earlier run made up to two seconds ago.
    """
    if answer.status == 201:
        return "created"
    if answer.retried and _since(answer.body["metadata"].get("creationTimestamp"), answer.earliest):
        # the answer to the attempt that created the object was lost
        return "created"
    if now.time is None or not _since(now.time, answer.earliest):
        return "unchanged"
    if known is not None and known.time == now.time and not _changed_within_second(now, known, kind):
        return "unchanged"
    return "updated"


def _changed_within_second(now: Mark, known: Mark, kind: str) -> bool:
    if now.version == known.version:
        return False
    if now.digest is None or now.digest != known.digest:
        return True
    if now.generation is not None:
        return now.generation != known.generation
    return kind not in _STATUS_WITHOUT_GENERATION


# a controller's status update moves the version of these, and nothing tells it from a change
_STATUS_WITHOUT_GENERATION = (
    "HorizontalPodAutoscaler",
    "Namespace",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "ResourceQuota",
    "Service",
)


def _since(time: str | None, earliest: int | None) -> bool:
    moment = seconds(time)
    # without a date from the server the time alone has to do
    return moment is not None and (earliest is None or moment >= earliest)
