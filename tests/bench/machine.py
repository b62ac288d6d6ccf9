# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say what was measured on, and with which versions."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PACKAGES = ("ansible-core", "ansible", "kubernetes")


def output(command: Sequence[str], env: dict[str, str] | None = None) -> str:
    """Return what a command prints. Raises RuntimeError with its words when it fails."""
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with exit code {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def hardware() -> dict[str, Any]:
    """Return processor, number of cores that this process may use, and memory in GiB."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    memory = int(Path("/proc/meminfo").read_text(encoding="utf-8").split()[1]) / 1024 / 1024
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory),
        "kernel": platform.release(),
    }


def versions(kubectl: str) -> dict[str, str]:
    """Return the versions of Python, the packages that take part, and the API server."""
    found = {"python": platform.python_version()}
    found |= {name: importlib.metadata.version(name) for name in PACKAGES}
    galaxy = output(["ansible-galaxy", "collection", "list", "kubernetes.core", "--format", "json"])
    places = json.loads(galaxy)
    found["kubernetes.core"] = next(place["kubernetes.core"]["version"] for place in places.values())
    server = json.loads(output([kubectl, "version", "--output=json"]))
    found["api server"] = server["serverVersion"]["gitVersion"].removeprefix("v")
    return found


def commit(root: Path) -> str:
    """Return the commit that was measured, marked where the checkout differs from it."""
    described = output(["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*"])
    return described.strip()
