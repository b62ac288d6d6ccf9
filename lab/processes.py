# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find and end processes of the lab's own engine by what they were started with."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Collection
from pathlib import Path

PROC = Path("/proc")


def command_line(pid: int, proc: Path = PROC) -> list[str]:
    """Return the arguments of process ``pid``; empty when it is gone or has none."""
    try:
        raw = (proc / str(pid) / "cmdline").read_bytes()
    except OSError:
        return []
    return [word for word in raw.decode(errors="replace").split("\0") if word]


def running(programs: Collection[str], marker: str, proc: Path = PROC) -> list[int]:
    """Return the ids of processes of ``programs`` with an argument that starts with ``marker`` or holds ``=marker``."""
    found = []
    for entry in proc.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        words = command_line(int(entry.name), proc)
        if not words or os.path.basename(words[0]) not in programs:
            continue
        if any(word.startswith(marker) or f"={marker}" in word for word in words[1:]):
            found.append(int(entry.name))
    return sorted(found)


def in_containers(ids: Collection[str], proc: Path = PROC) -> list[int]:
    """Return the ids of processes that live in the control groups of the containers ``ids``."""
    found = []
    for entry in proc.iterdir():
        if entry.name.isdigit():
            try:
                groups = (entry / "cgroup").read_text()
            except OSError:
                continue
            if any(container in groups for container in ids):
                found.append(int(entry.name))
    return sorted(found)


def kill_containers(ids: Collection[str], patience: float = 10) -> None:
    """Kill all processes of the containers ``ids``, and those they start meanwhile."""
    limit = time.monotonic() + patience
    while time.monotonic() < limit:
        left = in_containers(ids)
        if not left:
            return
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)


def recorded(pidfile: Path, program: str, proc: Path = PROC) -> int | None:
    """Return the process id in ``pidfile`` if that process still is ``program``.

    After a reboot the number may belong to anybody, so the name is checked.
    """
    try:
        pid = int(pidfile.read_text().strip())
    except (OSError, ValueError):
        return None
    words = command_line(pid, proc)
    return pid if words and os.path.basename(words[0]) == program else None


def end(pid: int, patience: float = 30) -> bool:
    """Ask ``pid`` to end, insist after ``patience`` seconds; tell whether it is gone."""
    for sign, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
        try:
            os.kill(pid, sign)
        except ProcessLookupError:
            return True
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            if not alive(pid):
                return True
            time.sleep(0.1)
    return not alive(pid)


def alive(pid: int, proc: Path = PROC) -> bool:
    """Tell whether ``pid`` runs; a zombie does not count."""
    try:
        status = (proc / str(pid) / "stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in ("Z", "X")
