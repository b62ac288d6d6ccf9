# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Apply a set of objects in one parallel wave, keep the record, prune leavers, wait for readiness.

This module is private to the collection.
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from typing import Any

from ansible_collections.homeport.registry.plugins.module_utils import _apply_record as record
from ansible_collections.homeport.registry.plugins.module_utils._apply_changed import (
    NO_MARK,
    mark,
    mark_before,
    verdict,
)
from ansible_collections.homeport.registry.plugins.module_utils._apply_diagnose import diagnose
from ansible_collections.homeport.registry.plugins.module_utils._apply_errors import ApplyError, explain
from ansible_collections.homeport.registry.plugins.module_utils._apply_join import join
from ansible_collections.homeport.registry.plugins.module_utils._apply_late import warn
from ansible_collections.homeport.registry.plugins.module_utils._apply_objects import Desired, Key, secret_texts
from ansible_collections.homeport.registry.plugins.module_utils._apply_prune import prune
from ansible_collections.homeport.registry.plugins.module_utils._apply_ready import waits
from ansible_collections.homeport.registry.plugins.module_utils._apply_run import Run, gather
from ansible_collections.homeport.registry.plugins.module_utils._apply_wait import wait_ready
from ansible_collections.homeport.registry.plugins.module_utils._kube_auth import mask
from ansible_collections.homeport.registry.plugins.module_utils._kube_http import (
    METADATA_ONLY,
    Answer,
    ApiError,
    Unreachable,
)
from ansible_collections.homeport.registry.plugins.module_utils._kube_kinds import CRD, NAMESPACE

# how long a new CustomResourceDefinition may take until the server serves its kind
SERVED_SECONDS = 30.0
SERVED_PAUSE = 0.2


@dataclass
class Applied:
    """What the server said to one object: an answer, an error, or nothing because the place does not exist yet."""

    item: Desired
    answer: Answer | None = None
    error: ApiError | Unreachable | None = None
    # set for an object that was joined
    action: str = ""

    @property
    def document(self) -> dict[str, Any]:
        """Return the object as the server returned it."""
        return self.answer.body if self.answer else {}

    @property
    def answered(self) -> bool:
        """Tell whether the object is there now, as far as the server said."""
        return self.answer is not None and self.action != "absent"


def make_present(run: Run, desired: list[Desired]) -> None:
    """Bring the cluster to the desired state. Raises ApplyError."""
    # namespaces and definitions first: where they are new, the rest may find them in the same wave
    desired = sorted(desired, key=lambda item: item.resource not in (NAMESPACE, CRD))
    joins = [item for item in desired if item.joined]
    alone = [item for item in desired if not item.joined]
    before = _read_before(run, alone)
    old, wave = _first_wave(run, alone)
    _second_wave(run, wave)
    # what is joined points to what was applied
    wave += _join_all(run, joins, old)
    _note_all(run, wave, old, before)
    failed = [applied for applied in wave if applied.error is not None]
    members = _members(run, wave, old)
    # after a failure nothing is pruned, and nothing that was recorded is forgotten
    members = {**old, **members} if failed else prune(run, old, members, {item.key for item in desired})
    problem = _write_record(run, old, members)
    if failed:
        raise ApplyError(_describe_failures(run, wave, failed) + (f"\n{problem}" if problem else ""))
    if problem:
        raise ApplyError(problem)
    warn(run, joins, alone)
    if run.settings.wait and not run.settings.check_mode:
        _wait(run, wave)


def _read_before(run: Run, desired: list[Desired]) -> dict[Key, dict[str, Any] | None]:
    """Return the objects as they are, where a diff needs them or no record remembers them."""
    if run.settings.record and not run.settings.diff:
        return {}
    accept = "application/json" if run.settings.diff else METADATA_ONLY
    calls = [functools.partial(run.client.find, item.path, accept) for item in desired]
    found = gather(run.settings.connections, calls)
    # what cannot be read cannot be applied either, and the wave reports it better
    return {item.key: found if isinstance(found, dict) else None for item, found in zip(desired, found)}


def _first_wave(run: Run, desired: list[Desired]) -> tuple[dict[Key, record.Member], list[Applied]]:
    """Read the record and apply everything, all in one wave."""
    place = run.settings.record_place
    calls = [functools.partial(_apply, run, item) for item in desired]
    if place is not None:
        calls.insert(0, functools.partial(run.client.find, place.path))
    results = gather(run.settings.connections, calls)
    found = results.pop(0) if place is not None else None
    wave = [_applied(item, result) for item, result in zip(desired, results)]
    if place is None:
        return {}, wave
    try:
        return _members_in(found, place.label), wave
    except ApplyError:
        _note_all(run, wave, {}, {})
        raise


