# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install the Debian packages that the lab needs and the machine lacks."""

from __future__ import annotations

import importlib.util
import shutil

from lab import shell
from lab.errors import LabError

# What to look for, and the package that brings it.
ENGINE = {"dockerd": "docker.io", "docker": "docker.io", "jq": "jq", "iptables": "iptables", "runc": "runc"}
BUILD = {"debootstrap": "debootstrap", "skopeo": "skopeo"}
NETWORK = {"ip": "iproute2"}
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def missing(wanted: dict[str, str]) -> list[str]:
    """Return the packages of those commands in ``wanted`` that are not installed."""
    return sorted({package for command, package in wanted.items() if not shutil.which(command, path=SYSTEM_PATH)})


def install(wanted: dict[str, str]) -> str:
    """Install what is missing of ``wanted``; say what it was."""
    return _install(missing(wanted))


def install_pip() -> str:
    """Install pip for this Python when it has none."""
    return _install([] if importlib.util.find_spec("pip") else ["python3-pip"])


def _install(names: list[str]) -> str:
    if not names:
        return "present"
    if not shutil.which("apt-get"):
        raise LabError(f"not a Debian machine (no apt-get); install by hand: {' '.join(names)}")
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *names]
    try:
        shell.logged(command, "apt", env=env)
    except LabError:
        # No lists yet, or lists of versions that are gone by now.
        shell.logged(["apt-get", "update", "-q"], "apt", env=env)
        shell.logged(command, "apt", env=env)
    return f"installed {' '.join(names)}"
