# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bundle's document is read strictly, written in one form, and everything else follows from it."""

from __future__ import annotations

import json

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _bundle_format as fmt
from ansible_collections.homeport.registry.plugins.module_utils._bundle_errors import FormatError

from .documents import CHILD, CONFIG, INDEX, LAYER, NAME, SBOM, SIGNATURE, bundle, document


def test_what_is_written_is_read_again_byte_for_byte():
    body = fmt.canonical(document())
    assert body.endswith(b"}\n")
    assert b": " not in body
    assert fmt.parse(body).dump() == body


def test_volumes_are_numbered_only_when_there_are_more():
    assert fmt.volume_name("shop", "1", 1, 1) == "bundle-shop-1.tar"
    assert bundle().file_names() == ["bundle-shop-2026.11.vol01.tar", "bundle-shop-2026.11.vol02.tar"]


def test_the_order_of_manifests_is_one_that_a_registry_accepts():
    whole = bundle()
    assert whole.manifests_of(whole.images[0]) == [CHILD, INDEX, SBOM, SIGNATURE]
    assert whole.blobs_of(whole.images[0]) == [CONFIG, LAYER]
    assert whole.volumes_of(whole.images[0]) == [1, 2]


def test_members_are_blobs_by_digest_then_files():
    assert [path for path, _size, _digest in bundle().members(1)] == [
        *sorted(fmt.blob_path(digest) for digest in (INDEX, CHILD, SBOM)),
        "files/wheels/demo-1-py3-none-any.whl",
    ]
    assert bundle().members(2) == [
        (fmt.blob_path(LAYER), 5000, LAYER),
        (fmt.blob_path(SIGNATURE), 100, SIGNATURE),
    ]


def test_an_index_names_the_images_of_its_volume():
    first, second = (json.loads(bundle().index(number))["manifests"] for number in (1, 2))
    assert [one["digest"] for one in first] == [INDEX, SBOM]
    assert first[0]["annotations"] == {fmt.REF_NAME: NAME, fmt.CONTAINERD_NAME: NAME}
    assert "annotations" not in first[1]
    assert [one["digest"] for one in second] == [SIGNATURE]


def change(path, value):
    """Return a function that puts a value into a document, or takes the key out for `...`."""

    def apply(made):
        *folders, last = path
        for key in folders:
            made = made[key]
        if value is ...:
            del made[last]
        else:
            made[last] = value

    return apply


FILE = "files", 0
WRONG = {
    "another schema": (change(["schema"], "homeport.bundle/v2"), "schema: .*v2"),
    "no name": (change(["name"], ...), "name: it is missing"),
    "a name with a slash": (change(["name"], "a/b"), "name: .*does not match"),
    "a version with a dot in front": (change(["version"], ".1"), "version: .*does not match"),
    "an unknown key": (change(["colour"], "red"), "colour: it is not known"),
    "an unknown key of an image": (change(["images", 0, "colour"], "red"), r"images\[0\]\.colour"),
    "a number as text": (change(["blobs", LAYER, "size"], "5000"), "size: .*no whole number"),
    "true as a number": (change(["blobs", LAYER, "size"], True), "size: .*no whole number"),
    "a negative size": (change(["blobs", LAYER, "size"], -1), "size: -1 is no"),
    "a short digest": (change(["images", 0, "digest"], "sha256:abc"), r"images\[0\]\.digest: .*no digest"),
    "a short checksum": (change(["lock_sha256"], "abc"), "lock_sha256"),
    "no list": (change(["images"], {}), "images: .*no list"),
    "a list of texts": (change(["images"], ["x"]), r"images\[0\]: it is no object"),
    "bootstrap as text": (change(["images", 0, "bootstrap"], "yes"), "bootstrap: .*neither true nor false"),
    "a tag with a slash": (change(["images", 0, "tags"], {"a/b": SBOM}), "tags: .*no tag"),
    "a path that leads out": (change([*FILE, "path"], "files/../../etc/passwd"), "path: .*no plain path"),
    "an absolute path": (change([*FILE, "path"], "/files/x"), "path: .*no plain path"),
    "a path elsewhere": (change([*FILE, "path"], "blobs/x"), "path: .*no plain path"),
    "a path with a line break": (change([*FILE, "path"], "files/a\nb"), "path: .*no text"),
    "a hidden file": (change([*FILE, "path"], "files/.netrc"), "path: .*no plain path"),
    "a kind": (change([*FILE, "kind"], "rpm"), "kind: 'rpm' is none of"),
    "no volume": (change(["volumes"], 0), "volumes: 0 is no"),
    "a blob in a volume that is not": (change(["blobs", LAYER, "volume"], 3), "in volume 3 of 2"),
    "a file in a volume that is not": (change([*FILE, "volume"], 3), "in volume 3 of 2"),
    "a manifest that is not listed": (change(["manifests", SBOM], ...), f"needs the manifest {SBOM}"),
    "a child that is not listed": (change(["manifests", CHILD], ...), f"needs the manifest {CHILD}"),
    "a blob that is not listed": (change(["blobs", LAYER], ...), f"needs the blob {LAYER}"),
    "a manifest that is no blob": (change(["blobs", CHILD], ...), f"{CHILD} is not among the blobs"),
    "two sizes": (change(["blobs", CHILD, "size"], 201), f"{CHILD} has two sizes"),
    "another size of an image": (change(["images", 0, "size"], 301), "differ in size"),
    "a blob that nobody needs": (change(["blobs", f"sha256:{'9' * 64}"], {"size": 1, "volume": 1}), "no image needs"),
    "the same file twice": (lambda made: made["files"].append(made["files"][0]), "files are not in order"),
    "the same image twice": (lambda made: made["images"].append(made["images"][0]), "images are not in order"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_document_is_refused_with_the_place_of_its_fault(name):
    spoil, words = WRONG[name]
    made = document()
    spoil(made)
    with pytest.raises(FormatError, match=words) as caught:
        fmt.parse(fmt.canonical(made), "bundle-x.tar")
    assert caught.value.where == "bundle-x.tar"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "no JSON"),
        (b"\xff", "no JSON"),
        (b"[" * 100000, "no JSON"),
        (b"[]", "it is no object"),
        (b'{"schema":"homeport.bundle/v1","schema":"homeport.bundle/v1"}', "a key twice"),
        (json.dumps(document()).encode(), "canonical form"),
        (fmt.canonical(document()) + b"\n", "canonical form"),
    ],
)
def test_other_bytes_are_refused(body, words):
    with pytest.raises(FormatError, match=words):
        fmt.parse(body)
