# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients fetch layers from the object store itself where the inventory says so. Last: it changes the server."""

from __future__ import annotations

from tests.verify import oci
from tests.verify.clients import WORK, Client
from tests.verify.playbooks import Playbooks
from tests.verify.registry import Account
from tests.verify.s3.store import ENDPOINT


def test_layers_come_from_the_object_store(
    client: Client, playbooks: Playbooks, writer: Account, reader: Account, authority: str
) -> None:
    """A layer is answered by a signed address, which works for whoever trusts the store; a manifest is not."""
    assert playbooks.run("site", registry_storage_redirect=True).changed
    client.wait_open()
    layout = oci.image("s3 redirected", size=1 << 20)
    pushed = client.push(client.put(layout), "redirect/image:1", writer)
    assert pushed.rc == 0, pushed.stderr
    digest = max(layout.sizes, key=lambda each: layout.sizes[each])
    path = f"/v2/redirect/image/blobs/{digest}"
    location = ""
    for options in (("-I",), ()):
        answer = client.http(path, *options, account=reader)
        assert answer.status == 307, answer
        location = answer.headers["location"]
        assert location.startswith(f"{ENDPOINT}/registry-")
        assert "X-Amz-Signature=" in location
    assert client.http(path).status == 401
    manifest = client.http(
        f"/v2/redirect/image/manifests/{layout.digest}", "-H", f"Accept: {oci.MANIFEST}", account=reader
    )
    assert manifest.status == 200
    client.script('printf %s "$1" > /work/s3-ca.crt', authority)
    path, host = location.removeprefix(ENDPOINT), ENDPOINT
    stranger = client.http(path, url=host)
    assert stranger.status == 0
    assert "certificate" in stranger.body
    fetch = 'curl -sS -f --cacert /work/s3-ca.crt "$1" | sha256sum'
    assert client.script(fetch, location).split()[0] == digest[7:]
    # A client of its own kind follows the address; this one was told not to look at certificates.
    pulled = client.pull("redirect/image:1", f"oci:{WORK}/redirected:1", reader)
    assert pulled.rc == 0, pulled.stderr
    assert client.digests(f"{WORK}/redirected") == layout.digests
