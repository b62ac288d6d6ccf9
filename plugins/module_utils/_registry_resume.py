# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Uploads that go on inside of a blob: after a broken connection, a restarted registry, a restarted client. Private.

A blob goes out in one streamed request while nothing is wrong. What breaks is asked how far it came and gets the rest;
a proxy that refuses large bodies gets smaller ones.
"""

from __future__ import annotations

import io
import time
import typing as t
from collections.abc import Callable
from urllib.parse import quote

from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.homeport.registry.plugins.module_utils._registry_client import (
    head_blob,
    progress,
    push,
    start_upload,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import (
    DigestError,
    HttpError,
    NotFoundError,
    ThrottledError,
    TlsError,
    UnreachableError,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_http import Body
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import check_digest, check_repository
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session

_OCTETS = "application/octet-stream"
# What a proxy with a limit for bodies gets; the smallest is below the 1 MiB that nginx allows unless told otherwise.
_CHUNKS = (64 << 20, 8 << 20, 512 << 10)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0
_OWN_FAILURES = 2


class StalledError(UnreachableError):
    """Nothing has moved for too long, in spite of all attempts."""


class Limits(t.NamedTuple):
    """How long to go on: failures in a row without a byte between them, and seconds.

    `stall` ends an upload of which nothing moves in spite of all attempts, `busy` is how long a registry may ask to
    come back later, for which the transport's is the measure elsewhere. `chunk` sends no larger bodies at all.
    """

    failures: int = 6
    stall: float = 300.0
    busy: float = 600.0
    chunk: int | None = None


def _nobody(*_values: t.Any) -> None:
    pass


class Watch(t.NamedTuple):
    """Who is told: of the URL of an upload that was opened, of errors that are gone around, of bytes that were sent.

    Bytes are told as how many they are and where in the content they end.
    """

    opened: Callable[[str], None] = _nobody
    sent: Callable[[int, int], None] = _nobody
    failed: Callable[[RegistryError], None] = _nobody


def mount_blob(session: Session, repository: str, digest: str, source: str) -> str:
    """Let a repository have a blob of another one, without sending it.

    Returns:
        Nothing when it is mounted, or the URL of the upload that the registry opened instead.
    """
    tried = f"mount the blob {repository}@{digest} from {source}"
    query = f"mount={quote(check_digest(digest), safe=':')}&from={quote(check_repository(source), safe='')}"
    path = f"/v2/{check_repository(repository)}/blobs/uploads/?{query}"
    scope = f"{push(repository)} repository:{source}:pull"
    with session.request(tried, "POST", path, scope=scope, expect=(201, 202)) as response:
        if response.status == 201:
            return ""
        return session.resolve(tried, response, response.headers.get("Location"))


def send_blob(
    session: Session,
    repository: str,
    digest: str,
    body: Body,
    *,
    url: str = "",
    limits: Limits | None = None,
    watch: Watch | None = None,
) -> None:
    """Store a blob, going on where an attempt was interrupted.

    Args:
        session: a session with the right to push; may be used by many threads.
        repository: where to.
        digest: of the whole content; the registry compares.
        body: the content; its streams have to be seekable.
        url: an upload of this blob that was begun earlier, by whomever.
        limits: how long to go on.
        watch: who is told.

    Raises:
        RegistryError: when it could not be stored. The upload is left as it is, for the next attempt.
    """
    check_digest(digest)
    _Upload(session, repository, digest, body, limits or Limits(), watch or Watch()).run(url)


class _Upload:
    """One blob on its way."""

    def __init__(
        self, session: Session, repository: str, digest: str, body: Body, limits: Limits, watch: Watch
    ) -> None:
        self._session = session
        self._repository = repository
        self._digest = digest
        self._body = body
        self._limits = limits
        self._watch = watch
        self._chunk = limits.chunk
        self._url = ""
        self._offset = 0
        self._broken = False
        self._began_anew = 0
        self._moved = time.monotonic()

    def run(self, url: str) -> None:
        """Go on until the registry has it; see `send_blob`."""
        if url:
            self._continue(url)
        failures, busy_until, best = 0, 0.0, 0
        while True:
            try:
                self._step()
                return
            except RegistryError as exc:
                self._watch.failed(exc)
                now = time.monotonic()
                if self._offset > best:
                    failures, best = 0, self._offset
                busy_until = (busy_until or now + self._limits.busy) if isinstance(exc, ThrottledError) else 0.0
                failures += not isinstance(exc, ThrottledError)
                self._judge(exc, failures, now, busy_until)
                told = exc.retry_after if isinstance(exc, HttpError) else 0.0
                self._session.transport.sleep(told or min(_FIRST_PAUSE * 2 ** max(failures - 1, 0), _LONGEST_PAUSE))
                if busy_until:
                    # Waiting for a registry that asks for it is not standing still.
                    self._moved = time.monotonic()
            if self._arrived():
                return
            if self._url:
                self._continue(self._url)

    def _step(self) -> None:
        """Open the upload if need be, and send what is left."""
        if not self._url:
            self._open()
        if not self._offset and self._chunk is None:
            self._finish(self._stream(0, self._body.size))
            return
        while self._offset < self._body.size:
            size = min(self._chunk or self._body.size, self._body.size - self._offset)
            self._append(size)
        self._finish(Body(lambda: io.BytesIO(b""), 0))

    def _open(self) -> None:
        self._url, self._offset = start_upload(self._session, self._repository), 0
        self._watch.opened(self._url)

    def _append(self, size: int) -> None:
        last = self._offset + size - 1
        tried = f"upload bytes {self._offset} to {last} of {self._digest} to {self._repository}"
        headers = {"Content-Type": _OCTETS, "Content-Range": f"{self._offset}-{last}"}
        with self._request(
            tried, "PATCH", self._url, 202, body=self._stream(self._offset, size), headers=headers
        ) as response:
            self._url = self._session.resolve(tried, response, response.headers.get("Location"))
        self._offset = last + 1

    def _finish(self, body: Body) -> None:
        tried = f"store the blob {self._repository}@{self._digest}"
        target = self._url + ("&" if "?" in self._url else "?") + f"digest={quote(self._digest, safe=':')}"
        headers = {"Content-Type": _OCTETS}
        with self._request(tried, "PUT", target, 201, body=body, headers=headers) as response:
            stored = response.headers.get("Docker-Content-Digest")
            if stored and stored != self._digest:
                raise DigestError(
                    tried,
                    where=f"PUT to {self._session.base}",
                    got=f"the registry stored {stored}",
                    remedy="Compare the content with the digest, and check every proxy on the way.",
                )

    def _request(self, tried: str, method: str, url: str, expect: int, **options: t.Any) -> t.Any:
        # Sending a body again begins with a question, which is not the transport's to ask.
        return self._session.request(
            tried, method, url, scope=push(self._repository), expect=(expect,), repeatable=False, attempts=1, **options
        )

    def _judge(self, exc: RegistryError, failures: int, now: float, busy_until: float) -> None:
        """Decide what an error means for the next attempt; raises it when there shall be none."""
        if isinstance(exc, HttpError) and not isinstance(exc, ThrottledError):
            if exc.status == 413:
                smaller = [size for size in _CHUNKS if size < min(self._chunk or self._body.size, self._body.size)]
                if not smaller:
                    raise exc
                self._chunk = smaller[0]
            elif exc.status in (400, 404, 416):
                # The upload is lost or its end was damaged; an intact one is refused only for good reason.
                if self._began_anew >= 3 or (exc.status == 400 and not self._broken and "DIGEST_INVALID" in exc.codes):
                    raise exc
                self._began_anew += 1
                self._url, self._offset = "", 0
                self._smaller(self._began_anew > 1)
            elif exc.status < 500:
                raise exc
        elif isinstance(exc, TlsError) or not isinstance(exc, (UnreachableError, ThrottledError)):
            raise exc
        # Something on the way may keep a body back until it has all of it, and fail at that.
        self._smaller(failures > 1 and not self._offset)
        self._broken = True
        if busy_until and now > busy_until:
            raise exc
        # An error of the registry's own, such as a full disk, does not pass as a network's does.
        own = isinstance(exc, HttpError) and exc.status == 500
        if failures > (min(_OWN_FAILURES, self._limits.failures) if own else self._limits.failures):
            raise exc
        if not busy_until and now - self._moved > self._limits.stall:
            raise StalledError(
                f"store the blob {self._repository}@{self._digest}",
                where=self._session.base,
                got=f"no byte has moved for {now - self._moved:.0f} seconds; the last attempt said: {exc.got}",
                remedy="Look at the registry, its disk and what stands in front of it; another run goes on from here.",
            ) from exc

    def _smaller(self, needed: bool) -> None:
        """Send in pieces from now on, if that is needed and not done yet."""
        if needed and self._chunk is None and self._body.size > _CHUNKS[1]:
            self._chunk = _CHUNKS[1]

    def _arrived(self) -> bool:
        """Tell whether the registry has the blob, although the answer that said so was lost."""
        try:
            return head_blob(self._session, self._repository, self._digest) == self._body.size
        except RegistryError:
            return False

    def _continue(self, url: str) -> None:
        """Ask an upload how far it came; one that is unknown is begun anew."""
        try:
            self._url, offset = progress(self._session, self._repository, url)
        except (UnreachableError, ThrottledError):
            # What cannot be asked now is asked after the next failure.
            return
        except (NotFoundError, HttpError):
            self._url, self._offset = "", 0
            return
        self._broken = True
        if offset > self._body.size:
            self._url, self._offset = "", 0
            return
        if offset != self._offset:
            self._moved = time.monotonic()
        self._offset = offset
        self._watch.opened(self._url)

    def _stream(self, offset: int, size: int) -> Body:
        def moved(count: int, end: int) -> None:
            self._moved = time.monotonic()
            self._watch.sent(count, end)

        return Body(lambda: t.cast(t.BinaryIO, _Part(self._body.open(), offset, size, moved)), size)


class _Part(io.RawIOBase):
    """A part of a stream that tells how much of it was read."""

    def __init__(self, whole: t.BinaryIO, offset: int, size: int, moved: Callable[[int, int], None]) -> None:
        super().__init__()
        self._whole = whole
        self._position = offset
        self._left = size
        self._moved = moved
        if offset:
            whole.seek(offset)

    def readable(self) -> bool:
        """It can be read."""
        return True

    def readinto(self, buffer: t.Any) -> int:
        """Fill a buffer with the next bytes and return how many there were."""
        view = memoryview(buffer)[: self._left]
        count = int(t.cast(t.Any, self._whole).readinto(view)) if view else 0
        self._count(count)
        return count

    def place(self) -> tuple[int, int] | None:
        """Return file and offset of the next bytes, if they lie in a file."""
        found: t.Callable[[], tuple[int, int] | None] | None = getattr(self._whole, "place", None)
        return found() if found else None

    def advance(self, count: int) -> None:
        """Go over bytes that were taken from the file."""
        t.cast(t.Any, self._whole).advance(count)
        self._count(count)

    def _count(self, count: int) -> None:
        self._left -= count
        self._position += count
        self._moved(count, self._position)

    def close(self) -> None:
        """Close the stream below as well."""
        self._whole.close()
        super().close()
