# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What these tests know beside the common fixtures."""

from __future__ import annotations

import pytest

from tests.verify.cluster import Cluster
from tests.verify.playbooks import Playbooks
from tests.verify.registry import Account
from tests.verify.routed import SlowPush, playbooks_of, public_registry
from tests.verify.tls import PublicRegistry, TlsClient


@pytest.fixture(scope="session")
def registry(cluster: Cluster) -> PublicRegistry:
    """Return the registry by its public name."""
    return public_registry(cluster)


@pytest.fixture(scope="session")
def playbooks() -> Playbooks:
    """Return a runner of the collection's playbooks."""
    return playbooks_of("ingress")


@pytest.fixture(scope="session")
def client(cluster: Cluster, clients: str, registry: PublicRegistry) -> TlsClient:
    """Return a client that trusts the authority of the certificate."""
    pod = TlsClient(cluster, clients, "client", registry)
    pod.trust(registry.secret(f"{registry.name}-tls-issued")["ca.crt"])
    pod.wait_open()
    return pod


@pytest.fixture(scope="session", autouse=True)
def slow_push(cluster: Cluster, clients: str, client: TlsClient, registry: PublicRegistry, writer: Account) -> SlowPush:
    """Start a push that is slow from a client of its own, so that it goes on while the other tests run."""
    pod = TlsClient(cluster, clients, "scraper", registry)
    pod.trust(registry.secret(f"{registry.name}-tls-issued")["ca.crt"])
    return SlowPush.start(pod, writer)
