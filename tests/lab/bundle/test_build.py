# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""bundle_build from a real registry: the same bytes every time, whole, and readable by others."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _bundle_format as fmt
from ansible_collections.homeport.registry.plugins.module_utils._bundle_check import check_content, open_bundle
from ansible_collections.homeport.registry.plugins.module_utils._bundle_lock import parse_lock
from ansible_collections.homeport.registry.plugins.module_utils._registry_client import get_manifest
from ansible_collections.homeport.registry.plugins.modules import bundle_info, bundle_inventory, inventory_info
from tests.lab.bundle.shelves import collection
from tests.lab.inventory.images import Store

PLATFORMS = ["linux/amd64", "linux/arm64"]


@pytest.fixture
def images(stock, workplace):
    """Push images of every kind and return their names; a folder of files lies beside the lock."""
    index, children = stock.multi("library/nginx", "1.27", attested=True)
    stock.multi("app", "1", docker=True)
    stock.referrer("library/nginx", index)
    stock.signature("library/nginx", children["linux/amd64"])
    (workplace / "manifests").mkdir()
    (workplace / "manifests/app.yml").write_text("kind: List\n")
    collection(workplace / "given", "demo.shop", "1.0.0")
    return ["nginx:1.27", {"name": "quay.example.com/app:1", "bootstrap": True}]


@pytest.fixture
def locked(lock, images, workplace):
    lock(*images, platforms=PLATFORMS, files=["manifests"], collections=["given/demo-shop-1.0.0.tar.gz"])
    path = workplace / "bundle.lock.json"
    return parse_lock(path.read_bytes(), str(path))


def opened(key, dest):
    return open_bundle([str(dest)], [key.with_suffix(".pub").read_text()])


def contents(dest: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(dest.iterdir())}


def whole(key, dest) -> fmt.Bundle:
    """Return the bundle in a folder after reading all of it."""
    with opened(key, dest) as bundle:
        read, findings = check_content(bundle, threads=2)
        assert not bundle.findings
        assert not findings
        assert not bundle.missing
        assert read
        return bundle.bundle


def test_a_bundle_is_built_once(locked, build, dest, key, tmp_path):
    plan = build(check=True, diff=True)
    assert plan["changed"]
    assert not list(dest.iterdir())
    result = build(diff=True)
    file = dest / "bundle-shop-1.tar"
    assert plan["diff"] == result["diff"] == {"before": {}, "after": {str(file): file.stat().st_size}}
    assert list(contents(dest)) == [file.name]
    assert result["changed"]
    assert result["volumes"] == [
        {
            "number": 1,
            "file": str(file),
            "bytes": file.stat().st_size,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            "changed": True,
        }
    ]
    assert result["bytes"] == file.stat().st_size
    assert (result["name"], result["version"], result["removed"]) == ("shop", "1", [])
    assert result["left_out_bytes"] == 0
    assert plan["download"] == result["download"]
    # Manifests were kept when they were locked.
    assert result["download"]["bytes"] < sum(locked.blobs.values())
    assert plan["sha256"] == result["sha256"]
    bundle = whole(key, dest)
    assert bundle.lock_sha256 == hashlib.sha256(locked.dump()).hexdigest()
    with opened(key, dest) as found:
        assert (found.sha256, found.signer) == (result["sha256"], result["signed_by"])
    before = file.stat().st_mtime_ns
    for check in (True, False):
        again = build(check=check, diff=True)
        assert not again["changed"]
        assert again["diff"] == {"before": {}, "after": {}}
        assert again["volumes"] == [result["volumes"][0] | {"changed": False}]
        assert again["download"] == {"contents": 0, "bytes": 0}
    assert file.stat().st_mtime_ns == before


@pytest.mark.parametrize("volume_size", [None, "60K"])
def test_two_builds_are_the_same_bytes(locked, build, dest, tmp_path, monkeypatch, volume_size):
    options = {"volume_size": volume_size} if volume_size else {}
    build(**options)
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    build(dest=str(other), cache=str(tmp_path / "other-cache"), threads=1, **options)
    assert contents(dest) == contents(other)
    assert len(contents(dest)) == (1 if volume_size is None else 2)


def test_the_tar_is_plain_and_in_order(locked, build, dest):
    build()
    with tarfile.open(dest / "bundle-shop-1.tar") as archive:
        members = archive.getmembers()
    names = [member.name for member in members]
    assert names[:4] == ["bundle.json", "bundle.json.sig", "oci-layout", "index.json"]
    blobs = [name for name in names if name.startswith("blobs/")]
    assert names[4:] == sorted(blobs) + [
        "files/collections/demo-shop-1.0.0.tar.gz",
        "files/collections/requirements.yml",
        "files/manifests/app.yml",
    ]
    assert {(member.mtime, member.uid, member.gid, member.mode, member.uname) for member in members} == {
        (0, 0, 0, 0o644, "")
    }
    assert len(blobs) == len(locked.blobs)


