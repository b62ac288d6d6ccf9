# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way in through a controller, and that there is no other: tests for the scenarios that import them."""

from __future__ import annotations

import os

from tests.verify import oci
from tests.verify.clients import WORK
from tests.verify.memory import MIB
from tests.verify.registry import Account
from tests.verify.tls import PublicRegistry, TlsClient


def push_and_pull(client: TlsClient, writer: Account, reader: Account, text: str) -> None:
    """Push and pull a whole index whose layers hold a text; a reader may not push it."""
    layout = oci.index(text)
    source = client.put(layout)
    pushed = client.push(source, "team/app:1", writer)
    assert pushed.rc == 0, pushed.stderr
    pulled = client.pull("team/app:1", f"oci:{WORK}/back:1", reader)
    assert pulled.rc == 0, pulled.stderr
    assert client.digests(f"{WORK}/back") >= layout.digests
    assert client.push(source, "team/app:2", reader).rc != 0


def test_images_go_in_and_out(client: TlsClient, writer: Account, reader: Account) -> None:
    """A whole index is pushed and pulled by the public name, and a reader may not push."""
    push_and_pull(client, writer, reader, "through the public name")


def test_a_big_layer_goes_in_and_out(client: TlsClient, writer: Account, reader: Account) -> None:
    """HOMEPORT_LAYER_MIB makes it bigger than every buffer and limit on the way."""
    size = int(os.environ.get("HOMEPORT_LAYER_MIB", "64")) * MIB
    source, digest = client.random("big", size)
    pushed = client.push(source, "team/big:1", writer)
    assert pushed.rc == 0, pushed.stderr
    pulled = client.pull("team/big:1", f"dir:{WORK}/big-back", reader)
    assert pulled.rc == 0, pulled.stderr
    back = client.script('sha256sum < "$1/manifest.json"', f"{WORK}/big-back")
    assert f"sha256:{back.split()[0]}" == digest
    client.script('rm -rf "$@"', f"{WORK}/big", f"{WORK}/big-back")


def test_uploads_stay_on_this_way(client: TlsClient, writer: Account) -> None:
    """The registry names no scheme or host of its own, which would lead around the controller."""
    answer = client.http("/v2/team/app/blobs/uploads/", "-X", "POST", account=writer)
    assert answer.status == 202
    assert answer.headers["location"].startswith("/v2/team/app/blobs/uploads/")


def test_only_the_api_is_published(client: TlsClient) -> None:
    """Neither the probes' path nor the metrics are."""
    assert [client.http(path).status for path in ("/", "/metrics", "/v2/")] == [404, 404, 401]


def test_nobody_gets_around_the_controller(client: TlsClient, registry: PublicRegistry) -> None:
    """The gate speaks HTTP to the controller's namespace, and to no other."""
    for url in (f"http://{registry.address('front')}:8080", f"http://{registry.name}.{registry.namespace}.svc"):
        answer = client.http("/v2/", "--connect-timeout", "3", url=url)
        assert answer.status == 0, answer
