# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Contents that go from one repository of a registry to another through this client. Private.

A registry may refuse to mount what another repository has. A bundle that leaves the content to it has no copy, so that
it is read there and sent, piece by piece, and compared with its digest on the way.
"""

from __future__ import annotations

import io
import os
import typing as t
from collections.abc import Iterable, Iterator

from ansible_collections.homeport.registry.plugins.module_utils._bundle_errors import ContentError
from ansible_collections.homeport.registry.plugins.module_utils._registry_client import open_blob
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import HttpError, ThrottledError
from ansible_collections.homeport.registry.plugins.module_utils._registry_http import Body
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import Hasher
from ansible_collections.homeport.registry.plugins.module_utils._registry_resume import Limits, Watch, send_blob
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session


class _SourceError(ContentError):
    """A repository that should have a content cannot be read, or holds something else."""


def copy_blob(
    session: Session,
    target: str,
    digest: str,
    size: int,
    sources: Iterable[str],
    *,
    url: str = "",
    limits: Limits | None = None,
    watch: Watch | None = None,
) -> None:
    """Store a blob that other repositories of the registry have; memory does not grow with it.

    Args:
        session: with the right to pull from the sources and to push to the target.
        target: repository to store it in.
        digest: of the blob.
        size: of the blob in bytes.
        sources: repositories that should have it, the next is tried when one does not.
        url: an upload of it that the registry has opened.
        limits: how long to go on.
        watch: who is told.

    Raises:
        ContentError: when it can be read from none of them.
        RegistryError: when it cannot be stored.
    """
    failures: list[str] = []
    for source in sources:
        try:
            send_blob(
                session, target, digest, remote_body(session, source, digest, size), url=url, limits=limits, watch=watch
            )
        except _SourceError as exc:
            failures.append(f"{source}: {exc.got}")
            url = ""
        else:
            return
    raise ContentError(
        f"copy the blob {digest} to {target}",
        where=session.base,
        got=f"the registry does not mount it and the bundle does not bring it; {'; '.join(failures) or 'none has it'}",
        remedy="Give this user the right to pull from all repositories, or push a bundle that is no delta.",
    )


def remote_body(session: Session, repository: str, digest: str, size: int) -> Body:
    """Return a blob of a repository as what can be sent."""
    return Body(lambda: t.cast(t.BinaryIO, _Remote(session, repository, digest, size)), size)


class _Remote(io.RawIOBase):
    """A blob in a registry as a stream that can be positioned; its end comes only if all of it was right."""

    def __init__(self, session: Session, repository: str, digest: str, size: int) -> None:
        super().__init__()
        self._session = session
        self._repository = repository
        self._digest = digest
        self._size = size
        self._position = 0
        self._pieces: Iterator[bytes] | None = None
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """It can be positioned."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position, counted from the beginning, and return it."""
        if whence != os.SEEK_SET:
            raise io.UnsupportedOperation("only from the beginning")
        self._drop()
        self._position = offset
        return offset

    def readinto(self, buffer: t.Any) -> int:
        """Fill a buffer with what has come, and return how many bytes that is."""
        if not self._rest and self._position < self._size:
            if self._pieces is None:
                self._pieces = self._read_from(self._position)
            self._rest = memoryview(next(self._pieces, b""))
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        self._position += count
        return count

    def close(self) -> None:
        """Hang up if not everything was read."""
        self._drop()
        super().close()

    def _drop(self) -> None:
        pieces, self._pieces, self._rest = self._pieces, None, memoryview(b"")
        if pieces is not None:
            t.cast(t.Generator[bytes, None, None], pieces).close()

    def _read_from(self, start: int) -> Iterator[bytes]:
        # From somewhere in the middle only the registry can compare, as it does at the end of every upload.
        hasher, position = None if start else Hasher(self._digest), start
        try:
            with open_blob(self._session, self._repository, self._digest, rest=start) as response:
                if response.status == 416:
                    raise self._error(f"there is no byte {start} in it")
                skip = start if response.status == 200 else 0
                for piece in response.chunks():
                    left, skip = piece[skip:], max(0, skip - len(piece))
                    position += len(left)
                    if hasher:
                        hasher.update(left)
                    if position >= self._size:
                        self._compare(position, hasher)
                    if left:
                        yield left
                if position < self._size:
                    raise self._error(f"it ends after {position} bytes of {self._size}")
        except ThrottledError:
            raise
        except HttpError as exc:
            raise self._error(exc.got) from exc

    def _compare(self, position: int, hasher: Hasher | None) -> None:
        if position > self._size or (hasher and hasher.digest != self._digest):
            seen = f"{position} bytes" if position > self._size else hasher.digest if hasher else ""
            raise self._error(f"the content is {seen}")

    def _error(self, got: str) -> _SourceError:
        return _SourceError(
            f"read the blob {self._repository}@{self._digest}",
            where=self._session.base,
            got=got,
            remedy="Check the storage of the registry.",
        )
