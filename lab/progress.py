# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbered steps with elapsed time on the terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TextIO


@dataclass(frozen=True)
class Step:
    """One thing to do: ``act`` returns a word on how it went ("built", "cached"...)."""

    title: str
    act: Callable[[], str]


class Progress:
    """Print what is being done, how far it is, and how long it has taken."""

    def __init__(self, total: int, out: TextIO = sys.stdout, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self._out = out
        self._clock = clock
        self._started = clock()
        self._number = 0

    def run(self, step: Step) -> None:
        """Do one step between its announcement and its outcome."""
        self._number += 1
        begun = self._clock()
        width = len(str(self.total))
        mark = f"[{self._number:>{width}}/{self.total}] {begun - self._started:4.0f} s"
        self._out.write(f"{mark}  {step.title} ... ")
        self._out.flush()
        try:
            outcome = step.act()
        except BaseException:
            self._out.write("FAILED\n")
            self._out.flush()
            raise
        spent = self._clock() - begun
        self._out.write(f"{outcome}\n" if spent < 1 else f"{outcome} ({spent:.0f} s)\n")
        self._out.flush()


def run_steps(steps: Sequence[Step], out: TextIO = sys.stdout) -> float:
    """Run all ``steps`` in order; return the seconds they took."""
    begun = time.monotonic()
    progress = Progress(len(steps), out)
    for step in steps:
        progress.run(step)
    return time.monotonic() - begun
