# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real registries to push bundles to: the lab's own, and Debian's package, which is a 2.8."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_transport import Transport
from ansible_collections.homeport.registry.plugins.modules import bundle_push
from tests.lab.modules.distribution import Distribution
from tests.lab.old_registry import old_registry
from tests.unit.bundle.writer import Key, Writer
from tools.paths import ROOT

ACCOUNT = ("ci", "push: pull")
# Lets an index hold some of its platforms only.
SPARSE = {
    "validation": {
        "manifests": {"indexes": {"platforms": "list", "platformlist": [{"architecture": "amd64", "os": "linux"}]}}
    }
}


def registry_binary(line: str) -> Path:
    """Return the server program of a line."""
    program = ROOT / ".lab/bin/registry" if line == "3" else old_registry()
    if not os.access(program, os.X_OK):
        pytest.fail(f"{program} is missing; make lab builds the registry")
    return program


@pytest.fixture
def line() -> str:
    """The line of the server program."""
    return "3"


@pytest.fixture
def start(line: str, tmp_path: Path) -> Iterator[Callable[..., Distribution]]:
    """Return a function that starts a registry; see `Distribution` for its options."""
    running: list[Distribution] = []

    def start(**options) -> Distribution:
        options.setdefault("store", tmp_path / "store")
        options.setdefault("settings", SPARSE)
        server = Distribution(str(registry_binary(line)), tmp_path / f"registry-{len(running)}", **options)
        running.append(server)
        server.start()
        return server

    yield start
    for server in running:
        server.stop()


@pytest.fixture
def server(start) -> Distribution:
    """A registry with an account."""
    return start(users=[ACCOUNT])


@pytest.fixture
def connect() -> Iterator[Callable[[str], Session]]:
    """Return a function that opens a session of our own, to look at what is there."""
    transport = Transport(timeout=30)
    yield lambda url: Session(transport, url, *ACCOUNT)
    transport.close()


@pytest.fixture
def session(server, connect) -> Session:
    """A session with the registry."""
    return connect(server.url)


@pytest.fixture(scope="session")
def key() -> Key:
    """Whoever builds."""
    return Key()


@pytest.fixture
def push(run_module, server, key, tmp_path):
    """Return a function that pushes files."""

    def push(paths, **options):
        given = {
            "url": server.url,
            "username": ACCOUNT[0],
            "password": ACCOUNT[1],
            "bundle": [str(path) for path in paths],
            "trusted_keys": [key.public],
            "state_dir": str(tmp_path / "state"),
        } | options
        return run_module(bundle_push, **given)

    return push


def noise(number: int, size: int = 60_000) -> bytes:
    """Return a content that is the same in every run."""
    return random.Random(number).randbytes(size)


def fill(writer: Writer) -> Writer:
    """Everything that a bundle may hold, in the first and the last volume."""
    shared, base = noise(0), noise(1, 90_000)
    writer.volume = 1
    amd, arm = writer.manifest(base, shared, noise(2)), writer.manifest(base, shared, noise(3))
    index = writer.index(amd, arm)
    sparse = writer.index(writer.manifest(base, noise(4), indent=1), absent=2)
    writer.volume = writer.volumes
    plain = writer.manifest(shared, noise(5), kind="docker", indent=3)
    listed = writer.index(writer.manifest(base, noise(6), kind="docker"), kind="docker")
    # One referrer of the index, one of a child, and one that the source listed by itself.
    signature, bill = writer.referrer(index, b"signature"), writer.referrer(amd, b"bill of materials")
    seen = writer.referrer(listed, b"seen at the source")
    fallback = writer.index(seen)
    cosign = writer.manifest(b"cosign", config=b'{"cosign": true}')
    writer.image("docker.io/library/multi:1", index, referrers=[signature, bill])
    writer.image("docker.io/library/sparse:1.27", sparse)
    writer.image(
        "quay.io:8443/team/list:2",
        listed,
        referrers=[seen],
        tags={listed.replace(":", "-"): fallback, f"{listed.replace(':', '-')}.sig": cosign},
    )
    writer.image("registry.example.com/plain:3", plain)
    writer.image(f"registry.example.com/plain@{plain}", plain)
    writer.file("files/wheels/x.whl", b"wheel")
    return writer
