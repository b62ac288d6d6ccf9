# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a removal that keeps the images keeps besides. The last file: accounts come back with new passwords."""

from __future__ import annotations

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
