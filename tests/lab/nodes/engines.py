# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machines with Docker and Podman of Debian."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

from tests.lab.nodes.machine import Machine, Programs
from tools.venv import ensure_program

NOTHING = Programs("", "", "", ())


class Docker(Machine):
    """A machine with a Docker of its own."""

    script = (
        'mount --make-rprivate / && mount --bind "$0/hosts" /etc/hosts && mount --bind "$0/etc" /etc/docker'
        ' && exec dockerd --data-root "$0/data" --exec-root "$0/exec" --pidfile "$0/pid" --host "unix://$0/c.sock"'
        " --bridge=none --iptables=false --ip6tables=false --oom-score-adjust=0 --storage-driver=vfs"
        ' >"$0/log" 2>&1'
    )
    folder_of_certificates = "/etc/docker/certs.d"

    def start_and_wait(self, seconds: float) -> None:
        """Start Docker."""
        self.config.unlink()
        self._enter(self.script)
        deadline = time.monotonic() + seconds
        while self.docker("version").returncode:
            if time.monotonic() > deadline:
                raise AssertionError(self.last_words())
            time.sleep(0.1)

    def docker(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run docker."""
        return subprocess.run(
            ["docker", "--host", f"unix://{self.endpoint}", *words], capture_output=True, text=True, check=False
        )

    def pull(self, image: str, account: str = "") -> str:
        """Pull, always without an account; return the error, or an empty text."""
        done = self.docker("pull", image)
        return done.stderr if done.returncode else ""


class Podman(Machine):
    """A machine with Podman, which is no daemon."""

    script = (
        'mount --make-rprivate / && mount --bind "$0/hosts" /etc/hosts && mount --bind "$0/etc" /etc/containers'
        " && exec sleep 1000000"
    )
    folder_of_certificates = "/etc/containers/certs.d"

    def start_and_wait(self, seconds: float) -> None:
        """Give it its own storage."""
        self.config.unlink()
        etc = self.config.parent
        (etc / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        (etc / "storage.conf").write_text(
            f'[storage]\ndriver = "vfs"\nrunroot = "{self.folder}/run"\ngraphroot = "{self.folder}/graph"\n'
        )
        self._enter(self.script)
        deadline = time.monotonic() + seconds
        while self.inside("ls", "/etc/containers/storage.conf").returncode or not self._is_ours():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def _is_ours(self) -> bool:
        return str(self.folder) in self.inside("cat", "/etc/containers/storage.conf").stdout

    def pull(self, image: str, account: str = "") -> str:
        """Pull, always without an account; return the error, or an empty text."""
        done = self.inside("podman", "pull", "--quiet", image)
        return done.stderr if done.returncode else ""


def engine(kind: str, build: Callable[..., Machine]) -> Machine:
    """Return a running machine with one of them."""
    programs = {"docker": ("dockerd", "docker.io"), "podman": ("podman", "podman")}
    ensure_program(*programs[kind])
    made = {"docker": Docker, "podman": Podman}[kind]
    machine = build(NOTHING, kind=made, config="", start=False)
    # Docker verifies no certificate of a name that leads to the loopback.
    listed = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=True).stdout.split()
    addresses = [address for address in listed if "." in address]
    machine.hosts.write_text(f"127.0.0.1 localhost\n{addresses[0]} depot.test\n")
    machine.start()
    machine.options = {"runtime": kind}
    return machine
