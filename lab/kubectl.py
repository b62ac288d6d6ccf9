# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Talk to the lab's cluster with its own kubectl and kubeconfig."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lab import layout, shell

LOG = "kubectl"


def _command(*arguments: str) -> list[str]:
    return [str(layout.BIN / "kubectl"), "--kubeconfig", str(layout.KUBECONFIG), *arguments]


def run(*arguments: str, stdin: str | None = None, timeout: float = 300) -> None:
    """Run kubectl with its output in the log; raise LabError when it fails."""
    shell.logged(_command(*arguments), LOG, stdin=stdin, timeout=timeout)


def ask(*arguments: str, timeout: float = 15) -> str | None:
    """Return what kubectl prints, None when it fails."""
    done = shell.attempt(_command(*arguments, f"--request-timeout={timeout:.0f}s"), timeout=timeout + 5)
    return done.stdout if done.returncode == 0 else None


def read(*arguments: str) -> dict[str, Any] | None:
    """Return the object or list that ``kubectl get`` finds, None when it fails."""
    text = ask("get", *arguments, "--output=json")
    return json.loads(text) if text else None


def apply(directory: Path) -> None:
    """Apply all manifests in ``directory``."""
    run("apply", "--server-side", "--force-conflicts", "--field-manager=homeport-lab", "--filename", str(directory))
