# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nothing is left behind, however the watch ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.egress.conftest import TEMPORARY

MARK = "egress-leftover"


def holders() -> list[str]:
    """Return the processes that carry the mark in their arguments, the module's own options aside."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
        except OSError:
            continue
        if MARK.encode() in words:
            found.append(entry.name)
    return found


def network(process: int | str) -> str:
    """Return the network namespace of a process, nothing where there is no such process any more."""
    try:
        return os.readlink(f"/proc/{process}/ns/net")
    except OSError:
        return ""


def sealed_with(process: int) -> list[str]:
    """Return the holders in the network of a process, none while that is this one's."""
    theirs = network(process)
    return [] if theirs in ("", network("self")) else [one for one in holders() if network(one) == theirs]


def until(condition: Callable[[], bool], seconds: float = 60) -> bool:
    """Tell whether something becomes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def state_of_machine() -> tuple[str, str, list[str]]:
    """Return the routes and mounts of this machine and the module's temporary directories."""
    routes = subprocess.run(["ip", "route", "show", "table", "all"], capture_output=True, text=True, check=True).stdout
    folders = sorted(str(one) for one in TEMPORARY.iterdir())
    return routes, Path("/proc/self/mountinfo").read_text(), folders


# A child that has left its parent, and one that has not.
PROGRAM = ["sh", "-c", f"setsid sh -c 'sleep 600; :' {MARK} & exec sh -c 'sleep 600; :' {MARK}"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_whatever_ends_the_module_ends_everything(running, how):
    before = state_of_machine()
    process = running(*PROGRAM)
    assert until(lambda: len(sealed_with(process.pid)) >= 2), holders()
    sealed = network(process.pid)
    process.send_signal(how)
    assert process.wait(60) != 0
    assert until(lambda: not holders()), "what the program had started lives on"
    assert until(lambda: sealed not in networks()), "the namespace lives on"
    assert state_of_machine() == before


def networks() -> set[str]:
    """Return the network namespaces of all processes."""
    return {network(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()}


def test_what_a_program_leaves_running_ends_with_it(watch):
    before = state_of_machine()
    result = watch("sh", "-c", f"setsid sh -c 'sleep 600; :' {MARK} >/dev/null 2>&1 & sleep 0.2")
    assert result["verdict"] == "silent"
    assert until(lambda: not holders())
    assert state_of_machine() == before


def test_a_thousand_calls_are_all_seen(watch):
    script = (
        "import socket\n"
        "for number in range(1000):\n"
        "    try:\n"
        "        socket.create_connection(('192.0.2.7', 9000 + number), timeout=5)\n"
        "    except OSError:\n"
        "        pass\n"
    )
    result = watch(sys.executable, "-c", script)
    assert {one["port"] for one in result["events"]} == set(range(9000, 10000))
