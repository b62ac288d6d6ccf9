# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""HTTP/1.1 on the wire, where many small answers are read and large bodies are sent. Private.

The library's connections and bodies, with a head that is written in one piece and headers that are read without its
mail parser: these two cost more than all the rest of a small request, and on two cores the registry lacks that time.
What lies in a file is sent by the kernel where it can.
"""

from __future__ import annotations

import http.client
import os
import re
import select
import socket
import ssl
import typing as t
from collections.abc import Mapping

# At most as much is sent at once, or read to be sent.
PIECE = 1 << 20
_LINE = 65536
_HEADERS = 200
_STATUS = re.compile(r"HTTP/1\.([0-9]) +([1-9][0-9]{2})(?: +(.*))?$")
_UNSAFE = re.compile(r"[^\x21-\x7e]")
_BREAKS = re.compile(r"[\r\n\x00]|[^\x00-\xff]")


class Headers:
    """Headers of an answer, by names in any case."""

    __slots__ = ("_values",)

    def __init__(self, lines: t.Iterable[str] = ()) -> None:
        """Read header lines; what is none is left out."""
        self._values: dict[str, list[str]] = {}
        last: list[str] = []
        for line in lines:
            name, colon, value = line.partition(":")
            if line[:1] in (" ", "\t") and last:
                # A value that goes on in the next line.
                last[-1] = f"{last[-1]} {line.strip()}"
            elif colon:
                last = self._values.setdefault(name.strip().lower(), [])
                last.append(value.strip())

    @t.overload
    def get(self, name: str) -> str | None: ...

    @t.overload
    def get(self, name: str, default: str) -> str: ...

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
        media_type = self.get("content-type", "").partition(";")[0].strip().lower()
        return media_type if media_type.count("/") == 1 else "text/plain"


class Answer(http.client.HTTPResponse):
    """The library's response with other headers."""

    # What the library's reading of bodies goes by.
    headers: t.Any
    msg: t.Any
    fp: t.Any
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
        lines = self._head()
        while lines[0].startswith("HTTP/1.1 100"):
            lines = self._head()
        match = _STATUS.match(lines[0])
        if not match:
            raise http.client.BadStatusLine(ascii(lines[0][:100]))
        self.version = 10 if match[1] == "0" else 11
        self.status = self.code = status = int(match[2])
        self.reason = match[3] or ""
        headers = Headers(lines[1:])
        self.headers = self.msg = headers
        self.chunked = headers.get("transfer-encoding", "").strip().lower() == "chunked"
        self.chunk_left = None
        announced = headers.get("content-length", "")
        self.length = int(announced) if announced.isdigit() and not self.chunked else None
        options = headers.get("connection", "").lower()
        self.will_close = "close" in options or (self.version < 11 and "keep-alive" not in options)
        if status in (204, 304) or 100 <= status < 200 or getattr(self, "_method", None) == "HEAD":
            self.length = 0
        if self.length is None and not self.chunked:
            self.will_close = True

    def _head(self) -> list[str]:
        """Return the lines of a head."""
        # Nearly always all of it has come by now.
        end = self.fp.peek(1).find(b"\r\n\r\n")
        if end >= 0:
            return self.fp.read(end + 4)[:-4].decode("iso-8859-1").split("\r\n")
        lines: list[str] = []
        while True:
            line = self.fp.readline(_LINE + 1)
            if len(line) > _LINE or len(lines) > _HEADERS:
                raise http.client.LineTooLong("head of the answer")
            if line in (b"\r\n", b"\n", b""):
                break
            lines.append(line.decode("iso-8859-1").rstrip("\r\n"))
        if not lines:
            raise http.client.RemoteDisconnected("the server hung up without an answer")
        return lines


class PlainConnection(http.client.HTTPConnection):
    """A connection without encryption.

    peer: host and port of who is asked, where that is not who it leads to but behind a proxy. for_proxy: headers that
    the proxy wants with each request.
    """

    response_class = Answer
    peer: tuple[str, int] | None = None
    for_proxy: Mapping[str, str] = {}


