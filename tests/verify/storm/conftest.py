# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A storm on the registry of the scenario, from this machine and not from a pod, whose life hangs on the API server."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.storm.process import Storm
from tests.storm.registry import Account as StormAccount
from tests.verify.cluster import eventually
from tests.verify.registry import Account, Registry
from tests.verify.storm.collecting import Job, writable

MakeStorm = Callable[..., Storm]

# A request to an object store in the lab costs many times what a file does, and a collection needs its share.
ON_FILES = ("--rate", "2.5", "--pull-rate", "3", "--images", "120")
ON_OBJECTS = ("--rate", "0.8", "--pull-rate", "1", "--images", "60")


@pytest.fixture(scope="session")
def address(registry: Registry) -> str:
    """Return the registry's address: HOMEPORT_STORM_URL, or the Service's, which this machine reaches in the lab."""
    own = os.environ.get("HOMEPORT_STORM_URL")
    return own or f"http://{registry.find('spec.clusterIP', 'service', registry.name)}:80"


@pytest.fixture
def make_storm(address: str, registry: Registry, writer: Account, reader: Account, tmp_path: Path) -> MakeStorm:
    """Return a function that makes a storm with more options, in repositories that no other test has."""
    made: list[Storm] = []

    def make(name: str, *options: str) -> Storm:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        pusher, puller = (StormAccount(one.name, one.password) for one in (writer, reader))
        gentle = ON_OBJECTS if os.environ.get("MOLECULE_SCENARIO_NAME", "").endswith("s3") else ON_FILES
        more = (*gentle, "--size", "32768", "--prefix", f"storm/{name}", "--seed", name, *options)
        made.append(Storm(address, folder, pusher, puller, *more))
        return made[-1]

    eventually(lambda: writable(registry), "the registry takes pushes", seconds=180)
    return make


@pytest.fixture
def collect(registry: Registry) -> Callable[[], Job]:
    """Return a function that starts a collection."""
    return lambda: Job.start(registry)
