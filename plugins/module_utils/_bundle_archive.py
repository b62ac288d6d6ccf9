# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Opening the volumes of a bundle: where each member lies in its tar, and reading it there. Private.

Nothing is ever unpacked. The headers are read here and not by `tarfile`, which accepts what a bundle never holds:
links, sparse files, names that lead elsewhere, two members of one name, a file that ends too early.
"""

from __future__ import annotations

import io
import os
import re
import typing as t
from collections.abc import Callable, Iterator, Sequence

from ansible_collections.homeport.registry.plugins.module_utils._bundle_errors import BundleError

BLOCK = 512
PIECE = 1 << 20
# A header in pax form holds a name and a size.
_MOST_PAX = 64 << 10
_LONGEST_NAME = 4096
_NAME = re.compile(r"[A-Za-z0-9@._+~!=,%() /-]+")
_KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"5": "a folder",
    b"6": "a pipe",
    b"S": "a sparse file",
    b"g": "a header for all that follows",
    b"M": "the rest of a file of another volume",
}
_COPY = "Copy the file from its medium again, compare its size with the original, and verify the bundle."
_NOT_OURS = "Use the file as the bundle was built, not one that was packed again or for something else."


class ArchiveError(BundleError):
    """A volume cannot be read, or is not what a bundle's volume may be; `path` is its file."""

    def __init__(self, tried: str, *, where: str, got: str, remedy: str, path: str = "") -> None:
        """Keep the file beside the four answers."""
        super().__init__(tried, where=where, got=got, remedy=remedy)
        self.path = path or where


class Member(t.NamedTuple):
    """Where the content of a member lies in its volume; both in bytes."""

    offset: int
    size: int


