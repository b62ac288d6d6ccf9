# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fixtures of these tests."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import pytest

from tests.verify.clients import Client
from tests.verify.fixtures import ROOT
from tests.verify.gc.collector import Collector, Document, ansible
from tests.verify.playbooks import Playbooks
from tests.verify.registry import Registry


@pytest.fixture(scope="session")
def playbooks() -> Playbooks:
    """Return a runner of the collection's playbooks on the scenario's inventory."""
    molecule = ROOT / "molecule"
    return Playbooks(str(molecule / "resources" / "inventory"), str(molecule / "gc" / "inventory"))


@pytest.fixture(scope="session")
def collector(registry: Registry, playbooks: Playbooks) -> Collector:
    """Return the collector."""
    return Collector(registry, playbooks)


@pytest.fixture
def changed(collector: Collector, client: Client) -> Iterator[Callable[..., None]]:
    """Return a function that changes options or state of the collector; afterwards everything is as it was."""
    yield collector.configure
    collector.let_go()
    collector.playbooks.run("site")
    client.wait_open(seconds=60)


@pytest.fixture
def gc_info(playbooks: Playbooks, registry: Registry) -> Callable[..., Document]:
    """Return the module gc_info for this registry."""
    options = {"kubeconfig": registry.cluster.kubeconfig, "namespace": registry.namespace, "registry": registry.name}
    return functools.partial(ansible, playbooks, "gc_info", **options)
