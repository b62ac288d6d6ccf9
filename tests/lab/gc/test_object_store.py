# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real collectors of both lines on a real object store, looked at as a collection does it."""

from __future__ import annotations

import dataclasses
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _registry_client as client
from ansible_collections.homeport.registry.plugins.module_utils._gc_child import Program
from ansible_collections.homeport.registry.plugins.module_utils._gc_look import Looker
from ansible_collections.homeport.registry.plugins.module_utils._gc_options import Ceiling, Options
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_transport import Transport
from ansible_collections.homeport.registry.plugins.module_utils._registry_verify import check_content, compare
from lab import wheels
from lab.versions import SEAWEEDFS
from tests.lab.gc.conftest import Quiet, taking_pushes
from tests.lab.gc.test_stores import first_look, refusal
from tests.lab.inventory.images import Pusher
from tests.lab.modules.distribution import Distribution, free_port

PARTS = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc")


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A store that asks nobody who they are, on the loopback only."""
    wheels.install(SEAWEEDFS)
    folder = tmp_path_factory.mktemp("store")
    port = free_port()
    line = [str(wheels.program(SEAWEEDFS)), "-logtostderr", "server", f"-dir={folder}", "-ip=127.0.0.1"]
    line += ["-ip.bind=127.0.0.1", "-master.volumeSizeLimitMB=64", "-volume.max=0", "-s3", f"-s3.port={port}"]
    # What else it would serve has fixed ports, which only one of several stores could have.
    line += ["-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.port.grpc={free_port()}"]
    line += [*(f"-{part}={free_port()}" for part in PARTS)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(line, stdout=log, stderr=log)
    # The same place under a name to which Go lets a proxy lead, as it does not to 127.0.0.1.
    url = f"http://0.0.0.0:{port}"
    try:
        deadline = time.monotonic() + 120
        while not made(f"{url}/images"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((folder / "log").read_text()[-3000:])
            time.sleep(0.5)
        yield url
    finally:
        # Asked politely, it takes half a minute to close files that nobody needs any more.
        process.kill()
        process.wait(30)


def made(bucket: str) -> bool:
    """Make a bucket, and tell whether it is there."""
    try:
        with urllib.request.urlopen(urllib.request.Request(bucket, method="PUT"), timeout=10):
            return True
    except (OSError, urllib.error.HTTPError):
        return False


@pytest.fixture
def storage(endpoint: str, tmp_path: Path) -> dict[str, dict[str, object]]:
    """A place of its own in the bucket, as the role configures it."""
    section = {
        "bucket": "images",
        "region": "us-east-1",
        "regionendpoint": endpoint,
        "forcepathstyle": True,
        "rootdirectory": tmp_path.name,
        "chunksize": 10485760,
        "accesskey": "anybody",
        "secretkey": "anything",
    }
    return {"s3": section}


@pytest.fixture
def push(binary: str, storage: dict[str, dict[str, object]], tmp_path: Path) -> Iterator[Pusher]:
    """A client of a registry on that store."""
    settings = {"storage": {**storage, "delete": {"enabled": True}, "redirect": {"disable": True}}}
    with taking_pushes(Distribution(binary, tmp_path / "writer", store=tmp_path, settings=settings)) as pusher:
        yield pusher


@pytest.fixture
def looker(
    binary: str,
    major: int,
    storage: dict[str, dict[str, object]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Looker]:
    """What looks at the store as a collection does."""
    # Distribution 2.8 does not start with it, and pods never have it.
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    options = Options(
        registry="depot",
        namespace="n",
        storage={**storage, "redirect": {"disable": True}},
        permit={"metadata": {}},
        writer_selector="",
        scratch=str(scratch),
        binary=binary,
        ceiling=Ceiling(100),
    )
    program = Program(binary, options.storage, options.scratch)
    found = Looker(options, program, Session(Transport(read_only=True), program.url), Quiet(options))
    found.major = major
    yield found
    program.close()


def test_what_nobody_needs_goes_and_all_else_stays(push: Pusher, looker: Looker) -> None:
    """A shared layer, an index, an image without a tag; what was deleted alone is collected."""
    shared = b"shared" * 1000
    doomed = push.image("team/app", None, b"only in the old one", shared)
    push.image("team/app", "new", b"new", shared)
    children = [push.image("team/multi", None, b"amd64"), push.image("team/multi", None, b"arm64")]
    push.index("team/multi", "1", *children)
    layers = client.get_manifest(push.session, "team/app", doomed.digest).document()["layers"]
    client.delete_manifest(push.session, "team/app", doomed.digest)
    look = first_look(looker)
    assert look.plan.blobs == {doomed.digest, layers[0]["digest"]}
    done = looker.run_collector()
    assert done.blobs == look.plan.blobs
    after = looker.inventory()
    assert compare(look.inventory, after) == []
    assert check_content(looker._session, after, "full").problems == []
    assert not looker.run_collector("--dry-run").blobs


def test_an_empty_place_is_no_store_that_was_emptied(push: Pusher, looker: Looker) -> None:
    """Where there was something at the last collection, it is the wrong place."""
    looker.blobs_before = 3
    assert "the last run left 3 blobs" in str(refusal(looker))


def test_too_much_is_refused(push: Pusher, looker: Looker) -> None:
    image = push.image("team/app", None, b"layer")
    push.image("team/app", "1", b"other")
    client.delete_manifest(push.session, "team/app", image.digest)
    looker._options = dataclasses.replace(looker._options, ceiling=Ceiling(10))
    refusal(looker)
    assert looker._report.document["eligible"]["share"] > 10


def test_a_tag_that_is_listed_and_gone_is_refused(push: Pusher, looker: Looker, major: int) -> None:
    """This store keeps empty folders, which Distribution 2.8 takes for tags."""
    image = push.image("team/app", "old", b"layer")
    push.image("team/app", "new", b"other")
    client.delete_manifest(push.session, "team/app", image.digest)
    if major < 3:
        assert "team/app:old" in str(refusal(looker))
    else:
        assert image.digest in first_look(looker).plan.blobs
