# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A store with images, both lines of Distribution, and what looks at it."""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._gc_child import Program
from ansible_collections.homeport.registry.plugins.module_utils._gc_look import Looker
from ansible_collections.homeport.registry.plugins.module_utils._gc_options import Options
from ansible_collections.homeport.registry.plugins.module_utils._gc_report import Report
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_transport import Transport
from tests.lab.inventory.images import Pusher, Store
from tests.lab.modules.distribution import Distribution
from tests.lab.old_registry import old_registry
from tools.paths import ROOT


class Quiet(Report):
    """A report that stays here: there is no cluster."""

    def __init__(self, options: Options) -> None:
        super().__init__(None, options, "run", "pod")  # type: ignore[arg-type]  # there is no API to write to


@pytest.fixture(params=["3", "2.8"])
def binary(request: pytest.FixtureRequest) -> str:
    """The lab's registry, and Debian's, which is a 2.8."""
    return str(ROOT / ".lab/bin/registry" if request.param == "3" else old_registry())


@pytest.fixture
def major(binary: str) -> int:
    return 3 if binary.endswith("/registry") else 2


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the store is."""
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> Store:
    return Store(root)


@contextmanager
def taking_pushes(server: Distribution) -> Iterator[Pusher]:
    """Run a registry, in which nothing is cached, while a with block pushes to it."""
    server.start()
    transport = Transport()
    try:
        yield Pusher(Session(transport, server.url))
    finally:
        transport.close()
        server.stop()


@pytest.fixture
def push(binary: str, root: Path, tmp_path: Path) -> Iterator[Pusher]:
    """A client of a registry on that store."""
    with taking_pushes(Distribution(binary, tmp_path / "writer", store=root)) as pusher:
        yield pusher


@pytest.fixture
def look(binary: str, major: int, root: Path, tmp_path: Path) -> Iterator[Callable[..., Looker]]:
    """Return a function that makes what looks at the store as a collection does, with these options."""
    programs: list[Program] = []

    def make(*, binary: str = binary, root: Path = root, **changes: t.Any) -> Looker:
        scratch = tmp_path / f"scratch-{len(programs)}"
        scratch.mkdir()
        options = Options(
            registry="depot",
            namespace="n",
            storage={"filesystem": {"rootdirectory": str(root)}},
            permit={"metadata": {}},
            writer_selector="",
            scratch=str(scratch),
            binary=binary,
            **changes,
        )
        program = Program(binary, options.storage, options.scratch)
        programs.append(program)
        session = Session(Transport(read_only=True), program.url)
        looker = Looker(options, program, session, Quiet(options))
        looker.major = major
        return looker

    yield make
    for program in programs:
        program.close()
