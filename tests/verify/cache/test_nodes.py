# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node pulls by the name of the upstream, which it cannot reach, and gets the image from the cache."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import testinfra

from tests.verify import oci
from tests.verify.cache.upstream import Upstream
from tests.verify.clients import Client
from tests.verify.fixtures import ROOT
from tests.verify.playbooks import Playbooks

NODES = ("homeport-control-plane", "homeport-worker")


@pytest.fixture
def mirrored(playbooks: Playbooks) -> Iterator[Playbooks]:
    """Let the nodes know the caches of the inventory; afterwards they know nothing of them."""
    both = Playbooks(*playbooks.inventories, str(ROOT / "molecule" / "cache" / "nodes" / "inventory"))
    both.run("nodes")
    yield both
    both.run("nodes", registry_node_trust_state="absent")


def test_nodes_pull_from_the_cache(mirrored: Playbooks, at_upstream: Client, upstream: Upstream) -> None:
    """The mirror follows from the inventory, the certificate of the cache is trusted, a second run changes nothing."""
    layout = oci.image("for nodes")
    pushed = at_upstream.push(at_upstream.put(layout), "nodes/app:1", None)
    assert pushed.rc == 0, pushed.stderr
    name = f"{upstream.name}.{upstream.namespace}.svc/nodes/app:1"
    for node in NODES:
        host = testinfra.get_host(f"docker://{node}")
        assert host.run("getent hosts %s", name.partition("/")[0]).rc != 0
        pulled = host.run("crictl pull %s", name)
        assert pulled.rc == 0, pulled.stderr
        assert host.run("crictl rmi %s", name).rc == 0
    assert mirrored.run("nodes").changed == []
