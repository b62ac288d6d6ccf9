# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A registry leaves the object store for a volume."""

from __future__ import annotations

import json
import typing as t

from tests.verify.playbooks import Playbooks
from tests.verify.registry import Registry

NAME = "mover"


def of_the_store(registry: Registry) -> list[str]:
    """Return what there is of the registry that moves, but for its volume."""
    found = registry.kubectl("get", "secrets,configmaps,jobs,serviceaccounts,networkpolicies", "-o", "json")
    names = [f"{one['kind']}/{one['metadata']['name']}" for one in json.loads(found)["items"]]
    return [name for name in names if name.split("/")[1].startswith((f"{NAME}-", f"homeport-{NAME}-"))]


def test_credentials_of_a_store_that_was_left_are_gone(registry: Registry, playbooks: Playbooks) -> None:
    common: dict[str, t.Any] = {"registry_name": NAME, "registry_storage_root": NAME}
    assert playbooks.run("site", "--tags", "storage", **common).changed
    assert {f"Secret/{NAME}-proof", f"Job/{NAME}-proof-a"} < set(of_the_store(registry))
    common |= {"registry_storage_driver": "filesystem", "registry_storage_s3_bucket": ""}
    assert playbooks.run("site", "--tags", "storage", **common).changed
    assert of_the_store(registry) == [f"ConfigMap/homeport-{NAME}-storage"]
    assert not playbooks.run("site", "--tags", "storage", **common).changed
    common |= {"registry_storage_state": "absent", "registry_storage_delete_data": True}
    assert playbooks.run("site", "--tags", "storage", **common).changed
    assert of_the_store(registry) == []
