# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What these tests know beside the common fixtures."""

from __future__ import annotations

import base64

import pytest

from tests.verify.clients import Client
from tests.verify.cluster import Cluster
from tests.verify.playbooks import Playbooks
from tests.verify.registry import Registry
from tests.verify.routed import playbooks_of
from tests.verify.s3.store import Store


@pytest.fixture(scope="session")
def playbooks() -> Playbooks:
    """Return a runner of the collection's playbooks."""
    return playbooks_of("s3")


@pytest.fixture(scope="session")
def authority(cluster: Cluster) -> str:
    """Return the certificate of the authority that the object store is trusted by."""
    return base64.b64decode(cluster.find('data."ca.crt"', "secret", "s3-tls", "-n", "s3")).decode()


@pytest.fixture(scope="session")
def store(client: Client, registry: Registry) -> Store:
    """Return the bucket, as its operator sees it."""
    return Store(client, f"registry-{registry.namespace}")
