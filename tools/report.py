# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts of checks, handed from the programs that count to the one that sums up.

Every process that is started with HOMEPORT_REPORT in its environment appends one line to that
file; pytest does so through this module loaded as a plugin.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

VARIABLE = "HOMEPORT_REPORT"


@dataclasses.dataclass(frozen=True)
class Counts:
    """How many checks passed, failed and were skipped."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)


def add(passed: int = 0, failed: int = 0, skipped: int = 0) -> None:
    """Append counts to the report file; without one nothing is written."""
    path = os.environ.get(VARIABLE)
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(dataclasses.asdict(Counts(passed, failed, skipped))) + "\n")


def read(path: Path) -> Counts:
    """Return the sum of a report file's lines; a file that was never written counts nothing."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return sum((Counts(**json.loads(line)) for line in lines), Counts())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count what pytest itself reports at its end."""
    stats = terminalreporter.stats

    def count(*names: str) -> int:
        return sum(len(stats.get(name, ())) for name in names)

    add(count("passed", "xpassed"), count("failed", "error"), count("skipped", "xfailed"))
