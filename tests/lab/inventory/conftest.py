# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real registries of both lines: the lab's own, and Debian's package, which is a 2.8."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_transport import Transport
from tests.lab.modules.distribution import Distribution
from tests.lab.old_registry import old_registry
from tools.paths import ROOT

from .images import Pusher, Store


@pytest.fixture(params=["3", "2.8"])
def binary(request: pytest.FixtureRequest) -> Path:
    """A server program of each line."""
    program = ROOT / ".lab/bin/registry" if request.param == "3" else old_registry()
    if not os.access(program, os.X_OK):
        pytest.fail(f"{program} is missing; make lab builds the registry")
    return program


@pytest.fixture
def is_old(binary: Path) -> bool:
    """Whether the server is a 2.8."""
    return binary.name == "docker-registry"


@pytest.fixture
def start(binary: Path, tmp_path: Path) -> Iterator[Callable[..., Distribution]]:
    """Return a function that starts a registry; see `Distribution` for its options."""
    running: list[Distribution] = []

    def start(**options) -> Distribution:
        options.setdefault("store", tmp_path / "store")
        server = Distribution(str(binary), tmp_path / f"registry-{len(running)}", **options)
        running.append(server)
        server.start()
        return server

    yield start
    for server in running:
        server.stop()


@pytest.fixture
def connect() -> Iterator[Callable[..., Session]]:
    """Return a function that opens a session."""
    transports: list[Transport] = []

    def connect(url: str, *account: str) -> Session:
        transports.append(Transport(timeout=20))
        return Session(transports[-1], url, *account)

    yield connect
    for transport in transports:
        transport.close()


@pytest.fixture
def server(start) -> Distribution:
    """A registry without accounts."""
    return start()


@pytest.fixture
def session(server, connect) -> Session:
    return connect(server.url)


@pytest.fixture
def push(session) -> Pusher:
    return Pusher(session)


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")
