# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What pods may go through without a client noticing, or an image being lost."""

from __future__ import annotations

from tests.verify import oci
from tests.verify.clients import WORK, Client, PullLoop
from tests.verify.registry import Account, Registry


def test_rolling_restart_fails_no_pull(registry: Registry, client: Client, writer: Account, reader: Account) -> None:
    """Every front pod is replaced while a client pulls without a pause."""
    layout = oci.image("restart", layers=1, size=5 << 20)
    done = client.push(client.put(layout), "survival/restart:1", writer)
    assert done.rc == 0, done.stderr
    base = f"http://{registry.host}/v2/survival/restart"
    blob = next(digest for digest, size in layout.sizes.items() if size > 1 << 20)
    small = next(digest for digest, size in layout.sizes.items() if size < 1024 and digest != layout.digest)
    # A slow client that is in the middle of a download has its time, also for what only the kernel still holds.
    slow = client.pull_slowly(f"{base}/blobs/{blob}", reader)
    before = registry.pods("front")
    pulling = PullLoop(client, reader, f"{base}/manifests/{layout.digest}", f"{base}/blobs/{small}")
    with pulling:
        registry.kubectl("rollout", "restart", f"deployment/{registry.name}")
        registry.wait_ready(registry.name)
        # The last pod of the old kind is still draining when the roll-out is complete.
        registry.kubectl("wait", "pod", *before, "--for=delete", "--timeout=90s")
    output, _unused = slow.communicate(timeout=60)
    assert output.split()[0] == blob[7:]
    assert pulling.failures == []
    assert pulling.count > 50
    assert not set(before) & set(registry.pods("front"))
    # Pods that other tests tore away fail their hook too; these were let go in order.
    failed_hooks = registry.find("items[?reason=='FailedPreStopHook'].involvedObject.name", "events")
    assert not set(failed_hooks) & set(before)


def test_images_survive_all_pods(registry: Registry, client: Client, writer: Account, reader: Account) -> None:
    """The store is on the volume and nowhere else."""
    layout = oci.image("survivor")
    client.script('rm -rf "$1"', f"{WORK}/survivor")
    done = client.push(client.put(layout), "survival/image:1", writer)
    assert done.rc == 0, done.stderr
    before = registry.find("items[].metadata.name", "pods")
    registry.kubectl("delete", "pod", "--all", "--grace-period=1")
    registry.wait_ready()
    client.wait_open()
    assert not set(before) & set(registry.find("items[].metadata.name", "pods"))
    folder = f"{WORK}/survivor"
    pulled = client.pull("survival/image:1", f"oci:{folder}:1", reader)
    assert pulled.rc == 0, pulled.stderr
    assert client.digests(folder) == layout.digests
