# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which container engine to use: one that is there, or the lab's own."""

from __future__ import annotations

import os
from dataclasses import dataclass

from lab import daemon, packages, shell
from lab.errors import LabError

CHOICES = ("auto", "host", "own")


@dataclass(frozen=True)
class Engine:
    """A container engine: ``kind`` is "host" or "own", ``host`` its address or None for docker's default."""

    kind: str
    host: str | None

    def environment(self) -> dict[str, str]:
        """Return what makes docker and kind talk to this engine."""
        return {"DOCKER_HOST": self.host} if self.host else {}

    def run(self, *arguments: str, log: str, timeout: float | None = None) -> None:
        """Run docker with its output in the log called ``log``; raise LabError when it fails."""
        # The builder without extra parts: a bare machine has no buildx.
        env = {**self.environment(), "DOCKER_BUILDKIT": "0"}
        shell.logged(["docker", *arguments], log, env=env, timeout=timeout)

    def ask(self, *arguments: str, timeout: float = 60) -> str | None:
        """Return what docker answers, stripped; None when it fails."""
        done = shell.attempt(["docker", *arguments], env=self.environment(), timeout=timeout)
        return done.stdout.strip() if done.returncode == 0 else None

    def label(self, image: str, label: str) -> str:
        """Return one label of ``image``; empty when there is no such image or label."""
        template = f'{{{{index .Config.Labels "{label}"}}}}'
        return self.ask("image", "inspect", "--format", template, image) or ""


OWN = Engine("own", daemon.HOST)


def host_address() -> str | None:
    """Return DOCKER_HOST, unless it is only our own engine seen through ``lab env``."""
    address = os.environ.get("DOCKER_HOST")
    return address if address and address != daemon.HOST else None


def host_engine() -> Engine | None:
    """Return the engine of the machine if one answers."""
    env = {"DOCKER_HOST": host_address() or ""}
    answer = shell.attempt(["docker", "version", "--format", "{{.Server.Version}}"], env=env, timeout=15)
    if answer.returncode != 0 or not answer.stdout.strip():
        return None
    return Engine("host", host_address())


def current(wanted: str = "auto") -> Engine | None:
    """Return the engine that is in use now, without starting anything."""
    if wanted != "host" and daemon.answers():
        return OWN
    return host_engine() if wanted != "own" else None


def choose(wanted: str = "auto") -> tuple[Engine, bool]:
    """Return the engine to use and whether it had to be started just now.

    "auto" prefers our own when it runs already, then the machine's, and
    installs and starts one only when neither answers.
    """
    found = current(wanted)
    if found is not None:
        return found, False
    if wanted == "host":
        raise LabError("no container engine answers to: docker version; start one or use --engine own")
    packages.install(packages.ENGINE)
    if wanted == "auto":
        # Where there is an init system the package has started the machine's engine.
        found = host_engine()
        if found is not None:
            return found, True
    return OWN, daemon.start() == "started"
