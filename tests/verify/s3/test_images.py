# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images go into a bucket and come back whole, whichever writer and front pod serve a request."""

from __future__ import annotations

import json
import re

import pytest

from tests.verify import oci
from tests.verify.clients import WORK, Client
from tests.verify.registry import Account
from tests.verify.s3.store import Store
from tests.verify.several import (
    TORN,
    chunks,
    test_an_upload_may_change_writers,
    test_an_upload_survives_its_writer,
    test_what_is_deleted_is_gone_at_every_front_pod,
)

__all__ = [
    "chunks",
    "test_an_upload_may_change_writers",
    "test_an_upload_survives_its_writer",
    "test_what_is_deleted_is_gone_at_every_front_pod",
]


@pytest.fixture(scope="module")
def pushed(client: Client, writer: Account) -> oci.Layout:
    """Return an index of three architectures that is in trips/index:1."""
    layout = oci.index("s3 trips")
    done = client.push(client.put(layout), "trips/index:1", writer)
    assert done.rc == 0, done.stderr
    return layout


def test_an_index_goes_in_and_out(client: Client, reader: Account, store: Store, pushed: oci.Layout) -> None:
    """Every digest is kept, and what is kept lies in the bucket under the registry's own root."""
    back = client.pull("trips/index:1", f"oci:{WORK}/s3-back:1", reader)
    assert back.rc == 0, back.stderr
    assert client.digests(f"{WORK}/s3-back") == pushed.digests
    registry = client.registry
    root = f"{registry.namespace}/{registry.name}/docker/registry/v2"
    stored = store.keys(f"{root}/blobs/sha256/")
    assert {f"sha256:{key.split('/')[-2]}" for key in stored} >= pushed.digests
    assert all(key.startswith(f"{registry.namespace}/{registry.name}/") for key in store.keys(""))


def test_the_registry_passes_layers_on(client: Client, reader: Account, pushed: oci.Layout) -> None:
    """GET, HEAD and a range are answered without a word about the object store."""
    digest = max(pushed.sizes, key=lambda each: pushed.sizes[each])
    path = f"/v2/trips/index/blobs/{digest}"
    head = client.http(path, "-I", account=reader)
    assert (head.status, head.headers["content-length"]) == (200, str(pushed.sizes[digest]))
    assert "location" not in head.headers
    part = client.http(path, "-r", "0-15", "-o", "/dev/null", account=reader)
    assert (part.status, part.headers["content-length"]) == (206, "16")
    fetch = 'curl -sS -u "$1" "$2" | sha256sum'
    assert client.script(fetch, str(reader), f"http://{client.registry.host}{path}").split()[0] == digest[7:]


def test_a_reader_may_not_push(client: Client, reader: Account, pushed: oci.Layout) -> None:
    """Neither an upload nor a deletion is for an account that only pulls."""
    assert client.http("/v2/trips/index/blobs/uploads/", "-X", "POST", account=reader).status == 401
    path = f"/v2/trips/index/manifests/{pushed.digest}"
    assert client.http(path, "-X", "DELETE", account=reader).status == 401
    assert client.http(path, "-H", f"Accept: {oci.INDEX}", account=reader).status == 200


def test_no_upload_is_left(store: Store) -> None:
    """What the object store began for an upload is finished, that of a writer that was torn away as well."""
    assert not [key for key in store.unfinished() if f"/{TORN}/" in key]


TAGS = ["1", "latest", "v1", "v1.2", "v1.2.3", "v10", "v2"]
REPOSITORIES = ["lists/foo", "lists/foo-bar", "lists/foo/bar", "lists/foo.d", "lists/fo"]


@pytest.fixture(scope="module")
def listed(client: Client, writer: Account) -> None:
    """Push one image under many tags into repositories whose names begin alike."""
    layout = oci.image("s3 lists", layers=1, size=512)
    source = client.put(layout)
    for repository in REPOSITORIES:
        done = client.push(source, f"{repository}:1", writer)
        assert done.rc == 0, done.stderr
    manifest = f"{WORK}/{layout.digest.split(':')[1][:16]}/blobs/sha256/{layout.digest.split(':')[1]}"
    for tag in TAGS:
        options = ("-X", "PUT", "-H", f"Content-Type: {oci.MANIFEST}", "--data-binary", f"@{manifest}")
        assert client.http(f"/v2/lists/foo/manifests/{tag}", *options, account=writer).status == 201


def pages(client: Client, account: Account, path: str, key: str) -> list[str]:
    """Return what a list says on all its pages."""
    found: list[str] = []
    while path:
        answer = client.http(path, account=account)
        assert answer.status == 200, answer
        found += json.loads(answer.body)[key] or []
        path = next(iter(re.findall("<([^>]+)>", answer.headers.get("link", ""))), "")
    return found


@pytest.mark.parametrize("size", ["", "?n=3"])
def test_lists_are_complete(listed: None, client: Client, reader: Account, size: str) -> None:
    """On this object store the release in the lab loses neither a tag nor a repository, on one page or on several."""
    assert sorted(pages(client, reader, f"/v2/lists/foo/tags/list{size}", "tags")) == TAGS
    found = pages(client, reader, f"/v2/_catalog{size}", "repositories")
    assert sorted(name for name in found if name.startswith("lists/")) == sorted(REPOSITORIES)
