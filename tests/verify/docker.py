# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker's own client of a registry, with its daemon beside the tests."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.verify.registry import Account, Registry


class Docker:
    """The docker command line, logged in to a registry that the daemon finds on its own loopback address.

    There docker takes a registry without TLS, and needs no setting for it.
    """

    def __init__(self, address: str, account: Account, folder: Path) -> None:
        """Take host and port of the registry, who pushes, and a folder for the credentials."""
        self.address, self._folder, self._names = address, folder, list[str]()
        login = base64.b64encode(str(account).encode()).decode()
        (folder / "config.json").write_text(json.dumps({"auths": {address: {"auth": login}}}), encoding="utf-8")

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start docker; what it prints can be read from the process."""
        env = {**os.environ, "DOCKER_CONFIG": str(self._folder)}
        return subprocess.Popen(
            ["docker", *words], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def run(self, *words: str, seconds: float = 120) -> tuple[int, str]:
        """Run docker; return its exit status and what it printed."""
        process = self.start(*words)
        output, _nothing = process.communicate(timeout=seconds)
        return process.returncode, output

    def stores_by_containerd(self) -> bool:
        """Tell whether containerd keeps the images of the daemon."""
        code, output = self.run("info", "--format", "{{.DriverStatus}}")
        assert code == 0, output
        return "io.containerd" in output

    def tag(self, name: str, repository: str) -> str:
        """Give an image another name, and return it."""
        other = f"{self.address}/{repository}"
        code, output = self.run("tag", name, other)
        assert code == 0, output
        self._names.append(other)
        return other

    @contextmanager
    def image(self, repository: str, size: int) -> Iterator[str]:
        """Give the daemon an image of so many random bytes while a with block runs; yield its whole name."""
        name = f"{self.address}/{repository}"
        self._names.append(name)
        layer = self._folder / "layer.tar"
        with tarfile.open(layer, "w") as archive:
            member = tarfile.TarInfo("content")
            member.size = size
            archive.addfile(member, io.BytesIO(os.urandom(size)))
        code, output = self.run("import", str(layer), name)
        assert code == 0, output
        try:
            yield name
        finally:
            self.run("rmi", *self._names)
            self._names.clear()


@contextmanager
def docker(registry: Registry, account: Account) -> Iterator[Docker]:
    """Lead a port of the loopback address to the registry while a with block runs, and yield a client that uses it."""
    words = ("-n", registry.namespace, "port-forward", f"service/{registry.name}", ":80")
    forward = subprocess.Popen(registry.cluster.command(*words), stdout=subprocess.PIPE, text=True)
    try:
        assert forward.stdout
        said = forward.stdout.readline()
        found = re.search(r"127\.0\.0\.1:\d+", said)
        assert found, said
        with tempfile.TemporaryDirectory() as folder:
            yield Docker(found[0], account, Path(folder))
    finally:
        forward.terminate()
        forward.wait()
