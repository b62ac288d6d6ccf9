# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fixtures of these tests: the scenario's inventory, and two namespaces that pull."""

from __future__ import annotations

import pytest

from tests.verify.access.consumers import HOST, Consumer
from tests.verify.cluster import Cluster
from tests.verify.fixtures import ROOT
from tests.verify.playbooks import Playbooks, Run
from tests.verify.registry import Registry


@pytest.fixture(scope="session")
def playbooks() -> Playbooks:
    """Return a runner of the collection's playbooks on the scenario's inventory."""
    molecule = ROOT / "molecule"
    return Playbooks(str(molecule / "resources" / "inventory"), str(molecule / "access" / "inventory"))


@pytest.fixture(scope="session")
def shop(cluster: Cluster, registry: Registry) -> Consumer:
    """Return a namespace that pulls, with a pod that was there before the pull secret."""
    shop = Consumer(cluster, registry, "shop")
    shop.make()
    shop.run_pod("early", f"{HOST}/shop/app:1")
    shop.wait_stuck("early")
    return shop


@pytest.fixture(scope="session")
def billing(cluster: Cluster, registry: Registry) -> Consumer:
    """Return another one."""
    billing = Consumer(cluster, registry, "billing")
    billing.make()
    return billing


@pytest.fixture(scope="session")
def provided(shop: Consumer, billing: Consumer, playbooks: Playbooks) -> Run:
    """Run the playbook while both namespaces are selected and return what it said."""
    return playbooks.run("site")
