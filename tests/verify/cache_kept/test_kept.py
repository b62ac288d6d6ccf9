# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a removal leaves of a cache: its volume."""

from __future__ import annotations

from tests.verify.cluster import Cluster
from tests.verify.kept.test_kept import CLUSTERS_OWN
from tests.verify.registry import Registry


def test_volume_stays_and_nothing_else(cluster: Cluster, registry: Registry) -> None:
    """No pod, no Service, no policy, no setting and no password is left of either cache."""
    for name in ("mirror", "vault"):
        cache = Registry(cluster, name, f"{registry.namespace}-{name}")
        assert cache.find("items[].[metadata.name, status.phase]", "pvc") == [[f"{name}-data", "Bound"]]
        assert cache.find("items[].metadata.name", "pods") == []
        assert set(cache.versions()) - CLUSTERS_OWN == {f"PersistentVolumeClaim/{name}-data"}
