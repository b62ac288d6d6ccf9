# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""HTTP/1.1 on the wire, where many small answers are read. Private.

The library's connections and bodies, with a head that is written in one piece and headers that are read without its
mail parser: these two cost more than all the rest of a small request, and on two cores the registry lacks that time.
"""

from __future__ import annotations

import http.client
import re
import socket
import typing as t
from collections.abc import Mapping

_LINE = 65536
_HEADERS = 200
_CONTROL = re.compile(r"[\x00-\x20\x7f]")
_BREAKS = re.compile(r"[\r\n\x00]")


class Headers:
    """Headers of an answer, by names in any case."""

    __slots__ = ("_values",)

    def __init__(self, pairs: t.Iterable[tuple[str, str]] = ()) -> None:
        """Keep names and values in order."""
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name.lower(), []).append(value)

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of a header."""
        values = self._values.get(name.lower())
        return values[0] if values else default

    def get_all(self, name: str, default: t.Any = None) -> t.Any:
        """Return all values of a header as a list, or the default."""
        return self._values.get(name.lower(), default)

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._values

    def get_content_type(self) -> str:
        """Return the media type in lower case, without parameters."""
        media_type = (self.get("content-type") or "").partition(";")[0].strip().lower()
        return media_type if media_type.count("/") == 1 else "text/plain"


class Answer(http.client.HTTPResponse):
    """The library's response with other headers."""

    # What the library's reading of bodies goes by.
    headers: t.Any
    length: int | None
    chunked: bool
    chunk_left: int | None
    will_close: bool
    version: int
    status: int

    def begin(self) -> None:
        """Read the head of the answer."""
        if self.headers is not None:
            return
        status, self.reason, self.version = self._status_line()
        while status == 100:
            self._header_lines()
            status, self.reason, self.version = self._status_line()
        self.status = self.code = status
        headers = Headers(self._header_lines())
        self.headers = self.msg = headers  # type: ignore[assignment]
        self.chunked = (headers.get("transfer-encoding") or "").strip().lower() == "chunked"
        self.chunk_left = None
        announced = headers.get("content-length") or ""
        self.length = int(announced) if announced.isdigit() and not self.chunked else None
        options = (headers.get("connection") or "").lower()
        self.will_close = "close" in options or (self.version < 11 and "keep-alive" not in options)
        if status in (204, 304) or 100 <= status < 200 or getattr(self, "_method", None) == "HEAD":
            self.length = 0
        if self.length is None and not self.chunked:
            self.will_close = True

    def _line(self) -> bytes:
        line = self.fp.readline(_LINE + 1)
        if len(line) > _LINE:
            raise http.client.LineTooLong("head of the answer")
        return line

    def _status_line(self) -> tuple[int, str, int]:
        line = self._line().decode("iso-8859-1")
        if not line:
            raise http.client.RemoteDisconnected("the server hung up without an answer")
        match = re.match(r"HTTP/1\.([0-9]) +([1-9][0-9]{2})(?: +(.*))?$", line.rstrip("\r\n"))
        if not match:
            raise http.client.BadStatusLine(ascii(line[:100]))
        return int(match[2]), (match[3] or "").strip(), 10 if match[1] == "0" else 11

    def _header_lines(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        while True:
            line = self._line()
            if line in (b"\r\n", b"\n", b""):
                return found
            if len(found) >= _HEADERS:
                raise http.client.HTTPException(f"got more than {_HEADERS} headers")
            name, colon, value = line.decode("iso-8859-1").rstrip("\r\n").partition(":")
            if name[:1] in (" ", "\t") and found:
                # A value that goes on in the next line.
                found[-1] = (found[-1][0], f"{found[-1][1]} {(name + colon + value).strip()}")
            elif colon:
                found.append((name.strip(), value.strip()))


class PlainConnection(http.client.HTTPConnection):
    """A connection without encryption."""

    response_class = Answer


class SecureConnection(http.client.HTTPSConnection):
    """A connection with TLS."""

    response_class = Answer


def ask(connection: http.client.HTTPConnection, method: str, target: str, headers: Mapping[str, str]) -> Answer:
    """Send a request without a body and return the answer.

    Args:
        connection: a connection that waits for no other answer.
        method: GET or HEAD.
        target: path and query.
        headers: sent with it.

    Raises:
        ValueError: when a part would break out of its line.
        OSError, http.client.HTTPException: when no answer comes.
    """
    if _CONTROL.search(target) or any(_BREAKS.search(name + value) for name, value in headers.items()):
        raise ValueError("a request must not hold control characters")
    host = f"[{connection.host}]" if ":" in connection.host else connection.host
    port = "" if connection.port == connection.default_port else f":{connection.port}"
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}{port}", "Accept-Encoding: identity"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if connection.sock is None:
        connection.connect()
    sock: socket.socket = connection.sock
    sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("iso-8859-1"))
    answer = Answer(sock, method=method)
    try:
        answer.begin()
    except BaseException:
        answer.close()
        raise
    if answer.will_close:
        # The answer keeps what it still has to read.
        connection.close()
    return answer