def test_ssh_keygen_verifies_the_signature(locked, build, dest, key, tmp_path):
    build()
    with tarfile.open(dest / "bundle-shop-1.tar") as archive:
        archive.extractall(tmp_path / "out", filter="data")
    (tmp_path / "signers").write_text(f"builder {key.with_suffix('.pub').read_text()}")
    command = ["ssh-keygen", "-Y", "verify", "-f", str(tmp_path / "signers"), "-I", "builder", "-n", "homeport-bundle"]
    command += ["-s", str(tmp_path / "out/bundle.json.sig")]
    done = subprocess.run(command, input=(tmp_path / "out/bundle.json").read_bytes(), capture_output=True)
    assert done.returncode == 0, done.stdout


def test_skopeo_reads_the_layout(lock, stock, build, dest, tmp_path):
    program = shutil.which("skopeo")
    assert program, "make lab installs skopeo"
    index, _children = stock.multi("library/nginx", "1.27")
    lock("nginx:1.27")
    build()
    layout = tmp_path / "layout"
    with tarfile.open(dest / "bundle-shop-1.tar") as archive:
        archive.extractall(layout, filter="data")
    name = f"oci:{layout}:docker.io/library/nginx:1.27"
    done = subprocess.run([program, "inspect", "--raw", name], capture_output=True, check=True)
    # The whole index, though children of other platforms are absent.
    assert f"sha256:{hashlib.sha256(done.stdout).hexdigest()}" == index.digest
    command = [program, "--override-arch", "amd64", "--override-os", "linux", "inspect", name]
    done = subprocess.run(command, capture_output=True, check=True)
    assert json.loads(done.stdout)["Architecture"] == "amd64"


def test_manifests_are_those_of_the_source_byte_for_byte(locked, build, dest, stock):
    build()
    repositories = {image.name: image.name.split("/", 1)[1].rpartition(":")[0] for image in locked.images}
    with tarfile.open(dest / "bundle-shop-1.tar") as archive:
        for image in locked.images:
            for digest in locked.bundle().manifests_of(image):
                member = archive.extractfile(fmt.blob_path(digest))
                assert member is not None
                assert member.read() == get_manifest(stock.session, repositories[image.name], digest).body


def test_volumes_keep_to_their_size_and_to_their_images(locked, build, dest, key):
    result = build(volume_size="60K")
    assert len(result["volumes"]) == 2
    for volume in result["volumes"]:
        assert Path(volume["file"]).stat().st_size == volume["bytes"] <= 60 * 1024
    bundle = whole(key, dest)
    by_name = {image.name: image for image in bundle.images}
    # What has to run first is in the first volume.
    assert bundle.volumes_of(by_name["quay.example.com/app:1"]) == [1]
    for number in (1, 2):
        listed = json.loads(bundle.index(number))["manifests"]
        assert all(bundle.blobs[one["digest"]].volume == number for one in listed)


def test_another_volume_size_leaves_nothing_of_the_old_volumes(locked, build, dest, key):
    build(volume_size="60K")
    stranger = dest / "bundle-shop-1-old.tar"
    stranger.write_bytes(b"not of this bundle")
    plan = build(check=True)
    assert len(list(dest.iterdir())) == 3
    result = build()
    gone = [str(dest / f"bundle-shop-1.vol0{number}.tar") for number in (1, 2)]
    assert plan["removed"] == result["removed"] == gone
    assert list(contents(dest)) == ["bundle-shop-1-old.tar", "bundle-shop-1.tar"]
    stranger.unlink()
    whole(key, dest)


