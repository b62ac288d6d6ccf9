# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Files on a node: read as they are, put in place in one step, put back exactly. Private."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import errno
import glob
import hashlib
import os
import stat
import tempfile
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils._node_errors import NodeError


@dataclasses.dataclass(frozen=True)
class Content:
    """A file: its bytes, mode and owner. Nothing is None."""

    data: bytes
    mode: int = 0o644
    uid: int = 0
    gid: int = 0

    @property
    def sha256(self) -> str:
        """Digest of the bytes."""
        return hashlib.sha256(self.data).hexdigest()

    def dump(self) -> dict[str, t.Any]:
        """Return everything that is needed to make the file again, for JSON."""
        data = base64.b64encode(self.data).decode("ascii")
        return {"data": data, "mode": self.mode, "uid": self.uid, "gid": self.gid}


def load(dumped: t.Mapping[str, t.Any] | None) -> Content | None:
    """Return what `Content.dump` gave."""
    if dumped is None:
        return None
    return Content(base64.b64decode(dumped["data"]), dumped["mode"], dumped["uid"], dumped["gid"])


def read(path: str) -> Content | None:
    """Return a file, or None where there is none.

    Raises:
        NodeError: when something is there that is no readable file.
    """
    try:
        with open(path, "rb") as file:
            about = os.fstat(file.fileno())
            return Content(file.read(), stat.S_IMODE(about.st_mode), about.st_uid, about.st_gid)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise NodeError(
            "read a file", where=path, got=str(exc.strerror or exc), remedy="Run as root (become), and clear the way."
        ) from exc


def write(path: str, content: Content) -> None:
    """Put a file in place so that no reader sees half of it.

    Raises:
        NodeError: when that is impossible.
    """
    path = os.path.realpath(path)
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=os.path.dirname(path))
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content.data)
                file.flush()
                os.fchmod(file.fileno(), content.mode)
                if os.geteuid() == 0:
                    os.fchown(file.fileno(), content.uid, content.gid)
                os.fsync(file.fileno())
            _move(temporary, path, content)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
    except OSError as exc:
        raise NodeError(
            "write a file",
            where=path,
            got=str(exc.strerror or exc),
            remedy="Run as root (become), and see that the file system is writable and not full.",
        ) from exc


def _move(temporary: str, path: str, content: Content) -> None:
    try:
        os.rename(temporary, path)
    except OSError as exc:
        # A file that a container engine mounted, /etc/hosts above all, can only be written in place.
        if exc.errno not in (errno.EBUSY, errno.EXDEV):
            raise
        with open(path, "r+b") as file:
            file.write(content.data)
            file.truncate()


def put(path: str, content: Content | None) -> None:
    """Write a file, or remove it where the content is None.

    Raises:
        NodeError: when that is impossible.
    """
    if content is not None:
        write(path, content)
        return
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    except OSError as exc:
        raise NodeError(
            "remove a file",
            where=path,
            got=str(exc.strerror or exc),
            remedy="Run as root (become), and see that the file system is writable.",
        ) from exc


def make_directories(path: str) -> list[str]:
    """Make a directory and those above it; return the ones that were missing, outermost first.

    Raises:
        NodeError: when that is impossible.
    """
    missing: list[str] = []
    while not os.path.isdir(path) and path not in ("", "/"):
        missing.insert(0, path)
        path = os.path.dirname(path)
    made: list[str] = []
    try:
        for one in missing:
            os.mkdir(one, 0o755)
            os.chmod(one, 0o755)
            made.append(one)
    except OSError as exc:
        remove_directories(made)
        raise NodeError(
            "make a directory",
            where=one,
            got=str(exc.strerror or exc),
            remedy="Run as root (become), and see that the file system is writable and not full.",
        ) from exc
    return made


def remove_directories(paths: t.Sequence[str]) -> None:
    """Remove directories that we made and that are empty, innermost first; the others stay."""
    for path in sorted(paths, key=len, reverse=True):
        with contextlib.suppress(OSError):
            os.rmdir(path)


def stamp(paths: t.Iterable[str]) -> dict[str, str]:
    """Return what changes when one of these files does, or when a pattern finds others."""
    found = {}
    for path in paths:
        if glob.has_magic(path):
            found[path] = " ".join(sorted(glob.glob(path)))
            continue
        try:
            about = os.stat(path)
            found[path] = f"{about.st_ino}.{about.st_mtime_ns}.{about.st_size}"
        except OSError:
            found[path] = ""
    return found
