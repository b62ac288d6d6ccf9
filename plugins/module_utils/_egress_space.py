# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A network of its own for this process, in which every address there is leads back to it. Private.

The namespaces have no names: they are gone with the last process in them, however that ends.
"""

from __future__ import annotations

import ctypes
import os
import re
import tempfile
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError

NEW_NET, NEW_MOUNTS = 0x40000000, 0x00020000
_BIND, _RECURSIVE, _PRIVATE, _DETACH = 4096, 16384, 1 << 18, 2
# Daemons that resolve names for others by a Unix socket, which no network namespace holds back.
_RESOLVERS = ("/run/nscd", "/run/systemd/resolve")
_SYSTEM = ctypes.CDLL(None, use_errno=True)

Runner = t.Callable[[t.Sequence[str]], "tuple[int, str, str]"]

# The first process of the command. With it ends everything that the command started, and it ends with the module.
FIRST_PROCESS = """
import ctypes, os, sys
system = ctypes.CDLL(None, use_errno=True)
system.prctl(1, 9)
if system.unshare(0x20020000):
    sys.exit("unshare: " + os.strerror(ctypes.get_errno()))
child = os.fork()
if child == 0:
    system.prctl(1, 9)
    system.mount(b"none", b"/", None, 16384 | 1 << 18, None)
    system.mount(b"proc", b"/proc", b"proc", 0, None)
    command = os.fork()
    if command == 0:
        try:
            os.execvp(sys.argv[1], sys.argv[1:])
        except OSError as error:
            print(sys.argv[1] + ": " + error.strerror, file=sys.stderr, flush=True)
            os._exit(127)
    ended = status = 0
    while ended != command:
        ended, status = os.wait()
else:
    status = os.waitpid(child, 0)[1]
os._exit(128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))
"""


class EgressError(RegistryError):
    """The watch cannot be set up, so that nothing was run."""


def _done(code: int, tried: str) -> None:
    if code:
        reason = os.strerror(ctypes.get_errno())
        raise EgressError(
            tried,
            where="this machine",
            got=reason,
            remedy="Run as root (become) on Linux; in a container, one that may make namespaces and mounts.",
        )


def seal(run: Runner) -> t.Callable[[], None]:
    """Move this thread, and what it starts from now on, into a network where every address is this machine.

    Args:
        run: starts a program and returns its exit code, output and errors.

    Returns:
        A function that moves the thread that calls it back to the network of before, for connections to what is
        allowed.

    Raises:
        EgressError: when that is impossible. What is sealed by then ends with the process.
    """
    outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    _done(_SYSTEM.unshare(NEW_NET | NEW_MOUNTS), "make a network namespace")
    _done(_SYSTEM.mount(b"none", b"/", None, _RECURSIVE | _PRIVATE, None), "make mounts private")
    _resolve_here()
    for words, needed in (
        (["ip", "link", "set", "lo", "up"], True),
        (["ip", "route", "add", "local", "default", "dev", "lo"], True),
        # Where the kernel has no IPv6, nothing can leave by it.
        (["ip", "-6", "route", "add", "local", "default", "dev", "lo"], False),
    ):
        code, _output, errors = run(words)
        if code and needed:
            raise EgressError(
                "set up the network namespace",
                where=" ".join(words),
                got=errors.strip() or f"exit code {code}",
                remedy="Install iproute2.",
            )

    def leave() -> None:
        _done(_SYSTEM.setns(outside, NEW_NET), "go back to the network of this machine")

    return leave


def _mount(source: str, target: str, kind: str, flags: int) -> None:
    code = _SYSTEM.mount(source.encode(), target.encode(), kind.encode(), flags, None)
    _done(code, f"put something of our own over {target}")


def _resolve_here() -> None:
    """Let every name be asked of our DNS: put files of our own over the system's, for this process only."""
    path = os.path.realpath("/etc/resolv.conf")
    hidden = [one for one in _RESOLVERS if os.path.isdir(one)]
    for one in hidden:
        _mount("none", os.path.realpath(one), "tmpfs", 0)
    ours = {path: "nameserver 127.0.0.1\noptions timeout:2 attempts:2\n"}
    if os.path.exists("/etc/nsswitch.conf"):
        with open("/etc/nsswitch.conf", encoding="utf-8") as file:
            ours[os.path.realpath("/etc/nsswitch.conf")] = hosts_by_dns(file.read())
    if os.path.dirname(path) in hidden:
        with open(path, "w", encoding="utf-8") as file:
            file.write(ours.pop(path))
    folder = tempfile.mkdtemp(prefix="homeport-")
    try:
        # In memory that nobody else sees, so that nothing is left however this ends.
        _mount("none", folder, "tmpfs", 0)
        for number, (target, text) in enumerate(ours.items()):
            source = os.path.join(folder, str(number))
            with open(source, "w", encoding="utf-8") as file:
                file.write(text)
            # Without a resolv.conf the C library asks 127.0.0.1 anyway.
            if os.path.exists(target):
                _mount(source, target, "none", _BIND)
        _SYSTEM.umount2(folder.encode(), _DETACH)
    finally:
        os.rmdir(folder)


def hosts_by_dns(text: str) -> str:
    """Return an nsswitch.conf by which host names come from files and the DNS, and from no daemon."""
    line = "hosts: files dns"
    changed, found = re.subn(r"(?m)^\s*hosts:.*$", line, text)
    return changed if found else f"{text.rstrip()}\n{line}\n"
