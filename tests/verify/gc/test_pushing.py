# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Docker and skopeo make of a collection: they wait, and where they do not, the same command works later."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.verify import oci
from tests.verify.clients import WORK, Client, read_until
from tests.verify.cluster import eventually
from tests.verify.docker import Docker, docker
from tests.verify.gc.collector import Collector
from tests.verify.gc.test_collecting import deleted_image, push
from tests.verify.registry import Account, Registry

# What is refused is told by debug lines alone.
SKOPEO = 'skopeo --debug --insecure-policy copy --dest-tls-verify=false --dest-creds "$1" "$2" "$3"'


@pytest.fixture(scope="module", autouse=True)
def _an_image_that_stays(client: Client, writer: Account) -> None:
    """Let no collection take all that there is."""
    push(client, writer, oci.image("stays"), "team/stays:1")


@pytest.fixture(scope="module")
def engine(registry: Registry, writer: Account) -> Iterator[Docker]:
    """Return docker, logged in to the registry."""
    with docker(registry, writer) as found:
        if found.stores_by_containerd():
            pytest.skip("docker pushes by other code where containerd has its images; that was not tried")
        yield found


@contextmanager
def fenced(collector: Collector) -> Iterator[str]:
    """Keep a collection before its first deletion, with no writer left, while a with block runs; yield its Job."""
    with collector.lingering_writer():
        job = collector.start()
        collector.wait_step(job, "fence")
        eventually(lambda: collector.writers() == (0, False), "the fence is being put up")
        yield job


@dataclasses.dataclass(frozen=True)
class Patience:
    """What is expected of a client that waits by itself."""

    collector: Collector
    client: Client
    reader: Account

    def rewarded(self, process: subprocess.Popen[str], said: str, job: str, repository: str) -> None:
        """Expect that a push that was told to wait works, that the collection did, and that the image is whole."""
        rest, _nothing = process.communicate(timeout=120)
        assert process.returncode == 0, said + rest
        assert self.collector.finish(job)["outcome"] == "succeeded"
        pulled = self.client.pull(repository, f"dir:{WORK}/back-of-{repository.partition('/')[0]}", self.reader)
        assert pulled.rc == 0, pulled.stderr


@pytest.fixture
def patience(collector: Collector, client: Client, reader: Account) -> Patience:
    """Return what is expected of a client that waits."""
    return Patience(collector, client, reader)


def test_docker_waits(
    collector: Collector, engine: Docker, client: Client, writer: Account, patience: Patience
) -> None:
    """A layer that is refused is sent again by docker itself, and the image is whole."""
    deleted_image(client, writer, "docker waits", "docker/doomed")
    with engine.image("docker/waits:1", 1 << 20) as name:
        with fenced(collector) as job:
            process = engine.start("push", name)
            said = read_until(process, "Retrying in")
        patience.rewarded(process, said, job, "docker/waits:1")


def test_docker_does_not_wait_with_a_manifest(
    collector: Collector, engine: Docker, client: Client, writer: Account, reader: Account
) -> None:
    """Docker does not send a manifest again by itself: the push fails, and the same command works afterwards."""
    deleted_image(client, writer, "docker refused", "docker/doomed")
    with engine.image("docker/refused:1", 1 << 20) as name:
        assert engine.run("push", name)[0] == 0
        other = engine.tag(name, "docker/refused:2")
        with fenced(collector) as job:
            code, said = engine.run("push", other)
        assert collector.finish(job)["outcome"] == "succeeded"
        client.wait_open(seconds=60)
        # It shows the status alone, not what the answer says.
        assert code != 0
        assert "503" in said
        assert "Pushes are paused" not in said
        code, said = engine.run("push", other)
        assert code == 0, said
    pulled = client.pull("docker/refused:2", f"dir:{WORK}/docker-refused-back", reader)
    assert pulled.rc == 0, pulled.stderr


def test_skopeo_waits(collector: Collector, client: Client, writer: Account, patience: Patience) -> None:
    """A layer that is refused is sent again by skopeo itself, which needs no option for it, and the image is whole."""
    deleted_image(client, writer, "skopeo waits", "skopeo/doomed")
    source, _digest = client.random("skopeo-waits", 1 << 20)
    with fenced(collector) as job:
        process = client.start(SKOPEO, str(writer), source, client.reference("skopeo/waits:1"))
        said = read_until(process, "Too many requests")
    patience.rewarded(process, said, job, "skopeo/waits:1")


def test_skopeo_tells_why_a_manifest_is_refused(collector: Collector, client: Client, writer: Account) -> None:
    """It does not send a manifest again by itself, prints what the registry says, and the same command works later."""
    deleted_image(client, writer, "skopeo refused", "skopeo/doomed")
    source = client.put(oci.image("skopeo again"))
    first = client.push(source, "skopeo/refused:1", writer)
    assert first.rc == 0, first.stderr
    with fenced(collector) as job:
        refused = client.push(source, "skopeo/refused:2", writer)
    assert collector.finish(job)["outcome"] == "succeeded"
    assert refused.rc != 0
    assert "Pushes are paused" in refused.stderr
    client.wait_open(seconds=60)
    again = client.push(source, "skopeo/refused:2", writer)
    assert again.rc == 0, again.stderr
