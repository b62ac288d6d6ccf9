# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Gateway of its own, a shared one, and certificates that are renewed meanwhile."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator

import pytest

from tests.verify import oci
from tests.verify.clients import PullLoop
from tests.verify.cluster import Cluster, eventually
from tests.verify.playbooks import Playbooks
from tests.verify.registry import Account
from tests.verify.routed import FRONT, HOST
from tests.verify.tls import PublicRegistry, TlsClient, serial

APPLIED = "homeport.registry.registry_ingress : Apply certificates and exposure"
SHARED: dict[str, t.Any] = {
    "registry_ingress_gateway_class": "",
    "registry_ingress_gateway_name": "shared",
    "registry_ingress_gateway_namespace": "traefik",
    "registry_ingress_gateway_listener": "https",
    "registry_ingress_tls": "external",
}


def installed(registry: PublicRegistry) -> str:
    """Return the serial number of the certificate in the Secret."""
    return serial(registry.secret(f"{registry.name}-tls")["tls.crt"])


def parents(registry: PublicRegistry) -> list[str]:
    """Return the Gateways that have accepted the route."""
    accepted = "status.parents[?conditions[?type=='Accepted' && status=='True']].parentRef.name"
    return list(registry.find(accepted, "httproute", registry.name) or [])


def test_a_renewal_reaches_clients_and_drops_no_pull(
    client: TlsClient, registry: PublicRegistry, playbooks: Playbooks, writer: Account, reader: Account
) -> None:
    """One more name needs another certificate, which the Gateway takes up."""
    layout = oci.image("renewal")
    pushed = client.push(client.put(layout), "team/renewal:1", writer)
    assert pushed.rc == 0, pushed.stderr
    before, pods = installed(registry), registry.identities()
    loop = PullLoop(client, reader, f"https://{registry.host}/v2/team/renewal/manifests/1")
    with loop:
        run = playbooks.run("site", registry_ingress_extra_names=["another.molecule.test"])
        client.wait_served(installed(registry), [FRONT])
    assert run.changed == [APPLIED]
    assert installed(registry) != before
    assert loop.failures == []
    assert loop.count > 10
    assert registry.identities() == pods


@pytest.fixture
def shared(cluster: Cluster, registry: PublicRegistry, playbooks: Playbooks, client: TlsClient) -> Iterator[None]:
    """Make a Gateway for everybody, with a copy of the certificate, and go back to the registry's own afterwards."""
    pair = registry.find("data", "secret", f"{registry.name}-tls")
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "shared", "namespace": "traefik"},
        "type": "kubernetes.io/tls",
        "data": {key: pair[key] for key in ("tls.crt", "tls.key")},
    }
    gateway = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "shared", "namespace": "traefik"},
        "spec": {
            "gatewayClassName": "traefik",
            "listeners": [
                {
                    "name": "https",
                    "port": 443,
                    "protocol": "HTTPS",
                    "hostname": HOST,
                    "tls": {"certificateRefs": [{"name": "shared"}]},
                    "allowedRoutes": {"namespaces": {"from": "All"}},
                }
            ],
        },
    }
    cluster.apply(secret, gateway)
    yield
    playbooks.run("site")
    cluster.kubectl("-n", "traefik", "delete", "gateway/shared", "secret/shared")
    eventually(lambda: parents(registry) == [registry.name], "the route is back at the registry's own Gateway")
    client.wait_served(installed(registry), [FRONT])


@pytest.mark.usefixtures("shared")
def test_a_route_joins_a_gateway_that_others_keep(
    client: TlsClient, registry: PublicRegistry, playbooks: Playbooks, reader: Account
) -> None:
    """The registry's own Gateway goes, the certificate is the affair of the shared one, and pulls work through it."""
    playbooks.run("site", **SHARED)
    assert registry.find("items", "gateways") == []
    eventually(lambda: parents(registry) == ["shared"], "the shared Gateway accepts the route")
    eventually(
        lambda: client.http("/v2/team/renewal/tags/list", account=reader).status == 200, "a pull through the shared one"
    )


def test_the_authority_outlives_the_time_without_it(registry: PublicRegistry, client: TlsClient) -> None:
    """What clients trusted before they trust again."""
    assert client.http("/v2/").status == 401
    assert registry.secret(f"{registry.name}-tls")["ca.crt"] == registry.secret(f"{registry.name}-ca")["tls.crt"]
