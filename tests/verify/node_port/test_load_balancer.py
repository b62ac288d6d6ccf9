# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way in by a load balancer. The lab has no cloud, so its part is done here: one address in the Service's status.

From then on kube-proxy takes what pods and nodes send to that address to the gates, as it does in a cloud.
"""

from __future__ import annotations

import json
import typing as t
from collections.abc import Iterator

import pytest

from tests.verify.cluster import Cluster, eventually
from tests.verify.fixtures import ROOT
from tests.verify.kubelets import push_program, run_everywhere
from tests.verify.node_port.conftest import BALANCED
from tests.verify.node_port.test_certificates import await_installed
from tests.verify.playbooks import Playbooks
from tests.verify.registry import Account
from tests.verify.tls import PublicRegistry, TlsClient
from tests.verify.way_in import push_and_pull

EXPOSED: dict[str, t.Any] = {"registry_host": BALANCED, "registry_ingress_exposure": "load_balancer"}


def give_address(registry: PublicRegistry, address: str) -> None:
    """Do what the controller of a cloud does when its load balancer is there."""
    status = {"status": {"loadBalancer": {"ingress": [{"ip": address, "ipMode": "VIP"}]}}}
    service = ("service", f"{registry.name}-public")
    registry.kubectl("patch", *service, "--subresource=status", "--type=merge", f"--patch={json.dumps(status)}")


@pytest.fixture(scope="module")
def balanced(
    cluster: Cluster, clients: str, client: TlsClient, registry: PublicRegistry, playbooks: Playbooks, balancer: str
) -> Iterator[TlsClient]:
    """Put the registry behind a load balancer and return a client of it; afterwards nodes have its port again."""
    public = PublicRegistry(cluster, registry.name, registry.namespace, BALANCED)
    pod = TlsClient(cluster, clients, "client", public)
    playbooks.run("site", **EXPOSED)
    assert pod.http("/v2/", "--connect-timeout", "3").status == 0
    give_address(public, balancer)
    pod.wait_open()
    yield pod
    playbooks.run("site")
    await_installed(client, registry)
    client.wait_open()


def test_images_go_in_and_out(balanced: TlsClient, writer: Account, reader: Account) -> None:
    """The public name without a port, TLS by the gate, and the authority that clients trust already."""
    push_and_pull(balanced, writer, reader, "through a load balancer")


def test_the_service_is_one_of_a_cloud(balanced: TlsClient, balancer: str) -> None:
    """The port that the nodes had is gone, and the status is not ours to keep."""
    seen = "[spec.type, spec.ports[].port, status.loadBalancer.ingress[].ip]"
    assert balanced.registry.find(seen, "service", "depot-public") == ["LoadBalancer", [443], [balancer]]


def test_a_second_run_changes_nothing(balanced: TlsClient, playbooks: Playbooks) -> None:
    """What the cloud has written since is no drift."""
    assert playbooks.run("site", **EXPOSED).changed == []
    assert balanced.http("/v2/").status == 401


@pytest.fixture
def trusting(balanced: TlsClient, balancer: str) -> Iterator[None]:
    """Let the nodes know the address and trust the authority; afterwards they know nothing of it."""
    registry = balanced.registry
    ca = registry.find('data."ca.crt"', "configmap", f"{registry.name}-ca")
    nodes = Playbooks(str(ROOT / "molecule" / "node_port" / "nodes" / "inventory"))
    one = {"name": BALANCED, "address": balancer, "ca_certificates": [ca]}
    nodes.run("nodes", registry_node_trust_registries=[one])
    yield
    nodes.run("nodes", registry_node_trust_registries=[{**one, "state": "absent"}])


@pytest.mark.usefixtures("trusting")
def test_kubelets_pull_through_it(
    balanced: TlsClient, cluster: Cluster, clients: str, writer: Account, reader: Account
) -> None:
    """The nodes reach a load balancer otherwise than pods do, and kubelets have no resolver of the cluster."""
    push_program(balanced, writer)
    run_everywhere(cluster, clients, BALANCED, reader)


def test_only_the_ranges_that_were_named_come_in(balanced: TlsClient, playbooks: Playbooks, cluster: Cluster) -> None:
    """The ranges reach the load balancer, and kube-proxy keeps them too."""
    networks = list(cluster.find("items[].spec.podCIDR", "nodes"))
    playbooks.run("site", **EXPOSED, registry_ingress_source_ranges=["192.0.2.0/24"])
    eventually(lambda: balanced.http("/v2/", "--max-time", "3").status == 0, "strangers are kept out")
    playbooks.run("site", **EXPOSED, registry_ingress_source_ranges=["192.0.2.0/24", *networks])
    eventually(lambda: balanced.http("/v2/", "--max-time", "3").status == 401, "pods are let in")
    playbooks.run("site", **EXPOSED)
