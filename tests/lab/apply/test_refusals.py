# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors

"""What the API server refuses, and what the task says about it."""

from __future__ import annotations

import base64
import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.homeport.registry.plugins.module_utils._kube_auth import AccessError
from tests.lab.apply.harness import Applier, Kubectl
from tests.lab.apply.objects import actions, config_map, deployment, secret
from tests.lab.apply.relay import Relay


def test_conflict_names_field_and_owner(apply: Applier, kubectl: Kubectl) -> None:
    kubectl.apply(config_map(a="theirs"), manager="platform-team")
    error = apply.fails(config_map(a="ours"))
    assert error.message == (
        f"ConfigMap {kubectl.namespace}/config (definitions[0]): conflict: data.a belongs to platform-team. "
        "Leave the field out, or take it over with force_conflicts: true"
    )
    assert actions(apply(config_map(a="ours"), force_conflicts=True)) == {"ConfigMap/config": "updated"}


def test_part_of_the_wave_fails(apply: Applier, kubectl: Kubectl) -> None:
    kubectl.apply(config_map("taken", a="theirs"), manager="platform-team")
    error = apply.fails(config_map("free"), config_map("taken", a="ours"), secret())
    lines = error.message.splitlines()
    place = kubectl.namespace
    assert lines[0] == "1 of 3 objects were not applied."
    assert lines[1].startswith(f"ConfigMap {place}/taken (definitions[1]): conflict: data.a belongs to platform-team")
    assert lines[2] == f"Applied: ConfigMap {place}/free, Secret {place}/credentials"
    assert error.details["actions"] == [f"create ConfigMap {place}/free", f"create Secret {place}/credentials"]
    assert error.details["changed"]


def test_unknown_field(apply: Applier) -> None:
    document = deployment()
    document["spec"]["replica"] = 1
    error = apply.fails(document)
    assert "unknown field spec.replica; check its spelling" in error.message


def test_immutable_field(apply: Applier) -> None:
    apply(deployment())
    document = deployment()
    document["spec"]["selector"]["matchLabels"] = {"other": "label"}
    document["spec"]["template"]["metadata"]["labels"] = {"other": "label"}
    error = apply.fails(document)
    assert "spec.selector cannot be changed on an existing object (field is immutable)" in error.message
    assert "Keep the old value, or delete the object first" in error.message
    assert "LabelSelector{" not in error.message


def test_invalid_value(apply: Applier) -> None:
    document = config_map("UPPER")
    error = apply.fails(document)
    assert "invalid: metadata.name: Invalid value" in error.message


def test_wrong_type(apply: Applier) -> None:
    document = deployment()
    document["spec"]["replicas"] = "two"
    error = apply.fails(document)
    assert "spec.replicas" in error.message


def test_missing_namespace(apply: Applier) -> None:
    error = apply.fails(config_map(), secret(), namespace="apply-test-nowhere")
    assert error.message.count("namespace apply-test-nowhere does not exist") == 1
    assert "ConfigMap apply-test-nowhere/config" in error.message
    assert error.message.endswith("Applied: none")


def test_missing_namespace_in_check_mode(apply: Applier) -> None:
    result = apply(config_map(), secret(), namespace="apply-test-nowhere", check_mode=True, diff=True, record="record")
    assert set(actions(result).values()) == {"created"}
    assert "namespace apply-test-nowhere does not exist yet" in result["warnings"][0]
    assert [item["after"] for item in result["diff"]] == [
        "data:\n  a: '1'\nmetadata:\n  name: config\n  namespace: apply-test-nowhere\n",
        "data:\n  a: (hidden)\nmetadata:\n  name: credentials\n  namespace: apply-test-nowhere\n",
    ]


def test_namespace_that_is_being_deleted(apply: Applier, kubectl: Kubectl) -> None:
    held = config_map("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    apply(held)
    kubectl("delete", "namespace", kubectl.namespace, "--wait=false")
    try:
        error = apply.fails(config_map())
        assert f"namespace {kubectl.namespace} is being deleted; wait until it is gone and run again" in error.message
    finally:
        kubectl("patch", "configmap", "held", "--type=json", '--patch=[{"op":"remove","path":"/metadata/finalizers"}]')


def test_unknown_kind(apply: Applier) -> None:
    error = apply.fails({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}}, config_map())
    assert error.message == "definitions[0]: this cluster knows no kind Widget in example.com/v1 (Widget w)"
    assert error.details["objects"] == []


