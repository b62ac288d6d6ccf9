# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Delete what the record lists and nobody wants any more, with every precaution.

This module is private to the collection.
"""

from __future__ import annotations

import functools
from typing import Any

from ansible_collections.homeport.registry.plugins.module_utils import _apply_record as record
from ansible_collections.homeport.registry.plugins.module_utils._apply_errors import explain
from ansible_collections.homeport.registry.plugins.module_utils._apply_join import leave
from ansible_collections.homeport.registry.plugins.module_utils._apply_objects import PRUNE_ANNOTATION, Key
from ansible_collections.homeport.registry.plugins.module_utils._apply_run import Run, gather
from ansible_collections.homeport.registry.plugins.module_utils._kube_http import ApiError
from ansible_collections.homeport.registry.plugins.module_utils._kube_kinds import removal_stage


def prune(
    run: Run, old: dict[Key, record.Member], members: dict[Key, record.Member], desired: set[Key]
) -> dict[Key, record.Member]:
    """Delete the leavers and return what the record has to list afterwards.

    A protected object that is not named by the user stays in the record, so that naming it later removes it.
    """
    leavers = sorted(
        (member for key, member in old.items() if key not in desired), key=lambda item: removal_stage(item.resource)
    )
    if not run.settings.prune:
        return {**{member.key: member for member in leavers}, **members}
    kept: dict[Key, record.Member] = {}
    doomed = []
    for member in leavers:
        if run.settings.may_delete(member):
            doomed.append(member)
        else:
            run.note(member, "kept")
            kept[member.key] = member
    results = gather(run.settings.connections, [functools.partial(_prune_one, run, member) for member in doomed])
    for member, result in zip(doomed, results):
        if isinstance(result, Exception):
            text = explain(result, member.resource.kind) if isinstance(result, ApiError) else str(result)
            run.warnings.append(f"{member.label} left the desired objects but cannot be pruned: {text}")
            run.note(member, "kept")
            kept[member.key] = member
        elif result == "absent":
            run.gone.add(member.key)
            run.note(member, result)
        else:
            run.note(member, result)
    return {**kept, **members}


def _prune_one(run: Run, member: record.Member) -> str:
    """Return the action for one leaver: ``pruned``, ``updated`` where others' object stays, ``kept``, or ``absent``."""
    if member.joined:
        return leave(run, member, member.joined)
    document = run.client.find(member.path)
    if document is None:
        return "absent"
    metadata = document["metadata"]
    if (metadata.get("annotations") or {}).get(PRUNE_ANNOTATION) == "disabled" or metadata["uid"] != member.uid:
        # exempt, or another object that only has the same name: either way no longer ours to watch
        return "kept"
    if metadata.get("deletionTimestamp"):
        return "absent"
    return _delete(run, member, document)


def _delete(run: Run, member: record.Member, document: dict[str, Any]) -> str:
    options = {"propagationPolicy": "Background", "preconditions": {"uid": member.uid}}
    try:
        run.client.delete(member.path, options)
    except ApiError as error:
        if error.status == 404:
            return "absent"
        if error.status == 409:
            return "kept"
        raise
    run.show(member, document, None)
    return "pruned"