class SecureConnection(http.client.HTTPSConnection):
    """A connection with TLS. peer: as for `PlainConnection`; the proxy sees only what is encrypted."""

    response_class = Answer
    peer: tuple[str, int] | None = None


def ask(
    connection: http.client.HTTPConnection, method: str, target: str, headers: Mapping[str, str], body: bytes = b""
) -> Answer:
    """Send a request and return the answer; see `tell` and `hear`."""
    tell(connection, method, target, headers, body)
    return hear(connection, method)


def tell(
    connection: http.client.HTTPConnection, method: str, target: str, headers: Mapping[str, str], body: bytes = b""
) -> None:
    """Send a request, or the beginning of one.

    Args:
        connection: a connection that waits for no answer.
        method: the HTTP method.
        target: path and query.
        headers: sent with it.
        body: sent with it in one piece.

    Raises:
        OSError, http.client.HTTPException: when it cannot be sent, or a part would break out of its line.
    """
    if _UNSAFE.search(target) or any(_BREAKS.search(name + value) for name, value in headers.items()):
        raise http.client.InvalidURL("a request must not hold spaces, control characters or foreign letters")
    peer = getattr(connection, "peer", None)
    name, number = peer or (connection.host, connection.port)
    host = f"[{name}]" if ":" in name else name
    port = "" if number == connection.default_port else f":{number}"
    if peer and isinstance(connection, PlainConnection):
        target = f"http://{host}{port}{target}"
        headers = {**headers, **connection.for_proxy}
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}{port}", "Accept-Encoding: identity"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if connection.sock is None:
        connection.connect()
    sock: socket.socket = connection.sock
    sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("iso-8859-1") + body)


def send_body(sock: socket.socket, stream: t.Any, size: int) -> None:
    """Send what a stream holds.

    A stream with the methods `place`, which tells the file and the offset of its next bytes, if they lie in one, and
    `advance`, which is told how many were taken from there, is not read.

    Args:
        sock: where to.
        stream: a binary stream with `readinto`.
        size: how many bytes it holds.

    Raises:
        OSError: when the other side takes no more.
    """
    # What is encrypted has to come past here.
    plain = not isinstance(sock, ssl.SSLSocket) and hasattr(os, "sendfile")
    place = stream.place() if plain and size and hasattr(stream, "place") else None
    if place:
        size -= _send_file(sock, stream, place[0], place[1], size)
    buffer = memoryview(bytearray(min(PIECE, size)))
    while size > 0:
        count = stream.readinto(buffer[:size])
        if not count:
            break
        sock.sendall(buffer[:count])
        size -= count


def _send_file(sock: socket.socket, stream: t.Any, handle: int, offset: int, size: int) -> int:
    """Let the kernel send, and return how much went out; the rest is for whom can say what is wrong with the file."""
    sent = 0
    while sent < size:
        try:
            count = os.sendfile(sock.fileno(), handle, offset + sent, min(size - sent, PIECE))
        except BlockingIOError:
            _wait_until_writable(sock)
            continue
        except ConnectionError:
            raise
        except OSError:
            break
        if not count:
            break
        sent += count
        stream.advance(count)
    return sent


def _wait_until_writable(sock: socket.socket) -> None:
    seconds = sock.gettimeout()
    waiting = select.poll()
    waiting.register(sock, select.POLLOUT)
    if not waiting.poll(None if seconds is None else seconds * 1000):
        raise TimeoutError("timed out")


def hear(connection: http.client.HTTPConnection, method: str) -> Answer:
    """Return the answer to the request that was sent; its body is still to be read.

    Raises:
        OSError, http.client.HTTPException: when none comes.
    """
    answer = Answer(t.cast(socket.socket, connection.sock), method=method)
    try:
        answer.begin()
    except BaseException:
        answer.close()
        raise
    if answer.will_close:
        # The answer keeps what it still has to read.
        connection.close()
    return answer
