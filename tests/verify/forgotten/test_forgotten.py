# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left on each node: nothing."""

from __future__ import annotations

import pytest
import testinfra
from testinfra.host import Host

from tests.verify.cluster import Cluster

NODES = ("homeport-control-plane", "homeport-worker")


@pytest.fixture(params=NODES)
def node(request: pytest.FixtureRequest, cluster: Cluster) -> Host:
    """Return each node."""
    return testinfra.get_host(f"docker://{request.param}")


def test_nothing_of_ours_is_left(node):
    assert not node.file("/etc/containerd/certs.d/registry.molecule.test:30643").exists
    assert not node.file("/var/lib/homeport").exists
    assert "homeport.registry" not in node.file("/etc/hosts").content_string
    # What was there before is still there.
    assert node.file("/etc/containerd/certs.d/_default/hosts.toml").exists
