# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plain registries of both lines on loopback, to be treated as people treat them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.old_registry import old_registry
from tests.lab.storm.plain import PlainRegistry
from tests.storm.process import Storm
from tests.storm.registry import Account
from tools.paths import ROOT

NOBODY = Account()


@pytest.fixture
def line() -> str:
    """The release line of the server."""
    return "3"


@pytest.fixture
def binary(line: str) -> Path:
    """A server program of that line."""
    program = ROOT / ".lab/bin/registry" if line == "3" else old_registry()
    if not os.access(program, os.X_OK):
        pytest.fail(f"{program} is missing; make lab builds the registry")
    return program


@pytest.fixture
def start(binary: Path, tmp_path: Path) -> Iterator[Callable[..., PlainRegistry]]:
    """Return a function that starts a registry."""
    running: list[PlainRegistry] = []

    def start(**options) -> PlainRegistry:
        running.append(PlainRegistry(str(binary), tmp_path / f"registry-{len(running)}", **options))
        running[-1].start()
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture
def storm(tmp_path: Path) -> Callable[..., Storm]:
    """Return a function that makes a storm on a registry."""

    def make(server: PlainRegistry, *options: str) -> Storm:
        return Storm(server.url, tmp_path, NOBODY, NOBODY, *options)

    return make
