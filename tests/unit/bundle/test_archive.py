# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tars that are read in place, and tars that are no volume of a bundle."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import typing as t
from concurrent.futures import ThreadPoolExecutor

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._bundle_archive import (
    ArchiveError,
    Member,
    Volume,
    find_volumes,
    open_volumes,
)

from .writer import add

CONTENTS = {"bundle.json": b"{}\n", "blobs/sha256/" + "a" * 64: os.urandom(3_000_000), "files/empty": b""}


def write(path, contents, form=tarfile.PAX_FORMAT):
    with tarfile.open(path, "w", format=form) as tar:
        for name, content in contents.items():
            add(tar, name, content)
    return path


@pytest.fixture
def plain(tmp_path):
    return write(tmp_path / "bundle-a-1.tar", CONTENTS)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_members_are_where_they_are(tmp_path, form):
    path = write(tmp_path / "x.tar", CONTENTS, form)
    with Volume(str(path)) as volume:
        assert {name: volume.read(name) for name in volume.members} == CONTENTS
        for name, member in volume.members.items():
            with path.open("rb") as stream:
                stream.seek(member.offset)
                assert stream.read(member.size) == CONTENTS[name]


def test_long_names_come_in_pax_headers(tmp_path):
    long = "files/" + "/".join(["part" * 20] * 4)
    with Volume(str(write(tmp_path / "x.tar", {long: b"x", "bundle.json": b"y"}))) as volume:
        assert [volume.read(name) for name in (long, "bundle.json")] == [b"x", b"y"]


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_sizes_that_eleven_octal_digits_cannot_hold(tmp_path, form):
    size = 9 << 30
    member = tarfile.TarInfo("files/large")
    member.size = size
    path = tmp_path / "large.tar"
    path.write_bytes(member.tobuf(form))
    start = path.stat().st_size
    # Holes cost no space.
    os.truncate(path, start + size + 1024)
    with Volume(str(path)) as volume:
        assert volume.members == {"files/large": Member(start, size)}
        assert volume.read_at(start + size - 3, 3) == b"\0\0\0"


def test_streams_have_positions_of_their_own(plain):
    name = next(name for name in CONTENTS if name.startswith("blobs"))
    with Volume(str(plain)) as volume:
        first, second = volume.opener(name)(), volume.opener(name)()
        assert first.read(10) == second.read(10) == CONTENTS[name][:10]
        first.seek(-5, os.SEEK_END)
        assert first.read() == CONTENTS[name][-5:]
        assert first.read(1) == b""
        assert second.tell() == 10
        assert second.read() == CONTENTS[name][10:]
        first.seek(3)
        assert io.BufferedReader(t.cast(io.RawIOBase, first)).read(4) == CONTENTS[name][3:7]


def test_many_threads_read_one_file(plain):
    name = next(name for name in CONTENTS if name.startswith("blobs"))
    with Volume(str(plain)) as volume, ThreadPoolExecutor(8) as pool:
        read = pool.map(
            lambda size: b"".join(map(bytes, volume.pieces(name, memoryview(bytearray(size))))), range(1000, 1024)
        )
        assert set(read) == {CONTENTS[name]}


def test_what_tar_itself_packs_is_refused_or_read(tmp_path):
    """Folders are no members of a bundle; the same files without them are."""
    (tmp_path / "files").mkdir()
    (tmp_path / "files/a").write_bytes(b"a")
    subprocess.run(["tar", "-C", tmp_path, "-cf", tmp_path / "with.tar", "files"], check=True)
    subprocess.run(["tar", "-C", tmp_path, "-cf", tmp_path / "without.tar", "files/a"], check=True)
    with pytest.raises(ArchiveError, match="'files/' is a folder"):
        Volume(str(tmp_path / "with.tar"))
    with Volume(str(tmp_path / "without.tar")) as volume:
        assert volume.read("files/a") == b"a"


def test_every_way_of_cutting_a_tar_is_noticed(tmp_path):
    path = write(tmp_path / "x.tar", {"a": b"x" * 700, "b": b"y"})
    whole = path.read_bytes()
    # Up to where the two blocks of the end begin.
    for size in range(0, 512 + 1024 + 512 + 512, 64):
        path.write_bytes(whole[:size])
        with pytest.raises(ArchiveError, match=r"cut off: [ab] needs|has no end|too short to be a tar"):
            Volume(str(path))


