# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors

"""Entries in lists of objects that belong to others: the pull secrets of ServiceAccounts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.lab.apply.harness import Applier, Kubectl
from tests.lab.apply.objects import actions, config_map
from tests.lab.apply.relay import Relay, Seen, Spoiled


def account(*secrets: str, name: str = "default", **metadata: Any) -> dict[str, Any]:
    """Return a ServiceAccount to join."""
    annotations = {"registry.homeport.dev/apply": "join"}
    entries = [{"name": secret} for secret in secrets]
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "annotations": annotations, **metadata},
        "imagePullSecrets": entries,
    }


def pull_secret(name: str, *hosts: str) -> dict[str, Any]:
    """Return a pull secret for some hosts."""
    config = json.dumps({"auths": {host: {"auth": "bm9ib2R5Om5vdGhpbmc="} for host in hosts}})
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": config},
    }


def entries(kubectl: Kubectl, name: str = "default") -> list[str]:
    """Return the pull secrets of a ServiceAccount."""
    found = kubectl.get("serviceaccount", name) or {}
    return [entry["name"] for entry in found.get("imagePullSecrets", [])]


def foreign(kubectl: Kubectl, *secrets: str, name: str = "default") -> None:
    """Give a ServiceAccount pull secrets that are not ours."""
    patch = json.dumps({"imagePullSecrets": [{"name": secret} for secret in secrets]})
    kubectl("patch", "serviceaccount", name, "--type=merge", f"--patch={patch}")


@pytest.fixture
def default(apply: Applier, kubectl: Kubectl) -> None:
    """Wait for the account that Kubernetes makes, by the engine's own patience."""
    apply(account("first"), record="warm-up")
    apply(record="warm-up", state="absent")
    assert entries(kubectl) == []


def test_cycle_of_an_entry(apply: Applier, kubectl: Kubectl, default: None) -> None:
    foreign(kubectl, "theirs")

    def run(state: str, *, check: bool) -> dict[str, Any]:
        return apply(account("ours"), state=state, check_mode=check, record="record")

    before = kubectl.get("serviceaccount", "default")
    assert actions(run("present", check=True)) == {"ServiceAccount/default": "updated"}
    assert kubectl.get("serviceaccount", "default") == before
    created = run("present", check=False)
    assert created["changed"]
    assert created["actions"][0] == f"update ServiceAccount {kubectl.namespace}/default"
    assert entries(kubectl) == ["theirs", "ours"]
    again = kubectl.get("serviceaccount", "default")
    for check in (True, False):
        repeated = run("present", check=check)
        assert not repeated["changed"]
        assert actions(repeated) == {"ServiceAccount/default": "unchanged"}
    assert kubectl.get("serviceaccount", "default") == again
    assert run("absent", check=True)["changed"]
    assert entries(kubectl) == ["theirs", "ours"]
    assert actions(run("absent", check=False)) == {"ServiceAccount/default": "updated"}
    assert entries(kubectl) == ["theirs"]
    for check in (True, False):
        assert not run("absent", check=check)["changed"]
    assert entries(kubectl) == ["theirs"]


def test_entry_that_is_swapped_leaves_no_trace(apply: Applier, kubectl: Kubectl, default: None) -> None:
    foreign(kubectl, "theirs")
    apply(account("old"), record="record")
    apply(account("old", "new"), record="record")
    assert entries(kubectl) == ["theirs", "old", "new"]
    result = apply(account("new"), record="record")
    assert actions(result) == {"ServiceAccount/default": "updated"}
    assert entries(kubectl) == ["theirs", "new"]


def test_leaver_loses_our_entry_only(apply: Applier, kubectl: Kubectl, default: None) -> None:
    foreign(kubectl, "theirs")
    apply(account("ours"), config_map("stays"), record="record")
    result = apply(config_map("stays"), record="record")
    assert actions(result) == {"ConfigMap/stays": "unchanged", "ServiceAccount/default": "updated"}
    assert entries(kubectl) == ["theirs"]
    assert not apply(config_map("stays"), record="record")["changed"]


def test_removal_takes_what_the_record_lists_too(apply: Applier, kubectl: Kubectl, default: None) -> None:
    apply(account("old"), record="record")
    apply(account("new"), record="record", state="absent")
    assert entries(kubectl) == []


def test_entry_that_somebody_took_out_comes_back(apply: Applier, kubectl: Kubectl, default: None) -> None:
    apply(account("ours"), record="record")
    foreign(kubectl, "theirs")
    assert apply(account("ours"), record="record")["changed"]
    assert entries(kubectl) == ["theirs", "ours"]


