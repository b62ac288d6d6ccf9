# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The storm, the nodes, and a collector that can be put on one of them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.verify.cluster import Cluster
from tests.verify.outages.conftest import engine
from tests.verify.playbooks import Playbooks
from tests.verify.registry import Registry
from tests.verify.routed import playbooks_of
from tests.verify.storm.conftest import collect, make_storm

__all__ = ["collect", "engine", "make_storm"]

UNREACHABLE = ("node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready")


@pytest.fixture(scope="session")
def playbooks() -> Playbooks:
    """Return a runner of the collection's playbooks."""
    return playbooks_of("s3")


@pytest.fixture(scope="session")
def nodes(cluster: Cluster) -> tuple[str, str]:
    """Return the node that can be away, and the one that holds the API server and the object store."""
    names = cluster.find("items[].metadata.name", "nodes")
    stays = str(cluster.find("items[?contains(metadata.name, 'kube-apiserver')].spec.nodeName | [0]", "pods", "-A"))
    store = cluster.find("items[].spec.nodeName", "pods", "-n", "s3", "-l", "app=s3")
    if store != [stays]:
        pytest.skip(f"the object store runs on {store} and not on {stays}, the node of the API server")
    return next(str(name) for name in names if name != stays), stays


@pytest.fixture
def address(cluster: Cluster, registry: Registry, nodes: tuple[str, str]) -> Iterator[str]:
    """Return the registry's address, and lead to it through the node that stays.

    The kernel of a paused node goes on forwarding to the pods that it knew, which are those that are away.
    """
    if own := os.environ.get("HOMEPORT_STORM_URL"):
        yield own
        return
    service = registry.find("spec.clusterIP", "service", registry.name)
    stays = cluster.find("status.addresses[?type=='InternalIP'].address | [0]", "node", nodes[1])
    route = [f"{service}/32", "via", stays]
    subprocess.run(["ip", "route", "replace", *route], check=True)
    yield f"http://{service}:80"
    subprocess.run(["ip", "route", "del", *route], check=True)


@pytest.fixture
def configure(playbooks: Playbooks, registry: Registry) -> Iterator[Callable[..., None]]:
    """Return a function that applies the registry with more variables; afterwards it is as it was."""

    def apply(**variables: object) -> None:
        playbooks.run("site", **variables)
        registry.wait_ready()

    yield apply
    playbooks.run("site")
    registry.wait_ready()


def leaving_after(seconds: int) -> list[dict[str, object]]:
    """Return tolerations of pods that give up a node which does not answer sooner than after five minutes."""
    return [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds} for key in UNREACHABLE
    ]