def test_only_a_damaged_volume_is_written_again(locked, build, dest):
    first = build(volume_size="60K")
    good = contents(dest)
    file = Path(first["volumes"][1]["file"])
    spoiled = bytearray(file.read_bytes())
    spoiled[len(spoiled) // 2] ^= 1
    file.write_bytes(spoiled)
    result = build(volume_size="60K")
    assert [volume["changed"] for volume in result["volumes"]] == [False, True]
    assert contents(dest) == good


def test_a_content_that_was_damaged_in_the_cache_is_fetched_again(locked, build, dest, key, tmp_path):
    build()
    shutil.rmtree(dest)
    dest.mkdir()
    largest = max(locked.blobs, key=lambda digest: locked.blobs[digest])
    path = tmp_path / "cache" / largest.replace(":", "/")
    path.write_bytes(b"x" * locked.blobs[largest])
    result = build()
    assert result["download"] == {"contents": 1, "bytes": locked.blobs[largest]}
    whole(key, dest)


def test_a_layer_that_is_larger_than_a_volume_is_named(lock, stock, build, dest):
    stock.image("app", "1", b"x" * 100_000)
    lock("quay.example.com/app:1", platforms=["all"])
    result = build(volume_size="50K")
    assert result["failed"]
    assert "of quay.example.com/app:1" in result["where"]
    assert "100352 bytes" in result["got"] or "takes 100864 bytes" in result["got"]
    least = int(result["remedy"].split("at least ")[1].split()[0])
    assert build(volume_size=str(least))["changed"]
    assert build(volume_size=str(least - 1), dest=str(dest))["failed"]


def test_a_delta_leaves_out_what_the_parent_has(lock, stock, build, dest, key, tmp_path):
    stock.plain("app", "1", "linux/amd64", b"an old layer " * 100)
    lock("quay.example.com/app:1")
    parent = build()
    stock.plain("app", "2", "linux/amd64", b"a new layer " * 100)
    lock("quay.example.com/app:2", version="2")
    result = build(parent=parent["volumes"][0]["file"], volume_size="1M")
    bundle_path = tmp_path / "delta"
    bundle_path.mkdir()
    shutil.move(dest / "bundle-shop-2.tar", bundle_path)
    bundle = whole(key, bundle_path)
    assert bundle.parent == fmt.Parent("shop", "1", parent["sha256"])
    # The base layer and the configuration.
    assert sorted(blob.size for blob in bundle.blobs.values() if not blob.volume)[-1] == len(stock.base)
    assert result["left_out_bytes"] >= len(stock.base)
    assert result["bytes"] < len(stock.base)
    assert all(bundle.blobs[digest].volume for digest in bundle.manifests)


def test_a_delta_leaves_out_what_the_receiver_has(lock, stock, build, server, run_module, tmp_path, workplace):
    stock.plain("app", "1", "linux/amd64", b"an old layer " * 100)
    inventory = run_module(inventory_info, url=server.url, timeout=20.0)
    path = tmp_path / "inventory.json"
    path.write_text(json.dumps(inventory["inventory"]))
    stock.plain("app", "2", "linux/amd64", b"a new layer " * 100)
    lock("quay.example.com/app:2", version="2")
    result = build(inventory=str(path))
    assert result["left_out_bytes"] >= len(stock.base)
    assert result["bytes"] < len(stock.base)
    # The same from what is made to be carried out.
    run_module(bundle_inventory, url=server.url, timeout=20.0, dest=str(path))
    stripped = build(inventory=str(path), check=True)
    assert stripped["left_out_bytes"] > result["left_out_bytes"]
    path.write_text("[]")
    assert "read the inventory" in build(inventory=str(path))["msg"]


def test_keys_of_other_kinds_sign_once(locked, build, dest, tmp_path):
    key = tmp_path / "ecdsa"
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "a secret", "-f", str(key)], check=True)
    result = build(key=str(key), key_passphrase="a secret", volume_size="60K")
    assert result["changed"]
    assert not build(key=str(key), key_passphrase="a secret", volume_size="60K")["changed"]
    assert "a secret" not in json.dumps(result)
    # Another key makes another bundle.
    assert build(volume_size="60K")["changed"]


def test_a_content_that_the_source_has_lost_is_named(locked, build, dest, server, tmp_path):
    largest = max(locked.blobs, key=lambda digest: locked.blobs[digest])
    shutil.rmtree(tmp_path / "cache")
    Store(tmp_path / "store-0").blob(largest).unlink()
    result = build()
    assert result["failed"]
    assert f"pull {largest} of " in result["msg"]
    assert server.url in result["where"]
    assert not list(dest.iterdir())


def test_a_content_that_the_source_has_damaged_is_refused(locked, build, dest, tmp_path):
    largest = max(locked.blobs, key=lambda digest: locked.blobs[digest])
    path = Store(tmp_path / "store-0").blob(largest)
    path.write_bytes(b"x" * locked.blobs[largest])
    result = build()
    assert result["failed"]
    assert largest in result["msg"]
    assert "Do not use this content" in result["msg"]
    assert not list(dest.iterdir())


def test_a_file_that_has_changed_since_it_was_locked_is_named(locked, build, dest, workplace):
    (workplace / "manifests/app.yml").write_text("kind: Pod\n")
    result = build()
    assert result["failed"]
    assert "files/manifests/app.yml" in result["msg"]
    assert not list(dest.iterdir())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lock": "/nowhere"}, "it does not exist"),
        ({"dest": "/nowhere"}, "this folder does not exist"),
        ({"key": "/nowhere"}, "it does not exist"),
        ({"key_passphrase": "needless"}, "it has none"),
        ({"volume_size": "large"}, "it is no size"),
        ({"volume_size": "1K"}, "has room for 0"),
        ({"parent": "/nowhere"}, "it does not exist"),
        ({"inventory": "/nowhere"}, "it does not exist"),
    ],
)
def test_what_cannot_be_used_is_named(locked, build, dest, options, words):
    result = build(**options)
    assert result["failed"]
    assert words in result["msg"]
    assert not list(dest.iterdir())


def test_what_is_foreseen_is_what_is_built(locked, build, run_module, workplace):
    foreseen = run_module(bundle_info, lock=str(workplace / "bundle.lock.json"), volume_size="60K")
    built = build(volume_size="60K")
    assert [volume["bytes"] for volume in foreseen["volumes"]] == [volume["bytes"] for volume in built["volumes"]]
    there = run_module(bundle_info, bundle=built["volumes"][0]["file"])
    assert there["images"] == foreseen["images"]
    assert there["totals"] == foreseen["totals"]
