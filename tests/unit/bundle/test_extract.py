# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""bundle_extract through its real entry point: only what was asked for, and only when it is right."""

from __future__ import annotations

import hashlib
import json
import tarfile
import typing as t

import pytest

from ansible_collections.homeport.registry.plugins.modules import bundle_extract

from .writer import Key, Writer, flip, offset_of

KEY = Key()
REGISTRY, APP = "docker.io/library/registry:3", "quay.io/team/app:1"


@pytest.fixture
def writer():
    """Return the writer of a bundle with an image to begin with, another one, and files of two kinds."""
    writer = Writer()
    index = writer.index(writer.manifest(b"shared" * 1000, b"registry" * 1000), absent=1)
    writer.image(REGISTRY, index, referrers=[writer.referrer(index)])
    writer.images[REGISTRY]["bootstrap"] = True
    writer.image(APP, writer.manifest(b"shared" * 1000, b"app" * 1000))
    writer.file("files/wheels/x-1-py3-none-any.whl", b"wheel")
    writer.files["files/wheels/x-1-py3-none-any.whl"].update(kind="wheel", name="x", version="1", pythons=["3.11"])
    writer.file("files/docs/readme.txt", b"read me")
    return writer


@pytest.fixture
def volume(writer, tmp_path):
    """Return its one file."""
    (path,) = writer.write(tmp_path / "in", KEY)
    return path


@pytest.fixture
def run(run_module, volume):
    """Return a function that runs the module on that bundle."""

    def run(**options):
        return run_module(bundle_extract, **{"bundle": [str(volume)], "trusted_keys": [KEY.public], **options})

    return run


def blobs_of(path):
    """Return the index and the digests of an archive, after comparing each content with its name."""
    with tarfile.open(path) as tar:
        contents = {member.name: t.cast(t.IO[bytes], tar.extractfile(member)).read() for member in tar.getmembers()}
    index = json.loads(contents.pop("index.json"))
    assert json.loads(contents.pop("oci-layout")) == {"imageLayoutVersion": "1.0.0"}
    for name, content in contents.items():
        assert name == f"blobs/sha256/{hashlib.sha256(content).hexdigest()}"
    return index, {name.replace("blobs/sha256/", "sha256:") for name in contents}


def needed_by(writer, digest):
    """Return everything that an image consists of."""
    entry = writer.manifests[digest]
    return {digest, *entry["blobs"]}.union(*(needed_by(writer, child) for child in entry["children"]))


def test_the_twelve_steps_of_images(run, writer, tmp_path):
    target = tmp_path / "images.tar"
    assert run(images_to=str(target), check=True)["changed"] is True
    assert not target.exists()
    result = run(images_to=str(target))
    assert result["changed"] is True
    assert [one["name"] for one in result["images"]] == [REGISTRY]
    index, blobs = blobs_of(target)
    top = writer.images[REGISTRY]["digest"]
    assert [(one["digest"], set(one["annotations"].values())) for one in index["manifests"]] == [(top, {REGISTRY})]
    # Without the signature, and without the other image.
    assert blobs == needed_by(writer, top)
    for check in (True, False):
        assert run(images_to=str(target), check=check)["changed"] is False
    assert run(images_to=str(target), images=[APP, REGISTRY])["changed"] is True
    assert len(blobs_of(target)[0]["manifests"]) == 2
    assert run(images_to=str(target), images=[APP, REGISTRY])["changed"] is False
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_twelve_steps_of_files(run, tmp_path):
    folder = tmp_path / "out"
    assert run(files_to=str(folder), check=True)["changed"] is True
    assert not folder.exists()
    result = run(files_to=str(folder), kinds=["wheel"])
    assert result["changed"] is True
    wheel = folder / "wheels" / "x-1-py3-none-any.whl"
    assert result["files"] == [{"path": str(wheel), "kind": "wheel", "name": "x", "version": "1"}]
    assert wheel.read_bytes() == b"wheel"
    assert not (folder / "docs").exists()
    assert run(files_to=str(folder), kinds=["wheel"], check=True)["changed"] is False
    assert run(files_to=str(folder), kinds=["wheel"])["changed"] is False
    wheel.write_bytes(b"WHEEL")
    assert run(files_to=str(folder))["changed"] is True
    assert wheel.read_bytes() == b"wheel"
    assert (folder / "docs" / "readme.txt").read_bytes() == b"read me"


def test_without_a_place_it_tells_what_there_is(run):
    result = run()
    assert (result["changed"], result["name"], result["version"]) == (False, "platform", "1")
    assert len(result["sha256"]) == 64
    assert [one["name"] for one in result["all_images"]] == [REGISTRY, APP]
    assert result["all_images"][0]["platforms"] == ["linux/amd64"]
    assert {one["path"] for one in result["files"]} == {"docs/readme.txt", "wheels/x-1-py3-none-any.whl"}


def test_a_damaged_layer_is_not_written(run, volume, writer, tmp_path):
    top = writer.images[REGISTRY]["digest"]
    layer = max(needed_by(writer, top), key=lambda digest: writer.sizes[digest])
    flip(volume, offset_of(volume, f"blobs/sha256/{layer[7:]}")[0] + 5)
    target = tmp_path / "images.tar"
    target.write_bytes(b"old")
    result = run(images_to=str(target))
    assert "it is damaged" in result["msg"]
    assert target.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images.tar", "in"]


def test_a_damaged_file_is_not_written(run, volume, tmp_path):
    flip(volume, offset_of(volume, "files/docs/readme.txt")[0] + 1)
    result = run(files_to=str(tmp_path / "out"), kinds=["file"])
    assert "it is damaged" in result["msg"]
    assert not list((tmp_path / "out").rglob("*.txt"))


def test_an_image_that_is_not_there_is_named(run, tmp_path):
    result = run(images_to=str(tmp_path / "images.tar"), images=["docker.io/library/none:1"])
    assert "it has no docker.io/library/none:1" in result["msg"]


def test_a_folder_that_is_not_there_is_named(run):
    result = run(images_to="/nowhere/images.tar")
    assert "/nowhere/images.tar" in result["where"]
    assert "See that its folder exists" in result["remedy"]


def test_another_key_opens_nothing(run, tmp_path):
    result = run(images_to=str(tmp_path / "images.tar"), trusted_keys=[Key().public])
    assert result["failed"] is True
    assert not (tmp_path / "images.tar").exists()


def test_a_volume_that_is_missing_is_named(run_module, writer, tmp_path):
    writer.volumes = 2
    writer.volume = 2
    writer.image("docker.io/library/late:1", writer.manifest(b"late" * 100))
    first, _second = writer.write(tmp_path / "two", KEY)
    options = {"bundle": [str(first)], "trusted_keys": [KEY.public], "images_to": str(tmp_path / "images.tar")}
    assert run_module(bundle_extract, **options)["changed"] is True
    result = run_module(bundle_extract, **options, images=["docker.io/library/late:1"])
    assert "is in volume 2, which is not at hand" in result["msg"]


def test_what_a_delta_leaves_out_is_named(run_module, writer, tmp_path):
    writer.parent = {"name": "platform", "version": "0", "sha256": "0" * 64}
    top = writer.images[REGISTRY]["digest"]
    writer.places[max(needed_by(writer, top), key=lambda digest: writer.sizes[digest])] = 0
    paths = writer.write(tmp_path / "delta", KEY)
    options = {"bundle": [str(path) for path in paths], "trusted_keys": [KEY.public]}
    result = run_module(bundle_extract, **options, images_to=str(tmp_path / "images.tar"))
    assert "is in platform 0, on which this delta builds, which is not at hand" in result["msg"]
