# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images for a node that is new, out of a delta and the registry that holds the rest."""

from __future__ import annotations

import hashlib
import subprocess
import tarfile
import typing as t

import pytest

from ansible_collections.homeport.registry.plugins.modules import bundle_extract
from tests.lab.inventory.images import Store
from tests.unit.bundle.writer import Writer, digest_of

from .conftest import ACCOUNT, noise

ONE = "docker.io/library/one:1"


def writer_of(**about: t.Any) -> Writer:
    """Return the writer of a bundle with one image to begin with."""
    writer = Writer(**about)
    writer.image(ONE, writer.manifest(noise(0), noise(1)))
    writer.images[ONE]["bootstrap"] = True
    return writer


@pytest.fixture
def left(tmp_path, key, push):
    """The layers that the delta leaves to the registry, which has them from the parent."""
    parent = writer_of()
    assert not push(parent.write(tmp_path / "parent", key)).get("failed")
    return set(parent.sizes) - set(parent.manifests)


@pytest.fixture
def run(run_module, server, tmp_path, key, left):
    """Return a function that takes the image out of the delta and that registry."""
    about = {"name": "platform", "version": "1", "sha256": digest_of(writer_of().document())[7:]}
    delta = writer_of(version="2", parent=about)
    for digest in left:
        delta.places[digest] = 0
    paths = delta.write(tmp_path / "delta", key)

    def run(to=tmp_path / "images.tar", **registry):
        registry = {"url": server.url, "username": ACCOUNT[0], "password": ACCOUNT[1], **registry}
        given = {"bundle": [str(path) for path in paths], "trusted_keys": [key.public], "registry": registry}
        return run_module(bundle_extract, **given, images_to=str(to))

    return run


def test_the_registry_gives_what_a_delta_leaves_out(run, left, tmp_path):
    result = run()
    assert result["changed"] is True, result
    with tarfile.open(tmp_path / "images.tar") as tar:
        contents = {one.name: t.cast(t.IO[bytes], tar.extractfile(one)).read() for one in tar.getmembers()}
    blobs = {name: content for name, content in contents.items() if name.startswith("blobs/")}
    assert {f"blobs/{digest.replace(':', '/')}" for digest in left} < set(blobs)
    for name, content in blobs.items():
        assert name == f"blobs/sha256/{hashlib.sha256(content).hexdigest()}"
    assert run()["changed"] is False


def test_what_the_registry_does_not_give_is_named(run, left, server, tmp_path):
    refused = run(password="another")["msg"]
    assert "is in platform 1, on which this delta builds" in refused
    assert "401" in refused
    gone = max(left)
    Store(tmp_path / "store").blob(gone).write_bytes(b"something else")
    damaged = run()["msg"]
    assert gone in damaged
    assert f"{server.url}" in damaged
    assert "a whole bundle" in damaged
    assert not list(tmp_path.glob("*images.tar*"))


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk with less room than the image takes."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "small", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_is_named_and_nothing_stays_there(run, small_disk):
    result = run(to=small_disk / "images.tar")
    assert "No space left on device" in result["msg"]
    assert str(small_disk) in result["msg"]
    assert list(small_disk.iterdir()) == []
