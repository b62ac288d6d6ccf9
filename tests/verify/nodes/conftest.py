# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the nodes share."""

from __future__ import annotations

import base64
import json
import platform
import typing as t

import pytest

from tests.verify import oci
from tests.verify.clients import Client
from tests.verify.cluster import Cluster
from tests.verify.fixtures import ROOT, _namespace
from tests.verify.node_port.conftest import balancer, client, host_aliases, nodes
from tests.verify.nodes.program import program
from tests.verify.playbooks import Playbooks
from tests.verify.registry import Account
from tests.verify.tls import PublicRegistry

__all__ = ["balancer", "client", "host_aliases", "nodes"]

NODES = ("homeport-control-plane", "homeport-worker")
PORT = 30643


@pytest.fixture(scope="session")
def registry(cluster: Cluster) -> PublicRegistry:
    """Return the registry by its public name."""
    return PublicRegistry(cluster, "depot", _namespace(), f"registry.molecule.test:{PORT}")


@pytest.fixture(scope="session")
def playbooks() -> Playbooks:
    """Return a runner of the collection's playbooks."""
    folder = ROOT / "molecule"
    return Playbooks(str(folder / "resources" / "inventory"), str(folder / "nodes" / "inventory"))


def push_program(client: Client, writer: Account) -> None:
    """Push the smallest image that runs as nodes/app:1."""
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    layout = oci.program_image(program(architecture), architecture)
    done = client.push(client.put(layout), "nodes/app:1", writer)
    assert done.rc == 0, done.stderr


def pull_secret(namespace: str, host: str, account: Account) -> dict[str, t.Any]:
    """Return a pull secret for images of a host."""
    auth = base64.b64encode(str(account).encode()).decode()
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "pull", "namespace": namespace},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": json.dumps({"auths": {host: {"auth": auth}}})},
    }
