# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A folder of contents under their digests, kept from one build to the next. Private."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import typing as t
from collections.abc import Iterator

from ansible_collections.homeport.registry.plugins.module_utils._bundle_errors import BundleError
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import Hasher, check_digest, digest_of

_CHUNK = 1 << 20
_FOLDER_MODE = 0o755


class Cache:
    """Contents by digest; may be used by many threads and processes."""

    def __init__(self, folder: str, *, writable: bool = True) -> None:
        """Keep where it is; without `writable` nothing is ever stored, as check mode wants it."""
        self.folder = folder
        self.writable = writable

    def path(self, digest: str) -> str:
        """Return where a content is, or would be."""
        return os.path.join(self.folder, *check_digest(digest).split(":"))

    def size(self, digest: str) -> int | None:
        """Return the size of a content in bytes, or nothing when it is not there."""
        with contextlib.suppress(OSError):
            return os.stat(self.path(digest)).st_size
        return None

    def partial_size(self, digest: str) -> int:
        """Return how many bytes of a content have arrived that is not there as a whole."""
        with contextlib.suppress(OSError):
            return os.stat(self.path(digest) + ".partial").st_size
        return 0

    def is_whole(self, digest: str, size: int) -> bool:
        """Tell whether a content is there and is what its digest says; one that is not is thrown away."""
        if self.size(digest) is None:
            return False
        hasher = Hasher(digest)
        if self.size(digest) == size:
            with open(self.path(digest), "rb") as stream:
                while piece := stream.read(_CHUNK):
                    hasher.update(piece)
            if hasher.digest == digest:
                return True
        if self.writable:
            with contextlib.suppress(OSError):
                os.unlink(self.path(digest))
        return False

    def read(self, digest: str) -> bytes | None:
        """Return a small content, or nothing when it is not there or is damaged."""
        with contextlib.suppress(OSError), open(self.path(digest), "rb") as stream:
            content = stream.read()
            if digest_of(content, digest) == digest:
                return content
        return None

    def store(self, digest: str, content: bytes) -> None:
        """Keep a small content, whose digest was compared.

        Raises:
            BundleError: when it cannot be written.
        """
        if self.writable and self.size(digest) != len(content):
            with self._replacing(digest) as stream:
                stream.write(content)

    def take(self, path: str, digest: str) -> None:
        """Keep the content of a file, and compare it with its digest on the way.

        Raises:
            BundleError: when it is another, or cannot be read or written.
        """
        if not self.writable:
            return
        hasher = Hasher(digest)
        with self._replacing(digest) as target, open(path, "rb") as source:
            while piece := source.read(_CHUNK):
                hasher.update(piece)
                target.write(piece)
            if hasher.digest != digest:
                raise BundleError(
                    "keep the file",
                    where=path,
                    got=f"it is {hasher.digest} and not {digest}",
                    remedy="Lock again, and look at what has changed.",
                )

    @contextlib.contextmanager
    def arriving(self, digest: str) -> Iterator[t.BinaryIO]:
        """Give the file in which a content arrives, with what has arrived before; nobody else has it meanwhile.

        Raises:
            BundleError: when it cannot be opened.
        """
        path = self.path(digest) + ".partial"
        try:
            os.makedirs(os.path.dirname(path), _FOLDER_MODE, exist_ok=True)
            with open(path, "a+b") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX)
                yield stream
        except OSError as exc:
            raise _unusable("use the cache", path, exc) from exc

    def complete(self, digest: str) -> None:
        """Give an arrived content its place; call it while it is still held."""
        os.replace(self.path(digest) + ".partial", self.path(digest))

    @contextlib.contextmanager
    def _replacing(self, digest: str) -> Iterator[t.BinaryIO]:
        path = self.path(digest)
        try:
            os.makedirs(os.path.dirname(path), _FOLDER_MODE, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".new-")
        except OSError as exc:
            raise _unusable("use the cache", path, exc) from exc
        try:
            with os.fdopen(handle, "wb") as stream:
                yield stream
            os.replace(temporary, path)
        except OSError as exc:
            raise _unusable("write into the cache", path, exc) from exc
        finally:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def _unusable(tried: str, where: str, exc: OSError) -> BundleError:
    return BundleError(
        tried, where=where, got=str(exc.strerror or exc), remedy="Check its rights and the room on its disk."
    )
