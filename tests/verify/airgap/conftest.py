# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What these tests know beside the common fixtures: what was written on the way, and the nodes."""

from __future__ import annotations

import json
import os
import typing as t
from pathlib import Path

import pytest
import testinfra
from testinfra.host import Host

from tests.verify.cluster import Cluster

NODES = ("homeport-control-plane", "homeport-worker")
FOLDER = Path(os.environ.get("MOLECULE_EPHEMERAL_DIRECTORY", "."))


@pytest.fixture(scope="session")
def report() -> dict[str, t.Any]:
    """Return the report of the installation."""
    found: dict[str, t.Any] = json.loads((FOLDER / "registry.molecule.test.json").read_text())
    return found


@pytest.fixture(params=NODES)
def node(request: pytest.FixtureRequest, cluster: Cluster) -> Host:
    """Return each node, which in the lab is a container."""
    return testinfra.get_host(f"docker://{request.param}")