def test_a_cut_names_member_and_bytes(plain):
    os.truncate(plain, 2_000_000)
    name = next(name for name in CONTENTS if name.startswith("blobs"))
    with pytest.raises(ArchiveError) as caught:
        Volume(str(plain))
    assert f"{name} needs 3000000 bytes" in str(caught.value)
    assert "the file has 2000000" in str(caught.value)
    assert "Copy the file from its medium again" in caught.value.remedy


def test_a_file_that_shrinks_while_it_is_read(plain):
    name = next(name for name in CONTENTS if name.startswith("blobs"))
    with Volume(str(plain)) as volume:
        os.truncate(plain, 1_500_000)
        with pytest.raises(ArchiveError, match="ends at byte 1500000, inside of blobs"):
            list(volume.pieces(name, memoryview(bytearray(1 << 20))))
        with pytest.raises(ArchiveError, match="ends at byte 1500000"):
            volume.opener(name)().read()


def odd(name, kind=tarfile.REGTYPE, content=b"x", **more):
    member = tarfile.TarInfo(name)
    member.type = kind
    member.size = len(content) if kind == tarfile.REGTYPE else 0
    for key, value in more.items():
        setattr(member, key, value)
    return member, content


@pytest.mark.parametrize(
    ("member", "saying"),
    [
        (odd("link", tarfile.SYMTYPE, linkname="/etc/passwd"), "'link' is a symbolic link"),
        (odd("link", tarfile.LNKTYPE, linkname="a"), "'link' is a hard link"),
        (odd("null", tarfile.CHRTYPE), "'null' is a device"),
        (odd("pipe", tarfile.FIFOTYPE), "'pipe' is a pipe"),
        (odd("old", tarfile.GNUTYPE_SPARSE), "'old' is a sparse file"),
        (odd("what", b"Z"), "'what' is a member of kind 'Z'"),
        (odd("sparse", pax_headers={"GNU.sparse.major": "1"}), "holds a sparse file"),
        (odd("../evil"), r"the name '\.\./evil' may lead out"),
        (odd("/etc/passwd"), "the name '/etc/passwd' may lead out"),
        (odd("files/../../evil"), "may lead out"),
        (odd("files//a"), "may lead out"),
        (odd("./files/a"), "may lead out"),
        (odd("files\\a"), "may lead out"),
        (odd("files/a\nb"), "may lead out"),
        (odd("a"), "a is in it twice"),
    ],
)
def test_what_a_bundle_never_holds(tmp_path, member, saying):
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        add(tar, "a", b"first")
        tar.addfile(member[0], io.BytesIO(member[1]))
    with pytest.raises(ArchiveError, match=saying) as caught:
        Volume(str(path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("change", "saying"),
    [
        (lambda body: b"\x1f\x8b" + body[2:], "it is no tar"),
        (lambda body: body[:600] + b"?" + body[601:], None),
        (lambda body: body[:1030] + b"?" + body[1031:], "the header at byte 1024 is damaged"),
        (lambda body: body + b"more", "something after its end"),
        (lambda body: body[:124] + b"        99x" + body[135:], "is no tar|damaged"),
    ],
)
def test_damage_outside_of_contents(tmp_path, change, saying):
    path = write(tmp_path / "x.tar", {"a": b"x" * 10, "b": b"y"})
    path.write_bytes(change(path.read_bytes()))
    if saying is None:
        Volume(str(path)).close()
        return
    with pytest.raises(ArchiveError, match=saying):
        Volume(str(path))


def test_what_cannot_be_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name, saying in (("none", "No such file"), ("pipe", "no regular file"), ("folder", "no regular file")):
        volumes, errors = open_volumes([str(tmp_path / name)])
        assert not volumes
        assert saying in errors[0].got
        assert errors[0].path == str(tmp_path / name)


def test_folders_mean_their_bundles(tmp_path):
    for name in ("bundle-b-1.vol02.tar", "bundle-b-1.vol01.tar", "other.tar", "bundle-b-1.tar.part"):
        (tmp_path / name).touch()
    first, second = (str(tmp_path / f"bundle-b-1.vol0{number}.tar") for number in (1, 2))
    assert find_volumes([str(tmp_path)]) == [first, second]
    assert find_volumes([second, str(tmp_path)]) == [second, first]
    (tmp_path / "none").mkdir()
    with pytest.raises(ArchiveError, match=r"there is no bundle-\*\.tar in it"):
        find_volumes([str(tmp_path / "none")])
