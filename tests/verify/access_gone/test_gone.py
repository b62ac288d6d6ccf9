# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a removal leaves in the namespaces that pulled: what was there before."""

from __future__ import annotations

from tests.verify.access.consumers import BUILDER, THEIRS, Consumer
from tests.verify.cluster import Cluster
from tests.verify.registry import Registry


def test_consumers_are_as_they_were(cluster: Cluster, registry: Registry) -> None:
    """No pull secret of ours is left, and the entries of others are."""
    for name in ("shop", "billing"):
        consumer = Consumer(cluster, registry, name)
        assert consumer.secrets() == []
        assert consumer.entries("default") == []
        assert consumer.entries(BUILDER) == [THEIRS]