def _members_in(found: Any, label: str) -> dict[Key, record.Member]:
    """Return the members in what reading the record gave. Raises ApplyError."""
    if isinstance(found, ApiError) and found.status != 401:
        raise ApplyError(f"the inventory record {label} cannot be read: {explain(found)}")
    if isinstance(found, Exception):
        raise ApplyError(explain(found) if isinstance(found, ApiError) else str(found))
    return record.read_members(found, label)


def _apply(run: Run, item: Desired) -> Answer:
    # only what is waited for or shown needs more than its metadata back
    full = run.settings.diff or waits(item.resource)
    accept = "application/json" if full else METADATA_ONLY
    return run.client.apply(item.path, run.settings.apply_query, item.body, accept)


def _applied(item: Desired, result: Any) -> Applied:
    failed = isinstance(result, Exception)
    return Applied(item, answer=None if failed else result, error=result if failed else None)


def _second_wave(run: Run, wave: list[Applied]) -> None:
    """Apply again what came before its namespace or its definition, now that these exist."""
    ready_namespaces = {applied.item.name for applied in wave if applied.answer and applied.item.resource == NAMESPACE}
    definitions = [applied for applied in wave if applied.answer and applied.item.resource == CRD]
    groups = {
        (applied.item.body["spec"]["group"], applied.item.body["spec"]["names"]["kind"]) for applied in definitions
    }
    early = [applied for applied in wave if _came_early(applied, ready_namespaces, groups, run.settings.check_mode)]
    if not early:
        return
    if run.settings.check_mode:
        _assume_created(run, early, ready_namespaces)
        return
    for item, state in wait_ready(run.client, [(found.item, found.document) for found in definitions], SERVED_SECONDS):
        raise ApplyError(f"{item.label} is not usable: {state.reason}")
    calls = [functools.partial(_apply_when_served, run, applied.item) for applied in early]
    for applied, result in zip(early, gather(run.settings.connections, calls)):
        again = _applied(applied.item, result)
        applied.answer, applied.error = again.answer, again.error


def _join_all(run: Run, joins: list[Desired], old: dict[Key, record.Member]) -> list[Applied]:
    """Put our entries into the objects of others."""
    calls = []
    for item in joins:
        member = old.get(item.key)
        calls.append(functools.partial(join, run, item, item.joined, member.joined if member else {}))
    wave = []
    for item, result in zip(joins, gather(run.settings.connections, calls)):
        if isinstance(result, Exception):
            wave.append(_applied(item, result))
            continue
        action, document = result
        if action == "absent":
            run.warnings.append(
                f"{item.label} does not exist, and an object of others is never made here; create it and run again"
            )
        wave.append(Applied(item, answer=Answer(200, document, None, False), action=action))
    return wave


def _came_early(applied: Applied, namespaces: set[str], definitions: set[tuple[str, str]], check_mode: bool) -> bool:
    if not isinstance(applied.error, ApiError):
        return False
    missing = applied.error.missing_namespace
    if missing:
        return check_mode or missing in namespaces
    resource = applied.item.resource
    return applied.error.missing_kind and (resource.group, resource.kind) in definitions


def _assume_created(run: Run, early: list[Applied], namespaces: set[str]) -> None:
    """In check mode nothing creates the namespace: what belongs there would be created."""
    absent = sorted({applied.item.namespace for applied in early if applied.item.namespace} - namespaces)
    if absent:
        run.warnings.append(
            f"namespace {', '.join(absent)} does not exist yet and is not among the objects, "
            "so the server could not check what would be created there"
        )
    for applied in early:
        applied.error = None


def _apply_when_served(run: Run, item: Desired) -> Answer:
    deadline = time.monotonic() + SERVED_SECONDS
    while True:
        try:
            return _apply(run, item)
        except ApiError as error:
            # each server process learns of a new definition in its own time
            if not error.missing_kind or time.monotonic() > deadline:
                raise
        time.sleep(SERVED_PAUSE)


def _note_all(
    run: Run, wave: list[Applied], old: dict[Key, record.Member], before: dict[Key, dict[str, Any] | None]
) -> None:
    manager = run.settings.field_manager
    for applied in wave:
        item = applied.item
        if applied.error is not None:
            run.note(item, "failed")
            continue
        if applied.action:
            run.note(item, applied.action)
            continue
        if applied.answer is None:
            action = "created"
        else:
            now = mark(applied.document, item.body, manager)
            earlier, member = before.get(item.key), old.get(item.key)
            known = mark_before(earlier, now, manager) if earlier else member.mark if member else None
            action = verdict(applied.answer, now, known, item.resource.kind)
        run.note(item, action)
        if action != "unchanged":
            run.show(item, before.get(item.key), applied.document or item.body)


