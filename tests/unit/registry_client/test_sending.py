# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Large bodies on their way out: from a file by the kernel, from anything else by reading."""

from __future__ import annotations

import io
import os
import random
import socket
import threading

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._bundle_archive import ArchiveError, Volume
from ansible_collections.homeport.registry.plugins.module_utils._registry_resume import _Part
from ansible_collections.homeport.registry.plugins.module_utils._registry_sending import send_body
from tests.unit.bundle.writer import Writer, digest_of

CONTENT = random.Random(1).randbytes(3 << 20)


@pytest.fixture
def pair():
    """A connected pair of sockets of which the other end reads all into a list."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname(), timeout=5)
        theirs = listener.accept()[0]
    yield ours, theirs
    ours.close()
    theirs.close()


def received(pair, send) -> bytes:
    """Return what arrives while something sends."""
    ours, theirs = pair
    pieces: list[bytes] = []

    def read() -> None:
        while piece := theirs.recv(50_000):
            pieces.append(piece)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        send(ours)
    finally:
        ours.shutdown(socket.SHUT_WR)
        reader.join()
    return b"".join(pieces)


@pytest.fixture
def volume(tmp_path):
    writer = Writer()
    writer.image("docker.io/library/one:1", writer.manifest(CONTENT))
    (path,) = writer.write(tmp_path, None)
    with Volume(str(path)) as opened:
        yield opened


@pytest.fixture
def part(volume):
    """Return a function that opens a part of the content as an upload does, and what it tells of its way."""
    told: list[tuple[int, int]] = []

    def part(offset: int, size: int):
        whole = volume.opener(f"blobs/sha256/{digest_of(CONTENT)[7:]}")()
        return _Part(whole, offset, size, lambda count, end: told.append((count, end)))

    return part, told


@pytest.fixture(params=["kernel", "reading"])
def way(request, monkeypatch):
    """Both ways in which a file is sent."""
    if request.param == "reading":
        monkeypatch.delattr(os, "sendfile")
    return request.param


@pytest.mark.parametrize(("offset", "size"), [(0, 3 << 20), (0, 10), (1 << 20, 2 << 20), (12345, 1 << 20), (5, 0)])
@pytest.mark.usefixtures("way")
def test_a_part_of_a_file(pair, part, offset, size):
    opened, told = part
    with opened(offset, size) as stream:
        assert received(pair, lambda sock: send_body(sock, stream, size)) == CONTENT[offset : offset + size]
    assert sum(count for count, _end in told) == size
    ends = [offset + sum(count for count, _end in told[: number + 1]) for number in range(len(told))]
    assert [end for _count, end in told] == ends


def test_the_kernel_reads_what_lies_in_a_file(pair, part, volume, monkeypatch):
    monkeypatch.setattr(volume, "fill_at", None)
    with part[0](0, len(CONTENT)) as stream:
        assert received(pair, lambda sock: send_body(sock, stream, len(CONTENT))) == CONTENT


def test_what_is_in_memory(pair):
    assert received(pair, lambda sock: send_body(sock, io.BytesIO(CONTENT), len(CONTENT))) == CONTENT


@pytest.mark.usefixtures("way")
def test_a_file_that_got_shorter_is_named(pair, part, volume):
    os.truncate(volume.path, 2 << 20)
    with part[0](0, len(CONTENT)) as stream, pytest.raises(ArchiveError, match=r"it ends at byte 2097152"):
        received(pair, lambda sock: send_body(sock, stream, len(CONTENT)))


@pytest.mark.usefixtures("way")
def test_whoever_takes_nothing_is_not_waited_for_for_ever(pair, part):
    ours, theirs = pair
    ours.settimeout(0.3)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    with part[0](0, len(CONTENT)) as stream, pytest.raises(TimeoutError):
        send_body(ours, stream, len(CONTENT))


@pytest.mark.usefixtures("way")
def test_whoever_hangs_up_is_noticed(pair, part):
    ours, theirs = pair
    theirs.close()
    with part[0](0, len(CONTENT)) as stream, pytest.raises(ConnectionError):
        send_body(ours, stream, len(CONTENT))
