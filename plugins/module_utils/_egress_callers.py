# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which program a socket belongs to. Private."""

from __future__ import annotations

import contextlib
import os
import re
import typing as t

_INTERPRETER = re.compile(r"^(python|perl|ruby|node|sh|bash|dash|java)[\d.]*$")


def caller_of(kind: str, source_port: int, network: str) -> str:
    """Return the program that holds a socket, in short; empty where that cannot be told any more.

    Args:
        kind: tcp or udp.
        source_port: the socket's own port.
        network: what /proc calls the network namespace.
    """
    inodes = {inode for table in (kind, f"{kind}6") for inode in _inodes(table, source_port)}
    if not inodes:
        return ""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for pid in os.listdir("/proc"):
        if not pid.isdigit():
            continue
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{pid}/ns/net") == network and wanted & set(_open_files(pid)):
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    return in_short(file.read().decode("utf-8", "replace").split("\0"))
    return ""


def in_short(words: t.Sequence[str]) -> str:
    """Return a command line as its program, and the script of an interpreter: arguments may hold secrets."""
    words = [word for word in words if word]
    if not words:
        return ""
    name = os.path.basename(words[0])
    if not _INTERPRETER.match(name):
        return name
    rest = words[1:]
    while rest and rest[0].startswith("-") and rest[0] not in ("-m", "-c"):
        rest = rest[1:]
    if rest[:1] == ["-m"]:
        return f"{name} -m {rest[1]}" if len(rest) > 1 else name
    if not rest or rest[0] == "-c":
        return name
    return f"{name} {os.path.basename(rest[0])}"


def _inodes(table: str, port: int) -> list[str]:
    found = []
    # Of this thread, whose network may be another one than the process began with.
    with contextlib.suppress(OSError), open(f"/proc/thread-self/net/{table}", encoding="ascii") as file:
        for line in file.readlines()[1:]:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == port and fields[9] != "0":
                found.append(fields[9])
    return found


def _open_files(pid: str) -> list[str]:
    links = []
    for entry in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            links.append(os.readlink(f"/proc/{pid}/fd/{entry}"))
    return links
