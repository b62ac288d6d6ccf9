# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""bundle_verify through its real entry point, on bundles that are broken in every way there is."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tarfile

import pytest

from ansible_collections.homeport.registry.plugins.modules import bundle_verify

from .writer import Key, Writer, add, digest_of, flip, offset_of

KEY, OTHER_KEY = Key(), Key()
ONE, TWO, SHARED = b"one" * 50_000, b"two" * 40_000, b"shared" * 30_000


def fill(writer):
    """Two images over as many volumes as the writer has, with everything that a bundle may hold."""
    writer.volume = 1
    index = writer.index(writer.manifest(SHARED, ONE), absent=1)
    signature = writer.referrer(index)
    writer.volume = writer.volumes
    plain = writer.manifest(SHARED, TWO, kind="docker", indent=3)
    writer.image("docker.io/library/one:1", index, referrers=[signature])
    writer.image("quay.io/two/two:2", plain)
    writer.file("files/wheels/x.whl", b"wheel")
    return writer


@pytest.fixture(params=[1, 2])
def volumes(request):
    return request.param


@pytest.fixture
def bundle(tmp_path, volumes):
    writer = fill(Writer(volumes=volumes))
    return writer, writer.write(tmp_path / "in", KEY)


@pytest.fixture
def run(run_module):
    def run(paths, keys=(KEY.public,), **options):
        return run_module(bundle_verify, bundle=[str(path) for path in paths], trusted_keys=list(keys), **options)

    return run


def found(result):
    return [(one["kind"], one["volume"], one["content"]) for one in result["problems"]]


def test_a_sound_bundle(run, bundle, tmp_path, volumes):
    writer, paths = bundle
    for given in (paths, paths[::-1], [tmp_path / "in"], [*paths, tmp_path / "in"]):
        result = run(given)
        assert result["verified"] is True
        assert result["problems"] == []
        assert result["changed"] is False
    assert (result["name"], result["version"], result["parent"]) == ("platform", "1", None)
    assert result["sha256"] == digest_of(writer.document())[7:]
    assert result["signed_by"].startswith("SHA256:")
    assert [one["number"] for one in result["volumes"]] == list(range(1, volumes + 1))
    assert result["missing_volumes"] == []
    assert result["checked"]["bytes"] == sum(writer.sizes.values()) + 5
    assert run(paths, check=True)["verified"] is True
    assert run(paths, content=False)["checked"]["bytes"] == 0


def test_a_flipped_bit_in_any_content_is_named(run, bundle):
    writer, paths = bundle
    chance = random.Random(1)
    for name, content in writer.contents.items():
        place = writer.files[name]["volume"] if name in writer.files else writer.places[name]
        member = name if name in writer.files else f"blobs/sha256/{name[7:]}"
        path = paths[place - 1]
        start, size = offset_of(path, member)
        assert size == len(content)
        at = start + chance.randrange(size)
        flip(path, at)
        result = run(paths)
        assert result["failed"]
        assert found(result) == [("damaged", place, name)], name
        assert name in result["msg"]
        assert str(path) in result["msg"]
        flip(path, at)
    assert run(paths)["verified"] is True


