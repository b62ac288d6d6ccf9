# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""cert-manager renews, by its own authority and by ACME, and clients go on pulling."""

from __future__ import annotations

import pytest

from tests.verify import oci
from tests.verify.clients import PullLoop
from tests.verify.cluster import eventually
from tests.verify.playbooks import Playbooks
from tests.verify.registry import Account
from tests.verify.routed import FRONT
from tests.verify.tls import PublicRegistry, TlsClient, serial

APPLIED = "homeport.registry.registry_ingress : Apply certificates and exposure"


def issued(registry: PublicRegistry) -> str:
    """Return the serial number of the certificate in the Secret."""
    return serial(registry.secret(f"{registry.name}-tls-issued")["tls.crt"])


@pytest.fixture(scope="module")
def urls(client: TlsClient, registry: PublicRegistry, writer: Account) -> list[str]:
    """Return addresses of what a client may pull."""
    layout = oci.image("renewal")
    pushed = client.push(client.put(layout), "team/renewal:1", writer)
    assert pushed.rc == 0, pushed.stderr
    base = f"https://{registry.host}/v2/team/renewal"
    return [f"{base}/manifests/1", *(f"{base}/blobs/{digest}" for digest in layout.sizes if digest != layout.digest)]


def test_a_renewal_drops_no_pull(client: TlsClient, registry: PublicRegistry, reader: Account, urls: list[str]) -> None:
    """A certificate that cert-manager renews reaches clients with nobody's help."""
    before, pods = issued(registry), registry.identities()
    loop = PullLoop(client, reader, *urls)
    with loop:
        registry.renew()
        eventually(lambda: issued(registry) != before, "cert-manager has renewed the certificate")
        client.wait_served(issued(registry), [FRONT])
    assert loop.failures == []
    assert loop.count > 10
    assert registry.identities() == pods


def test_the_playbook_finds_nothing_to_do_after_a_renewal(playbooks: Playbooks) -> None:
    """What cert-manager keeps is not the playbook's business."""
    assert playbooks.run("site").changed == []


def test_acme_by_http_works_through_the_controller(
    client: TlsClient, registry: PublicRegistry, playbooks: Playbooks
) -> None:
    """An ACME server asks for a token by the public name; the run ends when the certificate is there."""
    root = client.http("/roots/0", "-k", url="https://pebble.pebble.svc:15000")
    assert root.status == 200, root
    authority = registry.secret(f"{registry.name}-tls-issued")["ca.crt"]
    try:
        run = playbooks.run("site", registry_ingress_issuer_name="pebble")
        assert run.changed == [APPLIED]
        client.trust(root.body)
        client.wait_served(issued(registry), [FRONT])
        assert client.http("/v2/").status == 401
    finally:
        playbooks.run("site")
        client.trust(authority)
    client.wait_served(issued(registry), [FRONT])
    assert client.http("/v2/").status == 401
