# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Contents are put into as few volumes as they need, images stay together, and every byte is foreseen."""

from __future__ import annotations

import hashlib
import io
import tarfile

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _bundle_format as fmt
from ansible_collections.homeport.registry.plugins.module_utils import _bundle_write as writing
from ansible_collections.homeport.registry.plugins.module_utils._bundle_archive import Volume
from ansible_collections.homeport.registry.plugins.module_utils._bundle_errors import ContentError, SpaceError
from ansible_collections.homeport.registry.plugins.module_utils._bundle_volumes import assign, overhead
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import OCI_MANIFEST, digest_of


def content(name: str, size: int) -> bytes:
    return (name.encode() * (size // len(name) + 1))[:size]


def bundle(images: dict[str, list[int]], shared: int = 0, bootstrap: str = "") -> fmt.Bundle:
    """Return a bundle of images with layers of these sizes, in bytes, and one that all of them share."""
    manifests: dict[str, fmt.ManifestEntry] = {}
    blobs: dict[str, fmt.Blob] = {}
    made: list[fmt.Image] = []
    for name, sizes in images.items():
        layers = [digest_of(content(f"{name}{number}", size)) for number, size in enumerate(sizes)]
        blobs |= {digest: fmt.Blob(size, 1) for digest, size in zip(layers, sizes)}
        if shared:
            layers.append(digest_of(content("shared", shared)))
            blobs[layers[-1]] = fmt.Blob(shared, 1)
        top = digest_of(content(name, 100))
        blobs[top] = fmt.Blob(100, 1)
        manifests[top] = fmt.ManifestEntry(OCI_MANIFEST, 100, (), tuple(layers), None)
        full = f"docker.io/library/{name}:1"
        made.append(fmt.Image(full, top, OCI_MANIFEST, 100, (), name == bootstrap, (), {}))
    made.sort(key=lambda image: image.name)
    return fmt.Bundle("shop", "1", "0" * 64, None, tuple(made), manifests, blobs, (), 1)


def where(found: fmt.Bundle) -> dict[str, list[int]]:
    return {image.name.split("/")[-1][:-2]: found.volumes_of(image) for image in found.images}


def size_of(found: fmt.Bundle, number: int) -> int:
    return writing.volume_size(writing.members(found, number, "x" * 300, lambda path, digest: path))


def test_without_a_size_there_is_one_volume():
    found = assign(bundle({"a": [1000, 2000]}), None, ())
    assert (found.volumes, where(found)) == (1, {"a": [1]})


@pytest.mark.parametrize(
    ("images", "room", "places"),
    [
        # Two images for each volume, and none is divided.
        ({"a": [4000], "b": [4000], "c": [4000], "d": [4000]}, 12000, {"a": [1], "b": [1], "c": [2], "d": [2]}),
        # One image that does not fit is divided.
        ({"a": [4000, 4000, 4000]}, 10000, {"a": [1, 2]}),
        # Together they would need three volumes, so they are divided.
        ({"a": [4000, 3000], "b": [4000, 3000], "c": [3000, 2000]}, 13000, None),
    ],
)
def test_images_stay_together_where_that_costs_nothing(images, room, places):
    whole = bundle(images)
    limit = overhead(whole) + room
    found = assign(whole, limit, ())
    fmt.check(found)
    assert all(size_of(found, number) <= limit for number in range(1, found.volumes + 1))
    if places is None:
        total = sum(writing.member_cost(fmt.blob_path(d), blob.size) for d, blob in found.blobs.items())
        assert found.volumes == -(-total // room) == 2
    else:
        assert where(found) == places


def test_what_has_to_run_first_comes_first():
    found = assign(bundle({"a": [4000], "z": [3000]}, bootstrap="z"), overhead(bundle({"a": [1], "z": [1]})) + 6000, ())
    assert where(found) == {"a": [2], "z": [1]}


@pytest.mark.parametrize(("bootstrap", "known", "left"), [("", "", True), ("b", "", False), ("b", "b", True)])
def test_a_delta_carries_all_of_what_nodes_start_from_unless_they_have_it(bootstrap, known, left):
    whole = bundle({"a": [1000], "b": [1000]}, shared=5000, bootstrap=bootstrap)
    shared = digest_of(content("shared", 5000))
    tops = {image.name.split("/")[-1][:-2]: image.digest for image in whole.images}
    found = assign(whole, None, {shared, tops["a"], *([tops[known]] if known else [])})
    assert (found.blobs[shared].volume == fmt.ELSEWHERE) is left
    assert all(found.blobs[digest].volume == 1 for digest in tops.values())


def test_what_is_shared_is_there_once():
    whole = bundle({"a": [1000], "b": [1000]}, shared=50_000)
    found = assign(whole, overhead(whole) + 54_000, ())
    assert found.volumes == 2
    assert sorted(where(found).values()) == [[1], [1, 2]]


def test_what_the_receiver_has_takes_no_room_but_manifests_come_along():
    whole = bundle({"a": [1000, 2000], "b": [3000]})
    found = assign(whole, overhead(whole) + 8000, set(whole.blobs))
    assert found.volumes == 1
    assert [digest for digest, blob in found.blobs.items() if blob.volume] == list(found.manifests)
    fmt.check(found)


def test_the_smallest_volume_that_is_named_is_enough():
    whole = bundle({"a": [1000, 5000]})
    with pytest.raises(SpaceError) as caught:
        assign(whole, overhead(whole) + 5000, ())
    least = int(caught.value.remedy.split("at least ")[1].split()[0])
    assert "docker.io/library/a:1" in caught.value.where
    assert assign(whole, least, ()).volumes == 2
    with pytest.raises(SpaceError):
        assign(whole, least - 1, ())


@pytest.mark.parametrize("name", ["bundle.json", "files/" + "long/" * 30 + "name", "files/" + "n" * 120])
@pytest.mark.parametrize("size", [0, 1, 512, 8 << 30, 1 << 40])
def test_a_header_is_read_as_it_was_meant(name, size):
    made = writing.header(name, size)
    assert len(made) % 512 == 0
    assert writing.member_cost(name, size) == len(made) + -(-size // 512) * 512
    with tarfile.open(fileobj=io.BytesIO(made + b"\0" * 1024)) as archive:
        member = vars(archive)["firstmember"]
    assert (member.name, member.size, member.mtime, member.uid) == (name, size, 0, 0)


def write(path, found: fmt.Bundle, folder) -> list[writing.Member]:
    for name in ("a0", "a1"):
        for size in (1000, 2000):
            made = content(name, size)
            (folder / digest_of(made).replace(":", "-")).write_bytes(made)
    (folder / digest_of(content("a", 100)).replace(":", "-")).write_bytes(content("a", 100))
    return writing.members(found, 1, "signature", lambda _path, digest: str(folder / digest.replace(":", "-")))


def test_a_volume_is_what_was_foreseen_and_is_known_again(tmp_path):
    found = bundle({"a": [1000, 2000]})
    members = write(tmp_path / "volume", found, tmp_path)
    sha256 = writing.write(str(tmp_path / "volume"), members)
    body = (tmp_path / "volume").read_bytes()
    assert sha256 == hashlib.sha256(body).hexdigest()
    assert len(body) == writing.volume_size(members)
    assert writing.matches(str(tmp_path / "volume"), members) == sha256
    with Volume(str(tmp_path / "volume")) as volume:
        assert list(volume.members) == [member.name for member in members]
        assert volume.read(fmt.DOCUMENT) == found.dump()
    for place in (0, 512, len(body) // 2, len(body) - 1):
        (tmp_path / "volume").write_bytes(body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :])
        assert writing.matches(str(tmp_path / "volume"), members) == ""
    for other in (body[:-512], body + b"\0" * 512, b""):
        (tmp_path / "volume").write_bytes(other)
        assert writing.matches(str(tmp_path / "volume"), members) == ""
    assert writing.matches(str(tmp_path / "nothing"), members) == ""


@pytest.mark.parametrize("spoil", [lambda body: body[:-1], lambda body: body + b"x", lambda body: b"x" + body[1:]])
def test_a_content_that_is_not_its_digest_gets_into_no_volume(tmp_path, spoil):
    members = write(tmp_path / "volume", bundle({"a": [1000, 2000]}), tmp_path)
    path = tmp_path / members[-1].digest.replace(":", "-")
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ContentError, match=members[-1].name):
        writing.write(str(tmp_path / "volume"), members)
    assert not (tmp_path / "volume").exists()
