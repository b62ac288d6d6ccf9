# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run commands; keep their whole output in a log file and show its tail on failure."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab import layout
from lab.errors import LabError

TAIL_LINES = 25


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the current environment with ``extra`` laid over it."""
    return {**os.environ, **(extra or {})}


def tail(text: str, lines: int = TAIL_LINES) -> str:
    """Return the last ``lines`` lines of ``text``, indented for the terminal."""
    return "\n".join(f"    {line}" for line in text.rstrip().splitlines()[-lines:])


def log_path(name: str) -> Path:
    """Return the log file called ``name``, its directory made."""
    layout.logs().mkdir(parents=True, exist_ok=True)
    return layout.logs() / f"{name}.log"


def forget_logs() -> None:
    """Remove the logs of earlier runs, but for the engine's, which it holds open."""
    for path in layout.logs().glob("*.log"):
        if path != log_path("engine"):
            path.unlink()


def logged(
    command: Sequence[str],
    log: str,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
    timeout: float | None = None,
) -> None:
    """Run ``command`` with its output appended to the log called ``log``.

    Raises LabError with the log's path and tail when the command cannot be
    started, fails, or runs longer than ``timeout`` seconds.
    """
    path = log_path(log)
    words = shlex.join(command)
    with path.open("ab") as out:
        out.write(f"\n$ {words}\n# {time.strftime('%Y-%m-%d %H:%M:%S')}\n".encode())
        out.flush()
        start = out.tell()
        try:
            code: int | str = subprocess.run(
                list(command),
                input=None if stdin is None else stdin.encode(),
                stdin=subprocess.DEVNULL if stdin is None else None,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment(env),
                cwd=cwd,
                timeout=timeout,
                check=False,
            ).returncode
        except FileNotFoundError as error:
            raise LabError(f"{command[0]}: command not found (wanted for: {words})") from error
        except subprocess.TimeoutExpired:
            code = f"no end after {timeout:.0f} s"
    if code != 0:
        with path.open("rb") as written:
            written.seek(start)
            said = written.read().decode(errors="replace")
        raise LabError(f"failed ({code}): {words}\n  log: {path}\n{tail(said)}")


def output(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 60,
) -> str:
    """Return what ``command`` printed; raise LabError when it fails."""
    done = attempt(command, env=env, cwd=cwd, timeout=timeout)
    if done.returncode != 0:
        words = shlex.join(command)
        raise LabError(f"failed ({done.returncode}): {words}\n{tail(done.stderr or done.stdout)}")
    return done.stdout


def attempt(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run ``command`` and return its outcome; never raise for what it does."""
    words = list(command)
    try:
        return subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment(env),
            cwd=cwd,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError:
        return subprocess.CompletedProcess(words, 127, "", f"{words[0]}: command not found")
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(words, 124, "", f"no end after {timeout:.0f} s")
