# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Temporary directories of builds, and what killed builds leave in them."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lab import layout, shell


def home() -> Path:
    """Return the directory that holds all temporary directories of builds."""
    return layout.cache() / "work"


@contextlib.contextmanager
def directory() -> Iterator[Path]:
    """Give a fresh directory on the cache's file system, removed afterwards."""
    home().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home()) as made:
        yield Path(made)


def clear() -> None:
    """Remove what killed builds have left; the caller holds the lab's lock."""
    unmount_below(home())
    shutil.rmtree(home(), ignore_errors=True)
    for partial in (*layout.cache().glob("*.partial"), *layout.programs().glob("*.partial")):
        shutil.rmtree(partial, ignore_errors=True)


def mounts_below(place: Path, mountinfo: str) -> list[str]:
    """Return the mount points below ``place`` in the text of a mountinfo file, deepest first."""
    points = [line.split()[4] for line in mountinfo.splitlines() if len(line.split()) > 4]
    below = [point for point in points if point.startswith(f"{place}{os.sep}")]
    return sorted(below, key=len, reverse=True)


def unmount_below(place: Path) -> None:
    """Unmount all that is mounted below ``place``: removing a mounted tree would reach what is mounted."""
    for point in mounts_below(place, Path("/proc/self/mountinfo").read_text()):
        shell.attempt(["umount", "--lazy", point])
