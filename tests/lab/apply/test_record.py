# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors

"""The inventory record, pruning, and removal."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.lab.apply.harness import Applier, Kubectl
from tests.lab.apply.objects import actions, config_map, deployment, secret
from tests.lab.apply.relay import Relay, Seen, Spoiled

CLAIM: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
}


def members(kubectl: Kubectl, record: str = "record") -> list[str]:
    """Return what a record lists, as ``Kind/name``."""
    found = kubectl.get("configmap", f"homeport-{record}")
    assert found is not None
    entries = [json.loads(line) for line in found["data"]["objects"].splitlines()]
    return [f"{entry['kind']}/{entry['name']}" for entry in entries]


def test_leaver_is_pruned_and_forgotten(apply: Applier, kubectl: Kubectl) -> None:
    first = apply(config_map("stays"), config_map("leaves"), record="record")
    assert first["record"]["action"] == "created"
    assert members(kubectl) == ["ConfigMap/leaves", "ConfigMap/stays"]
    result = apply(config_map("stays"), record="record")
    assert actions(result) == {"ConfigMap/stays": "unchanged", "ConfigMap/leaves": "pruned"}
    assert result["changed"]
    assert result["actions"] == [
        f"prune ConfigMap {kubectl.namespace}/leaves",
        f"update record ConfigMap {kubectl.namespace}/homeport-record",
    ]
    assert kubectl.get("configmap", "leaves") is None
    assert members(kubectl) == ["ConfigMap/stays"]


def test_object_in_another_api_version_is_the_same_object(apply: Applier, kubectl: Kubectl) -> None:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    scaler: dict[str, Any] = {
        "apiVersion": "autoscaling/v1",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web"},
        "spec": {"maxReplicas": 2, "scaleTargetRef": target},
    }
    apply(scaler, record="record")
    result = apply({**scaler, "apiVersion": "autoscaling/v2"}, record="record")
    assert "pruned" not in actions(result).values()
    assert kubectl.get("horizontalpodautoscaler", "web") is not None


def test_without_prune_leavers_stay_listed(apply: Applier, kubectl: Kubectl) -> None:
    apply(config_map("stays"), config_map("leaves"), record="record")
    result = apply(config_map("stays"), record="record", prune=False)
    assert not result["changed"]
    assert members(kubectl) == ["ConfigMap/leaves", "ConfigMap/stays"]
    assert actions(apply(config_map("stays"), record="record"))["ConfigMap/leaves"] == "pruned"


def test_records_do_not_touch_each_other(apply: Applier, kubectl: Kubectl) -> None:
    apply(config_map("one"), record="one")
    apply(config_map("two"), record="two")
    assert kubectl.get("configmap", "one") is not None
    assert members(kubectl, "one") == ["ConfigMap/one"]


def test_replaced_object_is_not_pruned(apply: Applier, kubectl: Kubectl) -> None:
    apply(config_map("stays"), config_map("leaves"), record="record")
    kubectl("delete", "configmap", "leaves")
    kubectl("create", "configmap", "leaves")
    assert actions(apply(config_map("stays"), record="record"))["ConfigMap/leaves"] == "kept"
    assert kubectl.get("configmap", "leaves") is not None
    assert members(kubectl) == ["ConfigMap/stays"]


def test_deletion_names_the_uid(relayed: Applier, relay: Relay) -> None:
    relayed(config_map("stays"), config_map("leaves"), record="record")
    relayed(config_map("stays"), record="record")
    delete = next(seen for seen in relay.seen if seen.method == "DELETE")
    assert delete.body["preconditions"]["uid"]


def test_object_replaced_at_the_last_moment_is_not_pruned(relayed: Applier, relay: Relay, kubectl: Kubectl) -> None:
    relayed(config_map("stays"), config_map("leaves"), record="record")

    def replace(seen: Seen) -> Spoiled | None:
        if seen.method == "DELETE":
            kubectl("delete", "configmap", "leaves")
            kubectl("create", "configmap", "leaves")
        return None

    relay.spoil = replace
    assert actions(relayed(config_map("stays"), record="record"))["ConfigMap/leaves"] == "kept"
    assert kubectl.get("configmap", "leaves") is not None


def test_leaver_that_is_gone_already_is_no_change(apply: Applier, kubectl: Kubectl) -> None:
    apply(config_map("stays"), config_map("leaves"), record="record")
    kubectl("delete", "configmap", "leaves")
    for _repeated in range(2):
        result = apply(config_map("stays"), record="record")
        assert actions(result) == {"ConfigMap/stays": "unchanged", "ConfigMap/leaves": "absent"}
        assert not result["changed"]
    # what is gone leaves the record with its next write
    apply(config_map("stays"), config_map("comes"), record="record")
    assert members(kubectl) == ["ConfigMap/comes", "ConfigMap/stays"]


def test_leaver_that_is_gone_comes_back(apply: Applier, kubectl: Kubectl) -> None:
    apply(config_map("stays"), config_map("leaves"), record="record")
    kubectl("delete", "configmap", "leaves")
    apply(config_map("stays"), record="record")
    result = apply(config_map("stays"), config_map("leaves"), record="record")
    assert actions(result) == {"ConfigMap/stays": "unchanged", "ConfigMap/leaves": "created"}
    assert members(kubectl) == ["ConfigMap/leaves", "ConfigMap/stays"]


def test_exempt_object_is_released(apply: Applier, kubectl: Kubectl) -> None:
    exempt = config_map("leaves")
    exempt["metadata"]["annotations"] = {"registry.homeport.dev/prune": "disabled"}
    apply(config_map("stays"), exempt, record="record")
    assert actions(apply(config_map("stays"), record="record"))["ConfigMap/leaves"] == "kept"
    assert kubectl.get("configmap", "leaves") is not None
    assert members(kubectl) == ["ConfigMap/stays"]


def test_protected_kinds_stay_until_they_are_named(apply: Applier, kubectl: Kubectl) -> None:
    apply(config_map("stays"), CLAIM, record="record")
    for _repeat in range(2):
        result = apply(config_map("stays"), record="record")
        assert actions(result)["PersistentVolumeClaim/data"] == "kept"
        assert not result["changed"]
    result = apply(config_map("stays"), record="record", delete_protected=["PersistentVolumeClaim/data"])
    assert actions(result)["PersistentVolumeClaim/data"] == "pruned"
    assert members(kubectl) == ["ConfigMap/stays"]


def test_failed_wave_prunes_nothing_and_records_what_it_applied(apply: Applier, kubectl: Kubectl) -> None:
    apply(config_map("old"), record="record")
    error = apply.fails(config_map("new"), {**config_map("broken"), "nonsense": 1}, record="record")
    assert error.details["changed"]
    assert {f"{item['kind']}/{item['name']}": item["action"] for item in error.details["objects"]} == {
        "ConfigMap/new": "created",
        "ConfigMap/broken": "failed",
    }
    assert members(kubectl) == ["ConfigMap/new", "ConfigMap/old"]
    assert kubectl.get("configmap", "old") is not None
    assert actions(apply(config_map("new"), record="record"))["ConfigMap/old"] == "pruned"


def test_damaged_record_stops_pruning(apply: Applier, kubectl: Kubectl) -> None:
    apply(config_map("stays"), config_map("leaves"), record="record")
    kubectl("patch", "configmap", "homeport-record", "--type=merge", '--patch={"data":{"objects":"{broken"}}')
    error = apply.fails(config_map("stays"), record="record")
    assert f"ConfigMap {kubectl.namespace}/homeport-record cannot be read" in error.message
    assert kubectl.get("configmap", "leaves") is not None


def test_record_lost_is_made_again(apply: Applier, kubectl: Kubectl) -> None:
    apply(config_map("stays"), record="record")
    kubectl("delete", "configmap", "homeport-record")
    result = apply(config_map("stays"), record="record")
    assert result["record"]["action"] == "created"
    assert members(kubectl) == ["ConfigMap/stays"]


def test_record_holds_no_secret(apply: Applier, kubectl: Kubectl) -> None:
    apply(secret(password="correct horse battery staple"), record="record")
    found = kubectl.get("configmap", "homeport-record")
    assert found is not None
    entry = json.loads(found["data"]["objects"])
    assert set(entry) == {
        "api_version", "kind", "namespace", "name", "resource", "uid", "time", "version", "generation", "digest",
    }  # fmt: skip
    assert entry["digest"] is None


def test_record_in_another_namespace(apply: Applier, kubectl: Kubectl) -> None:
    name = f"{kubectl.namespace}-r"
    kubectl("create", "namespace", name)
    try:
        result = apply(config_map(), record="record", record_namespace=name)
        assert result["record"]["namespace"] == name
        assert kubectl.get("configmap", "homeport-record") is None
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


@pytest.mark.parametrize("wait", [True, False])
def test_absent_removes_everything_and_repeats_quietly(apply: Applier, kubectl: Kubectl, wait: bool) -> None:
    apply(config_map(), secret(), config_map("forgotten"), record="record")
    result = apply(config_map(), secret(), record="record", state="absent", wait=wait)
    assert actions(result) == {
        "ConfigMap/config": "deleted",
        "Secret/credentials": "deleted",
        "ConfigMap/forgotten": "deleted",
    }
    assert result["record"]["action"] == "deleted"
    assert kubectl("get", "configmap,secret", "--output=name").split() in ([], ["configmap/kube-root-ca.crt"])
    again = apply(config_map(), secret(), record="record", state="absent", wait=wait)
    assert set(actions(again).values()) == {"absent"}
    assert not again["changed"]


def test_absent_goes_in_reverse_order(relayed: Applier, relay: Relay) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
    }
    relayed(config_map(), service, deployment())
    relayed(config_map(), service, deployment(), state="absent")
    deleted = [seen.path.split("/")[-2] for seen in relay.seen if seen.method == "DELETE"]
    assert deleted == ["deployments", "services", "configmaps"]


def test_absent_keeps_protected_kinds(apply: Applier, kubectl: Kubectl) -> None:
    place = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": kubectl.namespace}}
    apply(place, CLAIM, config_map(), record="record")
    result = apply(place, CLAIM, config_map(), record="record", state="absent")
    assert actions(result) == {
        "ConfigMap/config": "deleted",
        "PersistentVolumeClaim/data": "kept",
        f"Namespace/{kubectl.namespace}": "kept",
    }
    assert kubectl.get("persistentvolumeclaim", "data") is not None


def test_namespace_with_an_unnamed_claim_stays(apply: Applier, kubectl: Kubectl) -> None:
    place = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": kubectl.namespace}}
    apply(CLAIM)
    result = apply(place, state="absent", delete_protected=[f"Namespace/{kubectl.namespace}"])
    assert actions(result) == {f"Namespace/{kubectl.namespace}": "kept"}
    assert "PersistentVolumeClaim data" in result["warnings"][0]
    assert "deletionTimestamp" not in kubectl("get", "namespace", kubectl.namespace, "--output=json")


def test_exempt_object_goes_when_it_is_rendered(apply: Applier, kubectl: Kubectl) -> None:
    exempt = config_map("exempt")
    exempt["metadata"]["annotations"] = {"registry.homeport.dev/prune": "disabled"}
    listed = config_map("listed")
    listed["metadata"]["annotations"] = {"registry.homeport.dev/prune": "disabled"}
    apply(exempt, listed, record="record")
    result = apply(exempt, record="record", state="absent")
    assert actions(result) == {"ConfigMap/exempt": "deleted", "ConfigMap/listed": "kept"}
    assert kubectl.get("configmap", "exempt") is None
    assert kubectl.get("configmap", "listed") is not None


def test_absent_where_nothing_ever_was(apply: Applier) -> None:
    unknown = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}}
    result = apply(config_map(), unknown, state="absent", namespace="apply-test-nowhere", record="record")
    assert set(actions(result).values()) == {"absent"}
    assert not result["changed"]


def test_held_object_names_its_finalizer(apply: Applier, kubectl: Kubectl) -> None:
    held = config_map()
    held["metadata"]["finalizers"] = ["example.com/hold"]
    apply(held)
    error = apply.fails(held, state="absent", wait=True, wait_timeout=1)
    assert "is not gone within 1 seconds: it is still there, held by finalizer example.com/hold" in error.message
    kubectl("patch", "configmap", "config", "--type=json", '--patch=[{"op":"remove","path":"/metadata/finalizers"}]')
