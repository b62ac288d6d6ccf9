# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A layer that is bigger than the memory of all containers together."""

from __future__ import annotations

import os
import time

import pytest

from tests.verify.clients import WORK, Client
from tests.verify.memory import MIB, recording
from tests.verify.registry import Account, Registry


@pytest.mark.parametrize("mebibytes", [64, int(os.environ.get("HOMEPORT_LAYER_MIB", "1024"))])
def test_memory_stays_flat(
    registry: Registry,
    client: Client,
    writer: Account,
    reader: Account,
    mebibytes: int,
    *,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The layer goes in and out by skopeo, and no container holds more than a small part of it."""
    repository = f"big/layer-{mebibytes}:1"
    # A pull reaches whichever front pod, so all are looked at.
    containers = [(pod, name) for pod in registry.pods("front") for name in ("registry", "gate")]
    containers += [(pod, "registry") for pod in registry.pods("writer")]
    try:
        source, digest = client.random(f"big-{mebibytes}", mebibytes * MIB)
        with recording(registry, containers) as memory:
            time.sleep(1)
            start = time.monotonic()
            pushed = client.push(source, repository, writer)
            assert pushed.rc == 0, pushed.stderr
            middle = time.monotonic()
            pulled = client.pull(repository, f"dir:{WORK}/big-back", reader)
            assert pulled.rc == 0, pulled.stderr
            end = time.monotonic()
        back = client.script('sha256sum < "$1/manifest.json"', f"{WORK}/big-back")
        assert f"sha256:{back.split()[0]}" == digest
    finally:
        client.script('rm -rf "$@"', f"{WORK}/big-{mebibytes}", f"{WORK}/big-back")
    with capsys.disabled():
        print(f"\n{mebibytes} MiB: pushed in {middle - start:.1f} s, pulled in {end - middle:.1f} s")
        for (pod, container), seen in memory.items():
            print(f"  {pod} {container}: {seen}")
    for key, seen in memory.items():
        assert len(seen.samples) > 3, key
        assert seen.growth < 32 * MIB, (key, str(seen))
        assert seen.highest("anonymous") < 96 * MIB, (key, str(seen))
