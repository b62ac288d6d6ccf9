# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A registry of the 2.8 line: Debian's package, unpacked and not installed, so that no service comes with it."""

from __future__ import annotations

import fcntl
import subprocess
from pathlib import Path

from tools.paths import cache_dir


def old_registry() -> Path:
    """Return the program, which is downloaded once."""
    folder = cache_dir() / "docker-registry"
    program = folder / "usr/bin/docker-registry"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            download = ["apt-get", "download", "-qq", "docker-registry"]
            # The lists of a fresh machine are empty or old.
            if subprocess.run(download, cwd=folder).returncode:
                subprocess.run(["apt-get", "update", "-qq"], check=True)
                subprocess.run(download, cwd=folder, check=True)
            (package,) = folder.glob("docker-registry_*.deb")
            subprocess.run(["dpkg", "--extract", str(package), str(folder)], check=True)
            package.unlink()
    return program
