# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors

"""Lists of objects that templates can go through."""

from __future__ import annotations

import os
from typing import Any

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _kube_http
from ansible_collections.homeport.registry.plugins.module_utils._apply_engine import Engine
from ansible_collections.homeport.registry.plugins.module_utils._apply_errors import ApplyError
from tests.lab.apply.harness import Applier, Kubectl, Playbook
from tests.lab.apply.objects import actions


def read(apply: Applier, *live: dict[str, Any]) -> dict[str, Any]:
    """Return what an engine reads before templates are rendered."""
    return Engine(apply.params(live=list(live)), os.environ, check_mode=True, diff=False).read_live()


def test_kind_without_a_name_is_a_list_of_metadata(apply: Applier, kubectl: Kubectl) -> None:
    for name, label in (("a", "yes"), ("b", "no"), ("c", "yes")):
        kubectl("create", "configmap", name, "--from-literal=secret=hidden")
        kubectl("label", "configmap", name, f"wanted={label}")
    found = read(apply, {"kind": "ConfigMap", "label_selector": "wanted=yes"})["ConfigMap"]
    assert sorted(item["metadata"]["name"] for item in found) == ["a", "c"]
    assert "hidden" not in str(found)


def test_pages_are_put_together(apply: Applier, kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_kube_http, "LIST_LIMIT", 2)
    for name in "abcde":
        kubectl("create", "configmap", name)
    found = read(apply, {"kind": "ConfigMap"})["ConfigMap"]
    assert {"a", "b", "c", "d", "e"} <= {item["metadata"]["name"] for item in found}


def test_all_namespaces_on_request_only(apply: Applier, kubectl: Kubectl) -> None:
    def namespaces(**where: str) -> set[str]:
        found = read(apply, {"kind": "ServiceAccount", **where})["ServiceAccount"]
        return {item["metadata"]["namespace"] for item in found}

    kubectl("create", "serviceaccount", "own")
    assert namespaces() == {kubectl.namespace}
    assert {kubectl.namespace, "kube-system"} <= namespaces(namespace="*")


def test_unknown_kind_is_an_empty_list(apply: Applier) -> None:
    assert read(apply, {"kind": "Nothing", "api_version": "nowhere.test/v1"}) == {"Nothing": []}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"kind": "Secret", "name": "a", "label_selector": "a=b"}, "give a name or a selector"),
        ({"kind": "Secret", "name": "a", "namespace": "*"}, "names no namespace"),
        ({"kind": "Namespace", "label_selector": "a in"}, "Namespace cannot be read for live"),
    ],
)
def test_mistakes_are_named(apply: Applier, entry: dict[str, Any], message: str) -> None:
    with pytest.raises(ApplyError, match=message):
        read(apply, entry)


@pytest.mark.parametrize("hosts", ["localhost", "elsewhere"])
def test_template_goes_through_the_list(playbook: Playbook, kubectl: Kubectl, hosts: str) -> None:
    for name in ("a", "b"):
        kubectl("create", "serviceaccount", name)
        kubectl("label", "serviceaccount", name, "copy=yes")
    text = """
{% for account in live['ServiceAccount'] %}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: copy-of-{{ account.metadata.name }}}
{% endfor %}
"""
    live = [{"kind": "ServiceAccount", "label_selector": "copy=yes"}]
    result = playbook(templates=[playbook.template("copies.yml.j2", text)], live=live, play={"hosts": hosts})
    assert actions(result) == {"ConfigMap/copy-of-a": "created", "ConfigMap/copy-of-b": "created"}
