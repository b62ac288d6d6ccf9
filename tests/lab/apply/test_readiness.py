# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors

"""Waiting by watch, and the evidence when waiting ends badly; needs the controllers of a real cluster."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from tests.lab.apply.harness import Applier, Kubectl
from tests.lab.apply.objects import actions, deployment
from tests.lab.apply.relay import Relay, Seen, Spoiled

IMAGE = "homeport.lab/client:1"


def pod_spec(*command: str, **container: Any) -> dict[str, Any]:
    """Return a pod spec with one container that runs a shell command."""
    main = {"name": "main", "image": IMAGE, "command": ["sh", "-c", " ".join(command)], **container}
    return {"terminationGracePeriodSeconds": 0, "containers": [main]}


def job(command: str, **spec: Any) -> dict[str, Any]:
    """Return a Job that runs a shell command once."""
    template = {"spec": {**pod_spec(command), "restartPolicy": "Never"}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "once"},
        "spec": {"backoffLimit": 0, "template": template, **spec},
    }


def claim(name: str = "data", **spec: Any) -> dict[str, Any]:
    """Return a small volume claim."""
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}, **spec}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": wanted}


def controlled(kind: str, name: str, command: str) -> dict[str, Any]:
    """Return a DaemonSet or StatefulSet that runs a shell command."""
    labels = {"app": name}
    spec: dict[str, Any] = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod_spec(command)},
    }
    if kind == "StatefulSet":
        spec |= {"serviceName": name, "replicas": 2, "podManagementPolicy": "Parallel"}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def running(name: str = "web", replicas: int = 1, command: str = "sleep 3600", **container: Any) -> dict[str, Any]:
    """Return a Deployment that runs a shell command."""
    return deployment(name, replicas, command=["sh", "-c", command], **container)


def test_all_kinds_become_ready_under_one_deadline(apply: Applier, kubectl: Kubectl) -> None:
    documents = [
        running(),
        controlled("StatefulSet", "set", "sleep 3600"),
        controlled("DaemonSet", "daemon", "sleep 3600"),
        job("sleep 1"),
        claim(),
        running("empty", replicas=0),
    ]
    started = time.monotonic()
    apply(*documents, wait=True, wait_timeout=120)
    assert time.monotonic() - started < 120
    states = kubectl("get", "deployment,statefulset,daemonset,job", "--output=jsonpath={.items[*].status}")
    assert '"readyReplicas":1' in states
    assert '"readyReplicas":2' in states
    assert '"succeeded":1' in states
    again = apply(*documents, wait=True, wait_timeout=5)
    assert set(actions(again).values()) == {"unchanged"}


def test_claim_that_nobody_uses_is_ready(apply: Applier) -> None:
    started = time.monotonic()
    apply(claim(), wait=True, wait_timeout=20)
    apply(claim(), wait=True, wait_timeout=20)
    assert time.monotonic() - started < 5


def test_claim_that_nobody_uses_is_ready_without_rights_on_classes(apply: Applier, kubectl: Kubectl) -> None:
    kubectl("create", "rolebinding", "jane", "--clusterrole=admin", "--user=jane")
    apply(claim(), wait=True, wait_timeout=20, impersonate_user="jane")


def test_claim_that_cannot_be_bound_says_why(apply: Applier) -> None:
    error = apply.fails(claim(storageClassName="nowhere"), wait=True, wait_timeout=4)
    assert "PersistentVolumeClaim" in error.message
    assert "phase Pending, storage class nowhere" in error.message
    assert 'storageclass.storage.k8s.io "nowhere" not found' in error.message


def test_rollout_waits_for_the_new_version(apply: Applier, kubectl: Kubectl) -> None:
    apply(running(), wait=True, wait_timeout=60)
    apply(running(env=[{"name": "NEW", "value": "1"}]), wait=True, wait_timeout=60)
    pods = kubectl("get", "pods", "--output=jsonpath={.items[*].spec.containers[0].env[0].name}")
    assert "NEW" in pods
    status = (kubectl.get("deployment", "web") or {})["status"]
    assert status["updatedReplicas"] == status["replicas"] == status["availableReplicas"] == 1


def test_crashing_pod_shows_its_last_words(apply: Applier) -> None:
    error = apply.fails(
        running(
            command="echo starting; echo the store is corrupt >&2; exit 7",
            readinessProbe={"exec": {"command": ["true"]}, "initialDelaySeconds": 5},
        ),
        wait=True,
        wait_timeout=8,
    )
    text = error.message
    assert "Deployment" in text
    assert "is not ready after 8 seconds: 1 of 1 pods updated, 0 available" in text
    assert "exit code 7" in text
    assert "log of main: the store is corrupt" in text
    assert error.details["changed"]


def test_missing_image_is_named(apply: Applier) -> None:
    error = apply.fails(running(image="homeport.lab/missing:1"), wait=True, wait_timeout=8)
    assert "container main waits, " in error.message
    assert "homeport.lab/missing:1" in error.message


def test_pod_that_is_refused_at_admission(apply: Applier, kubectl: Kubectl) -> None:
    kubectl("label", "namespace", kubectl.namespace, "pod-security.kubernetes.io/enforce=restricted")
    error = apply.fails(running(), wait=True, wait_timeout=5)
    assert "FailedCreate" in error.message
    assert 'violates PodSecurity "restricted' in error.message


def test_pod_that_cannot_be_scheduled(apply: Applier) -> None:
    document = running()
    document["spec"]["template"]["spec"]["nodeSelector"] = {"no": "such-node"}
    error = apply.fails(document, wait=True, wait_timeout=5)
    assert "not scheduled:" in error.message
    assert "didn't match Pod's node affinity/selector" in error.message


def test_failed_job_ends_the_wait_at_once(apply: Applier) -> None:
    started = time.monotonic()
    error = apply.fails(job("echo no such bucket; exit 3"), running(), wait=True, wait_timeout=120)
    assert time.monotonic() - started < 60
    assert "Job" in error.message
    assert "failed: the Job failed; BackoffLimitExceeded" in error.message
    assert "log of main: no such bucket" in error.message


def test_deleted_while_waiting(apply: Applier, kubectl: Kubectl) -> None:
    threading.Timer(2, kubectl, ("delete", "deployment", "web")).start()
    document = running(readinessProbe={"exec": {"command": ["false"]}})
    started = time.monotonic()
    error = apply.fails(document, wait=True, wait_timeout=60)
    assert time.monotonic() - started < 20
    assert "it is being deleted" in error.message or "it was deleted while waiting for it" in error.message


def test_watch_goes_on_after_an_expired_version(relay: Relay, relayed: Applier) -> None:
    watched: list[Seen] = []

    def expire(seen: Seen) -> Spoiled | None:
        if "watch" in seen.query:
            watched.append(seen)
            if len(watched) == 1:
                body = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
                return Spoiled(200, (), {"type": "ERROR", "object": body})
            if len(watched) == 2:
                return Spoiled(410, (), {"kind": "Status", "code": 410, "reason": "Gone", "message": "too old"})
            if len(watched) == 3:
                return Spoiled(0)
        return None

    relay.spoil = expire
    slow = {"exec": {"command": ["true"]}, "initialDelaySeconds": 3}
    relayed(running(readinessProbe=slow), wait=True, wait_timeout=60)
    assert len(watched) >= 4


def test_ready_is_reported_within_milliseconds(apply: Applier, kubectl: Kubectl) -> None:
    ready: list[float] = []

    def look() -> None:
        while not ready:
            status = (kubectl.get("deployment", "web") or {}).get("status", {})
            if status.get("availableReplicas"):
                ready.append(time.monotonic())

    probe = {"exec": {"command": ["sh", "-c", "test $(date +%s) -gt $((START + 3))"]}, "periodSeconds": 1}
    document = running(
        env=[{"name": "START", "value": str(int(time.time()))}], readinessProbe=probe, command="sleep 3600"
    )
    observer = threading.Thread(target=look)
    observer.start()
    apply(document, wait=True, wait_timeout=60)
    done = time.monotonic()
    observer.join(timeout=30)
    # polling kubectl is the slower observer, so this only bounds the delay from above
    assert done - ready[0] < 0.5


def test_absent_takes_pods_along_before_the_config(apply: Applier, kubectl: Kubectl) -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"}, "data": {"a": "1"}}
    documents = [running(), claim(), config]
    apply(*documents, wait=True, wait_timeout=60)
    result = apply(
        *documents, state="absent", wait=True, wait_timeout=60, delete_protected=["PersistentVolumeClaim/data"]
    )
    assert set(actions(result).values()) == {"deleted"}
    assert kubectl("get", "pods,replicasets,persistentvolumeclaims", "--output=name") == ""


@pytest.mark.parametrize("named", [True, False])
def test_namespace_goes_last_and_only_by_name(apply: Applier, kubectl: Kubectl, named: bool) -> None:
    place = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": kubectl.namespace}}
    apply(place, running(), wait=True, wait_timeout=60)
    protected = [f"Namespace/{kubectl.namespace}"] if named else []
    result = apply(place, running(), state="absent", wait=True, wait_timeout=90, delete_protected=protected)
    assert actions(result) == {
        "Deployment/web": "deleted",
        f"Namespace/{kubectl.namespace}": "deleted" if named else "kept",
    }
    assert bool(kubectl("get", "namespace", kubectl.namespace, "--ignore-not-found")) is not named
    if named:
        kubectl("create", "namespace", kubectl.namespace)
