# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fixtures of these tests: the caches, what they are caches of, and clients of each."""

from __future__ import annotations

import base64

import pytest

from tests.verify.cache.upstream import Upstream
from tests.verify.clients import Client
from tests.verify.cluster import Cluster, eventually
from tests.verify.fixtures import ROOT
from tests.verify.playbooks import Playbooks
from tests.verify.registry import Account, Registry


@pytest.fixture(scope="session")
def playbooks() -> Playbooks:
    """Return a runner of the collection's playbooks on the scenario's inventory."""
    molecule = ROOT / "molecule"
    return Playbooks(str(molecule / "resources" / "inventory"), str(molecule / "cache" / "inventory"))


@pytest.fixture(scope="session")
def mirror(cluster: Cluster, registry: Registry) -> Registry:
    """Return the cache that asks nobody for a password."""
    return Registry(cluster, "mirror", f"{registry.namespace}-mirror")


@pytest.fixture(scope="session")
def vault(cluster: Cluster, registry: Registry) -> Registry:
    """Return the cache with accounts."""
    return Registry(cluster, "vault", f"{registry.namespace}-vault")


@pytest.fixture(scope="session")
def upstream(cluster: Cluster, registry: Registry) -> Upstream:
    """Return the registry that the open cache fetches from."""
    return Upstream(cluster, "upstream", f"{registry.namespace}-upstream")


@pytest.fixture(scope="session")
def at_mirror(cluster: Cluster, clients: str, mirror: Registry) -> Client:
    """Return a client of the open cache."""
    client = Client(cluster, clients, "client", mirror)
    eventually(lambda: client.http("/v2/").status == 200, "the mirror answers")
    return client


@pytest.fixture(scope="session")
def at_vault(cluster: Cluster, clients: str, vault: Registry) -> Client:
    """Return a client of the cache with accounts."""
    client = Client(cluster, clients, "client", vault)
    eventually(lambda: client.http("/v2/").status == 401, "the vault answers")
    return client


@pytest.fixture(scope="session")
def at_upstream(cluster: Cluster, clients: str, upstream: Upstream) -> Client:
    """Return a client of the registry that the open cache fetches from."""
    return Client(cluster, clients, "client", upstream)


@pytest.fixture(scope="session")
def vault_reader(vault: Registry) -> Account:
    """Return the account of the cache with accounts."""
    data = vault.find("data", "secret", f"{vault.name}-credentials")
    return Account("puller", base64.b64decode(data["puller"]).decode())
