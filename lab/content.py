# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Content keys: a build is repeated exactly when something it reads has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

KEY_LENGTH = 16


def key_of(*parts: str | bytes) -> str:
    """Return a short key of ``parts``; the boundaries between parts count."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        digest.update(f"{len(raw)}:".encode())
        digest.update(raw)
    return digest.hexdigest()[:KEY_LENGTH]


def files_under(directory: Path) -> list[Path]:
    """Return all regular files below ``directory``, sorted by name."""
    found = (path for path in directory.rglob("*") if path.is_file())
    return sorted(path for path in found if "__pycache__" not in path.parts)


def key_of_files(files: Iterable[Path], base: Path, *more: str) -> str:
    """Return the key of names (relative to ``base``), modes and contents of ``files`` and of ``more``."""
    parts: list[str | bytes] = list(more)
    for path in files:
        executable = "x" if path.stat().st_mode & 0o100 else "-"
        parts.extend((f"{path.relative_to(base)} {executable}", path.read_bytes()))
    return key_of(*parts)
