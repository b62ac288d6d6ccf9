# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The pieces of an HTTP exchange: bodies that can be sent again, answers that can be read once. Private."""

from __future__ import annotations

import contextlib
import typing as t
from collections.abc import Callable, Iterator, Mapping

from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import (
    ProtocolError,
    TlsError,
    TruncatedError,
    without_query,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import origin_of, target_of
from ansible_collections.homeport.registry.plugins.module_utils._registry_sending import ask, hear, send_body, tell
from ansible_collections.homeport.registry.plugins.module_utils._registry_tls import connection_error
from ansible_collections.homeport.registry.plugins.module_utils._registry_wire import (
    Answer,
    Connection,
    Headers,
    WireError,
    number_in,
)

# Sent with each request.
OWN_HEADERS = {"User-Agent": "homeport.registry"}
SAFE_METHODS = frozenset(("GET", "HEAD"))
# More than the 4 MiB that registries accept for a manifest.
MAX_BODY = 8 << 20
CHUNK = 1 << 20
_DRAIN = 64 << 10


class Body(t.NamedTuple):
    """A request body that can be sent more than once.

    `open` returns a new binary stream positioned at its beginning, which has `readinto` (see also `send_body`); `size`
    is its length in bytes.
    """

    open: Callable[[], t.BinaryIO]
    size: int


class Exchange(t.NamedTuple):
    """One request and its answer, for evidence."""

    method: str
    url: str
    status: int
    seconds: float


class Response:
    """An answer whose body has not been read yet. Close it, or use it as a context manager."""

    def __init__(self, raw: Answer, method: str, url: str, release: Callable[[bool], None]) -> None:
        """Wrap the library's response; `release` gets whether the connection may be used again."""
        self.status = raw.status
        self.headers: Headers = raw.headers
        self.method = method
        self.url = url
        self._raw = raw
        self._release: Callable[[bool], None] | None = release

    def chunks(self) -> Iterator[bytes]:
        """Yield the body in pieces of at most 1 MiB.

        Raises:
            TruncatedError: when the connection breaks, or ends before the announced length.
        """
        received = 0
        try:
            while piece := self._raw.read(CHUNK):
                received += len(piece)
                yield piece
        except (OSError, WireError) as exc:
            broken = connection_error("read the answer", f"{self.method} {without_query(self.url)}", exc)
            got = f"it began and then stopped, {broken.got}" if isinstance(exc, TimeoutError) else broken.got
            raise TruncatedError(broken.tried, where=broken.where, got=got, remedy=broken.remedy) from exc
        announced = number_in(self.headers.get("Content-Length"))
        if self.method != "HEAD" and announced is not None and received != announced:
            raise TruncatedError(
                "read the answer",
                where=f"{self.method} {without_query(self.url)}",
                got=f"{received} of {announced} bytes arrived",
                remedy="Repeat; if it stays, the registry has lost the content: look into its log.",
            )

    def read(self, limit: int = MAX_BODY) -> bytes:
        """Return the whole body and close.

        Raises:
            ProtocolError: when it is longer than `limit` bytes.
            TruncatedError: as `chunks`.
        """
        pieces, size = [], 0
        with self:
            for piece in self.chunks():
                size += len(piece)
                if size > limit:
                    raise ProtocolError(
                        "read the answer",
                        where=f"{self.method} {without_query(self.url)}",
                        got=f"it is longer than {limit} bytes",
                        remedy="Check that the address is a registry.",
                    )
                pieces.append(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Give the connection back; one with unread data is closed."""
        release, self._release = self._release, None
        if release:
            if self._raw.length is not None and self._raw.length <= _DRAIN:
                # Reading a short rest is cheaper than another connection.
                with contextlib.suppress(OSError, WireError):
                    self._raw.read()
            release(self._raw.isclosed())
            self._raw.close()

    def __enter__(self) -> Response:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()


def send(
    connection: Connection,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | Body | None,
) -> tuple[Answer, bool]:
    """Return the answer, and whether all of the request was sent."""
    path = target_of(url)
    sent = {**OWN_HEADERS, **headers}
    if body is not None or method not in SAFE_METHODS:
        sent["Content-Length"] = str(body.size if isinstance(body, Body) else len(body or b""))
    if not isinstance(body, Body):
        return ask(connection, method, path, sent, body or b""), True
    intact = True
    with body.open() as stream:
        # A server that refuses a body answers and hangs up while it is still being sent.
        try:
            tell(connection, method, path, sent)
            send_body(connection.sock, stream, body.size)
        except (BrokenPipeError, ConnectionResetError):
            intact = False
    return hear(connection, method), intact


def refuse_downgrade(source: str, target: str) -> None:
    """Refuse to go from an encrypted to an open connection.

    Raises:
        TlsError: when the target is http and the source https.
    """
    if origin_of(source).scheme == "https" and origin_of(target).scheme == "http":
        raise TlsError(
            "go where the registry points",
            where=without_query(source),
            got=f"it points to {without_query(target)}, which is not encrypted",
            remedy="Tell the registry its public address: http.relativeurls or http.host, or X-Forwarded-Proto.",
        )


def retry_after(value: str | None, now: float) -> float:
    """Return the seconds a Retry-After header asks for, as seconds or as a date; 0 when there is none.

    Args:
        value: the header.
        now: seconds since the epoch.
    """
    if not value:
        return 0.0
    seconds = number_in(value.strip())
    if seconds is not None:
        return float(seconds)
    # Hardly any server names a date, and this takes long.
    import email.utils

    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return 0.0