class Volume:
    """One tar: `members` by name, in their order. May be read by many threads; close it in the end."""

    def __init__(self, path: str) -> None:
        """Open a file and read the headers of its members.

        Raises:
            ArchiveError: when it cannot be opened, or is no tar as a bundle's volume is.
        """
        self.path = path
        try:
            # Reading a pipe or a device would wait for ever, or never end.
            self._fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0))
        except OSError as exc:
            raise self._error(exc.strerror or str(exc), "Give the files of the bundle, readable by this user.") from exc
        try:
            status = os.fstat(self._fd)
            if (status.st_mode & 0o170000) != 0o100000:
                raise self._error("it is no regular file", "Give the files of the bundle.")
            self.size = status.st_size
            self.members: dict[str, Member] = {}
            self._read_headers()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Volume:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def read_at(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset` on.

        Raises:
            ArchiveError: when the file does not have them any more, or the medium cannot be read.
        """
        pieces: list[bytes] = []
        while size:
            piece = self._pread(size, offset)
            if not piece:
                raise self._error(f"it ends at byte {offset}", _COPY)
            pieces.append(piece)
            offset, size = offset + len(piece), size - len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def fill_at(self, offset: int, buffer: memoryview) -> int:
        """Read bytes from `offset` on into a buffer and return how many, at least one.

        Raises:
            ArchiveError: when the file has none there any more, or the medium cannot be read.
        """
        count = self._preadv(buffer, offset)
        if not count:
            raise self._error(f"it ends at byte {offset}", _COPY)
        return count

    def fileno(self) -> int:
        """Return the descriptor of the open file."""
        return self._fd

    def read(self, name: str, limit: int = 64 << 20) -> bytes:
        """Return the whole content of a member.

        Raises:
            ArchiveError: when there is none of this name, or it is longer than `limit` bytes.
        """
        member = self.members.get(name)
        if member is None:
            raise self._error(f"there is no {name} in it", _NOT_OURS)
        if member.size > limit:
            raise self._error(f"{name} has {member.size} bytes, more than the {limit} that it may have", _NOT_OURS)
        return self.read_at(*member)

    def pieces(self, name: str, buffer: memoryview) -> Iterator[memoryview]:
        """Yield the content of a member in pieces that lie in a buffer, each valid until the next is asked for."""
        offset, left = self.members[name]
        while left:
            got = self._preadv(buffer[:left], offset)
            if not got:
                raise self._error(f"it ends at byte {offset}, inside of {name}", _COPY)
            yield buffer[:got]
            offset, left = offset + got, left - got

    def opener(self, name: str) -> Callable[[], t.BinaryIO]:
        """Return a function that opens the content of a member as a seekable stream of its own."""
        member = self.members[name]
        return lambda: t.cast(t.BinaryIO, Stream(self, member))

    def _pread(self, size: int, offset: int) -> bytes:
        try:
            return os.pread(self._fd, size, offset)
        except OSError as exc:
            raise self._error(f"byte {offset} cannot be read: {exc.strerror or exc}", _COPY) from exc

    def _preadv(self, buffer: memoryview, offset: int) -> int:
        try:
            return os.preadv(self._fd, [buffer], offset)
        except OSError as exc:
            raise self._error(f"byte {offset} cannot be read: {exc.strerror or exc}", _COPY) from exc

    def _read_headers(self) -> None:
        position, pax = 0, dict[str, str]()
        while True:
            if position + BLOCK > self.size:
                got = "it has no end" if position else "it is too short to be a tar"
                raise self._error(f"{got}: {self.size} bytes", _COPY)
            header = self.read_at(position, BLOCK)
            if not header.strip(b"\0"):
                break
            _check_sum(self, header, position)
            kind = header[156:157]
            size = int(pax["size"]) if "size" in pax else self._number(header[124:136], position)
            name = pax.get("path") or _name_in(header)
            start = position + BLOCK
            if start + size > self.size:
                raise self._error(
                    f"it is cut off: {name} needs {size} bytes from byte {start} on, the file has {self.size}", _COPY
                )
            position = start + -(-size // BLOCK) * BLOCK
            if kind == b"x":
                if pax or size > _MOST_PAX:
                    raise self._error("a header is longer than the names of a bundle need", _NOT_OURS)
                pax = self._pax(self.read_at(start, size))
                continue
            pax = {}
            if kind not in (b"0", b"\0"):
                what = _KINDS.get(kind, f"a member of kind {kind.decode('latin-1')!a}")
                raise self._error(f"{name!a} is {what}, and a bundle holds plain files only", _NOT_OURS)
            self._add(name, Member(start, size))
        if pax:
            raise self._error("it ends after a header", _COPY)
        self._check_end(position)

    def _add(self, name: str, member: Member) -> None:
        parts = name.split("/")
        if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name) or not {"", ".", ".."}.isdisjoint(parts):
            raise self._error(
                f"the name {ascii(name)[:200]} may lead out of the bundle or is no name in one", _NOT_OURS
            )
        if name in self.members:
            raise self._error(f"{name} is in it twice", _NOT_OURS)
        self.members[name] = member

    def _check_end(self, position: int) -> None:
        """Compare what follows the members with what may follow: zeros."""
        while position < self.size:
            rest = self._pread(PIECE, position)
            if rest.strip(b"\0"):
                raise self._error(f"there is something after its end, from byte {position} on", _NOT_OURS)
            position += len(rest)

    def _number(self, field: bytes, position: int) -> int:
        if field[0] & 0x80:
            # The binary form of sizes that do not fit into eleven octal digits.
            return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
        text = field.strip(b" \0")
        if not re.fullmatch(rb"[0-7]*", text):
            raise self._error(f"the header at byte {position} has no size", _COPY)
        return int(text or b"0", 8)

    def _pax(self, body: bytes) -> dict[str, str]:
        """Return the records of a header in pax form: "length key=value\\n"."""
        found: dict[str, str] = {}
        while body.strip(b"\0"):
            match = re.match(rb"([1-9][0-9]{0,5}) ([^=\n]+)=", body)
            length = int(match[1]) if match else 0
            if not match or length > len(body) or body[length - 1 : length] != b"\n":
                raise self._error("a header in pax form is damaged", _COPY)
            key = match[2].decode("utf-8", "replace")
            value = body[match.end() : length - 1].decode("utf-8", "replace")
            if key.startswith("GNU.sparse"):
                raise self._error("it holds a sparse file, and a bundle holds plain files only", _NOT_OURS)
            if key == "size" and not re.fullmatch("[0-9]{1,18}", value):
                raise self._error("a header in pax form has no size", _COPY)
            found[key] = value
            body = body[length:]
        return found

    def _error(self, got: str, remedy: str) -> ArchiveError:
        return ArchiveError("read the volume", where=self.path, got=got, remedy=remedy)


class Stream(io.RawIOBase):
    """The content of a member as a file; each has a position of its own."""

    def __init__(self, volume: Volume, member: Member) -> None:
        """Stand at the beginning."""
        super().__init__()
        self._volume = volume
        self._member = member
        self._position = 0

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """It can be positioned."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position and return it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._member.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Return the next bytes, all of them without a size."""
        left = max(0, self._member.size - self._position)
        size = left if size is None or size < 0 else min(size, left)
        content = self._volume.read_at(self._member.offset + self._position, size) if size else b""
        self._position += len(content)
        return content

    def readinto(self, buffer: t.Any) -> int:
        """Fill a buffer and return how many bytes there were."""
        view = memoryview(buffer)[: max(0, self._member.size - self._position)]
        count = self._volume.fill_at(self._member.offset + self._position, view) if view else 0
        self._position += count
        return count

    def place(self) -> tuple[int, int] | None:
        """Return the file, and the offset of the next byte in it."""
        return self._volume.fileno(), self._member.offset + self._position

    def advance(self, count: int) -> None:
        """Go over bytes that were taken from the file."""
        self._position += count


def _check_sum(volume: Volume, header: bytes, position: int) -> None:
    text = header[148:156].strip(b" \0")
    wanted = int(text, 8) if re.fullmatch(rb"[0-7]+", text) else -1
    if wanted != sum(header) - sum(header[148:156]) + 8 * 32:
        got = f"the header at byte {position} is damaged" if position else "it is no tar"
        remedy = _COPY if position else "Give the files of the bundle, which are plain tars without compression."
        raise ArchiveError("read the volume", where=volume.path, got=got, remedy=remedy)


def _name_in(header: bytes) -> str:
    def text(field: bytes) -> str:
        return field.partition(b"\0")[0].decode("utf-8", "replace")

    prefix = text(header[345:500]) if header[257:262] == b"ustar" and header[257:265] != b"ustar  \0" else ""
    return f"{prefix}/{text(header[:100])}" if prefix else text(header[:100])


def find_volumes(paths: Sequence[str]) -> list[str]:
    """Return the files that are meant by paths: a folder means all tars of bundles in it, sorted by name.

    Raises:
        ArchiveError: when a folder holds none or cannot be read.
    """
    found: list[str] = []
    for path in paths:
        if not os.path.isdir(path):
            found.append(path)
            continue
        try:
            names = sorted(name for name in os.listdir(path) if re.fullmatch(r"bundle-.*\.tar", name))
        except OSError as exc:
            raise _no_folder(path, exc.strerror or str(exc)) from exc
        if not names:
            raise _no_folder(path, "there is no bundle-*.tar in it")
        found += [os.path.join(path, name) for name in names]
    return list(dict.fromkeys(found))


def open_volumes(paths: Sequence[str]) -> tuple[list[Volume], list[ArchiveError]]:
    """Open files; return the volumes that can be read, and why the others cannot."""
    volumes: list[Volume] = []
    errors: list[ArchiveError] = []
    for path in paths:
        try:
            volumes.append(Volume(path))
        except ArchiveError as exc:
            errors.append(exc)
    return volumes, errors


def close_volumes(volumes: Sequence[Volume]) -> None:
    """Close them all."""
    for volume in volumes:
        volume.close()


def _no_folder(path: str, got: str) -> ArchiveError:
    remedy = "Give the files of the bundle, or the folder that holds them."
    return ArchiveError("find the volumes", where=path, got=got, remedy=remedy)