def _members(run: Run, wave: list[Applied], old: dict[Key, record.Member]) -> dict[Key, record.Member]:
    """Return what the record has to list of this wave."""
    members = {}
    for applied in wave:
        item = applied.item
        if applied.action:
            if applied.answered:
                uid = applied.document["metadata"]["uid"]
                members[item.key] = record.Member(item.resource, item.namespace, item.name, uid, NO_MARK, item.joined)
        elif applied.answer is not None:
            seen = mark(applied.document, item.body, run.settings.field_manager)
            # what is never pruned may be made anew by somebody else without being a change
            uid = "" if item.keep else applied.document["metadata"].get("uid", "")
            members[item.key] = record.Member(item.resource, item.namespace, item.name, uid, seen)
        elif applied.error is None:
            members[item.key] = record.Member(item.resource, item.namespace, item.name, "", NO_MARK)
    return members


def _write_record(run: Run, old: dict[Key, record.Member], members: dict[Key, record.Member]) -> str:
    """Write the record if there is something new in it; return what went wrong, empty for success."""
    place = run.settings.record_place
    if place is None:
        return ""
    changed = any(action not in ("unchanged", "kept", "absent", "failed") for item, action in run.outcomes)
    remaining = {key: member for key, member in old.items() if key not in run.gone}
    # the record forgets what is gone with its next write; one for that alone would report a change where there is none
    if not changed and record.same_members(remaining, members):
        run.note_record("unchanged")
        return ""
    if not run.settings.check_mode:
        body = record.compose(place, run.settings.record or "", members.values())
        query = {"fieldManager": run.settings.field_manager, "force": "true"}
        try:
            run.client.apply(place.path, query, body, METADATA_ONLY)
        except (ApiError, Unreachable) as error:
            text = explain(error) if isinstance(error, ApiError) else str(error)
            return f"the inventory record {place.label} cannot be written: {text}"
    run.note_record("updated" if old else "created")
    return ""


def _describe_failures(run: Run, wave: list[Applied], failed: list[Applied]) -> str:
    """Return one message for all failures: each cause once, what was applied, what was not."""
    for applied in failed:
        error = applied.error
        # nothing else in this wave can have another cause
        if isinstance(error, Unreachable) or (isinstance(error, ApiError) and error.status == 401):
            text = explain(error) if isinstance(error, ApiError) else str(error)
            done = [other.item.label for other in wave if other.answer is not None]
            return text + (f"\nApplied before that: {', '.join(done)}" if done else "")
    causes: dict[str, list[str]] = {}
    for applied in failed:
        causes.setdefault(_cause(applied), []).append(f"{applied.item.label} ({applied.item.source})")
    lines = [f"{', '.join(labels)}: {cause}" for cause, labels in causes.items()]
    applied_labels = [applied.item.label for applied in wave if applied.error is None]
    if len(wave) > 1:
        verb, heading = ("would not be", "Would be applied") if run.settings.check_mode else ("were not", "Applied")
        lines.insert(0, f"{len(failed)} of {len(wave)} objects {verb} applied.")
        lines.append(f"{heading}: {', '.join(applied_labels) or 'none'}")
    return "\n".join(lines)


def _cause(applied: Applied) -> str:
    error = applied.error
    resource = applied.item.resource
    text = explain(error, resource.kind, resource.api_version) if isinstance(error, ApiError) else str(error)
    return mask(text, secret_texts([applied.item]))


def _wait(run: Run, wave: list[Applied]) -> None:
    objects = [(applied.item, applied.document) for applied in wave if applied.answered]
    started = time.monotonic()
    try:
        waiting = wait_ready(run.client, objects, run.settings.wait_timeout)
    except ApiError as error:
        raise ApplyError(f"applied, but readiness cannot be watched: {explain(error)}") from None
    if not waiting:
        return
    elapsed = time.monotonic() - started
    lines = []
    for item, state in waiting:
        verdict_text = "failed" if state.failed else f"is not ready after {elapsed:.0f} seconds"
        lines.append(f"{item.label} {verdict_text}: {state.reason}")
        lines += [f"  {line}" for line in diagnose(run.client, item)]
    raise ApplyError("\n".join(lines))
