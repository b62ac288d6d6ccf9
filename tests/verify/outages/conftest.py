# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The storm, and the parts of a kind cluster that can be stopped."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest
import testinfra

from tests.verify.cluster import Cluster
from tests.verify.playbooks import Playbooks
from tests.verify.routed import playbooks_of
from tests.verify.storm.conftest import address, collect, make_storm

__all__ = ["address", "api_server", "collect", "engine", "make_storm"]


@pytest.fixture(scope="session")
def playbooks() -> Playbooks:
    """Return a runner of the collection's playbooks."""
    return playbooks_of("faults")


@pytest.fixture
def api_server(cluster: Cluster) -> Callable[[str], None]:
    """Return a function that sends a signal to the API server's process: it holds still, it does not end."""
    node = str(cluster.find("items[?contains(metadata.name, 'kube-apiserver')].spec.nodeName | [0]", "pods", "-A"))
    host = testinfra.get_host(f"docker://{node}")

    def send(signal: str) -> None:
        done = host.run("pkill --signal %s -x kube-apiserver", signal)
        assert done.rc == 0, done.stderr

    return send


@pytest.fixture
def engine() -> Callable[..., None]:
    """Return a function that runs the container engine of the lab."""

    def run(*words: str) -> None:
        subprocess.run(["docker", *words], check=True, capture_output=True, timeout=120)

    return run
