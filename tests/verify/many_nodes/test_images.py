# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images go in and come out whole, whichever node a request reaches."""

from __future__ import annotations

import pytest

from tests.verify import oci
from tests.verify.clients import WORK, Client
from tests.verify.playbooks import Playbooks
from tests.verify.registry import Account, Component, Registry
from tests.verify.several import (
    chunks,
    fronts,
    test_an_upload_may_change_writers,
    test_an_upload_survives_its_writer,
    test_what_is_deleted_is_gone_at_every_front_pod,
)

__all__ = [
    "chunks",
    "test_an_upload_may_change_writers",
    "test_an_upload_survives_its_writer",
    "test_what_is_deleted_is_gone_at_every_front_pod",
]


@pytest.mark.parametrize("component", ["front", "writer"])
def test_no_two_run_on_one_node(registry: Registry, component: Component) -> None:
    """Nodes without zones spread pods as well, and all of them hold the one claim."""
    assert registry.find("items[].[metadata.name, status.accessModes]", "pvc") == [
        [f"{registry.name}-data", ["ReadWriteMany"]]
    ]
    pods = registry.find("items[?!(metadata.deletionTimestamp)].spec", "pods", "-l", registry.selector(component))
    volumes = [volume for pod in pods for volume in pod["volumes"]]
    claims = [volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "persistentVolumeClaim" in volume]
    assert len(pods) == 2
    assert len({pod["nodeName"] for pod in pods}) == 2
    assert claims == [f"{registry.name}-data"] * 2


def test_every_front_pod_has_an_image_as_soon_as_it_is_pushed(
    registry: Registry, client: Client, writer: Account, reader: Account
) -> None:
    """Nobody waits between push and pull, however often."""
    addresses = fronts(registry)
    for number in range(5):
        layout = oci.index(f"many nodes {number}")
        done = client.push(client.put(layout), f"nodes/index:{number}", writer)
        assert done.rc == 0, done.stderr
        for address in addresses:
            place = f"{WORK}/from-{number}-{address}"
            options = ("copy", "--all", "--preserve-digests", "--src-tls-verify=false", "--src-creds", str(reader))
            back = client.skopeo(*options, f"docker://{address}:8080/nodes/index:{number}", f"oci:{place}:1")
            assert back.rc == 0, back.stderr
            assert client.digests(place) == layout.digests


def test_a_second_run_changes_nothing(registry: Registry, playbooks: Playbooks) -> None:
    """Neither the claim nor the number of writers is written again."""
    before = registry.versions()
    assert playbooks.run("site").changed == []
    assert registry.versions() == before
