# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which engine, which images: chosen automatically, forced where asked."""

from __future__ import annotations

import subprocess

import pytest

from lab import daemon, engine, flavour, node, packages, shell, versions
from lab.engine import OWN, Engine
from lab.errors import LabError

HOST = Engine("host", None)
COLUMN = versions.kubernetes("1.36")


class Machine:
    """A machine whose engines, packages and registries are as the test says."""

    def __init__(self) -> None:
        self.own = False
        self.host = False
        self.package_starts_engine = False
        self.images: set[str] = set()
        self.registry = False
        self.asked: list[tuple[str, ...]] = []

    def install(self, wanted: dict[str, str]) -> str:
        assert "docker.io" in wanted.values()
        self.host = self.package_starts_engine
        return "installed"

    def start(self) -> str:
        self.own = True
        return "started"

    def attempt(self, command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        words = tuple(command[1:])
        self.asked.append(words)
        fine = (
            self.host
            if words[0] == "version"
            else words[-1] in self.images
            if words[0] == "image"
            else self.registry and words[0] == "pull"
        )
        return subprocess.CompletedProcess(command, 0 if fine else 1, "27.0\n" if fine else "", "")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(shell, "attempt", made.attempt)
    monkeypatch.setattr(packages, "install", made.install)
    monkeypatch.setattr(daemon, "answers", lambda: made.own)
    monkeypatch.setattr(daemon, "start", made.start)
    return made


def test_the_machines_engine_is_used_when_it_answers(machine: Machine) -> None:
    machine.host = True
    assert engine.choose("auto") == (HOST, False)


def test_our_own_engine_is_used_again_once_it_runs(machine: Machine) -> None:
    machine.host = machine.own = True
    assert engine.choose("auto") == (OWN, False)


def test_without_an_engine_one_is_installed_and_started(machine: Machine) -> None:
    assert engine.choose("auto") == (OWN, True)


def test_an_engine_that_the_package_started_is_the_machines(machine: Machine) -> None:
    machine.package_starts_engine = True
    assert engine.choose("auto") == (HOST, True)
    assert not machine.own


def test_our_own_can_be_forced(machine: Machine) -> None:
    machine.host = True
    assert engine.choose("own") == (OWN, True)


def test_the_machines_cannot_be_forced_into_being(machine: Machine) -> None:
    machine.own = True
    with pytest.raises(LabError, match="no container engine answers"):
        engine.choose("host")


def test_our_own_engine_seen_through_lab_env_is_not_the_machines(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", daemon.HOST)
    assert engine.host_address() is None
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
    assert engine.host_address() == "tcp://192.0.2.1:2375"


def test_with_our_own_engine_images_are_built_and_nothing_outside_is_asked(machine: Machine) -> None:
    machine.registry = True
    assert flavour.choose("auto", OWN, COLUMN) == "build"
    assert machine.asked == []


def test_with_the_machines_engine_images_are_pulled_when_they_can_be(machine: Machine) -> None:
    machine.registry = True
    assert flavour.choose("auto", HOST, COLUMN) == "pull"
    machine.registry = False
    assert flavour.choose("auto", HOST, COLUMN) == "build"
    assert sum(words[0] == "pull" for words in machine.asked) == 2


def test_what_an_earlier_run_chose_is_chosen_again_without_asking(machine: Machine) -> None:
    machine.images = {COLUMN.node_image}
    assert flavour.choose("auto", HOST, COLUMN) == "pull"
    machine.images = {node.name(COLUMN)}
    machine.registry = True
    assert flavour.choose("auto", HOST, COLUMN) == "build"
    assert all(words[0] != "pull" for words in machine.asked)


@pytest.mark.parametrize("forced", ["pull", "build"])
def test_images_can_be_forced(machine: Machine, forced: str) -> None:
    assert flavour.choose(forced, OWN, COLUMN) == forced


def test_the_column_comes_from_argument_then_environment_then_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOMEPORT_KUBERNETES", raising=False)
    assert versions.kubernetes().column == versions.DEFAULT_COLUMN
    monkeypatch.setenv("HOMEPORT_KUBERNETES", "1.34")
    assert versions.kubernetes().column == "1.34"
    assert versions.kubernetes("1.36").column == "1.36"
    with pytest.raises(LabError, match=r"1\.2 is not prepared; choose one of: 1\.34, 1\.36"):
        versions.kubernetes("1.2")
