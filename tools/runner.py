# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run checks side by side, say how each went, and remember what passed on which content."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tools.paths import cache_dir


@dataclasses.dataclass(frozen=True)
class Gate:
    """One check: commands that must all end with exit code 0.

    A gate with a key is not run again on content on which it has passed; failures are never kept.
    """

    name: str
    commands: Sequence[Sequence[str]]
    cwd: Path
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    key: str = ""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a gate went; the output is empty where it passed."""

    name: str
    passed: bool
    seconds: float
    output: str = ""
    remembered: bool = False


def _mark(gate: Gate) -> Path:
    return cache_dir() / "passed" / f"{gate.name}-{gate.key}"


def run_gate(gate: Gate, base_env: Mapping[str, str], fresh: bool = False) -> Outcome:
    """Run one gate's commands until one fails; a program that cannot be started is a failure too."""
    if gate.key and not fresh and _mark(gate).exists():
        return Outcome(gate.name, True, 0.0, remembered=True)
    start = time.monotonic()
    output = []
    passed = True
    for command in gate.commands:
        try:
            done = subprocess.run(
                command,
                cwd=gate.cwd,
                env={**base_env, **gate.env},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
        except OSError as error:
            output.append(f"{command[0]}: {error.strerror}\n")
            passed = False
        else:
            output.append(done.stdout)
            passed = done.returncode == 0
        if not passed:
            break
    seconds = time.monotonic() - start
    if passed and gate.key:
        _mark(gate).parent.mkdir(parents=True, exist_ok=True)
        _mark(gate).touch()
    return Outcome(gate.name, passed, seconds, "" if passed else "".join(output))


def run_gates(
    gates: Iterable[Gate],
    base_env: Mapping[str, str],
    say: Callable[[str], None],
    fresh: bool = False,
    noise: re.Pattern[str] | None = None,
) -> list[Outcome]:
    """Run the gates, one per processor at a time, in the given order; report each as it ends.

    `noise` is cut out of the output of failed gates, so that it names project files.
    """

    def work(gate: Gate) -> Outcome:
        outcome = run_gate(gate, base_env, fresh)
        text = noise.sub("", outcome.output) if noise else outcome.output
        state = "ok    " if outcome.passed else "FAILED"
        note = "  same content passed before" if outcome.remembered else ""
        say(f"  {state} {outcome.seconds:6.1f} s  {outcome.name}{note}\n" + text.rstrip() + ("\n" if text else ""))
        return dataclasses.replace(outcome, output=text)

    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        return list(pool.map(work, gates))
