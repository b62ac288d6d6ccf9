# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Remove a set of objects in the reverse of the order in which they depend on each other.

This module is private to the collection.
"""

from __future__ import annotations

import functools
import time
from itertools import groupby
from typing import Any

from ansible_collections.homeport.registry.plugins.module_utils import _apply_record as record
from ansible_collections.homeport.registry.plugins.module_utils._apply_diagnose import diagnose
from ansible_collections.homeport.registry.plugins.module_utils._apply_errors import ApplyError, explain
from ansible_collections.homeport.registry.plugins.module_utils._apply_join import leave
from ansible_collections.homeport.registry.plugins.module_utils._apply_objects import (
    PRUNE_ANNOTATION,
    Desired,
    Key,
    Lookup,
    Reference,
    resolve,
)
from ansible_collections.homeport.registry.plugins.module_utils._apply_run import Run, gather
from ansible_collections.homeport.registry.plugins.module_utils._apply_wait import wait_gone
from ansible_collections.homeport.registry.plugins.module_utils._kube_http import ApiError, Unreachable
from ansible_collections.homeport.registry.plugins.module_utils._kube_kinds import (
    CONFIG_MAP,
    CRON_JOB,
    JOB,
    NAMESPACE,
    VOLUME_CLAIM,
    Resource,
    is_workload,
    removal_stage,
    split_api_version,
)


def make_absent(run: Run, documents: list[tuple[dict[str, Any], str]], discover: Lookup) -> None:
    """Remove the objects, then what else the record lists, then the record. Raises ApplyError."""
    deadline = time.monotonic() + run.settings.wait_timeout
    gone_kinds: set[Resource] = set()
    targets: list[Reference] = list(resolve(documents, run.settings.namespace, _tolerant(discover, gone_kinds)))
    rendered = {item.key for item in targets}
    members = _read_record(run)
    targets += [member for key, member in members.items() if key not in rendered]
    jobs = [job for item in targets if item.resource == CRON_JOB for job in _at_work(run, item)]
    _remove_stage(run, jobs, members, rendered | {job.key for job in jobs}, gone_kinds, deadline)
    targets.sort(key=lambda item: removal_stage(item.resource))
    for _stage, group in groupby(targets, key=lambda item: removal_stage(item.resource)):
        _remove_stage(run, list(group), members, rendered, gone_kinds, deadline)
    _remove_record(run)


def _at_work(run: Run, cron_job: Reference) -> list[Reference]:
    """Return the Jobs of a CronJob that have not ended: what goes after it they may need to end in order."""
    try:
        found = run.client.get(JOB.collection(cron_job.namespace)).get("items") or ()
    except ApiError as error:
        # Nobody needs that right to remove the rest.
        if error.status in (403, 404):
            return []
        raise
    owner = {"kind": cron_job.resource.kind, "name": cron_job.name}.items()
    return [
        Reference(JOB, cron_job.namespace, job["metadata"]["name"])
        for job in found
        if any(owner <= one.items() for one in job["metadata"].get("ownerReferences") or ())
        and not any(
            one["type"] in ("Complete", "Failed") and one["status"] == "True"
            for one in (job.get("status") or {}).get("conditions") or ()
        )
    ]


def _tolerant(discover: Lookup, gone_kinds: set[Resource]) -> Lookup:
    def lookup(api_version: str, kind: str) -> Resource | None:
        found = discover(api_version, kind)
        if found is None:
            # nothing of a kind that the server does not know can exist
            group, version = split_api_version(api_version)
            found = Resource(group, version, kind, kind.lower(), False)
            gone_kinds.add(found)
        return found

    return lookup


def _read_record(run: Run) -> dict[Key, record.Member]:
    place = run.settings.record_place
    if place is None:
        return {}
    try:
        return record.read_members(run.client.find(place.path), place.label)
    except ApiError as error:
        raise ApplyError(f"the inventory record {place.label} cannot be read: {explain(error)}") from None


def _remove_stage(
    run: Run,
    group: list[Reference],
    members: dict[Key, record.Member],
    rendered: set[Key],
    gone_kinds: set[Resource],
    deadline: float,
) -> None:
    calls = [
        functools.partial(leave, run, item, joined)
        if (joined := _joined(item, members))
        else functools.partial(
            _remove_one, run, item, None if item.key in rendered else members[item.key].uid, item.resource in gone_kinds
        )
        for item in group
    ]
    results = gather(run.settings.connections, calls)
    leaving: dict[Key, tuple[Reference, str]] = {}
    problems: dict[str, list[str]] = {}
    for item, result in zip(group, results):
        if isinstance(result, Unreachable):
            raise result
        if isinstance(result, ApiError):
            run.note(item, "failed")
            problems.setdefault(explain(result, item.resource.kind, item.resource.api_version), []).append(item.label)
            continue
        action, uid = result if isinstance(result, tuple) else (result, "")
        run.note(item, action)
        if uid:
            leaving[item.key] = (item, uid)
    if problems:
        lines = [f"{', '.join(labels)} cannot be deleted: {cause}" for cause, labels in problems.items()]
        raise ApplyError("\n".join(lines))
    if run.settings.wait and not run.settings.check_mode and leaving:
        _wait_until_gone(run, leaving, deadline)


def _remove_one(run: Run, item: Reference, uid: str | None, kind_is_gone: bool) -> tuple[str, str]:
    """Return the action for one object and the uid to wait for, empty when it is gone at once."""
    if kind_is_gone:
        return "absent", ""
    before = None
    if uid is not None or run.settings.diff or not run.settings.may_delete(item) or item.resource == NAMESPACE:
        before = run.client.find(item.path)
        if before is None:
            return "absent", ""
        if _is_kept(run, item, before, uid):
            return "kept", ""
        uid = before["metadata"]["uid"]
    foreground = run.settings.wait and is_workload(item.resource)
    options: dict[str, Any] = {"propagationPolicy": "Foreground" if foreground else "Background"}
    if uid:
        options["preconditions"] = {"uid": uid}
    try:
        answer = run.client.delete(item.path, options)
    except ApiError as error:
        if error.status == 404:
            return "absent", ""
        raise
    run.show(item, before, None)
    still_there = answer.body.get("kind") != "Status"
    return "deleted", answer.body["metadata"]["uid"] if still_there else ""


def _joined(item: Reference, members: dict[Key, record.Member]) -> dict[str, list[str]]:
    """Return the entries to take out of an object of others: what we would put there and what we have put there."""
    wanted = item.joined if isinstance(item, Desired) else {}
    ours = members[item.key].joined if item.key in members else {}
    return {field: [*wanted.get(field, []), *ours.get(field, [])] for field in {**wanted, **ours}}


def _is_kept(run: Run, item: Reference, document: dict[str, Any], uid: str | None) -> bool:
    if not run.settings.may_delete(item):
        return True
    if item.resource == NAMESPACE:
        return _holds_claims(run, item)
    if uid is None:
        return False
    # only the record names it: the rules of pruning hold
    exempt = (document["metadata"].get("annotations") or {}).get(PRUNE_ANNOTATION) == "disabled"
    return exempt or document["metadata"]["uid"] != uid


def _holds_claims(run: Run, item: Reference) -> bool:
    """Tell whether deleting the namespace would delete claims that the user has not named."""
    claims = run.client.get(VOLUME_CLAIM.collection(item.name)).get("items") or ()
    names = sorted(claim["metadata"]["name"] for claim in claims if not claim["metadata"].get("deletionTimestamp"))
    unnamed = [name for name in names if f"{VOLUME_CLAIM.kind}/{name}" not in run.settings.delete_protected]
    if unnamed:
        run.warnings.append(
            f"{item.label} stays, because deleting it would delete PersistentVolumeClaim {', '.join(unnamed)}; "
            "name them in delete_protected as well if their data may go"
        )
    return bool(unnamed)


def _wait_until_gone(run: Run, leaving: dict[Key, tuple[Reference, str]], deadline: float) -> None:
    try:
        left = wait_gone(run.client, leaving, max(1.0, deadline - time.monotonic()))
    except ApiError as error:
        raise ApplyError(f"deleted, but its end cannot be watched: {explain(error)}") from None
    if not left:
        return
    lines = []
    for item, state in left:
        lines.append(f"{item.label} is not gone within {run.settings.wait_timeout:.0f} seconds: {state.reason}")
        lines += [f"  {line}" for line in diagnose(run.client, item)]
    raise ApplyError("\n".join(lines))


def _remove_record(run: Run) -> None:
    place = run.settings.record_place
    if place is None:
        return
    try:
        run.client.delete(CONFIG_MAP.path(place.namespace, place.name), {})
        run.note_record("deleted")
    except ApiError as error:
        if error.status != 404:
            raise ApplyError(f"the inventory record {place.label} cannot be deleted: {explain(error)}") from None
        run.note_record("absent")
