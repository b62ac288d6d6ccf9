# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real registry as the source of a bundle, with images of every kind in it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_transport import Transport
from ansible_collections.homeport.registry.plugins.modules import bundle_build, bundle_lock
from tests.lab.modules.distribution import Distribution
from tools.paths import ROOT

from .stock import Stock


@pytest.fixture
def start(tmp_path) -> Iterator[Callable[..., Distribution]]:
    """Return a function that starts a registry; see `Distribution` for its options."""
    program = ROOT / ".lab/bin/registry"
    if not os.access(program, os.X_OK):
        pytest.fail(f"{program} is missing; make lab builds the registry")
    running: list[Distribution] = []

    def start(**options) -> Distribution:
        folder = tmp_path / f"registry-{len(running)}"
        options.setdefault("store", tmp_path / f"store-{len(running)}")
        server = Distribution(str(program), folder, **options)
        running.append(server)
        server.start()
        return server

    yield start
    for server in running:
        server.stop()


@pytest.fixture
def server(start) -> Distribution:
    """The source, which anybody may push to."""
    return start()


@pytest.fixture
def stock(server) -> Iterator[Stock]:
    """The images of the source."""
    transport = Transport(timeout=20)
    yield Stock(Session(transport, server.url))
    transport.close()


@pytest.fixture
def workplace(tmp_path) -> Path:
    """A folder for locks and bundles."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


@pytest.fixture
def sources(server) -> list[dict]:
    """Every source of these tests is the one registry."""
    return [{"host": host, "url": server.url} for host in ("docker.io", "quay.example.com", "localhost:5000")]


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder of wheels that is all that pip knows."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def lock(run_module, workplace, sources, tmp_path):
    """Return a function that locks a wish."""

    def lock(*images, check=False, diff=False, **wish):
        options = {key: wish.pop(key) for key in ("sources", "threads", "timeout", "patience") if key in wish}
        definition = {"name": "shop", "version": "1", "images": list(images)} | wish
        return run_module(
            bundle_lock,
            check=check,
            diff=diff,
            definition=definition,
            lock=str(workplace / "bundle.lock.json"),
            cache=str(tmp_path / "cache"),
            **({"sources": sources, "timeout": 20.0} | options),
        )

    return lock


@pytest.fixture
def key(tmp_path) -> Path:
    """A private key; its public half lies beside it."""
    path = tmp_path / "key"
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "builder", "-f", str(path)]
    subprocess.run(command, check=True)
    return path


@pytest.fixture
def dest(tmp_path) -> Path:
    """A folder for bundles."""
    folder = tmp_path / "bundles"
    folder.mkdir()
    return folder


@pytest.fixture
def build(run_module, workplace, sources, tmp_path, key, dest):
    """Return a function that builds what is locked."""

    def build(check=False, diff=False, **options):
        return run_module(
            bundle_build,
            check=check,
            diff=diff,
            **(
                {
                    "lock": str(workplace / "bundle.lock.json"),
                    "cache": str(tmp_path / "cache"),
                    "dest": str(dest),
                    "key": str(key),
                    "sources": sources,
                    "timeout": 20.0,
                }
                | options
            ),
        )

    return build
