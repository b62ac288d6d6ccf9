# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Programs and processes of a node. Private."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import socket
import struct
import time
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils._node_errors import NodeError

# Where distributions of Kubernetes put their programs; sudo's path often leaves them out.
_EXTRA_PATH = (
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/bin:/snap/bin:/var/lib/rancher/rke2/bin"
)


@dataclasses.dataclass(frozen=True)
class Done:
    """A program that ended."""

    code: int
    output: str
    errors: str

    @property
    def said(self) -> str:
        """The end of what it said, errors first."""
        return (self.errors.strip() or self.output.strip())[-1500:]


def find_program(name: str, *more: str) -> str | None:
    """Return the path of a program, looked for in PATH and in the usual places."""
    for candidate in more:
        if os.access(candidate, os.X_OK):
            return candidate
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_EXTRA_PATH}")


Starter = t.Callable[..., "tuple[int, str, str]"]
_starter: list[Starter] = []


def start_by(starter: Starter) -> None:
    """Let run() start programs by ``run_command`` of this AnsibleModule from now on."""
    _starter[:] = [starter]


def run(command: t.Sequence[str], *, timeout: float = 60, env: t.Mapping[str, str] | None = None) -> Done:
    """Run a program to its end; a program that is missing or does not end in time is a failure with a text.

    Args:
        command: the program and its arguments, no shell.
        timeout: seconds.
        env: variables that are added to the environment.
    """
    # The module's way of running programs knows no time limit; this program is on every node.
    words = ["timeout", "-k", "2", f"{timeout:g}", *command]
    updates = {"LC_ALL": "C", **(env or {})}
    began = time.monotonic()
    try:
        code, output, errors = _starter[-1](
            words, environ_update=updates, errors="surrogate_or_replace", handle_exceptions=False
        )
    except OSError as exc:
        return Done(127, "", str(exc.strerror or exc))
    # What ignores being ended is killed, and timeout with it; other ones than GNU's tell how the program ended.
    if code and (code == 124 or time.monotonic() - began >= timeout):
        return Done(124, "", f"no end within {timeout:g} seconds")
    return Done(code, output, errors)


def listener_of(path: str, timeout: float = 5) -> int | None:
    """Return the process that listens on a Unix socket, or None where nobody does."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(timeout)
            client.connect(path)
            size = struct.calcsize("3i")
            pid, _uid, _gid = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    except OSError:
        return None
    return int(pid) or None


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def arguments_of(pid: int) -> list[str]:
    """Return the command line of a process."""
    return [word for word in _read(f"/proc/{pid}/cmdline").split("\0") if word]


def program_of(pid: int) -> str:
    """Return the path of the program that a process runs."""
    try:
        return os.readlink(f"/proc/{pid}/exe").replace(" (deleted)", "")
    except OSError:
        return ""


def started(pid: int) -> str:
    """Return what tells a process from another one with the same id: its start in clock ticks."""
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 else ""


def processes(name: str) -> t.Iterator[int]:
    """Yield the processes of this machine whose program has this name; those in containers are not of it."""
    for entry in os.listdir("/proc"):
        if (
            entry.isdigit()
            and _read(f"/proc/{entry}/comm").strip() == name[:15]
            and _namespace(entry) == _namespace("self")
        ):
            yield int(entry)


def _namespace(process: str) -> str:
    try:
        return os.readlink(f"/proc/{process}/ns/pid")
    except OSError:
        return ""


def option(arguments: t.Sequence[str], *names: str) -> str | None:
    """Return the value of an option of a command line, written with a space or with an equals sign."""
    for position, word in enumerate(arguments):
        if word in names and position + 1 < len(arguments):
            return arguments[position + 1]
        name, equals, value = word.partition("=")
        if equals and name in names:
            return value
    return None


def unit_of(pid: int) -> str | None:
    """Return the systemd service that a process belongs to."""
    found = re.findall(r"/([^/\n]+\.service)(?:/[^/\n]*)?$", _read(f"/proc/{pid}/cgroup"), re.MULTILINE)
    return found[0] if found else None


@dataclasses.dataclass(frozen=True)
class Service:
    """How a runtime is restarted."""

    name: str
    restart: t.Sequence[str]
    kills_children: bool
    of_systemd: bool = True

    def restart_now(self, timeout: float) -> None:
        """Restart it.

        Raises:
            NodeError: when the command fails.
        """
        done = run(self.restart, timeout=timeout)
        if done.code:
            raise NodeError(
                f"restart {self.name}",
                where=" ".join(self.restart),
                got=f"exit code {done.code}: {done.said}",
                remedy=f"Look into the log: journalctl -u {self.name}."
                if self.of_systemd
                else "See why this command, restart_command of this node, does not end well there.",
            )


def service_of(pid: int, own_command: t.Sequence[str]) -> Service | None:
    """Return the service of a runtime: what the user says, else its systemd unit, else None.

    Raises:
        NodeError: when systemd does not answer.
    """
    if own_command:
        return Service(own_command[0], list(own_command), False, of_systemd=False)
    systemctl, unit = find_program("systemctl"), unit_of(pid)
    if not systemctl or not unit:
        return None
    shown = run([systemctl, "show", unit, "--property=KillMode", "--value"])
    if shown.code:
        raise NodeError(
            "ask systemd whether a restart ends containers",
            where=unit,
            got=shown.said,
            remedy="See what keeps systemd from answering: systemctl status, journalctl -b.",
        )
    return Service(unit, [systemctl, "restart", unit], shown.output.strip() not in ("process", "mixed", "none"))
