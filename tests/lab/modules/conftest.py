# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real Distribution servers on loopback, started and stopped by the tests that use them.

HOMEPORT_REGISTRY_BINARIES names other server programs to run everything against, separated by colons.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .authority import Authority
from .distribution import Distribution

ROOT = Path(__file__).parents[3]
BINARIES = [str(ROOT / ".lab/bin/registry"), *filter(None, os.environ.get("HOMEPORT_REGISTRY_BINARIES", "").split(":"))]

# Passwords of the accounts that every test registry has.
READER = ("reader", "read me, please")
WRITER = ("writer", "write: p\u00e4ss")


@pytest.fixture(params=BINARIES, ids=lambda path: Path(path).name)
def binary(request: pytest.FixtureRequest) -> str:
    """A server program, each in turn."""
    if not os.access(request.param, os.X_OK):
        pytest.fail(f"{request.param} is missing; make lab builds the registry")
    return request.param


@pytest.fixture
def start(binary: str, tmp_path: Path) -> Iterator[Callable[..., Distribution]]:
    """Return a function that starts a registry; see `Distribution` for its options."""
    running: list[Distribution] = []

    def start(**options) -> Distribution:
        options.setdefault("store", tmp_path / "store")
        server = Distribution(binary, tmp_path / f"registry-{len(running)}", **options)
        running.append(server)
        server.start()
        return server

    yield start
    for server in running:
        server.stop()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority of our own."""
    return Authority(tmp_path_factory.mktemp("authority"))
