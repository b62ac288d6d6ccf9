# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the machine must offer, checked before anything is changed."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

from lab import layout
from lab.errors import LabError

MACHINES = ("x86_64", "aarch64")
COLD_GIB = 12
WARM_GIB = 3
MEMORY_GIB = 4
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
INOTIFY_WANTED = 1024
GIB = 1 << 30


@dataclass(frozen=True)
class Machine:
    """The facts the checks need; sizes in GiB."""

    system: str
    architecture: str
    user: int
    free_disk: float
    memory: float
    cgroups: bool


def read_machine() -> Machine:
    """Return the facts of this machine."""
    place = layout.cache()
    while not place.exists():
        place = place.parent
    memory = 0.0
    if hasattr(os, "sysconf"):
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    return Machine(
        system=platform.system(),
        architecture=platform.machine(),
        user=os.geteuid(),
        free_disk=shutil.disk_usage(place).free / GIB,
        memory=memory,
        cgroups=any(Path("/sys/fs/cgroup").glob("*")),
    )


def complaints(machine: Machine, disk_gib: float, root: bool) -> list[str]:
    """Return everything that is missing on ``machine``, each with what to do about it."""
    found = []
    if machine.system != "Linux":
        found.append(f"the lab needs Linux, this is {machine.system}")
    if machine.architecture not in MACHINES:
        found.append(f"the lab needs one of {', '.join(MACHINES)}, this is {machine.architecture}")
    if root and machine.user != 0:
        found.append("the lab starts containers and sets routes: run it as root (sudo)")
    if machine.free_disk < disk_gib:
        found.append(
            f"{disk_gib:.0f} GiB of free disk needed at {layout.cache()}, {machine.free_disk:.1f} GiB there:"
            " free some, or set HOMEPORT_CACHE to a directory on a bigger disk"
        )
    if machine.memory < MEMORY_GIB:
        found.append(f"{MEMORY_GIB} GiB of memory needed, {machine.memory:.1f} GiB there")
    if not machine.cgroups:
        found.append("no cgroups are mounted at /sys/fs/cgroup: containers cannot run here")
    return found


def check(cold: bool) -> str:
    """Raise LabError naming all that is missing; raise a kernel limit that two nodes would hit."""
    machine = read_machine()
    found = complaints(machine, COLD_GIB if cold else WARM_GIB, root=True)
    if found:
        raise LabError("this machine cannot run the lab:\n" + "\n".join(f"  - {line}" for line in found))
    raise_inotify()
    return f"{machine.architecture}, {machine.memory:.0f} GiB memory, {machine.free_disk:.0f} GiB disk"


def raise_inotify(setting: Path = INOTIFY) -> None:
    """Allow as many inotify instances as two systemds and two kubelets use; never lower it."""
    try:
        if int(setting.read_text()) < INOTIFY_WANTED:
            setting.write_text(f"{INOTIFY_WANTED}\n")
    except (OSError, ValueError):
        # A sandbox may forbid it; the default is enough for a while.
        return
