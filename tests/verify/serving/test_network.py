# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who can talk to whom. Every refusal stands beside a connection of the same kind that is let through."""

from __future__ import annotations

import pytest
from testinfra.host import Host

from tests.verify.clients import Client
from tests.verify.cluster import eventually
from tests.verify.registry import Account, Component, Registry

METRICS = 9090
REFUSED = 7


def _connects(host: Host, address: str, port: int, *, process: int | None = None) -> bool:
    """Return whether a TCP connection can be made from a node, or from the network of a process on it."""
    enter = f"nsenter -n -t {process} " if process else ""
    return bool(host.run(f"timeout 4 {enter}bash -c '</dev/tcp/{address}/{port}'").rc == 0)


def test_only_the_gate_is_reached_from_other_namespaces(registry: Registry, client: Client) -> None:
    """The gate answers any pod; reader, writer, metrics and the debug ports answer none of them."""
    front, writer = registry.address("front"), registry.address("writer")
    assert client.http("/v2/").status == 401
    assert client.http("/v2/", url=f"http://{front}:8080").status == 401
    for host, port in (
        (f"{registry.writer}.{registry.namespace}.svc", 5000),
        (writer, 5000),
        (writer, 5001),
        (front, 5000),
        (front, 5001),
        (front, METRICS),
        (f"{registry.name}.{registry.namespace}.svc", METRICS),
    ):
        assert client.http("/", url=f"http://{host}:{port}").status == 0, (host, port)


def test_metrics_are_for_the_scraper(registry: Registry, scraper: Client) -> None:
    """The pod that registry_server_metrics_from names reads metrics, and of the debug port nothing else."""
    base = f"http://{registry.name}.{registry.namespace}.svc:{METRICS}"

    def counted() -> bool:
        # A pod counts from its first request on, and either pod may answer.
        scraper.http("/v2/")
        metrics = scraper.http("/metrics", url=base)
        assert metrics.status == 200
        return "registry_http_requests_total" in metrics.body

    eventually(counted, "the requests are counted")
    debug = (
        "/",
        "/debug/pprof/",
        "/debug/vars",
        "/debug/health",
        "/metrics/../debug/vars",
        "/metrics%2f..%2fdebug/vars",
    )
    for path in debug:
        assert scraper.http(path, url=base).status in (400, 404), path


@pytest.mark.parametrize(("component", "opened", "closed"), [("front", 8080, [5000, 5001]), ("writer", 5000, [5001])])
def test_loopback_ports_are_closed(registry: Registry, component: Component, opened: int, closed: list[int]) -> None:
    """The node is above all policies and still finds the reader and the debug ports closed."""
    node, address = registry.node(component), registry.address(component)
    assert _connects(node, address, opened)
    for port in closed:
        assert node.run("curl -s --connect-timeout 4 http://%s:%s/", address, str(port)).rc == REFUSED, port


@pytest.mark.parametrize("component", ["front", "writer"])
def test_pods_cannot_call_out(registry: Registry, client: Client, component: Component) -> None:
    """From inside the pods neither the API server nor another pod can be reached; a client pod reaches them."""
    cluster = registry.cluster
    coredns = cluster.find("items[0].status.podIP", "pods", "-n", "kube-system", "-l", "k8s-app=kube-dns")
    targets = [(cluster.find("spec.clusterIP", "service", "kubernetes", "-n", "default"), 443), (coredns, 8181)]
    if component == "writer":
        # Not even name resolution, and not back to the gates.
        targets += [(coredns, 53), (registry.address("front"), 8080)]
    client_node = cluster.node_of(client.namespace, client.pod)
    client_process = cluster.process_of(client.namespace, client.pod, "client")
    node, process = registry.node(component), registry.process(component, "registry")
    for address, port in targets:
        assert _connects(client_node, address, port, process=client_process), (address, port)
        assert not _connects(node, address, port, process=process), (address, port)


def test_front_reaches_the_writer(client: Client, writer: Account) -> None:
    """The one way between the pods that a push needs is open."""
    assert client.http("/v2/network/image/blobs/uploads/", "-X", "POST", account=writer).status == 202
