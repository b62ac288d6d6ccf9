# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the nodes share."""

from __future__ import annotations

import pytest

from tests.verify.cluster import Cluster
from tests.verify.fixtures import ROOT, _namespace
from tests.verify.node_port.conftest import balancer, client, host_aliases, nodes
from tests.verify.playbooks import Playbooks
from tests.verify.tls import PublicRegistry

__all__ = ["balancer", "client", "host_aliases", "nodes"]

PORT = 30643


@pytest.fixture(scope="session")
def registry(cluster: Cluster) -> PublicRegistry:
    """Return the registry by its public name."""
    return PublicRegistry(cluster, "depot", _namespace(), f"registry.molecule.test:{PORT}")


@pytest.fixture(scope="session")
def playbooks() -> Playbooks:
    """Return a runner of the collection's playbooks."""
    folder = ROOT / "molecule"
    return Playbooks(str(folder / "resources" / "inventory"), str(folder / "nodes" / "inventory"))
