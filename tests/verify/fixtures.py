# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the tests on a cluster.

HOMEPORT_KUBECONFIG names a cluster of your own, HOMEPORT_CLIENT_IMAGE an image with skopeo, curl and tar for it.
"""

from __future__ import annotations

import base64
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.verify.clients import Client, start_clients
from tests.verify.cluster import Cluster
from tests.verify.playbooks import Playbooks
from tests.verify.registry import Account, Registry

ROOT = Path(__file__).resolve().parents[2]


def _namespace() -> str:
    return f"molecule-{os.environ.get('MOLECULE_SCENARIO_NAME', 'default').replace('_', '-')}"


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """Return the cluster: the lab, or the one that HOMEPORT_KUBECONFIG names."""
    own = os.environ.get("HOMEPORT_KUBECONFIG")
    if own:
        return Cluster(own)
    lines = subprocess.run([sys.executable, "-m", "lab", "env"], cwd=ROOT, check=True, capture_output=True, text=True)
    # The container engine of the lab and its kubectl are not where an interactive shell would look.
    for line in lines.stdout.splitlines():
        name, _equals, value = line.removeprefix("export ").partition("=")
        if line.startswith("export "):
            os.environ[name] = os.path.expandvars(shlex.split(value)[0])
    return Cluster(os.environ["KUBECONFIG"])


@pytest.fixture(scope="session")
def registry(cluster: Cluster) -> Registry:
    """Return the registry of the running scenario."""
    return Registry(cluster, "depot", _namespace())


@pytest.fixture(scope="session")
def playbooks() -> Playbooks:
    """Return a runner of the collection's playbooks."""
    return Playbooks(str(ROOT / "molecule" / "resources" / "inventory"))


@pytest.fixture(scope="session")
def host_aliases() -> dict[str, str]:
    """Return addresses by host name that the clients know, none unless a situation has some."""
    return {}


@pytest.fixture(scope="session")
def clients(cluster: Cluster, registry: Registry, host_aliases: dict[str, str]) -> str:
    """Return the namespace of the clients, which run."""
    lab = not os.environ.get("HOMEPORT_KUBECONFIG")
    image = os.environ.get("HOMEPORT_CLIENT_IMAGE", "homeport.lab/client:1" if lab else "quay.io/skopeo/stable:v1.20.0")
    start_clients(cluster, f"{registry.namespace}-clients", image, "Never" if lab else "IfNotPresent", host_aliases)
    return f"{registry.namespace}-clients"


@pytest.fixture(scope="session")
def client(cluster: Cluster, clients: str, registry: Registry) -> Client:
    """Return a client as any pod may be."""
    pod = Client(cluster, clients, "client", registry)
    pod.wait_open(seconds=60)
    return pod


@pytest.fixture(scope="session")
def scraper(cluster: Cluster, clients: str, registry: Registry) -> Client:
    """Return the client that may read metrics."""
    return Client(cluster, clients, "scraper", registry)


@pytest.fixture(scope="session")
def account(registry: Registry) -> Callable[[str], Account]:
    """Return a function from the name of an account to the account with its generated password."""

    def look_up(name: str) -> Account:
        data = registry.find("data", "secret", f"{registry.name}-credentials")
        return Account(name, base64.b64decode(data[name]).decode())

    return look_up


@pytest.fixture(scope="session")
def writer(account: Callable[[str], Account]) -> Account:
    """Return an account that may push."""
    return account("pusher")


@pytest.fixture(scope="session")
def reader(account: Callable[[str], Account]) -> Account:
    """Return an account that may pull only."""
    return account("puller")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Show what runs in the registry's namespace when a test failed: molecule removes it next."""
    own = os.environ.get("HOMEPORT_KUBECONFIG") or os.environ.get("KUBECONFIG")
    if exitstatus != pytest.ExitCode.TESTS_FAILED or not own:
        return
    print("\n")
    for what in (
        ("pods", "-o", "wide"),
        ("deployments,configmaps,leases,pvc",),
        ("events", "--sort-by=.lastTimestamp"),
    ):
        print(Cluster(own).kubectl("-n", _namespace(), "get", *what, check=False))
