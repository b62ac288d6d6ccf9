# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Decide from an object's status whether it is ready, and if not, what it waits for.

This module is private to the collection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ansible_collections.homeport.registry.plugins.module_utils._kube_kinds import Resource

SELECTED_NODE = "volume.kubernetes.io/selected-node"


@dataclass(frozen=True)
class State:
    """``ready``; or ``failed`` for good; or waiting. ``reason`` says why it is not ready."""

    ready: bool
    reason: str = ""
    failed: bool = False


READY = State(True)


def waits(resource: Resource) -> bool:
    """Tell whether objects of this kind have a readiness to wait for."""
    return (resource.group, resource.kind) in _RULES


def assess(resource: Resource, document: dict[str, Any]) -> State:
    """Return the state of one object of a kind that has a readiness."""
    if document["metadata"].get("deletionTimestamp"):
        return State(False, "it is being deleted")
    return _RULES[resource.group, resource.kind](document)


def condition(document: dict[str, Any], name: str) -> dict[str, Any]:
    """Return one of the object's conditions, empty when it has none of that type."""
    for item in (document.get("status") or {}).get("conditions") or ():
        if item.get("type") == name:
            found: dict[str, Any] = item
            return found
    return {}


def _seen(document: dict[str, Any]) -> bool:
    generation = document["metadata"].get("generation", 0)
    return bool((document.get("status") or {}).get("observedGeneration", 0) >= generation)


NOT_SEEN = State(False, "its controller has not seen this version yet")


def _deployment(document: dict[str, Any]) -> State:
    spec, status = document["spec"], document.get("status") or {}
    if not _seen(document):
        return NOT_SEEN
    wanted = spec.get("replicas", 1)
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    old = status.get("replicas", 0) - updated
    if updated >= wanted and old <= 0 and available >= wanted:
        return READY
    if spec.get("paused"):
        return State(False, "its rollout is paused (spec.paused)")
    return State(
        False, _with_conditions(document, _counts(wanted, updated, available, old), "ReplicaFailure", "Progressing")
    )


def _stateful_set(document: dict[str, Any]) -> State:
    spec, status = document["spec"], document.get("status") or {}
    if not _seen(document):
        return NOT_SEEN
    wanted = spec.get("replicas", 1)
    strategy = spec.get("updateStrategy") or {}
    partition = (strategy.get("rollingUpdate") or {}).get("partition") or 0
    ready = status.get("readyReplicas", 0)
    updated = status.get("updatedReplicas", 0)
    if strategy.get("type") == "OnDelete":
        rolled_out = True
    elif partition:
        rolled_out = updated >= wanted - partition
    else:
        rolled_out = status.get("updateRevision") == status.get("currentRevision")
    if rolled_out and ready >= wanted:
        return READY
    return State(False, _counts(wanted, updated, ready, 0))


def _daemon_set(document: dict[str, Any]) -> State:
    spec, status = document["spec"], document.get("status") or {}
    if not _seen(document):
        return NOT_SEEN
    wanted = status.get("desiredNumberScheduled", 0)
    on_delete = (spec.get("updateStrategy") or {}).get("type") == "OnDelete"
    updated = wanted if on_delete else status.get("updatedNumberScheduled", 0)
    available = status.get("numberAvailable", 0)
    if updated >= wanted and available >= wanted:
        return READY
    return State(False, _counts(wanted, updated, available, 0))


def _counts(wanted: int, updated: int, available: int, old: int) -> str:
    text = f"{updated} of {wanted} pods updated, {available} available"
    return f"{text}, {old} of the old version left" if old > 0 else text


def _with_conditions(document: dict[str, Any], text: str, bad: str, good: str) -> str:
    failing = condition(document, bad)
    if failing.get("status") == "True":
        return f"{text}; {failing.get('reason')}: {failing.get('message')}"
    stalled = condition(document, good)
    if stalled.get("status") == "False":
        return f"{text}; {stalled.get('reason')}: {stalled.get('message')}"
    return text


def _job(document: dict[str, Any]) -> State:
    spec, status = document["spec"], document.get("status") or {}
    if condition(document, "Complete").get("status") == "True":
        return READY
    failing = condition(document, "Failed")
    if failing.get("status") == "True":
        return State(False, f"the Job failed; {failing.get('reason')}: {failing.get('message')}", failed=True)
    if spec.get("suspend"):
        return READY
    done, wanted = status.get("succeeded", 0), spec.get("completions", 1)
    return State(
        False, f"{done} of {wanted} completions, {status.get('active', 0)} active, {status.get('failed', 0)} failed"
    )


def _claim(document: dict[str, Any]) -> State:
    phase = (document.get("status") or {}).get("phase") or "Pending"
    if phase == "Bound":
        return READY
    if phase == "Lost":
        return State(False, "its volume is lost", failed=True)
    name = document["spec"].get("storageClassName")
    return State(False, f"phase {phase}, storage class {name or 'none'}")


def unused_claim(document: dict[str, Any], waits_for_consumer: Callable[[dict[str, Any]], bool]) -> bool:
    """Tell whether a claim is only pending because no pod uses it yet."""
    annotations = document["metadata"].get("annotations") or {}
    return SELECTED_NODE not in annotations and waits_for_consumer(document)


def _certificate(document: dict[str, Any]) -> State:
    ready = condition(document, "Ready")
    generation = document["metadata"].get("generation", 0)
    current = ready.get("observedGeneration", generation) >= generation
    if ready.get("status") == "True" and current:
        return READY
    if not ready:
        return State(False, "cert-manager has not looked at it yet")
    issuing = condition(document, "Issuing").get("message")
    return State(False, f"{ready.get('reason')}: {ready.get('message')}" + (f"; {issuing}" if issuing else ""))


def _definition(document: dict[str, Any]) -> State:
    if condition(document, "Established").get("status") == "True":
        return READY
    refused = condition(document, "NamesAccepted")
    text = (
        f"{refused.get('reason')}: {refused.get('message')}"
        if refused.get("status") == "False"
        else "not established yet"
    )
    return State(False, text)


_RULES: dict[tuple[str, str], Callable[[dict[str, Any]], State]] = {
    ("apps", "Deployment"): _deployment,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "DaemonSet"): _daemon_set,
    ("batch", "Job"): _job,
    ("", "PersistentVolumeClaim"): _claim,
    ("cert-manager.io", "Certificate"): _certificate,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
}
