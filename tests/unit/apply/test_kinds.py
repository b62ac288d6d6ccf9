# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors

"""The table of kinds, discovery documents, and the order of removal."""

from __future__ import annotations

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _kube_kinds as kinds


@pytest.mark.parametrize(
    ("api_version", "kind", "path"),
    [
        ("v1", "ConfigMap", "/api/v1/namespaces/n/configmaps/x"),
        ("v1", "Namespace", "/api/v1/namespaces/x"),
        ("v1", "Endpoints", "/api/v1/namespaces/n/endpoints/x"),
        ("apps/v1", "Deployment", "/apis/apps/v1/namespaces/n/deployments/x"),
        ("networking.k8s.io/v1", "NetworkPolicy", "/apis/networking.k8s.io/v1/namespaces/n/networkpolicies/x"),
        ("networking.k8s.io/v1", "Ingress", "/apis/networking.k8s.io/v1/namespaces/n/ingresses/x"),
        ("storage.k8s.io/v1", "StorageClass", "/apis/storage.k8s.io/v1/storageclasses/x"),
        ("policy/v1", "PodDisruptionBudget", "/apis/policy/v1/namespaces/n/poddisruptionbudgets/x"),
        ("rbac.authorization.k8s.io/v1", "ClusterRole", "/apis/rbac.authorization.k8s.io/v1/clusterroles/x"),
        ("cert-manager.io/v1", "Issuer", "/apis/cert-manager.io/v1/namespaces/n/issuers/x"),
    ],
)
def test_paths(api_version: str, kind: str, path: str) -> None:
    assert kinds.KNOWN[api_version, kind].path("n", "x") == path


def test_names_are_quoted() -> None:
    role = kinds.KNOWN["rbac.authorization.k8s.io/v1", "ClusterRole"]
    assert role.path(None, "system:a/b").endswith("/clusterroles/system%3Aa%2Fb")


def test_api_version_of_every_entry() -> None:
    assert all(resource.api_version == api_version for (api_version, _kind), resource in kinds.KNOWN.items())
    assert kinds.KNOWN["apps/v1", "Deployment"].qualified == "deployments.apps"
    assert kinds.CONFIG_MAP.qualified == "configmaps"


def test_discovery() -> None:
    document = {
        "items": [
            {
                "metadata": {"name": "example.com"},
                "versions": [
                    {
                        "version": "v1",
                        "resources": [
                            {"resource": "widgets", "responseKind": {"kind": "Widget"}, "scope": "Namespaced"},
                            {"resource": "racks", "responseKind": {"kind": "Rack"}, "scope": "Cluster"},
                            {"resource": "broken"},
                        ],
                    }
                ],
            },
            {"metadata": {}, "versions": [{"version": "v1"}]},
        ]
    }
    assert list(kinds.from_discovery(document)) == [
        kinds.Resource("example.com", "v1", "Widget", "widgets", True),
        kinds.Resource("example.com", "v1", "Rack", "racks", False),
    ]
    assert list(kinds.from_discovery({})) == []


def test_order_of_removal() -> None:
    wanted = [
        ("cert-manager.io/v1", "Certificate"),
        ("apps/v1", "Deployment"),
        ("networking.k8s.io/v1", "NetworkPolicy"),
        ("v1", "Secret"),
        ("rbac.authorization.k8s.io/v1", "Role"),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        ("v1", "Namespace"),
    ]
    stages = [kinds.removal_stage(kinds.KNOWN[key]) for key in wanted]
    assert stages == sorted(set(stages))
    assert kinds.removal_stage(kinds.KNOWN["v1", "Event"]) == kinds.removal_stage(kinds.KNOWN["v1", "Service"])
    # controllers of Services and the like need no custom resources, but custom resources may need controllers
    assert kinds.removal_stage(kinds.KNOWN["gateway.networking.k8s.io/v1", "Gateway"]) == 0
    assert kinds.removal_stage(kinds.KNOWN["autoscaling/v2", "HorizontalPodAutoscaler"]) == 0