def test_kind_of_the_table_that_is_not_installed(apply: Applier, kubectl: Kubectl) -> None:
    if "snapshot.storage.k8s.io" in kubectl("api-versions"):
        pytest.skip("the snapshot kinds are installed here")
    snapshot = {
        "apiVersion": "snapshot.storage.k8s.io/v1",
        "kind": "VolumeSnapshot",
        "metadata": {"name": "s"},
        "spec": {"source": {"persistentVolumeClaimName": "data"}},
    }
    error = apply.fails(snapshot)
    assert "this cluster does not serve VolumeSnapshot (snapshot.storage.k8s.io/v1)" in error.message
    assert actions(apply(snapshot, state="absent")) == {"VolumeSnapshot/s": "absent"}


def test_forbidden_says_who_may_not_do_what(apply: Applier, kubectl: Kubectl) -> None:
    error = apply.fails(deployment(), impersonate_user="jane")
    assert f"user jane may not patch deployments.apps in namespace {kubectl.namespace}" in error.message
    error = apply.fails(deployment(), impersonate_user="jane", state="absent")
    assert f"user jane may not delete deployments.apps in namespace {kubectl.namespace}" in error.message
    error = apply.fails(config_map(), impersonate_user="jane", record="record")
    assert "may not get configmaps" in error.message
    error = apply.fails(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "apply-test-x"}}, impersonate_user="jane"
    )
    assert "user jane may not patch namespaces" in error.message


def test_forbidden_readiness_says_that_the_rest_is_done(apply: Applier, kubectl: Kubectl) -> None:
    rules = [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["create", "patch", "get"]}]
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"}, "rules": rules}
    kubectl("apply", "--filename=-", stdin=json.dumps(role))
    kubectl("create", "rolebinding", "r", "--role=r", "--user=jane")
    error = apply.fails(deployment(replicas=1), impersonate_user="jane", wait=True)
    assert (
        "applied, but readiness cannot be watched: forbidden: user jane may not list deployments.apps" in error.message
    )
    assert error.details["changed"]


def test_rejected_credentials(kubeconfig: Path, apply: Applier) -> None:
    config = yaml.safe_load(kubeconfig.read_text())
    config["users"][0]["user"] = {"token": "wrong"}
    error = apply.fails(config_map(), secret(), kubeconfig=config)
    assert error.message == "the API server does not accept the credentials (401 Unauthorized)"


def test_nobody_listens(apply: Applier) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"https://127.0.0.1:{unused.getsockname()[1]}"
    started = time.monotonic()
    error = apply.fails(
        *(config_map(f"c{number}") for number in range(20)), kubeconfig=None, host=address, api_key="tok"
    )
    assert error.message == (
        f"the Kubernetes API at {address} (task options) cannot be reached after 3 attempts: connection refused"
    )
    assert time.monotonic() - started < 5


def test_unknown_host(apply: Applier) -> None:
    error = apply.fails(config_map(), kubeconfig=None, host="https://api.cluster.invalid:6443", api_key="tok")
    assert error.message.endswith("cannot be reached: its host name cannot be resolved")


def test_untrusted_certificate(kubeconfig: Path, apply: Applier) -> None:
    config = yaml.safe_load(kubeconfig.read_text())
    del config["clusters"][0]["cluster"]["certificate-authority-data"]
    error = apply.fails(config_map(), kubeconfig=config)
    assert "its certificate is not trusted" in error.message
    assert actions(apply(config_map(), kubeconfig=config, validate_certs=False)) == {"ConfigMap/config": "created"}


