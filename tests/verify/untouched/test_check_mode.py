# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run in check mode on a cluster that has never seen the collection."""

from __future__ import annotations

from tests.verify.cluster import Cluster
from tests.verify.registry import Registry


def test_nothing_was_made(cluster: Cluster, registry: Registry) -> None:
    """Everything of a registry lives in its namespace, and that does not exist."""
    assert cluster.find(f"items[?metadata.name=='{registry.namespace}'].metadata", "namespaces") == []
