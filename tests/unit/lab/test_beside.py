# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done beside other steps is waited for, and what it raises is raised where it is waited for."""

from __future__ import annotations

import threading

import pytest

from lab import components, golang, steps, versions
from lab.beside import Beside
from lab.engine import Engine
from lab.errors import LabError

COLUMN = versions.kubernetes("1.36")


def test_the_outcome_is_waited_for_while_others_go_on() -> None:
    others_went_on = threading.Event()

    def act() -> str:
        return "built" if others_went_on.wait(30) else "nobody went on"

    beside = Beside(act)
    assert beside.start() == "begun"
    others_went_on.set()
    assert beside.outcome() == "built"


@pytest.mark.parametrize("error", [LabError("no mirror"), OSError("no disk")], ids=["of the lab", "any"])
def test_a_failure_comes_with_the_outcome(error: Exception) -> None:
    def act() -> str:
        raise error

    beside = Beside(act)
    beside.start()
    with pytest.raises(type(error), match=str(error)):
        beside.outcome()


def test_the_outcome_of_what_was_not_begun_is_an_error() -> None:
    with pytest.raises(LabError, match="not begun"):
        Beside(lambda: "built").outcome()


@pytest.mark.parametrize("built", [False, True], ids=["cold", "warm"])
def test_what_waits_for_the_network_goes_on_beside_the_compiler(built: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golang, "is_built", lambda family: built)
    titles = [step.title for step in steps.build_steps(Engine("own", None), COLUMN)]
    programs = [title for title in titles if title.startswith("Go programs")]
    # A containerd for tests alone is built where that is cheap.
    assert len(programs) == len(components.families(COLUMN)) + (not built)
    first, last = titles.index(programs[0]), titles.index(programs[-1])
    assert titles.index("Debian packages") < titles.index("Debian base image, beside what follows") < first
    assert last < titles.index("Debian base image") < titles.index("Component images")
    assert ("Go modules" in titles) == (not built)
    if not built:
        # The compiler's cache is thrown away only when nobody downloads for the compiler any more.
        assert titles.index("Go toolchain") < titles.index("Go modules, beside what follows") < first
        assert last < titles.index("Go modules") < titles.index("Compiler cache, no longer needed")
