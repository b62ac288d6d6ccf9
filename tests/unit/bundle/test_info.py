# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""bundle_info says what there is, once and one by one, and what is new to a receiver."""

from __future__ import annotations

import json

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _bundle_format as fmt
from ansible_collections.homeport.registry.plugins.module_utils import _bundle_lock as locking
from ansible_collections.homeport.registry.plugins.modules import bundle_info

from .documents import NAME, bundle
from .test_volumes import bundle as images


@pytest.fixture
def info(run_module, tmp_path):
    def info(made: fmt.Bundle | None = None, *, check=False, **options):
        if made is not None:
            (tmp_path / "bundle.json").write_bytes(made.dump())
            options |= {"bundle": str(tmp_path / "bundle.json")}
        return run_module(bundle_info, check=check, **options)

    return info


@pytest.fixture
def lock(tmp_path):
    """Write the lock of a bundle and return its path."""

    def lock(made: fmt.Bundle) -> str:
        sizes = {digest: blob.size for digest, blob in made.blobs.items()}
        files = tuple(locking.LockedFile(file._replace(volume=1), locking.INDEX) for file in made.files)
        document = locking.Lock(made.name, made.version, made.images, made.manifests, sizes, files)
        path = tmp_path / "bundle.lock.json"
        path.write_bytes(document.dump())
        return str(path)

    return lock


def test_what_is_shared_counts_once(info):
    result = info(images({"a": [1000], "b": [2000, 3000]}, shared=50_000), check=True)
    assert [(one["name"][-3:], one["bytes"], one["unique_bytes"], one["shared_bytes"]) for one in result["images"]] == [
        ("a:1", 51_100, 1100, 50_000),
        ("b:1", 55_100, 5100, 50_000),
    ]
    assert result["totals"] == {
        "images": 2,
        "contents": 6,
        "image_bytes": 56_200,
        "image_bytes_one_by_one": 106_200,
        "new_image_bytes": 56_200,
        "files": 0,
        "collection_bytes": 0,
        "wheel_bytes": 0,
        "file_bytes": 0,
        "volume_bytes": result["volumes"][0]["bytes"],
    }
    assert (result["name"], result["version"], result["parent"]) == ("shop", "1", None)
    assert "47 % less than one by one" in result["summary"][1]
    assert "minutes" not in result


def test_a_bundle_that_has_something_of_everything(info):
    result = info(bundle(), bandwidth=0.001)
    (image,) = result["images"]
    # The configuration lies at the receiver.
    assert (image["name"], image["bytes"], image["new_bytes"], image["volumes"]) == (NAME, 5702, 5700, [1, 2])
    assert result["parent"] == {"name": "shop", "version": "2026.10", "sha256": "1" * 64}
    assert [volume["file"] for volume in result["volumes"]] == bundle().file_names()
    assert result["totals"]["wheel_bytes"] == 40
    assert result["minutes"]["push"] == 0.8
    assert result["minutes"]["carry"] == round(result["totals"]["volume_bytes"] * 8 / 1000 / 60, 1)


def test_a_plan_from_a_lock_alone(info, lock, tmp_path):
    whole = images({"a": [40_000], "b": [30_000]})
    path = lock(whole)
    alone = info(lock=path)
    assert [volume["number"] for volume in alone["volumes"]] == [1]
    divided = info(lock=path, volume_size="60K")
    assert [volume["number"] for volume in divided["volumes"]] == [1, 2]
    assert all(volume["bytes"] <= 60 << 10 for volume in divided["volumes"])
    old = images({"a": [40_000]})
    (tmp_path / "parent.json").write_bytes(old.dump())
    delta = info(lock=path, parent=str(tmp_path / "parent.json"))
    # Manifests are carried, though they are nothing new.
    assert delta["totals"]["new_image_bytes"] == 30_100
    assert [image["new_bytes"] for image in delta["images"]] == [0, 30_100]
    assert alone["totals"]["volume_bytes"] - delta["totals"]["volume_bytes"] > 40_000
    (tmp_path / "inventory.json").write_text(json.dumps({"digests": sorted(old.blobs)}))
    assert info(lock=path, inventory=str(tmp_path / "inventory.json"))["totals"] == delta["totals"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "one of the following is required: lock, bundle"),
        ({"bundle": "/nowhere"}, "it does not exist"),
        ({"lock": "/nowhere"}, "it does not exist"),
        ({"bundle": "/nowhere", "bandwidth": 0}, "it is not above zero"),
        ({"bundle": "/etc/hostname"}, "it is no JSON"),
    ],
)
def test_what_cannot_be_used_is_named(info, options, words):
    result = info(**options)
    assert result["failed"]
    assert words in result["msg"]
