# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the lab keeps things.

* The build cache outlives the lab and is shared by all checkouts of one user.
* The runtime directory holds sockets and process ids; it is short because a
  Unix socket path is limited to 108 bytes, and on tmpfs because it describes
  processes that do not survive a reboot.
* ``.lab`` in the checkout holds what people and tests use.
"""

from __future__ import annotations

import os
from pathlib import Path

CLUSTER = "homeport"
CONTROL_PLANE = f"{CLUSTER}-control-plane"
WORKER = f"{CLUSTER}-worker"
NODES = (CONTROL_PLANE, WORKER)

PACKAGE = Path(__file__).resolve().parent
CHECKOUT = PACKAGE.parent

RUN = Path("/run/homeport-lab")
SOCKET = RUN / "docker.sock"
LOCK = Path("/run/homeport-lab.lock")
# What both nodes have at /shared, as lab/kind says: of the engine's machine, since no node can lend its own.
SHARED = Path("/var/lib/homeport-lab")

STATE = CHECKOUT / ".lab"
KUBECONFIG = STATE / "kubeconfig"
BIN = STATE / "bin"


def cache_root() -> Path:
    """Return the directory that holds all of the project's caches."""
    chosen = os.environ.get("HOMEPORT_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "homeport"


def cache() -> Path:
    """Return the lab's own part of the cache."""
    return cache_root() / "lab"


def logs() -> Path:
    """Return the directory of the detailed logs."""
    return cache() / "logs"


def programs() -> Path:
    """Return the directory of the built Go programs."""
    return cache() / "programs"


def data_root() -> Path:
    """Return the data root of the lab's own container engine."""
    return cache() / "engine"
