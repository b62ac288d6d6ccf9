# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors

"""Namespaces and definitions that do not exist yet, kinds that nobody knows, and objects read beforehand."""

from __future__ import annotations

import os
import secrets
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._apply_engine import Engine
from ansible_collections.homeport.registry.plugins.module_utils._apply_errors import ApplyError
from tests.lab.apply.harness import Applier, Kubectl
from tests.lab.apply.objects import actions, config_map, secret
from tests.lab.apply.relay import Relay


def namespace_object(name: str) -> dict[str, Any]:
    """Return a Namespace to apply."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


@pytest.fixture
def fresh(kubectl: Kubectl) -> Iterator[str]:
    """Yield the name of a namespace that does not exist, and delete it afterwards."""
    name = f"apply-test-{secrets.token_hex(4)}"
    yield name
    kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


@pytest.fixture
def group(kubectl: Kubectl) -> Iterator[str]:
    """Yield an API group that does not exist, and delete its definition afterwards."""
    name = f"t{secrets.token_hex(4)}.example.com"
    yield name
    kubectl("delete", "customresourcedefinition", f"widgets.{name}", "--ignore-not-found")


def widget_definition(group: str) -> dict[str, Any]:
    """Return the definition of a small namespaced kind with an unusual plural."""
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets", "singular": "widget"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }


def widget(group: str) -> dict[str, Any]:
    """Return an object of that kind."""
    return {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": 1}}


def test_new_namespace_takes_two_phases(relay: Relay, relayed: Applier, fresh: str) -> None:
    documents = [config_map(), secret(), namespace_object(fresh)]
    result = relayed(*documents, namespace=fresh, record="record")
    assert actions(result) == {
        f"Namespace/{fresh}": "created",
        "ConfigMap/config": "created",
        "Secret/credentials": "created",
    }
    relay.seen.clear()
    again = relayed(*documents, namespace=fresh, record="record")
    assert not again["changed"]
    assert Counter(seen.method for seen in relay.seen) == {"GET": 1, "PATCH": 3}


def test_new_namespace_in_check_mode(apply: Applier, fresh: str) -> None:
    result = apply(config_map(), namespace_object(fresh), namespace=fresh, check_mode=True, diff=True)
    assert actions(result) == {f"Namespace/{fresh}": "created", "ConfigMap/config": "created"}
    assert "warnings" not in result
    assert len(result["diff"]) == 2


def test_namespace_that_cannot_be_created(apply: Applier, kubectl: Kubectl, fresh: str) -> None:
    error = apply.fails(config_map(), namespace_object(fresh), namespace=fresh, impersonate_user="jane")
    assert "user jane may not patch namespaces" in error.message
    assert error.message.endswith("Applied: none")


def test_new_definition_takes_two_phases(apply: Applier, kubectl: Kubectl, group: str) -> None:
    result = apply(widget(group), widget_definition(group), record="record")
    assert actions(result) == {f"CustomResourceDefinition/widgets.{group}": "created", "Widget/w": "created"}
    assert kubectl.get(f"widgets.{group}", "w") is not None
    again = apply(widget(group), widget_definition(group), record="record")
    assert not again["changed"]
    # the record knows the resource, so pruning asks nobody
    assert actions(apply(widget_definition(group), record="record"))["Widget/w"] == "pruned"


def test_new_definition_in_check_mode(apply: Applier, group: str) -> None:
    result = apply(widget(group), widget_definition(group), check_mode=True)
    assert actions(result) == {f"CustomResourceDefinition/widgets.{group}": "created", "Widget/w": "created"}


def test_unknown_kinds_cost_one_discovery(relay: Relay, relayed: Applier, kubectl: Kubectl, group: str) -> None:
    relayed(widget_definition(group))
    kubectl("wait", "--for=condition=Established", f"crd/widgets.{group}")
    relay.seen.clear()
    second = {**widget(group), "metadata": {"name": "other"}}
    result = relayed(widget(group), second, record="record")
    assert actions(result) == {"Widget/w": "created", "Widget/other": "created"}
    assert [seen.path for seen in relay.seen if seen.method == "GET"] == [
        "/api",
        "/apis",
        f"/api/v1/namespaces/{kubectl.namespace}/configmaps/homeport-record",
    ]


def test_lists_and_texts_are_expanded(apply: Applier) -> None:
    text = "---\n---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: one}}\n"
    result = apply(text, [config_map("two")])
    assert actions(result) == {"ConfigMap/one": "created", "ConfigMap/two": "created"}


def read_live(apply: Applier, *wanted: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Return what the engine reads before rendering."""
    params = apply.params(live=list(wanted), **options)
    return Engine(params, os.environ, check_mode=False, diff=False).read_live()


def test_live_objects(apply: Applier, kubectl: Kubectl) -> None:
    apply(secret(password="correct"))
    live = read_live(
        apply,
        {"kind": "Secret", "name": "credentials"},
        {"kind": "ConfigMap", "name": "missing"},
        {"api_version": "example.com/v1", "kind": "Widget", "name": "unknown"},
        {"kind": "Namespace", "name": kubectl.namespace},
        {"kind": "ConfigMap", "name": "kube-root-ca.crt", "namespace": "apply-test-nowhere"},
    )
    assert live["Secret/credentials"]["data"] == {"password": "Y29ycmVjdA=="}
    assert live["ConfigMap/missing"] is None
    assert live["Widget/unknown"] is None
    assert live[f"Namespace/{kubectl.namespace}"]["kind"] == "Namespace"
    assert live["ConfigMap/kube-root-ca.crt"] is None


def test_live_objects_that_cannot_be_told_apart(apply: Applier) -> None:
    wanted = {"kind": "Secret", "name": "one"}
    with pytest.raises(ApplyError, match="live names Secret/one twice"):
        read_live(apply, wanted, {**wanted, "namespace": "default"})


def test_live_object_that_may_not_be_read(apply: Applier) -> None:
    with pytest.raises(ApplyError, match="cannot be read for live: forbidden: user jane may not get secrets"):
        read_live(apply, {"kind": "Secret", "name": "one"}, impersonate_user="jane")
