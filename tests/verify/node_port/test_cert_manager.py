# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What cert-manager renews reaches clients where the gate ends TLS too, and no pod restarts for it."""

from __future__ import annotations

import time
import typing as t
from collections.abc import Iterator

import pytest

from tests.verify import oci
from tests.verify.clients import PullLoop
from tests.verify.cluster import eventually
from tests.verify.node_port.test_certificates import await_installed, gates
from tests.verify.playbooks import Playbooks
from tests.verify.registry import Account
from tests.verify.tls import PublicRegistry, TlsClient, serial

ORDERED: dict[str, t.Any] = {"registry_ingress_tls": "cert_manager", "registry_ingress_issuer_name": "lab"}


def issued(registry: PublicRegistry) -> dict[str, str]:
    """Return what cert-manager keeps in its Secret."""
    return registry.secret(f"{registry.name}-tls-issued")


@pytest.fixture
def ordered(client: TlsClient, registry: PublicRegistry, playbooks: Playbooks) -> Iterator[None]:
    """Order the certificate from cert-manager; afterwards it is by the registry's own authority again."""
    own = registry.secret(f"{registry.name}-ca")["tls.crt"]
    playbooks.run("site", **ORDERED)
    client.trust(issued(registry)["ca.crt"])
    client.wait_served(serial(issued(registry)["tls.crt"]), gates(registry))
    client.wait_open()
    yield
    playbooks.run("site")
    client.trust(own)
    await_installed(client, registry)


@pytest.mark.usefixtures("ordered")
def test_a_renewal_drops_no_pull(client: TlsClient, registry: PublicRegistry, writer: Account, reader: Account) -> None:
    """The gates take up what is in the Secret, with nobody's help."""
    layout = oci.image("renewed by cert-manager")
    pushed = client.push(client.put(layout), "team/renewed:1", writer)
    assert pushed.rc == 0, pushed.stderr
    before, pods = issued(registry)["tls.crt"], registry.identities()
    loop = PullLoop(client, reader, f"https://{registry.host}/v2/team/renewed/manifests/1")
    with loop:
        registry.renew()
        eventually(lambda: issued(registry)["tls.crt"] != before, "cert-manager has renewed the certificate")
        registry.hurry_certificate()
        renewed = serial(issued(registry)["tls.crt"])
        client.wait_served(renewed, gates(registry))
        # As clients see it, by the public name.
        eventually(lambda: client.served(registry.host) == renewed, "clients are shown the new certificate")
        # Pulls go on with it for a while.
        time.sleep(2)
    assert loop.failures == []
    assert loop.count > 10
    assert registry.identities() == pods
