# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Writing volumes: the same contents give the same bytes, and no half a file has a volume's name. Private."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tarfile
import typing as t
from collections.abc import Callable, Iterator, Sequence

from ansible_collections.homeport.registry.plugins.module_utils import _bundle_format as fmt
from ansible_collections.homeport.registry.plugins.module_utils._bundle_errors import BundleError, ContentError
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import Hasher

_BLOCK = 512
_CHUNK = 1 << 20
END = b"\0" * (2 * _BLOCK)


class Member(t.NamedTuple):
    """A member of a volume; `size` in bytes, `digest` of its content, `open` returns it as a new binary stream."""

    name: str
    size: int
    digest: str
    open: Callable[[], t.BinaryIO]


def header(name: str, size: int) -> bytes:
    """Return what stands in front of a member's content: no time, no owner, nothing of this machine."""
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    # Plain headers, and for what does not fit into them the standard's own extension.
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def member_cost(name: str, size: int) -> int:
    """Return the bytes that a member takes."""
    return len(header(name, size)) + size + _padding(size)


def members(bundle: fmt.Bundle, number: int, signature: str, find: Callable[[str, str], str]) -> list[Member]:
    """Return the members of a volume, in order.

    Args:
        bundle: what it is a volume of.
        number: of the volume.
        signature: of the bundle's document.
        find: returns where the content of a member lies, from its path and digest.
    """
    made = [
        _in_memory(fmt.DOCUMENT, bundle.dump()),
        _in_memory(fmt.SIGNATURE, signature.encode()),
        _in_memory(fmt.LAYOUT, fmt.LAYOUT_CONTENT),
        _in_memory(fmt.INDEX, bundle.index(number)),
    ]

    def opener(path: str, digest: str) -> Callable[[], t.BinaryIO]:
        return lambda: open(find(path, digest), "rb")

    return made + [Member(path, size, digest, opener(path, digest)) for path, size, digest in bundle.members(number)]


def volume_size(wanted: Sequence[Member]) -> int:
    """Return the bytes that a volume has."""
    return sum(member_cost(member.name, member.size) for member in wanted) + len(END)


def write(path: str, wanted: Sequence[Member]) -> str:
    """Write a volume, compare each content with its digest on the way, and return the volume's sha256.

    Raises:
        ContentError: when a content is not what its digest says; nothing is left then.
        BundleError: when it cannot be read or written.
    """
    total = hashlib.sha256()
    try:
        with open(path, "wb") as stream:
            for member in wanted:
                for piece in _pieces(member):
                    total.update(piece)
                    stream.write(piece)
            stream.write(END)
            total.update(END)
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException as exc:
        with contextlib.suppress(OSError):
            os.unlink(path)
        if isinstance(exc, OSError):
            raise BundleError(
                "write the volume",
                where=str(exc.filename or path),
                got=str(exc.strerror or exc),
                remedy="Check rights and free space, and build again: what was downloaded is kept.",
            ) from exc
        raise
    return total.hexdigest()


def matches(path: str, wanted: Sequence[Member]) -> str:
    """Return the sha256 of a volume that is on the disk byte for byte, or nothing; only its own bytes are read."""
    total = hashlib.sha256()
    try:
        with open(path, "rb") as stream:
            if os.fstat(stream.fileno()).st_size != volume_size(wanted):
                return ""
            for member in wanted:
                start = header(member.name, member.size)
                hasher, left = Hasher(member.digest), member.size
                if stream.read(len(start)) != start:
                    return ""
                total.update(start)
                while left and (piece := stream.read(min(left, _CHUNK))):
                    hasher.update(piece)
                    total.update(piece)
                    left -= len(piece)
                padding = stream.read(_padding(member.size))
                if hasher.digest != member.digest or padding.strip(b"\0"):
                    return ""
                total.update(padding)
            rest = stream.read()
            total.update(rest)
            return total.hexdigest() if rest == END else ""
    except OSError:
        return ""


def _in_memory(name: str, content: bytes) -> Member:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return Member(name, len(content), digest, lambda: io.BytesIO(content))


def _pieces(member: Member) -> Iterator[bytes]:
    """Yield header, content and padding of a member.

    Raises:
        ContentError: when the content is another.
    """
    yield header(member.name, member.size)
    hasher, size = Hasher(member.digest), 0
    with member.open() as source:
        while piece := source.read(_CHUNK):
            hasher.update(piece)
            size += len(piece)
            if size > member.size:
                break
            yield piece
    if size != member.size or hasher.digest != member.digest:
        raise ContentError(
            f"put {member.name} into the volume",
            where=getattr(source, "name", member.name),
            got=f"it has changed: it shall be {member.size} bytes with the digest {member.digest}",
            remedy="Build again, which fetches what is damaged; lock again if a file of yours was changed on purpose.",
        )
    yield b"\0" * _padding(member.size)


def _padding(size: int) -> int:
    return -size % _BLOCK
