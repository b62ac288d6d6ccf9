# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a removal leaves of the way in: nothing. The last file of all."""

from __future__ import annotations

from tests.verify.playbooks import Playbooks
from tests.verify.tls import PublicRegistry


def test_a_removal_takes_what_cert_manager_has_issued(registry: PublicRegistry, playbooks: Playbooks) -> None:
    """The Secret is in no record, since cert-manager made it, and holds a key that nobody needs any more."""
    playbooks.run("remove")
    left = ("certificates.cert-manager.io", "ingresses", "services", "networkpolicies")
    assert registry.find("items[].[kind, metadata.name]", ",".join(left)) == []
    assert registry.find("items[?type=='kubernetes.io/tls'].metadata.name", "secrets") == []
