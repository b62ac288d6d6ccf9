# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors

"""What is a change and what is not, on a real API server."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.lab.apply.harness import Applier, Kubectl
from tests.lab.apply.objects import actions, config_map, deployment, secret

# the API server keeps the time of a change in whole seconds, and dates its answers likewise
SETTLED = 2.1


@pytest.fixture(params=["record", None])
def record(request: pytest.FixtureRequest) -> str | None:
    """Run a test with and without an inventory record."""
    value: str | None = request.param
    return value


def settle() -> None:
    """Wait until the previous change is in the past beyond doubt."""
    time.sleep(SETTLED)


def test_repeat_is_unchanged(apply: Applier, record: str | None) -> None:
    first = apply(config_map(), secret(), deployment(), record=record)
    assert set(actions(first).values()) == {"created"}
    assert first["changed"]
    settle()
    again = apply(config_map(), secret(), deployment(), record=record)
    assert set(actions(again).values()) == {"unchanged"}
    assert not again["changed"]
    assert again["actions"] == []


def test_value_drift_is_repaired(apply: Applier, kubectl: Kubectl, record: str | None) -> None:
    apply(config_map(a="1"), record=record)
    kubectl("patch", "configmap", "config", "--type=merge", '--patch={"data":{"a":"drifted"}}')
    settle()
    # kubectl owns the value now, which is a conflict until it is forced
    assert "belongs to kubectl-patch" in apply.fails(config_map(a="1"), record=record).message
    result = apply(config_map(a="1"), record=record, force_conflicts=True)
    assert actions(result) == {"ConfigMap/config": "updated"}
    found = kubectl.get("configmap", "config")
    assert found is not None
    assert found["data"] == {"a": "1"}


def test_replica_drift_is_repaired(apply: Applier, kubectl: Kubectl, record: str | None) -> None:
    apply(deployment(replicas=0), record=record)
    kubectl("scale", "deployment", "web", "--replicas=2")
    settle()
    result = apply(deployment(replicas=0), record=record, force_conflicts=True)
    assert actions(result) == {"Deployment/web": "updated"}


def test_replicas_of_others_stay(apply: Applier, kubectl: Kubectl, record: str | None) -> None:
    apply(deployment(replicas=None), record=record)
    kubectl("scale", "deployment", "web", "--replicas=0")
    settle()
    assert actions(apply(deployment(replicas=None), record=record)) == {"Deployment/web": "unchanged"}
    found = kubectl.get("deployment", "web")
    assert found is not None
    assert found["spec"]["replicas"] == 0


def test_removed_label_is_restored(apply: Applier, kubectl: Kubectl, record: str | None) -> None:
    document = config_map()
    document["metadata"]["labels"] = {"team": "platform"}
    apply(document, record=record)
    kubectl("label", "configmap", "config", "team-")
    settle()
    assert actions(apply(document, record=record)) == {"ConfigMap/config": "updated"}


def test_key_of_another_owner_is_no_change(apply: Applier, kubectl: Kubectl, record: str | None) -> None:
    apply(config_map(a="1"), record=record)
    kubectl("patch", "configmap", "config", "--type=merge", '--patch={"data":{"theirs":"2"}}')
    settle()
    assert actions(apply(config_map(a="1"), record=record)) == {"ConfigMap/config": "unchanged"}
    found = kubectl.get("configmap", "config")
    assert found is not None
    assert found["data"] == {"a": "1", "theirs": "2"}


def test_status_update_is_no_change(apply: Applier, kubectl: Kubectl, record: str | None) -> None:
    apply(deployment(), record=record)
    settle()
    kubectl(
        "patch", "deployment", "web", "--subresource=status", "--type=merge", '--patch={"status":{"collisionCount":3}}'
    )
    assert actions(apply(deployment(), record=record)) == {"Deployment/web": "unchanged"}


@pytest.mark.parametrize(
    "changed",
    [{"a": "1", "b": "2"}, {"a": "other"}, {"c": "3"}],
    ids=["add", "change", "remove"],
)
def test_own_edit_is_a_change(apply: Applier, kubectl: Kubectl, record: str | None, changed: dict[str, str]) -> None:
    apply(config_map(a="1"), record=record)
    settle()
    assert actions(apply(config_map(**changed), record=record)) == {"ConfigMap/config": "updated"}
    found = kubectl.get("configmap", "config")
    assert found is not None
    assert found["data"] == changed


def test_secret_key_that_leaves_the_template_leaves_the_secret(apply: Applier, kubectl: Kubectl) -> None:
    apply(secret(a="1", b="2"))
    settle()
    assert actions(apply(secret(a="1"))) == {"Secret/credentials": "updated"}
    found = kubectl.get("secret", "credentials")
    assert found is not None
    assert list(found["data"]) == ["a"]


def test_dry_run_tells_what_would_change(apply: Applier, kubectl: Kubectl, record: str | None) -> None:
    apply(config_map(a="1"), secret(), record=record)
    settle()
    before = kubectl.get("configmap", "config")
    result = apply(config_map(a="2"), secret(), deployment(), record=record, check_mode=True)
    assert actions(result) == {
        "ConfigMap/config": "updated",
        "Secret/credentials": "unchanged",
        "Deployment/web": "created",
    }
    assert kubectl.get("configmap", "config") == before
    assert kubectl.get("deployment", "web") is None


def test_adopting_a_matching_object_is_no_change(apply: Applier, kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "config", "--from-literal=a=1")
    settle()
    assert actions(apply(config_map(a="1"))) == {"ConfigMap/config": "unchanged"}
    found = kubectl.get("configmap", "config")
    assert found is not None
    entry = next(item for item in found["metadata"]["managedFields"] if item["manager"] == "homeport")
    assert "time" not in entry


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (config_map(a="1"), config_map(a="2")),
        (secret(a="1"), secret(a="2")),
        (deployment(replicas=0), deployment(replicas=1)),
    ],
    ids=["ConfigMap", "Secret", "Deployment"],
)
def test_change_within_one_second_of_the_previous_one(
    apply: Applier, record: str | None, older: dict[str, Any], newer: dict[str, Any]
) -> None:
    """Times are whole seconds; enough else is known to tell changes apart anyway."""
    # start just after the clock of the server has ticked, so that all of them fall into one second
    time.sleep(1.05 - time.time() % 1)
    seen = [apply(document, record=record)["objects"][0]["action"] for document in (older, older, newer, newer)]
    assert seen == ["created", "unchanged", "updated", "unchanged"]


def test_drift_within_one_second_of_the_previous_change(apply: Applier, kubectl: Kubectl, record: str | None) -> None:
    time.sleep(1.05 - time.time() % 1)
    apply(config_map(a="1"), record=record)
    kubectl("label", "configmap", "config", "seen=yes")
    kubectl("patch", "configmap", "config", "--type=json", '--patch=[{"op":"remove","path":"/data/a"}]')
    assert actions(apply(config_map(a="1"), record=record)) == {"ConfigMap/config": "updated"}


def test_record_that_missed_a_change_does_not_make_one(apply: Applier) -> None:
    """A run that was interrupted before it wrote the record leaves older marks in it."""
    apply(config_map(a="1"), record="record")
    apply(config_map(a="2"))
    settle()
    assert actions(apply(config_map(a="2"), record="record")) == {"ConfigMap/config": "unchanged"}
