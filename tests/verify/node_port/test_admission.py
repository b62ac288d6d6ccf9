# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way in by the nodes' ports, and that there is no other."""

from __future__ import annotations

import pytest

from tests.verify.node_port.conftest import PORT
from tests.verify.tls import AUTHORITY, PublicRegistry, TlsClient
from tests.verify.way_in import test_images_go_in_and_out

__all__ = ["test_images_go_in_and_out"]


def test_every_node_answers_by_tls(client: TlsClient, nodes: list[str]) -> None:
    """The certificate is the same on every node, and whoever trusts the authority is asked for a password."""
    name = client.registry.host.partition(":")[0]
    for node in nodes:
        answer = client.http("/v2/", "--resolve", f"{name}:{PORT}:{node}")
        assert answer.status == 401, answer
        assert answer.headers["www-authenticate"] == f'Basic realm="{client.registry.host}"'


def test_whoever_does_not_know_the_authority_is_warned(client: TlsClient) -> None:
    """Nothing else in the world vouches for the registry."""
    answer = client.http("/v2/", "--cacert", "/etc/ssl/certs/ca-certificates.crt")
    assert answer.status == 0
    assert "certificate" in answer.body


def test_the_service_inside_has_the_same_certificate(client: TlsClient, registry: PublicRegistry) -> None:
    """Pods may use the name of the Service."""
    inside = f"https://{registry.name}.{registry.namespace}.svc"
    assert client.http("/v2/", url=inside).status == 401


@pytest.mark.parametrize("port", ["gate", "metrics"])
def test_nothing_else_is_open(client: TlsClient, registry: PublicRegistry, port: str) -> None:
    """Passwords cannot be sent in the clear, not even inside the cluster."""
    ports = registry.find("spec.containers[].ports[].[name, to_string(containerPort)][]", "pod", registry.pod("front"))
    number = ports[ports.index(port) + 1]
    answer = client.http("/v2/", "--connect-timeout", "3", url=f"http://{registry.address('front')}:{number}")
    assert answer.status == 0, answer


def test_the_key_of_the_authority_is_in_no_pod(client: TlsClient, registry: PublicRegistry) -> None:
    """The gate needs the certificate's key; the authority's lies in a Secret that nobody mounts."""
    mounted = registry.find("items[].spec.volumes[].secret.secretName", "pods")
    assert f"{registry.name}-tls" in mounted
    assert f"{registry.name}-ca" not in mounted
    assert registry.secret(f"{registry.name}-tls")["ca.crt"] == registry.secret(f"{registry.name}-ca")["tls.crt"]
    assert client.run("cat %s", AUTHORITY).stdout.strip() == registry.secret(f"{registry.name}-ca")["tls.crt"].strip()
