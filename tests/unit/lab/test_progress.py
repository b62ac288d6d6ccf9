# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The terminal shows what is done, how far it is, and how long it took."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from lab.errors import LabError
from lab.progress import Progress, Step


def clock(*times: float) -> Iterator[float]:
    yield from times


def run(steps: list[Step], *times: float) -> str:
    out = io.StringIO()
    ticks = clock(*times)
    progress = Progress(len(steps), out, lambda: next(ticks))
    for step in steps:
        progress.run(step)
    return out.getvalue()


def test_number_elapsed_time_outcome_and_duration() -> None:
    steps = [Step("One", lambda: "cached"), Step("Two", lambda: "built")]
    assert run(steps, 0, 0, 0.2, 65, 155) == "[1/2]    0 s  One ... cached\n[2/2]   65 s  Two ... built (90 s)\n"


def test_a_failure_is_marked_and_passed_on() -> None:
    def fail() -> str:
        raise LabError("no disk")

    out = io.StringIO()
    with pytest.raises(LabError, match="no disk"):
        Progress(1, out).run(Step("One", fail))
    assert out.getvalue().endswith("One ... FAILED\n")