def test_unusable_kubeconfig(apply: Applier, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(AccessError, match=r"missing cannot be used"):
        apply(config_map(), kubeconfig=str(missing))
    broken = tmp_path / "broken"
    broken.write_text("{")
    with pytest.raises(AccessError, match="cannot be used"):
        apply(config_map(), kubeconfig=str(broken))


def test_unknown_context(kubeconfig: Path, apply: Applier) -> None:
    with pytest.raises(AccessError, match="nowhere"):
        apply(config_map(), context="nowhere")


def exec_user(program: str) -> dict[str, Any]:
    """Return the user of a kubeconfig whose credentials come from a shell program."""
    return {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "sh",
            "args": ["-c", program],
            "interactiveMode": "Never",
        }
    }


def test_failing_exec_plugin(kubeconfig: Path, apply: Applier) -> None:
    config = yaml.safe_load(kubeconfig.read_text())
    config["users"][0]["user"] = exec_user("echo 'log in first' >&2; exit 3")
    with pytest.raises(AccessError, match=r"exec: process returned 3\. log in first"):
        apply(config_map(), kubeconfig=config)


def test_exec_plugin_runs_once(kubeconfig: Path, apply: Applier, kubectl: Kubectl, tmp_path: Path) -> None:
    kubectl("create", "serviceaccount", "robot")
    kubectl("create", "rolebinding", "robot", "--clusterrole=admin", f"--serviceaccount={kubectl.namespace}:robot")
    token = kubectl("create", "token", "robot").strip()
    status = json.dumps(
        {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": token}}
    )
    config = yaml.safe_load(kubeconfig.read_text())
    config["users"][0]["user"] = exec_user(f"echo run >> {tmp_path}/runs; echo '{status}'")
    result = apply(*(config_map(f"c{number}") for number in range(5)), kubeconfig=config)
    assert set(actions(result).values()) == {"created"}
    assert (tmp_path / "runs").read_text() == "run\n"


def test_values_of_secrets_stay_out_of_errors(apply: Applier) -> None:
    broken = secret(password="tell-nobody-this")
    broken["metadata"]["labels"] = {"x": "tell-nobody-this is no label"}
    error = apply.fails(broken)
    assert "tell-nobody-this" not in str(error.message) + str(error.details)
    encoded = {**secret(), "data": {"password": "not base64: tell-nobody-this"}}
    error = apply.fails(encoded)
    assert "tell-nobody-this" not in str(error.message) + str(error.details)
    number = {**secret(), "stringData": {"pin": 12345678}}
    error = apply.fails(number)
    assert error.message == "definitions[0]: Secret credentials: stringData.pin must be text; quote it"


def test_values_of_secrets_stay_out_of_diffs(apply: Applier, kubectl: Kubectl) -> None:
    apply(secret(same="unchanging-value", other="old-value", gone="gone-value"))
    result = apply(secret(same="unchanging-value", other="new-value", added="added-value"), diff=True)
    text = str(result)
    for value in ("unchanging-value", "old-value", "new-value", "gone-value", "added-value"):
        assert value not in text
        assert base64.b64encode(value.encode()).decode() not in text
    assert result["diff"] == [
        {
            "before_header": f"Secret {kubectl.namespace}/credentials",
            "after_header": f"Secret {kubectl.namespace}/credentials",
            "before": "data:\n  gone: (hidden)\n  other: (hidden, old value)\n  same: (hidden)\n"
            "metadata:\n  name: credentials\n",
            "after": "data:\n  added: (hidden)\n  other: (hidden, new value)\n  same: (hidden)\n"
            "metadata:\n  name: credentials\n",
        }
    ]


def test_diff_shows_only_what_is_ours(apply: Applier, kubectl: Kubectl) -> None:
    apply(config_map(a="1"))
    kubectl("patch", "configmap", "config", "--type=merge", '--patch={"data":{"theirs":"2"}}')
    result = apply(config_map(a="2"), diff=True)
    assert [(item["before"], item["after"]) for item in result["diff"]] == [
        ("data:\n  a: '1'\nmetadata:\n  name: config\n", "data:\n  a: '2'\nmetadata:\n  name: config\n")
    ]


def test_relay_is_transparent(relay: Relay, relayed: Applier) -> None:
    """The tests that count requests rest on a relay that changes nothing."""
    error = relayed.fails(config_map("UPPER"))
    assert "invalid: metadata.name" in error.message
    assert [seen.method for seen in relay.seen] == ["GET", "PATCH"]
