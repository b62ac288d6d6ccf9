# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors

"""A namespace for each test on the real API server, and the apply engine and playbooks to work on it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.apply.harness import Applier, Kubectl, Playbook
from tests.lab.apply.relay import Relay


@pytest.fixture
def namespace(kubeconfig: Path) -> Iterator[str]:
    """Yield a namespace of the test's own."""
    name = f"apply-test-{secrets.token_hex(4)}"
    kubectl = Kubectl(kubeconfig, name)
    kubectl("create", "namespace", name)
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def kubectl(kubeconfig: Path, namespace: str) -> Kubectl:
    """Return kubectl for the test's namespace."""
    return Kubectl(kubeconfig, namespace)


@pytest.fixture
def apply(kubeconfig: Path, namespace: str) -> Applier:
    """Return the engine on the test's namespace."""
    return Applier(str(kubeconfig), namespace)


@pytest.fixture
def relay(kubeconfig: Path) -> Iterator[Relay]:
    """Yield a recording relay to the API server."""
    relay = Relay(kubeconfig)
    yield relay
    relay.close()


@pytest.fixture
def relayed(relay: Relay, namespace: str) -> Applier:
    """Return the engine behind the recording relay."""
    return Applier(relay.kubeconfig(), namespace)


@pytest.fixture
def playbook(tmp_path: Path, kubeconfig: Path, namespace: str) -> Playbook:
    """Return a playbook directory for the test's namespace."""
    return Playbook(tmp_path, kubeconfig, namespace)
