# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a removal that keeps the images keeps besides. The last file: accounts come back with new passwords."""

from __future__ import annotations

import base64
import json

from tests.unit.certificates.conftest import make
from tests.verify.playbooks import Playbooks
from tests.verify.tls import PublicRegistry, TlsClient


def test_removal_keeps_the_authority(client: TlsClient, registry: PublicRegistry, playbooks: Playbooks) -> None:
    """A registry that comes back is trusted by every client that trusted it before."""
    authority = registry.secret(f"{registry.name}-ca")
    playbooks.run("remove")
    left = registry.find("items[?type=='kubernetes.io/tls'].metadata.name", "secrets")
    assert left == [f"{registry.name}-ca"]
    playbooks.run("site")
    assert registry.secret(f"{registry.name}-ca") == authority
    client.wait_open(seconds=60)


def test_an_authority_of_ones_own_is_put_in_place(
    client: TlsClient, registry: PublicRegistry, playbooks: Playbooks
) -> None:
    """Clients trust the root; the authority below it, which signs here, goes along with every certificate."""
    root = make("Company root", ca=True, days=(-1, 900))
    middle = make("Company registries", root, ca=True, days=(-1, 300))
    playbooks.run("remove")
    name = f"{registry.name}-ca"
    registry.kubectl("delete", "secret", name)
    secret = middle.secret(name)
    secret.update(apiVersion="v1", kind="Secret", type="kubernetes.io/tls")
    secret["data"]["tls.crt"] = base64.b64encode((middle.crt + root.crt).encode()).decode()
    registry.kubectl("create", "-f", "-", stdin=json.dumps(secret))
    playbooks.run("site")
    assert registry.secret(name)["tls.key"] == middle.pem_key
    assert registry.find('data."ca.crt"', "configmap", name) == root.crt
    client.trust(root.crt)
    client.wait_open(seconds=60)
    assert playbooks.run("site").changed == []
