# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What these tests know beside the common fixtures: the nodes' addresses and the authority."""

from __future__ import annotations

import ipaddress

import pytest

from tests.verify.cluster import Cluster
from tests.verify.fixtures import ROOT, _namespace
from tests.verify.playbooks import Playbooks
from tests.verify.tls import PublicRegistry, TlsClient

NAME = "registry.molecule.test"
BALANCED = "balanced.molecule.test"
PORT = 30543


@pytest.fixture(scope="session")
def registry(cluster: Cluster) -> PublicRegistry:
    """Return the registry by its public name."""
    return PublicRegistry(cluster, "depot", _namespace(), f"{NAME}:{PORT}")


@pytest.fixture(scope="session")
def nodes(cluster: Cluster) -> list[str]:
    """Return the addresses of all nodes."""
    return list(cluster.find("items[].status.addresses[] | [?type=='InternalIP'].address", "nodes"))


@pytest.fixture(scope="session")
def balancer(nodes: list[str]) -> str:
    """Return an address for a load balancer: one of the nodes' network that no node has."""
    return str(ipaddress.ip_network(f"{nodes[0]}/24", strict=False)[-6])


@pytest.fixture(scope="session")
def host_aliases(nodes: list[str], balancer: str) -> dict[str, str]:
    """Let the public name lead to the last node, and another one to the load balancer."""
    return {NAME: nodes[-1], BALANCED: balancer}


@pytest.fixture(scope="session")
def playbooks() -> Playbooks:
    """Return a runner of the collection's playbooks."""
    folder = ROOT / "molecule"
    return Playbooks(str(folder / "resources" / "inventory"), str(folder / "node_port" / "inventory"))


@pytest.fixture(scope="session")
def client(cluster: Cluster, clients: str, registry: PublicRegistry) -> TlsClient:
    """Return a client that trusts what the registry says is to be trusted."""
    pod = TlsClient(cluster, clients, "client", registry)
    pod.trust(registry.find('data."ca.crt"', "configmap", f"{registry.name}-ca"))
    pod.wait_open(seconds=60)
    return pod
