# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where things are, and which files belong to the project. Standard library only."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def cache_dir() -> Path:
    """Return the cache folder outside the checkout; HOMEPORT_CACHE and XDG_CACHE_HOME move it."""
    own = os.environ.get("HOMEPORT_CACHE")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "homeport"


def project_files(root: Path = ROOT) -> list[str]:
    """Return the paths git tracks or would track, relative to the root, sorted.

    Raises subprocess.CalledProcessError where the root is no git checkout.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
    ).stdout.decode()
    # A tracked file that was deleted but not yet committed is still listed.
    return sorted(name for name in set(listed.split("\0")) if name and (root / name).is_file())


def content_key(files: Iterable[Path], *salt: str) -> str:
    """Return a short hash of the salt and of every file's path and bytes, in the given order."""
    digest = hashlib.sha256("\0".join(salt).encode())
    for path in files:
        body = path.read_bytes()
        digest.update(f"\0{path}\0{len(body)}\0".encode())
        digest.update(body)
    return digest.hexdigest()[:16]
