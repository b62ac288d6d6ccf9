# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a removal with the data leaves: nothing."""

from __future__ import annotations

from tests.verify.cluster import Cluster, eventually
from tests.verify.playbooks import Playbooks
from tests.verify.registry import Registry


def test_nothing_is_left(cluster: Cluster, registry: Registry) -> None:
    """Namespace and volume are deleted."""
    assert cluster.find(f"items[?metadata.name=='{registry.namespace}'].metadata", "namespaces") == []
    # The provisioner deletes the directory behind the volume in its own time.
    claimed = f"items[?spec.claimRef.namespace=='{registry.namespace}'].metadata.name"
    assert eventually(lambda: not cluster.find(claimed, "persistentvolumes"), "the volume is deleted")


def test_second_removal_changes_nothing(playbooks: Playbooks) -> None:
    """Removing what is gone is no change and no error."""
    run = playbooks.run("remove", registry_storage_delete_data=True, registry_namespace_delete=True)
    assert run.changed == []
