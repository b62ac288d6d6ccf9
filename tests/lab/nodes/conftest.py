# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machines with containerd 1.6 of Debian, 2.2, and that of the lab's nodes, and a registry that they can reach."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import golang, layout
from lab.versions import CONTAINERD_BEFORE
from tests.lab.modules.authority import Authority, Pair
from tests.lab.modules.distribution import Distribution
from tests.lab.nodes.depot import Depot
from tests.lab.nodes.machine import Machine, Programs
from tools.stages import lab_environment
from tools.venv import ensure_program

REGISTRY = layout.BIN / "registry"


def version_of(program: str) -> tuple[int, ...]:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", said)
    assert found, said
    return tuple(int(part) for part in found.groups())


@pytest.fixture(scope="session")
def from_node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the runtime programs of the lab's nodes."""
    folder = tmp_path_factory.mktemp("programs")
    env = {**os.environ, **lab_environment()}
    for name in ("containerd", "containerd-shim-runc-v2", "ctr", "crictl"):
        copy = ["docker", "cp", f"{layout.CONTROL_PLANE}:/usr/local/bin/{name}", str(folder / name)]
        subprocess.run(copy, env=env, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def old(from_node: Path, tmp_path_factory: pytest.TempPathFactory) -> Programs:
    """Return containerd 1.6 with crictl."""
    ensure_program("containerd", "containerd")
    found = shutil.which("containerd")
    assert found
    crictl = tmp_path_factory.mktemp("crictl") / "crictl"
    shutil.copy(from_node / "crictl", crictl)
    programs = Programs(found, str(Path(found).with_name("ctr")), str(crictl), version_of(found))
    assert programs.version < (1, 7), "these tests are about what containerd 1.6 does"
    return programs


@pytest.fixture(scope="session")
def new(from_node: Path) -> Programs:
    """Return the containerd of the lab's nodes."""
    containerd, ctr, crictl = (str(from_node / name) for name in ("containerd", "ctr", "crictl"))
    programs = Programs(containerd, ctr, crictl, version_of(containerd))
    assert programs.version >= (2, 2)
    return programs


@pytest.fixture(scope="session")
def between(from_node: Path) -> Programs:
    """Return the containerd that reads its files otherwise than both; the lab's first run has built it."""
    if not golang.is_built(CONTAINERD_BEFORE):
        golang.build(CONTAINERD_BEFORE)
        golang.forget_compiled()
    containerd = str(golang.program(CONTAINERD_BEFORE, "containerd"))
    programs = Programs(containerd, str(from_node / "ctr"), str(from_node / "crictl"), version_of(containerd))
    assert (2, 1) <= programs.version < (2, 3), "these tests are about what these versions do"
    return programs


@pytest.fixture(params=["old", "new"])
def programs(request: pytest.FixtureRequest) -> Programs:
    """Return both, one after the other."""
    found: Programs = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def build() -> Iterator[Callable[..., Machine]]:
    """Return a function that makes a machine; see Machine for its options."""
    machines: list[Machine] = []
    with tempfile.TemporaryDirectory(prefix="hp-", ignore_cleanup_errors=True) as folder:

        def build(
            programs: Programs,
            *,
            reads: bool = True,
            start: bool = True,
            more: str = "",
            kind: type[Machine] = Machine,
            **options,
        ) -> Machine:
            machine = kind(Path(folder) / str(len(machines)), programs, **options)
            if "config" not in options:
                machine.config.write_text(machine.usual((machine.with_root() if reads else "") + more))
            machines.append(machine)
            if start:
                machine.start()
            return machine

        yield build
        for machine in machines:
            machine.stop()


@pytest.fixture
def machine(build: Callable[..., Machine], programs: Programs) -> Machine:
    """Return a machine that reads certs.d, as most nodes do."""
    return build(programs)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return the CA of the registry."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def depot(tmp_path: Path, authority: Authority) -> Iterator[Depot]:
    """Return a running registry with one image, named depot.test."""
    if not os.access(REGISTRY, os.X_OK):
        pytest.fail(f"{REGISTRY} is missing; make lab builds the registry")
    issued = authority.issue("depot.test")
    # Of its own: a test may show another certificate.
    pair = Pair(tmp_path / "depot.crt", tmp_path / "depot.key")
    shutil.copy(issued.certificate, pair.certificate)
    shutil.copy(issued.key, pair.key)
    server = Distribution(str(REGISTRY), tmp_path / "depot", store=tmp_path / "store", tls=pair, listen="0.0.0.0")
    server.start()
    depot = Depot(server, authority, pair)
    depot.push()
    yield depot
    server.stop()
