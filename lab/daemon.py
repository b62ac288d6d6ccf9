# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's own container engine: Debian's dockerd with everything of its own."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path

from lab import layout, processes, scratch, shell
from lab.errors import LabError

PIDFILE = layout.RUN / "docker.pid"
EXEC_ROOT = layout.RUN / "exec"
HOST = f"unix://{layout.SOCKET}"
PROGRAMS = ("dockerd", "containerd", "containerd-shim", "containerd-shim-runc-v2", "runc")
CAP_SYS_RESOURCE = 24
START_SECONDS = 60


def lacks_sys_resource(status: str) -> bool:
    """Tell from the text of /proc/self/status whether CAP_SYS_RESOURCE cannot be had."""
    found = re.search(r"^CapBnd:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return found is not None and not int(found[1], 16) >> CAP_SYS_RESOURCE & 1


def command(data_root: Path, wrap: bool) -> list[str]:
    """Return the command line of the engine."""
    words = [
        "/usr/sbin/dockerd",
        f"--data-root={data_root}",
        f"--exec-root={EXEC_ROOT}",
        f"--pidfile={PIDFILE}",
        f"--host={HOST}",
        # Another engine's daemon.json must not leak in.
        f"--config-file={layout.RUN / 'daemon.json'}",
        # kind makes its own network; the default bridge would only clash with another engine's.
        "--bridge=none",
        "--oom-score-adjust=0",
        "--log-level=warn",
    ]
    if wrap:
        words += [f"--add-runtime=homeport={layout.PACKAGE / 'runtime-wrapper'}", "--default-runtime=homeport"]
    return words


def pid() -> int | None:
    """Return the process id of the running engine, or None."""
    return processes.recorded(PIDFILE, "dockerd")


def answers() -> bool:
    """Tell whether the lab's own engine answers on its socket."""
    return layout.SOCKET.exists() and ask_version() is not None


def ask_version() -> str | None:
    """Return the version of the lab's own engine, None when it does not answer."""
    answer = shell.attempt(
        ["docker", "version", "--format", "{{.Server.Version}}"], env={"DOCKER_HOST": HOST}, timeout=10
    )
    return answer.stdout.strip() or None if answer.returncode == 0 else None


def start() -> str:
    """Start the engine unless it answers; say which it was.

    Whatever a killed engine left behind (process ids of other processes by
    now, sockets nobody listens on) is removed first.
    """
    if answers():
        return "running"
    sweep()
    layout.RUN.mkdir(parents=True, exist_ok=True)
    (layout.RUN / "daemon.json").write_text("{}\n")
    data_root = layout.data_root()
    data_root.mkdir(parents=True, exist_ok=True)
    log = shell.log_path("engine")
    with log.open("wb") as out:
        process = subprocess.Popen(
            command(data_root, lacks_sys_resource(Path("/proc/self/status").read_text())),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            # The engine outlives this command and whatever ends its process group.
            start_new_session=True,
            cwd="/",
        )
    limit = time.monotonic() + START_SECONDS
    while time.monotonic() < limit:
        if answers():
            return "started"
        if process.poll() is not None:
            break
        time.sleep(0.3)
    raise LabError(
        f"dockerd does not answer after its start\n  log: {log}\n{shell.tail(log.read_text(errors='replace'))}\n"
        f"  If its data is damaged (a full disk, a power loss), remove {data_root} and run this again."
    )


def stop() -> str:
    """Stop the engine and everything it started; say whether it ran."""
    engine = pid()
    if engine is not None and not processes.end(engine):
        raise LabError(f"dockerd (process {engine}) does not end, not even when killed")
    sweep()
    return "not running" if engine is None else "stopped"


def containers() -> list[str]:
    """Return the ids of the containers that the engine's runtime files tell of."""
    tasks = (EXEC_ROOT / "containerd" / "daemon").glob("io.containerd.runtime.*/moby/*")
    return sorted(path.name for path in tasks)


def sweep() -> None:
    """End leftovers of a killed engine and remove its runtime files."""
    # Listed first: what ends the container's supervisor also removes the files.
    orphans = containers()
    for leftover in processes.running(PROGRAMS, f"{layout.RUN}/"):
        processes.end(leftover, patience=5)
    # A node's processes outlive both the engine and the supervisor, and keep its address.
    processes.kill_containers(orphans)
    scratch.unmount_below(layout.RUN)
    for path in (EXEC_ROOT, layout.RUN):
        shutil.rmtree(path, ignore_errors=True)
