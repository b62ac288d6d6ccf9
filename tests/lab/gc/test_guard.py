# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A collector on a volume deletes only as long as the engine beside it knows that it may."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._gc_errors import FenceLostError, GcError
from ansible_collections.homeport.registry.plugins.module_utils._gc_look import Looker
from tests.bench.store import write_store
from tests.lab.gc.program import Contents, Engine, Namespace, Run
from tests.lab.gc.test_transaction import engine, namespace

__all__ = ["engine", "namespace"]

LEASE = 4
REPOSITORIES, TAGS, LAYERS = 10, 10, 20
# Every second image was deleted; each has layers, a config and a manifest of its own.
GOING = REPOSITORIES * TAGS // 2 * (LAYERS + 2)
FREEZES = int(os.environ.get("HOMEPORT_FREEZES", "3"))


@pytest.fixture
def contents(root: Path) -> Contents:
    """Return a function that looks which of the blobs are there that nobody names."""
    write_store(root, REPOSITORIES, TAGS, layers=LAYERS, deleted=2)
    base = root / "docker" / "registry" / "v2"
    stays = set[str]()
    for link in base.glob("repositories/*/*/_manifests/revisions/sha256/*/link"):
        digest = link.read_text().removeprefix("sha256:")
        stays.add(digest)
        stays.update(_below(base, digest))
    blobs = {str(path) for path in base.glob("blobs/sha256/*/*/data") if path.parent.name not in stays}
    assert len(blobs) >= GOING
    return lambda: {path for path in blobs if os.path.exists(path)}


def _below(base: Path, digest: str) -> set[str]:
    text = (base / "blobs" / "sha256" / digest[:2] / digest / "data").read_text()
    return {word[:64] for word in text.split("sha256:")[1:]}


def test_whatever_the_collector_deletes_is_asked_for(look: Callable[..., Looker], contents: Contents) -> None:
    """As soon as it may not, nothing goes any more."""
    number, asked = len(contents()), 0
    allowed = number // 2

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked > allowed:
            raise FenceLostError("keep the Lease", where="here", got="it is lost", remedy="none")

    looker = look()
    looker._program.check = check
    with pytest.raises(GcError):
        looker.run_collector()
    left = contents()
    # Links are asked for as well.
    assert number - allowed <= len(left) < number
    looker._program.check = lambda: None
    assert len(looker.run_collector().blobs) == len(left)
    assert not contents()
    assert looker._program.asks


def _started(engine: Engine, binary: str) -> Run:
    return engine.start(real=Path(binary), lease_seconds=LEASE)


def test_a_collector_that_wakes_up_before_the_engine_deletes_nothing(
    engine: Engine, namespace: Namespace, binary: str, contents: Contents
) -> None:
    """The worst that can be: it runs for seconds, and whatever is to end it does not."""
    run = _started(engine, binary)
    with run.frozen_amid_deletions(contents, LEASE) as left:
        assert len(left) > 1
        collector = run.collector()
        os.kill(int(collector.name), signal.SIGCONT)
        time.sleep(2)
        # One may have been allowed right before.
        assert len(left - contents()) <= 1
        assert (collector / "stat").read_text().rpartition(")")[2].split()[0] in "SR"
    run.has_stood_still(namespace)
    assert len(left - contents()) <= 1


def test_a_collector_that_wakes_up_with_the_engine_deletes_nothing(
    engine: Engine, namespace: Namespace, binary: str, contents: Contents
) -> None:
    """Who of the two is faster is up to the machine, so every second time it gets a start."""
    for number in range(FREEZES):
        run = _started(engine, binary)
        with run.frozen_amid_deletions(contents, LEASE) as left:
            assert len(left) > 1
            if number % 2 == 0:
                os.kill(int(run.collector().name), signal.SIGCONT)
                time.sleep(0.05)
        run.has_stood_still(namespace)
        assert len(left - contents()) <= 1
