# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is pushed comes back bit by bit, and the gate's own sending of blobs keeps to the rules of the registry."""

from __future__ import annotations

import json

import jmespath
import pytest

from tests.verify import oci
from tests.verify.clients import WORK, Client
from tests.verify.registry import Account


@pytest.fixture(scope="module")
def pushed(client: Client, writer: Account) -> oci.Layout:
    """Return an image that is in trips/image:1."""
    layout = oci.image("trips")
    done = client.push(client.put(layout), "trips/image:1", writer)
    assert done.rc == 0, done.stderr
    return layout


@pytest.mark.parametrize(
    ("repository", "layout"),
    [
        ("trips/index", oci.index("trips")),
        ("trips/artifact", oci.artifact("trips")),
        ("trips/deep/er/still/image", oci.image("trips deep", layers=9)),
    ],
    ids=["index", "artifact", "image"],
)
def test_round_trip(client: Client, writer: Account, reader: Account, repository: str, layout: oci.Layout) -> None:
    """An index of three architectures, an artifact and an image keep every digest on their way in and out."""
    there = client.push(client.put(layout), f"{repository}:1", writer)
    assert there.rc == 0, there.stderr
    folder = f"{WORK}/back-{layout.digest[7:19]}"
    back = client.pull(f"{repository}:1", f"oci:{folder}:1", reader)
    assert back.rc == 0, back.stderr
    assert client.digests(folder) == layout.digests
    manifest = client.http(f"/v2/{repository}/manifests/1", "-H", f"Accept: {layout.media_type}", account=reader)
    assert manifest.headers["docker-content-digest"] == layout.digest
    assert manifest.headers["content-type"] == layout.media_type


def test_artifact_keeps_its_types(client: Client, writer: Account, reader: Account) -> None:
    """Nothing on the way takes an artifact for an image."""
    layout = oci.artifact("types")
    done = client.push(client.put(layout), "trips/types:1", writer)
    assert done.rc == 0, done.stderr
    accept = ("-H", f"Accept: {oci.MANIFEST}")
    manifest = json.loads(client.http("/v2/trips/types/manifests/1", *accept, account=reader).body)
    assert jmespath.search("[artifactType, config.mediaType, layers[0].mediaType]", manifest) == [
        "application/vnd.homeport.test.artifact.v1",
        "application/vnd.homeport.test.config.v1+json",
        "application/vnd.homeport.test.payload",
    ]


def test_blob_is_sent_by_the_gate(client: Client, reader: Account, pushed: oci.Layout) -> None:
    """GET, HEAD and a range of a blob: right bytes, right headers, no redirect that a client could see."""
    digest = sorted(pushed.digests - {pushed.digest})[0]
    path = f"/v2/trips/image/blobs/{digest}"
    head = client.http(path, "-I", account=reader)
    assert head.status == 200
    assert head.headers["docker-content-digest"] == digest
    assert "location" not in head.headers
    size = int(head.headers["content-length"])
    part = client.http(path, "-r", "0-15", "-o", "/dev/null", account=reader)
    assert (part.status, part.headers["content-length"]) == (206, "16")
    assert part.headers["content-range"] == f"bytes 0-15/{size}"
    fetch = 'curl -sS -u "$1" "$2" | sha256sum'
    assert client.script(fetch, str(reader), f"http://{client.registry.host}{path}").split()[0] == digest[7:]


def test_blob_needs_its_repository(client: Client, writer: Account, reader: Account, pushed: oci.Layout) -> None:
    """A blob is not found under a repository that does not have it, and not without an account."""
    other = client.push(client.put(oci.image("trips other")), "trips/other:1", writer)
    assert other.rc == 0, other.stderr
    digest = sorted(pushed.digests - {pushed.digest})[0]
    assert client.http(f"/v2/trips/other/blobs/{digest}", account=reader).status == 404
    assert client.http(f"/v2/trips/image/blobs/{digest}").status == 401
    assert client.http(f"/v2/trips/image/blobs/{digest}", "-o", "/dev/null", account=reader).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/docker/registry/v2/blobs/sha256/{two}/{hex}/data",
        "/var/lib/registry/docker/registry/v2/blobs/sha256/{two}/{hex}/data",
        "/v2/../docker/registry/v2/blobs/sha256/{two}/{hex}/data",
        "/v2/%2e%2e/docker/registry/v2/blobs/sha256/{two}/{hex}/data",
        "//store/docker/registry/v2/blobs/sha256/{two}/{hex}/data",
        "/metrics",
        "/debug/vars",
    ],
)
def test_store_has_no_side_door(client: Client, writer: Account, pushed: oci.Layout, path: str) -> None:
    """The gate sends no file that the reader has not just authorized."""
    digest = sorted(pushed.digests)[0][7:]
    answer = client.http(path.format(two=digest[:2], hex=digest), account=writer)
    assert answer.status in (301, 400, 404), answer
    assert "location" not in answer.headers or "/v2/" in answer.headers["location"]


def test_writer_deletes(client: Client, writer: Account, reader: Account) -> None:
    """A deleted manifest is gone for readers at once."""
    layout = oci.image("trips doomed")
    done = client.push(client.put(layout), "trips/doomed:1", writer)
    assert done.rc == 0, done.stderr
    path = f"/v2/trips/doomed/manifests/{layout.digest}"
    accept = ("-H", f"Accept: {oci.MANIFEST}")
    assert client.http(path, *accept, account=reader).status == 200
    assert client.http(path, "-X", "DELETE", account=writer).status == 202
    assert client.http(path, *accept, account=reader).status == 404