def test_a_flipped_bit_anywhere_else_is_found_too(run, bundle):
    """Headers, the document, the signature, the layout: a bit is nowhere without meaning but in filling and times."""
    _writer, paths = bundle
    path = paths[0]
    for name in ("bundle.json", "bundle.json.sig", "oci-layout", "index.json"):
        start, size = offset_of(path, name)
        for at in (start, start + size // 2, start - 512, start - 512 + 124 + 10, start - 512 + 156):
            flip(path, at)
            assert run(paths)["failed"], (name, at - start)
            flip(path, at)
    assert run(paths)["verified"] is True


def test_wrong_keys(run, bundle):
    _writer, paths = bundle
    result = run(paths, [OTHER_KEY.public])
    assert {one["kind"] for one in result["problems"]} == {"signature"}
    assert "name" not in result
    assert "Find out who has signed this" in result["msg"]
    assert run(paths, [OTHER_KEY.public, KEY.public])["verified"] is True
    assert "no key is trusted" in run(paths, [])["msg"]
    assert "is no public key" in run(paths, ["ssh-ed25519 AAAA"])["msg"]
    unsigned = run(paths, [], allow_unsigned=True)
    assert (unsigned["verified"], unsigned["signed_by"]) == (True, "")
    # A key that is given is asked for all the same.
    assert run(paths, [OTHER_KEY.public], allow_unsigned=True)["failed"]


def test_a_bundle_without_signature(run, tmp_path):
    paths = fill(Writer()).write(tmp_path / "unsigned", None)
    assert "it is not signed" in run(paths)["msg"]
    assert run(paths, [], allow_unsigned=True)["verified"] is True


def test_a_missing_volume(run, tmp_path):
    paths = fill(Writer(volumes=2)).write(tmp_path, KEY)
    result = run(paths[:1])
    assert found(result) == [("volume-missing", 2, "")]
    assert "bundle-platform-1.vol02.tar" in result["msg"]
    partial = run(paths[1:], partial=True)
    assert (partial["verified"], partial["missing_volumes"]) == (True, [1])


def test_swapped_and_foreign_volumes(run, tmp_path):
    paths = fill(Writer(volumes=2)).write(tmp_path / "a", KEY)
    older = fill(Writer(version="0", volumes=2)).write(tmp_path / "b", KEY)
    forged = fill(Writer(volumes=2)).write(tmp_path / "c", OTHER_KEY)
    # A name is no promise; the content says which volume it is.
    paths[0].rename(tmp_path / "x")
    paths[1].rename(paths[0])
    (tmp_path / "x").rename(paths[1])
    result = run(paths)
    assert result["verified"] is True
    assert [one["file"] for one in result["volumes"]] == [str(paths[1]), str(paths[0])]
    result = run([*paths, older[1]])
    assert found(result) == [("other-bundle", 0, "bundle.json")]
    assert "is a volume of platform 0" in result["msg"]
    assert found(run([paths[0], paths[0].rename(tmp_path / "again"), paths[1]]))[0][0] in ("unreadable", "volume-twice")
    result = run([paths[1], forged[1]])
    assert found(result) == [("signature", 0, "bundle.json"), ("volume-missing", 2, "")]


def test_the_same_volume_twice(run, tmp_path):
    paths = fill(Writer(volumes=2)).write(tmp_path / "a", KEY)
    copy = tmp_path / "copy.tar"
    copy.write_bytes(paths[0].read_bytes())
    result = run([paths[0], copy, paths[1]])
    assert found(result) == [("volume-twice", 1, "")]
    assert str(copy) in result["msg"]


def test_a_cut_volume_is_named(run, bundle, volumes):
    _writer, paths = bundle
    os.truncate(paths[-1], paths[-1].stat().st_size // 2)
    result = run(paths)
    assert result["problems"][0]["kind"] == "unreadable"
    assert str(paths[-1]) in result["msg"]
    assert "cut off" in result["msg"]
    assert ("name" in result) == (volumes == 2)


def repack(path, change):
    """Write a tar again with other members; `change` gets and returns (name, content)."""
    with tarfile.open(path) as tar:
        members = [(one.name, content.read()) for one in tar if (content := tar.extractfile(one))]
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in change(members):
            add(tar, name, content)


def test_members_that_do_not_belong_there(run, tmp_path):
    writer = fill(Writer(volumes=2))
    paths = writer.write(tmp_path, KEY)
    digest = digest_of(TWO)
    strange = digest_of(b"strange")
    moved: list[tuple[str, bytes]] = []

    def take(members):
        moved.extend(one for one in members if one[0].endswith(digest[7:]))
        return [one for one in members if not one[0].endswith(digest[7:])]

    repack(paths[1], take)
    assert found(run(paths)) == [("member-missing", 2, digest)]
    # A program that nobody has signed must not come along, whatever it is called.
    added = [(f"blobs/sha256/{strange[7:]}", b"strange"), ("run.sh", b"x"), ("verify.py", b"x")]
    repack(paths[0], lambda members: [*members, *moved, *added])
    result = run(paths)
    foreign = (digest, strange, "run.sh", "verify.py")
    assert sorted(found(result)) == sorted(
        [("foreign-member", 1, content) for content in foreign] + [("member-missing", 2, digest)]
    )
    assert "belongs to volume 2" in " ".join(one["text"] for one in result["problems"])


def test_a_content_of_another_size(run, bundle, volumes):
    _writer, paths = bundle
    digest = digest_of(TWO)
    repack(paths[-1], lambda members: [(name, body[:-1] if digest[7:] in name else body) for name, body in members])
    assert found(run(paths)) == [("damaged", volumes, digest)]


def test_a_document_that_does_not_describe_its_manifests(run, tmp_path):
    """Signed or not: an image whose layers are not listed would be found incomplete inside only."""
    for change in (
        lambda entry: entry.update(blobs=entry["blobs"][:-1]),
        lambda entry: entry.update(subject=digest_of(b"another")),
    ):
        writer = Writer()
        top = writer.manifest(ONE)
        writer.image("docker.io/library/one:1", top)
        change(writer.manifests[top])
        listed = {top, *writer.manifests[top]["blobs"]}
        for digest in set(writer.sizes) - listed:
            del writer.sizes[digest]
        result = run(writer.write(tmp_path, KEY))
        assert ("damaged", 1, top) in found(result)
        assert "the signed document says" in result["msg"]


def test_a_delta_and_its_parent(run, tmp_path):
    parent = Writer()
    parent.image("docker.io/library/one:1", parent.manifest(SHARED, ONE))
    old = parent.write(tmp_path / "parent", KEY)
    link = {"name": "platform", "version": "1", "sha256": digest_of(parent.document())[7:]}
    delta = Writer(version="2", parent=link)
    delta.places[digest_of(SHARED)] = 0
    delta.image("docker.io/library/one:1", delta.manifest(SHARED, TWO))
    new = delta.write(tmp_path / "delta", KEY)
    result = run(new)
    assert (result["verified"], result["parent"]) == (True, link)
    assert run(new, parent=[str(old[0])])["verified"] is True
    stranger = Writer(version="9")
    stranger.image("docker.io/library/one:1", stranger.manifest(ONE))
    other = stranger.write(tmp_path / "other", KEY)
    result = run(new, parent=[str(other[0])])
    assert found(result) == [("other-parent", 0, ""), ("not-in-parent", 0, digest_of(SHARED))]


def test_a_report_does_not_fail(run, bundle):
    _writer, paths = bundle
    flip(paths[0], offset_of(paths[0], f"blobs/sha256/{digest_of(SHARED)[7:]}")[0])
    result = run(paths, report_only=True)
    assert not result.get("failed")
    assert result["verified"] is False
    assert len(result["problems"]) == 1


def test_what_is_no_bundle(run, tmp_path):
    (tmp_path / "text").write_text("hello " * 1000)
    for path, saying in (
        (tmp_path / "none", "No such file"),
        (tmp_path / "text", "it is no tar"),
        (tmp_path, "no bundle-"),
    ):
        result = run([path])
        assert result["failed"]
        assert saying in result["msg"]
        assert result["verified"] is False


def test_memory_stays_flat(tmp_path):
    """A layer of 200 MB, most of it a hole, needs no more memory than a small one."""
    layer = tmp_path / "layer"
    layer.touch()
    os.truncate(layer, 200 << 20)
    writer = Writer()
    writer.image("docker.io/library/one:1", writer.manifest(layer))
    (path,) = writer.write(tmp_path, KEY)
    program = (
        "import re, sys\n"
        "from ansible_collections.homeport.registry.plugins.module_utils import _bundle_check as check\n"
        "opened = check.open_bundle([sys.argv[1]], [], allow_unsigned=True)\n"
        "read, findings = check.check_content(opened, threads=2)\n"
        "assert read > 200 << 20 and not findings, findings\n"
        # The peak that the system counts for a child begins with the parent's.
        "print(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1])\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert int(done.stdout) < 96 << 10
