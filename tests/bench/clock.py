# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time commands against each other: interleaved, on a machine that does nothing else."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Say = Callable[[str], None]


@dataclass(frozen=True)
class Sample:
    """One run of a command: wall clock and processor seconds, those of its children included."""

    wall: float
    cpu: float


def timed(commands: Sequence[Sequence[str]], env: Mapping[str, str], log: Path) -> Sample:
    """Run the commands one after the other and return what they took together.

    Raises RuntimeError with the end of the output when one of them fails.
    """
    cpu = 0.0
    started = time.perf_counter()
    with open(log, "wb") as stream:
        for command in commands:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, env=dict(env)
            )
            _pid, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            cpu += usage.ru_utime + usage.ru_stime
            if child.returncode:
                tail = log.read_text(errors="replace")[-3000:]
                raise RuntimeError(f"{' '.join(command)} ended with exit code {child.returncode}:\n{tail}")
    return Sample(time.perf_counter() - started, cpu)


def interleave(rounds: int, contenders: Mapping[str, Callable[[int], Sample]], say: Say) -> dict[str, list[Sample]]:
    """Let every contender run once per round, always in the same order; a contender gets the round's number."""
    samples: dict[str, list[Sample]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name, run in contenders.items():
            samples[name].append(run(number))
        walls = ", ".join(f"{name} {found[-1].wall:.2f}" for name, found in samples.items())
        say(f"  round {number + 1} of {rounds}: {walls}")
    return samples


def summary(samples: Sequence[Sample]) -> dict[str, float]:
    """Return minimum and median in seconds, ready for JSON."""
    walls = [sample.wall for sample in samples]
    return {
        "runs": len(samples),
        "min": round(min(walls), 4),
        "median": round(statistics.median(walls), 4),
        "cpu_median": round(statistics.median(sample.cpu for sample in samples), 4),
    }


def wait_until_quiet(limit: float, patience: float, say: Say) -> float:
    """Wait until the load average of the last minute is below the limit; return it.

    After `patience` seconds it goes on all the same: the load is part of the results.
    """
    deadline = time.monotonic() + patience
    while (load := os.getloadavg()[0]) >= limit and time.monotonic() < deadline:
        say(f"  waiting for a quiet machine: load {load:.2f}, wanted below {limit:.2f}")
        time.sleep(15)
    if load >= limit:
        say(f"  going on at load {load:.2f}: take these numbers with care")
    return load
