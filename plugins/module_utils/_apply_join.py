# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Put entries into lists of objects that belong to somebody else, and take out no others.

The server treats such a list, for example the pull secrets of a ServiceAccount, as one value: whoever applies it
replaces what others have put there. So it is read, completed, and written on the condition that nobody wrote meanwhile.
This module is private to the collection.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.homeport.registry.plugins.module_utils._apply_objects import Reference
from ansible_collections.homeport.registry.plugins.module_utils._apply_run import Run
from ansible_collections.homeport.registry.plugins.module_utils._kube_http import ApiError

Names = Mapping[str, list[str]]
# the server refuses a patch whose test fails as unprocessable
MET_ANOTHER_WRITER = (409, 422)
TRIES = 8
# Kubernetes makes this account of a namespace by itself, a moment after the namespace
SELF_MADE = "ServiceAccount/default"
SELF_MADE_SECONDS = 10.0
PAUSE = 0.2


def join(run: Run, item: Reference, wanted: Names, ours: Names) -> tuple[str, dict[str, Any]]:
    """Make the lists of an object hold the wanted names and none that only we had put there.

    ``ours`` is what the record says that we put there. Returns the action, ``absent`` where there is no such object,
    and the object. Raises ApiError or Unreachable.
    """
    deadline = time.monotonic() + (SELF_MADE_SECONDS if item.short == SELF_MADE and wanted else 0.0)
    tries = 0
    while True:
        before = run.client.find(item.path)
        if before is None:
            if run.settings.check_mode or time.monotonic() > deadline:
                return "absent", {}
            time.sleep(PAUSE)
            continue
        operations = plan(before, wanted, ours)
        if not operations:
            return "unchanged", before
        tries += 1
        try:
            after = run.client.patch(item.path, {"fieldManager": run.settings.field_manager}, operations).body
        except ApiError as error:
            if error.status not in MET_ANOTHER_WRITER or tries >= TRIES:
                raise
            continue
        run.show(item, _view(before, {*wanted, *ours}), _view(after, {*wanted, *ours}))
        return "updated", after


def leave(run: Run, item: Reference, ours: Names) -> str:
    """Take our entries out of an object; return the action. Raises ApiError or Unreachable."""
    action, _document = join(run, item, {}, ours)
    # where nothing of ours was left, nothing of ours is there
    return "absent" if action == "unchanged" else action


def plan(document: dict[str, Any], wanted: Names, ours: Names) -> list[dict[str, Any]]:
    """Return the JSON patch that puts the wanted names into the lists of a document, empty when they are there."""
    operations = []
    for field in sorted({*wanted, *ours}):
        entries = document.get(field) or []
        names = wanted.get(field, [])
        kept = [
            entry for entry in entries if entry.get("name") in names or entry.get("name") not in ours.get(field, [])
        ]
        present = {entry.get("name") for entry in kept}
        completed = kept + [{"name": name} for name in names if name not in present]
        if completed == entries:
            continue
        if completed:
            operations.append({"op": "add", "path": f"/{field}", "value": completed})
        else:
            operations.append({"op": "remove", "path": f"/{field}"})
    if operations:
        version = document["metadata"]["resourceVersion"]
        operations.insert(0, {"op": "test", "path": "/metadata/resourceVersion", "value": version})
    return operations


def _view(document: dict[str, Any], fields: set[str]) -> dict[str, Any]:
    shown = {field: document[field] for field in sorted(fields) if document.get(field)}
    return {**shown, "metadata": {"name": document["metadata"]["name"]}}