def test_list_under_another_manager_is_completed(apply: Applier, kubectl: Kubectl, default: None) -> None:
    theirs = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    kubectl.apply({**theirs, "imagePullSecrets": [{"name": "theirs"}]}, "another")
    apply(account("ours"), record="record")
    assert entries(kubectl) == ["theirs", "ours"]


def test_missing_object_is_not_made(apply: Applier, kubectl: Kubectl) -> None:
    result = apply(account("ours", name="builder"), config_map(), record="record")
    assert actions(result)["ServiceAccount/builder"] == "absent"
    assert "builder does not exist" in result["warnings"][0]
    assert kubectl.get("serviceaccount", "builder") is None
    kubectl("create", "serviceaccount", "builder")
    assert apply(account("ours", name="builder"), config_map(), record="record")["changed"]
    assert entries(kubectl, "builder") == ["ours"]


def test_writer_who_comes_between_loses_nothing(
    relayed: Applier, relay: Relay, kubectl: Kubectl, default: None
) -> None:
    intruders = ["theirs"]

    def intrude(seen: Seen) -> Spoiled | None:
        if seen.method == "PATCH" and seen.path.endswith("/serviceaccounts/default") and intruders:
            foreign(kubectl, intruders.pop())
        return None

    relay.spoil = intrude
    relayed(account("ours"), record="record")
    assert not intruders
    assert entries(kubectl) == ["theirs", "ours"]


def test_diff_shows_the_list(apply: Applier, kubectl: Kubectl, default: None) -> None:
    foreign(kubectl, "theirs")
    shown = apply(account("ours"), record="record", check_mode=True, diff=True)["diff"]
    assert len(shown) == 1
    assert "ours" in shown[0]["after"]
    assert "ours" not in shown[0]["before"]
    assert "theirs" in shown[0]["before"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"imagePullSecrets": []}, "holds lists of entries that have a name"),
        ({"automountServiceAccountToken": False}, "holds lists of entries that have a name"),
        ({"imagePullSecrets": [{"name": "a", "kind": "b"}]}, "holds lists of entries that have a name"),
        (
            {"metadata": {"name": "default", "annotations": {"registry.homeport.dev/apply": "merge"}}},
            "known value is join",
        ),
    ],
)
def test_what_cannot_be_joined_is_refused(apply: Applier, change: dict[str, Any], message: str) -> None:
    error = apply.fails({**account("ours"), **change}, record="record")
    assert message in error.message
    assert "ServiceAccount default" in error.message


def test_account_of_a_new_namespace_is_waited_for(apply: Applier, kubectl: Kubectl) -> None:
    name = f"{kubectl.namespace}-new"
    new = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    try:
        result = apply(new, account("ours", namespace=name))
        assert actions(result)["ServiceAccount/default"] == "updated"
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


IMAGE = "registry.join.test:5000/team/app:1"


def pod(name: str, image: str = IMAGE, *secrets: str, account_name: str = "default") -> dict[str, Any]:
    """Return a pod whose image cannot be pulled."""
    spec: dict[str, Any] = {
        "serviceAccountName": account_name,
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "main", "image": image, "imagePullPolicy": "Always"}],
    }
    if secrets:
        spec["imagePullSecrets"] = [{"name": secret} for secret in secrets]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def test_pods_that_came_too_early_are_named(apply: Applier, kubectl: Kubectl, default: None) -> None:
    kubectl("create", "serviceaccount", "other")
    for made in (
        pod("early"),
        pod("own", IMAGE, "theirs"),
        pod("elsewhere", "elsewhere.join.test/team/app:1"),
        pod("other", account_name="other"),
    ):
        kubectl("create", "--filename=-", stdin=json.dumps(made))
    reason = "jsonpath={.status.containerStatuses[0].state.waiting.reason}=ErrImagePull"
    for name in ("early", "own", "elsewhere", "other"):
        kubectl("wait", "pod", name, f"--for={reason}", "--timeout=60s", check=False)
    wanted = [pull_secret("ours", "registry.join.test:5000"), account("ours")]
    for check in (True, False, False):
        warnings = apply(*wanted, record="record", check_mode=check)["warnings"]
        assert len(warnings) == 2
        first, second = warnings
        assert f"{kubectl.namespace}/early." in first
        assert "Delete these pods" in first
        assert f"{kubectl.namespace}/own." in second
        assert "elsewhere" not in first + second
        assert "/other" not in first + second
    kubectl("delete", "pod", "early", "own")
    kubectl("create", "--filename=-", stdin=json.dumps(pod("early")))
    kubectl("wait", "pod", "early", f"--for={reason}", "--timeout=60s", check=False)
    assert "warnings" not in apply(*wanted, record="record")
