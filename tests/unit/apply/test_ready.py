# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors

"""Ready, failed or waiting, for each kind."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._apply_diagnose import (
    describe_pod,
    failing_container,
    pod_is_fine,
)
from ansible_collections.homeport.registry.plugins.module_utils._apply_ready import assess, unused_claim, waits
from ansible_collections.homeport.registry.plugins.module_utils._kube_kinds import KNOWN

API = {
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "DaemonSet": "apps/v1",
    "Job": "batch/v1",
    "PersistentVolumeClaim": "v1",
    "Certificate": "cert-manager.io/v1",
    "CustomResourceDefinition": "apiextensions.k8s.io/v1",
}
DONE = {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
ROLLED = {
    "observedGeneration": 2,
    "readyReplicas": 2,
    "updatedReplicas": 2,
    "currentRevision": "b",
    "updateRevision": "b",
}
SCHEDULED = {"observedGeneration": 2, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 3}


def conditions(*items: tuple[str, str], **more: Any) -> dict[str, Any]:
    """Return a status with conditions."""
    return {
        "conditions": [
            {"type": kind, "status": status, "reason": "R", "message": "m", **more} for kind, status in items
        ]
    }


def state(kind: str, spec: dict[str, Any], status: dict[str, Any], **metadata: Any) -> tuple[str, str]:
    """Return the verdict on an object of generation 2, and its reason."""
    document = {"metadata": {"generation": 2, **metadata}, "spec": spec, "status": status}
    found = assess(KNOWN[API[kind], kind], document)
    return "ready" if found.ready else "failed" if found.failed else "waiting", found.reason


@pytest.mark.parametrize(
    ("kind", "spec", "status", "expected", "reason"),
    [
        ("Deployment", {"replicas": 2}, DONE, "ready", ""),
        ("Deployment", {}, {**DONE, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}, "ready", ""),
        ("Deployment", {"replicas": 0}, {"observedGeneration": 2}, "ready", ""),
        ("Deployment", {"replicas": 0}, {"observedGeneration": 1}, "waiting", "has not seen this version"),
        (
            "Deployment",
            {"replicas": 0},
            {"observedGeneration": 2, "replicas": 1},
            "waiting",
            "1 of the old version left",
        ),
        ("Deployment", {"replicas": 2}, {}, "waiting", "has not seen this version"),
        (
            "Deployment",
            {"replicas": 2},
            {**DONE, "availableReplicas": 1},
            "waiting",
            "2 of 2 pods updated, 1 available",
        ),
        ("Deployment", {"replicas": 2}, {**DONE, "replicas": 3}, "waiting", "1 of the old version left"),
        ("Deployment", {"replicas": 2, "paused": True}, {**DONE, "updatedReplicas": 0}, "waiting", "paused"),
        (
            "Deployment",
            {"replicas": 1},
            {"observedGeneration": 2, **conditions(("ReplicaFailure", "True"))},
            "waiting",
            "R: m",
        ),
        (
            "Deployment",
            {"replicas": 1},
            {"observedGeneration": 2, **conditions(("Progressing", "False"))},
            "waiting",
            "R: m",
        ),
        ("StatefulSet", {"replicas": 2}, ROLLED, "ready", ""),
        ("StatefulSet", {"replicas": 0}, {"observedGeneration": 2}, "ready", ""),
        ("StatefulSet", {"replicas": 2}, {**ROLLED, "currentRevision": "a"}, "waiting", "2 available"),
        ("StatefulSet", {"replicas": 2}, {**ROLLED, "readyReplicas": 1}, "waiting", "1 available"),
        (
            "StatefulSet",
            {"replicas": 2, "updateStrategy": {"type": "OnDelete"}},
            {**ROLLED, "currentRevision": "a", "updatedReplicas": 0},
            "ready",
            "",
        ),
        (
            "StatefulSet",
            {"replicas": 2, "updateStrategy": {"rollingUpdate": {"partition": 1}}},
            {**ROLLED, "currentRevision": "a", "updatedReplicas": 1},
            "ready",
            "",
        ),
        (
            "StatefulSet",
            {"replicas": 2, "updateStrategy": {"rollingUpdate": {"partition": 1}}},
            {**ROLLED, "currentRevision": "a", "updatedReplicas": 0},
            "waiting",
            "0 of 2 pods updated",
        ),
        ("DaemonSet", {}, SCHEDULED, "ready", ""),
        ("DaemonSet", {}, {"observedGeneration": 2, "desiredNumberScheduled": 0}, "ready", ""),
        ("DaemonSet", {}, {**SCHEDULED, "numberAvailable": 2}, "waiting", "2 available"),
        ("DaemonSet", {}, {**SCHEDULED, "updatedNumberScheduled": 1}, "waiting", "1 of 3 pods updated"),
        (
            "DaemonSet",
            {"updateStrategy": {"type": "OnDelete"}},
            {**SCHEDULED, "updatedNumberScheduled": 1},
            "ready",
            "",
        ),
        ("Job", {}, conditions(("Complete", "True")), "ready", ""),
        ("Job", {}, conditions(("Failed", "True")), "failed", "the Job failed; R: m"),
        ("Job", {"suspend": True}, {}, "ready", ""),
        ("Job", {"completions": 3}, {"active": 1, "succeeded": 2}, "waiting", "2 of 3 completions, 1 active, 0 failed"),
        ("PersistentVolumeClaim", {}, {"phase": "Bound"}, "ready", ""),
        ("PersistentVolumeClaim", {}, {"phase": "Lost"}, "failed", "its volume is lost"),
        ("PersistentVolumeClaim", {"storageClassName": "s"}, {"phase": "Pending"}, "waiting", "storage class s"),
        ("PersistentVolumeClaim", {}, {}, "waiting", "phase Pending, storage class none"),
        ("Certificate", {}, conditions(("Ready", "True"), observedGeneration=2), "ready", ""),
        ("Certificate", {}, conditions(("Ready", "True"), observedGeneration=1), "waiting", "R: m"),
        ("Certificate", {}, conditions(("Ready", "False"), ("Issuing", "True")), "waiting", "R: m; m"),
        ("Certificate", {}, {}, "waiting", "cert-manager has not looked at it yet"),
        ("CustomResourceDefinition", {}, conditions(("Established", "True")), "ready", ""),
        ("CustomResourceDefinition", {}, conditions(("NamesAccepted", "False")), "waiting", "R: m"),
    ],
)
def test_state(kind: str, spec: dict[str, Any], status: dict[str, Any], expected: str, reason: str) -> None:
    found, text = state(kind, spec, status)
    assert found == expected
    assert reason in text


def test_object_that_is_being_deleted_is_not_ready() -> None:
    assert state("Deployment", {"replicas": 2}, DONE, deletionTimestamp="now") == ("waiting", "it is being deleted")


def test_only_some_kinds_are_waited_for() -> None:
    assert all(waits(KNOWN[version, kind]) for kind, version in API.items())
    assert not waits(KNOWN["v1", "ConfigMap"])


@pytest.mark.parametrize(
    ("annotations", "late_binding", "expected"),
    [({}, True, True), ({}, False, False), ({"volume.kubernetes.io/selected-node": "n"}, True, False)],
)
def test_claim_that_nobody_uses(annotations: dict[str, str], late_binding: bool, expected: bool) -> None:
    document = {"metadata": {"annotations": annotations}, "spec": {}}
    assert unused_claim(document, lambda claim: late_binding) is expected


def pod(*containers: dict[str, Any], **status: Any) -> dict[str, Any]:
    """Return a pod with container statuses."""
    return {"metadata": {"name": "p"}, "status": {"phase": "Running", "containerStatuses": list(containers), **status}}


CRASHED = {"exitCode": 7, "reason": "Error"}


@pytest.mark.parametrize(
    ("document", "text", "container"),
    [
        (
            pod(
                {
                    "name": "c",
                    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                    "lastState": {"terminated": CRASHED},
                }
            ),
            "Running; container c waits, CrashLoopBackOff, before that it ended with exit code 7 (Error)",
            ("c", True),
        ),
        (
            pod({"name": "c", "state": {"waiting": {"reason": "ErrImagePull", "message": "no"}}}, phase="Pending"),
            "Pending; container c waits, ErrImagePull: no",
            None,
        ),
        (
            pod({"name": "c", "state": {"terminated": CRASHED}}),
            "Running; container c ended with exit code 7 (Error)",
            ("c", False),
        ),
        (pod({"name": "c", "state": {"running": {}}}), "Running; container c runs but is not ready", ("c", False)),
        (pod({"name": "c", "state": {"running": {}}, "ready": True}), "Running", None),
        (pod(phase="Failed", reason="Evicted", message="disk"), "Failed; Evicted: disk", None),
        (pod(phase="Pending", **conditions(("PodScheduled", "False"))), "Pending; not scheduled: m", None),
        (
            pod(initContainerStatuses=[{"name": "i", "state": {"terminated": CRASHED}}]),
            "Running; container i ended with exit code 7 (Error)",
            ("i", False),
        ),
    ],
)
def test_pods_are_described(document: dict[str, Any], text: str, container: tuple[str, bool] | None) -> None:
    assert describe_pod(document) == text
    assert failing_container(document) == container


def test_pods_that_are_fine() -> None:
    assert pod_is_fine(pod(phase="Succeeded"))
    assert pod_is_fine(pod(**conditions(("Ready", "True"))))
    assert not pod_is_fine(pod(**conditions(("Ready", "False"))))
