# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Garbage collection on an object store with two writers: what was deleted leaves the bucket, and nothing else does."""

from __future__ import annotations

import pytest

from tests.verify import oci
from tests.verify.clients import WORK, Client, PullLoop
from tests.verify.gc.collector import Collector
from tests.verify.playbooks import Playbooks
from tests.verify.registry import Account, Registry
from tests.verify.s3.store import Store


@pytest.fixture
def collector(registry: Registry, playbooks: Playbooks) -> Collector:
    """Return the collector."""
    return Collector(registry, playbooks)


def test_a_collection_takes_what_was_deleted_and_nothing_else(
    registry: Registry, client: Client, writer: Account, reader: Account, store: Store, collector: Collector
) -> None:
    """Pulls go on meanwhile, both writers stop and come back, and every image that was kept is read whole."""
    kept = {
        "collecting/multi:1": oci.index("s3 kept"),
        "collecting/app:1": oci.image("s3 kept"),
        "collecting/chart:1": oci.artifact("s3 kept"),
    }
    gone = oci.image("s3 gone")
    for name, layout in [*kept.items(), ("collecting/app:gone", gone)]:
        done = client.push(client.put(layout), name, writer)
        assert done.rc == 0, done.stderr
    path = f"/v2/collecting/app/manifests/{gone.digest}"
    assert client.http(path, "-X", "DELETE", account=writer).status == 202

    def stored() -> set[str]:
        root = f"{registry.namespace}/{registry.name}/docker/registry/v2/blobs/sha256/"
        return {f"sha256:{key.split('/')[-2]}" for key in store.keys(root)}

    before = stored()
    assert gone.digests <= before
    pulling = PullLoop(client, reader, f"http://{registry.host}/v2/collecting/app/manifests/1")
    with pulling:
        run = collector.run()
    assert run.rc == 0, run.output
    assert run.report["outcome"] == "succeeded"
    assert run.report["verification"]["ok"]
    assert run.report["deleted"]["blobs"] == len(gone.digests)
    assert run.report["deleted"]["asked"]
    assert pulling.count > 3
    assert pulling.failures == []
    assert before - stored() == gone.digests
    for number, (name, layout) in enumerate(kept.items()):
        back = client.pull(name, f"oci:{WORK}/collected-{number}:1", reader)
        assert back.rc == 0, back.stderr
        assert client.digests(f"{WORK}/collected-{number}") == layout.digests
    assert collector.writers() == (2, True)
    registry.wait_ready(registry.writer)
    client.wait_open()
    again = client.push(client.put(gone), "collecting/app:again", writer)
    assert again.rc == 0, again.stderr
    back = client.pull("collecting/app:again", f"oci:{WORK}/collected-again:1", reader)
    assert back.rc == 0, back.stderr
