# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a removal leaves: the namespace and the volume, and nothing that runs or lets anybody in."""

from __future__ import annotations

from tests.verify.playbooks import Playbooks
from tests.verify.registry import Registry

CLUSTERS_OWN = {"ConfigMap/kube-root-ca.crt", "ServiceAccount/default"}


def test_volume_and_namespace_stay(registry: Registry) -> None:
    """The claim is still bound, so the images are there."""
    assert registry.find("status.phase", "namespace", registry.namespace) == "Active"
    assert registry.find("items[].[metadata.name, status.phase]", "pvc") == [[f"{registry.name}-data", "Bound"]]


def test_all_else_is_gone(registry: Registry) -> None:
    """No pod, no Service, no policy, no setting and no password is left."""
    assert registry.find("items[].metadata.name", "pods") == []
    assert set(registry.versions()) - CLUSTERS_OWN == {f"PersistentVolumeClaim/{registry.name}-data"}


def test_second_removal_changes_nothing(playbooks: Playbooks) -> None:
    """Removing again is no change and no error."""
    assert playbooks.run("remove").changed == []
