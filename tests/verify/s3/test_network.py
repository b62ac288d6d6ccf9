# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pods reach the object store and nothing else outside their namespace."""

from __future__ import annotations

import pytest
from testinfra.host import Host

from tests.verify.registry import Component, Registry


def _connects(host: Host, process: int, address: str, port: int) -> bool:
    """Return whether a TCP connection can be made from the network of a process on a node."""
    return bool(host.run(f"timeout 4 nsenter -n -t {process} bash -c '</dev/tcp/{address}/{port}'").rc == 0)


@pytest.mark.parametrize("component", ["front", "writer"])
def test_pods_reach_the_object_store_only(registry: Registry, component: Component) -> None:
    """The port of the endpoint and name resolution are open; the API server and the store's other port are not."""
    cluster = registry.cluster
    address = cluster.find("items[0].status.podIP", "pods", "-n", "s3", "-l", "app=s3")
    coredns = cluster.find("items[0].status.podIP", "pods", "-n", "kube-system", "-l", "k8s-app=kube-dns")
    api = cluster.find("spec.clusterIP", "service", "kubernetes", "-n", "default")
    node, process = registry.node(component), registry.process(component, "registry")
    assert _connects(node, process, address, 8443)
    assert _connects(node, process, coredns, 53)
    for other, port in ((address, 8333), (address, 9333), (api, 443), (coredns, 8181)):
        assert not _connects(node, process, other, port), (other, port)


def test_pods_hold_nothing_of_a_volume(registry: Registry) -> None:
    """There is no claim, and what pods of one part share is spread where there is room."""
    assert registry.find("items[].metadata.name", "pvc") == []
    for name in (registry.name, registry.writer):
        spec = registry.find("spec.template.spec", "deployment", name)
        assert list(spec["affinity"]) == ["podAntiAffinity"]
        assert [entry["topologyKey"] for entry in spec["topologySpreadConstraints"]] == ["kubernetes.io/hostname"]
