# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A collector on an object store reaches it only as long as the engine beside it knows that it may."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _registry_client as client
from ansible_collections.homeport.registry.plugins.module_utils._gc_errors import FenceLostError, GcError
from ansible_collections.homeport.registry.plugins.module_utils._gc_look import Looker
from tests.lab.gc.program import Engine, Namespace, Relay, Run
from tests.lab.gc.test_object_store import endpoint, looker, push, storage
from tests.lab.gc.test_transaction import WHOLE, engine, namespace
from tests.lab.inventory.images import Pusher

__all__ = ["endpoint", "engine", "looker", "namespace", "push", "storage"]

LEASE = 4
IMAGES = 20
# How deletions begin, and how many seconds they take on their way to a slow store: whoever watches sees the first one.
DELETION = (b"POST ", 0.1)
FREEZES = int(os.environ.get("HOMEPORT_FREEZES", "3"))
Storage = dict[str, dict[str, object]]


@pytest.fixture(autouse=True)
def _environment_of_a_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    """Distribution 2.8 does not start with the one, and with a proxy nobody is led elsewhere."""
    for name in ("AWS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def contents(endpoint: str, storage: Storage) -> Callable[[], set[str]]:
    """Return a function that asks the store itself which blobs it has."""
    prefix = f"{storage['s3']['rootdirectory']}/docker/registry/v2/blobs/"

    def ask() -> set[str]:
        address = f"{endpoint}/images?list-type=2&max-keys=1000&prefix={prefix}"
        with urllib.request.urlopen(address, timeout=30) as answer:
            found = ElementTree.fromstring(answer.read())
        names = [one.text or "" for one in found.iter() if one.tag.endswith("}Key")]
        return {name for name in names if name.endswith("/data")}

    return ask


@pytest.fixture
def kept(push: Pusher, contents: Callable[[], set[str]]) -> int:
    """An image that stays and many that were deleted; return how many blobs stay."""
    push.image("team/app", "1", b"kept")
    number = len(contents())
    for index in range(IMAGES):
        image = push.image("team/app", None, b"layer %d" % index)
        client.delete_manifest(push.session, "team/app", image.digest)
    assert len(contents()) == number + 2 * IMAGES
    return number


def test_whatever_the_collector_sends_is_asked_for(kept: int, looker: Looker, contents: Callable[[], set[str]]) -> None:
    """As soon as it may not, nothing goes any more, and the collector fails."""
    asked, forbidden = 0, False

    def check() -> None:
        nonlocal asked, forbidden
        asked += 1
        forbidden = forbidden or len(contents()) < kept + 2 * IMAGES - 5
        if forbidden:
            raise FenceLostError("keep the Lease", where="here", got="it is lost", remedy="none")

    looker._program.check = check
    with pytest.raises(GcError):
        looker.run_collector()
    # One request, of one blob, may have been on its way when the one after it was forbidden.
    assert kept + 2 * IMAGES - 8 < len(contents()) < kept + 2 * IMAGES
    left = contents()
    looker._program.check = lambda: None
    assert len(looker.run_collector().blobs) == len(left) - kept
    assert len(contents()) == kept
    assert asked > IMAGES


@pytest.fixture
def slow(endpoint: str, storage: Storage) -> Iterator[Storage]:
    """The same store, slow to delete."""
    address = urlsplit(endpoint)
    relay = Relay(str(address.hostname), address.port or 80, DELETION)
    yield {"s3": {**storage["s3"], "regionendpoint": f"http://{address.hostname}:{relay.port}"}}
    relay.close()


@contextlib.contextmanager
def frozen_amid_its_deletions(run: Run, contents: Callable[[], set[str]]) -> Iterator[set[str]]:
    """Let all of it stand still for longer than its Lease lasts; yield what the store has then."""
    end, number = time.monotonic() + 120, len(contents())
    while len(contents()) == number:
        assert run.process.poll() is None, run.end()[2]
        assert time.monotonic() < end
        time.sleep(DELETION[1] / 5)
    os.killpg(run.process.pid, signal.SIGSTOP)
    try:
        # What the kernel was given before arrives all the same.
        time.sleep(1)
        left = contents()
        time.sleep(LEASE)
        assert contents() == left
        yield left
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.process.pid, signal.SIGCONT)


def _started(engine: Engine, binary: str, storage: Storage) -> Run:
    return engine.start(real=Path(binary), storage=storage, lease_seconds=LEASE)


def _collector_of(run: Run) -> Path:
    """Return where the kernel tells of the program that deletes."""
    children = " ".join(one.read_text() for one in Path("/proc", str(run.process.pid), "task").glob("*/children"))
    (found,) = (one for one in children.split() if b"garbage-collect" in Path("/proc", one, "cmdline").read_bytes())
    return Path("/proc", found)


def _failed(run: Run, namespace: Namespace) -> None:
    code, report, log = run.end(120)
    assert (code, report["outcome"], report["step"]) == (11, "failed", "collect"), log
    assert "stood still" in report["reason"], report
    assert namespace.fence() == WHOLE


def test_a_collector_that_wakes_up_before_the_engine_deletes_nothing(
    engine: Engine, namespace: Namespace, binary: str, slow: Storage, kept: int, contents: Callable[[], set[str]]
) -> None:
    """The worst that can be: it runs for seconds, and whatever is to end it does not."""
    run = _started(engine, binary, slow)
    with frozen_amid_its_deletions(run, contents) as left:
        assert len(left) > kept
        collector = _collector_of(run)
        os.kill(int(collector.name), signal.SIGCONT)
        time.sleep(2)
        assert contents() == left
        assert (collector / "stat").read_text().rpartition(")")[2].split()[0] in "SR"
    _failed(run, namespace)
    assert contents() == left


def test_a_collector_that_wakes_up_with_the_engine_deletes_nothing(
    engine: Engine, namespace: Namespace, binary: str, slow: Storage, kept: int, contents: Callable[[], set[str]]
) -> None:
    """Who of the two is faster is up to the machine, so every second time it gets a start."""
    for number in range(FREEZES):
        run = _started(engine, binary, slow)
        with frozen_amid_its_deletions(run, contents) as left:
            assert len(left) > kept
            if number % 2 == 0:
                os.kill(int(_collector_of(run).name), signal.SIGCONT)
                time.sleep(0.05)
        _failed(run, namespace)
        assert contents() == left
