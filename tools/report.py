# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts of checks and the names of failed ones, handed from the programs that count to the one that sums up.

Every process that is started with HOMEPORT_REPORT in its environment appends one line to that
file; pytest does so through this module loaded as a plugin.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

VARIABLE = "HOMEPORT_REPORT"


@dataclasses.dataclass(frozen=True)
class Counts:
    """How many checks passed, failed and were skipped, and what failed, a line each."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: tuple[str, ...] = ()

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.passed + other.passed,
            self.failed + other.failed,
            self.skipped + other.skipped,
            self.failures + other.failures,
        )


def add(passed: int = 0, failed: int = 0, skipped: int = 0, failures: Sequence[str] = ()) -> None:
    """Append counts to the report file; without one nothing is written."""
    path = os.environ.get(VARIABLE)
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(dataclasses.asdict(Counts(passed, failed, skipped, tuple(failures)))) + "\n")


def read(path: Path) -> Counts:
    """Return the sum of a report file's lines; a file that was never written counts nothing."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found = (json.loads(line) for line in lines)
    return sum((Counts(**{**each, "failures": tuple(each["failures"])}) for each in found), Counts())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count what pytest itself reports at its end; a worker of pytest-xdist reports to the process that started it."""
    if hasattr(terminalreporter.config, "workerinput"):
        return

    def of(*names: str) -> list[pytest.TestReport]:
        return [entry for name in names for entry in terminalreporter.stats.get(name, ())]

    failed = of("failed", "error")
    failures = [f"{entry.nodeid}: {_last_word(entry)}" for entry in failed]
    add(len(of("passed", "xpassed")), len(failed), len(of("skipped", "xfailed")), failures)


def _last_word(entry: pytest.TestReport) -> str:
    """Return the line of a traceback that says what went wrong, at most 300 characters of it."""
    crash = getattr(entry.longrepr, "reprcrash", None)
    text = crash.message if crash else str(entry.longrepr)
    return (text.strip().splitlines() or [str(entry.when)])[0][:300]
