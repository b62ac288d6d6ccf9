# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A collector on an object store reaches it only as long as the engine beside it knows that it may."""

from __future__ import annotations

import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _registry_client as client
from ansible_collections.homeport.registry.plugins.module_utils._gc_errors import FenceLostError, GcError
from ansible_collections.homeport.registry.plugins.module_utils._gc_look import Looker
from tests.lab.gc.program import Contents, Engine, Namespace, Relay, Run
from tests.lab.gc.test_object_store import endpoint, looker, push, storage
from tests.lab.gc.test_transaction import engine, namespace
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
def contents(endpoint: str, storage: Storage) -> Contents:
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
def kept(push: Pusher, contents: Contents) -> int:
    """An image that stays and many that were deleted; return how many blobs stay."""
    push.image("team/app", "1", b"kept")
    number = len(contents())
    for index in range(IMAGES):
        image = push.image("team/app", None, b"layer %d" % index)
        client.delete_manifest(push.session, "team/app", image.digest)
    assert len(contents()) == number + 2 * IMAGES
    return number


def test_whatever_the_collector_sends_is_asked_for(kept: int, looker: Looker, contents: Contents) -> None:
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


def _started(engine: Engine, binary: str, storage: Storage) -> Run:
    return engine.start(real=Path(binary), storage=storage, lease_seconds=LEASE)


def test_a_collector_that_wakes_up_before_the_engine_deletes_nothing(
    engine: Engine, namespace: Namespace, binary: str, slow: Storage, kept: int, contents: Contents
) -> None:
    """The worst that can be: it runs for seconds, and whatever is to end it does not."""
    run = _started(engine, binary, slow)
    with run.frozen_amid_deletions(contents, LEASE) as left:
        assert len(left) > kept
        collector = run.collector()
        os.kill(int(collector.name), signal.SIGCONT)
        time.sleep(2)
        assert contents() == left
        assert (collector / "stat").read_text().rpartition(")")[2].split()[0] in "SR"
    run.has_stood_still(namespace)
    assert contents() == left


def test_a_collector_that_wakes_up_with_the_engine_deletes_nothing(
    engine: Engine, namespace: Namespace, binary: str, slow: Storage, kept: int, contents: Contents
) -> None:
    """Who of the two is faster is up to the machine, so every second time it gets a start."""
    for number in range(FREEZES):
        run = _started(engine, binary, slow)
        with run.frozen_amid_deletions(contents, LEASE) as left:
            assert len(left) > kept
            if number % 2 == 0:
                os.kill(int(run.collector().name), signal.SIGCONT)
                time.sleep(0.05)
        run.has_stood_still(namespace)
        assert contents() == left
