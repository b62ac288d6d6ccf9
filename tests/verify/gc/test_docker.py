# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What docker's own client makes of a collection: it waits, and where it does not, the same command works later."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.verify import oci
from tests.verify.clients import WORK, Client
from tests.verify.cluster import eventually
from tests.verify.docker import Docker, docker
from tests.verify.gc.collector import Collector
from tests.verify.gc.test_collecting import deleted_image, push
from tests.verify.registry import Account, Registry


@pytest.fixture(scope="module")
def engine(registry: Registry, client: Client, writer: Account) -> Iterator[Docker]:
    """Return docker, logged in to the registry, which has an image that stays."""
    push(client, writer, oci.image("stays"), "docker/stays:1")
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


def test_a_push_waits(collector: Collector, engine: Docker, client: Client, writer: Account, reader: Account) -> None:
    """A layer that is refused is sent again by docker itself, and the image is whole."""
    deleted_image(client, writer, "docker waits", "docker/doomed")
    with engine.image("docker/waits:1", 1 << 20) as name:
        with fenced(collector) as job:
            process = engine.start("push", name)
            said = engine.read_until(process, "Retrying in")
        rest, _nothing = process.communicate(timeout=120)
    assert process.returncode == 0, said + rest
    assert collector.finish(job)["outcome"] == "succeeded"
    pulled = client.pull("docker/waits:1", f"dir:{WORK}/docker-waits", reader)
    assert pulled.rc == 0, pulled.stderr


def test_a_manifest_is_sent_again_by_hand(
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
        code, said = engine.run("push", other)
        assert code == 0, said
    pulled = client.pull("docker/refused:2", f"dir:{WORK}/docker-refused", reader)
    assert pulled.rc == 0, pulled.stderr
