# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Front pods are killed under pulls: a client that tries again gets the right bytes, and nobody gets wrong ones."""

from __future__ import annotations

import time

from tests.verify import oci
from tests.verify.clients import WORK, Client, PullLoop
from tests.verify.cluster import eventually
from tests.verify.faults.pushing import ROUNDS
from tests.verify.registry import Account, Registry

PULL = """rm -rf "$3"
skopeo --insecure-policy copy --retry-times 8 --src-tls-verify=false --src-creds "$1" "$2" "oci:$3:1"
"""


def test_pulls_survive_a_killed_front_pod(registry: Registry, client: Client, writer: Account, reader: Account) -> None:
    """One of two pods is deleted without grace: for seconds connections may break, but no answer is wrong."""
    layout = oci.image("front", layers=4, size=4 << 20)
    done = client.push(client.put(layout), "faults/front:1", writer)
    assert done.rc == 0, done.stderr
    base = f"http://{registry.host}/v2/faults/front"
    blob = min(layout.sizes, key=lambda digest: layout.sizes[digest])
    pulling = PullLoop(client, reader, f"{base}/manifests/1", f"{base}/blobs/{blob}")
    with pulling:
        for _round in range(ROUNDS):
            image = client.start(PULL, str(reader), client.reference("faults/front:1"), f"{WORK}/front-back")
            registry.kubectl("delete", "pod", registry.pod("front"), "--grace-period=0", "--force")
            output, _unused = image.communicate(timeout=90)
            assert image.returncode == 0, output
            assert client.digests(f"{WORK}/front-back") == layout.digests
            eventually(lambda: len(registry.pods("front")) == 2, "another front pod")
            registry.wait_ready(registry.name)
        time.sleep(1)
    # Broken connections are the client's to see and to try again; a whole answer is the bytes or "not now".
    wrong = [line for line in pulling.failures if line.startswith("curl 0 ") and not line.endswith(("502", "503"))]
    assert wrong == []
    assert pulling.count > 20 * ROUNDS
