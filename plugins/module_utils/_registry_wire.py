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
import struct
import typing as t
from collections.abc import Mapping

# At most as much is sent at once, or read to be sent.
PIECE = 1 << 20
_LINE = 65536
_HEADERS = 200
_STATUS = re.compile(r"HTTP/1\.([0-9]) +([1-9][0-9]{2})(?: +(.*))?$")
_UNSAFE = re.compile(r"[^\x21-\x7e]")
_BREAKS = re.compile(r"[\r\n\x00]|[^\x00-\xff]")
_BREAKS_OUT = "a request must not hold spaces, control characters or foreign letters"


# How the names of headers that are asked for all the time look in a text.
_MARKS = {
    name: f"\r\n{name.lower()}:"
    for name in ("connection", "content-length", "content-type", "transfer-encoding", "Docker-Content-Digest")
}


class Headers:
    """Headers of an answer, by names in any case; read when somebody asks for one."""

    __slots__ = ("_lower", "_text", "_values")

    def __init__(self, text: str = "") -> None:
        """Keep the lines, each after a line break; one that is no header is left out."""
        self._text = text
        self._lower = text.lower()
        # Few are ever asked for, so they are looked up in the text, unless a name or a value is written unusually.
        unusual = "\r\n " in text or "\r\n\t" in text or " :" in text or "\t:" in text
        self._values = self._read(text) if unusual else None

    @staticmethod
    def _read(text: str) -> dict[str, list[str]]:
        values: dict[str, list[str]] = {}
        last: list[str] = []
        for line in text.split("\r\n"):
            name, colon, value = line.partition(":")
            if line[:1] in (" ", "\t") and last:
                # A value that goes on in the next line.
                last[-1] = f"{last[-1]} {line.strip()}"
            elif colon:
                last = values.setdefault(name.strip().lower(), [])
                last.append(value.strip())
        return values

    @t.overload
    def get(self, name: str) -> str | None: ...

    @t.overload
    def get(self, name: str, default: str) -> str: ...

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of a header."""
        if self._values is not None:
            values = self._values.get(name.lower())
            return values[0] if values else default
        mark = _MARKS.get(name) or f"\r\n{name.lower()}:"
        found = self._lower.find(mark)
        if found < 0:
            return default
        begin = found + len(mark)
        end = self._text.find("\r\n", begin)
        return self._text[begin : end if end >= 0 else None].strip()

    def get_all(self, name: str, default: t.Any = None) -> t.Any:
        """Return all values of a header as a list, or the default."""
        if self._values is None:
            self._values = self._read(self._text)
        return self._values.get(name.lower(), default)

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def get_content_type(self) -> str:
        """Return the media type in lower case, without parameters."""
        media_type = self.get("content-type", "").partition(";")[0].strip().lower()
        return media_type if media_type.count("/") == 1 else "text/plain"


class Head(t.NamedTuple):
    """The head of an answer, and what it says about the body.

    `version` is 10 or 11; `length` the bytes of the body if they are known, unless it is `chunked`; `closes` tells
    that the connection ends with it.
    """

    version: int
    status: int
    reason: str
    headers: Headers
    length: int | None
    chunked: bool
    closes: bool


def read_head(text: str, method: str) -> Head:
    """Return what a head says, given without the empty line at its end.

    Raises:
        http.client.BadStatusLine: when it is no answer of HTTP/1.
    """
    line, breaks, rest = text.partition("\r\n")
    match = _STATUS.match(line)
    if not match:
        raise http.client.BadStatusLine(ascii(line[:100]))
    minor, number, reason = match.groups("")
    version, status = 10 if minor == "0" else 11, int(number)
    headers = Headers(breaks + rest)
    chunked = headers.get("transfer-encoding", "").lower() == "chunked"
    announced = headers.get("content-length", "")
    length = int(announced) if announced.isdigit() and not chunked else None
    options = headers.get("connection", "").lower()
    closes = "close" in options or (version < 11 and "keep-alive" not in options)
    if method == "HEAD" or status in (204, 304) or 100 <= status < 200:
        length = 0
    return Head(version, status, reason, headers, length, chunked, closes or (length is None and not chunked))


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
        method = getattr(self, "_method", None) or ""
        head = read_head(self._head(), method)
        while 100 <= head.status < 200 and head.status != 101:
            # It only says that the answer is still to come.
            head = read_head(self._head(), method)
        self.version, self.status, self.reason = head.version, head.status, head.reason
        self.code = head.status
        self.headers = self.msg = head.headers
        self.length, self.chunked, self.will_close = head.length, head.chunked, head.closes
        self.chunk_left = None

    def _head(self) -> str:
        """Return a head without the empty line at its end."""
        # Nearly always all of it has come by now.
        end = self.fp.peek(1).find(b"\r\n\r\n")
        if end >= 0:
            return self.fp.read(end + 4)[:-4].decode("iso-8859-1")
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
        return "\r\n".join(lines)


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
    head = f"{start_of(connection, method, target)}{lines_of(connection, headers)}"
    if connection.sock is None:
        connection.connect()
    sock: socket.socket = connection.sock
    sock.sendall(head.encode("iso-8859-1") + body)


def start_of(connection: http.client.HTTPConnection, method: str, target: str) -> str:
    """Return the first line of a request; errors as in `tell`."""
    if _UNSAFE.search(target):
        raise http.client.InvalidURL(_BREAKS_OUT)
    if getattr(connection, "peer", None) and isinstance(connection, PlainConnection):
        target = f"http://{_host_of(connection)}{target}"
    return f"{method} {target} HTTP/1.1\r\n"


def lines_of(connection: http.client.HTTPConnection, headers: Mapping[str, str]) -> str:
    """Return what follows the first line of a request, up to its body; errors as in `tell`."""
    if getattr(connection, "peer", None) and isinstance(connection, PlainConnection):
        headers = {**headers, **connection.for_proxy}
    more = "".join([f"\r\n{name}: {value}" for name, value in headers.items()])
    if len(_BREAKS.findall(more)) > 2 * len(headers):
        raise http.client.InvalidURL(_BREAKS_OUT)
    return f"Host: {_host_of(connection)}\r\nAccept-Encoding: identity{more}\r\n\r\n"


def _host_of(connection: http.client.HTTPConnection) -> str:
    name, number = getattr(connection, "peer", None) or (connection.host, connection.port)
    host = f"[{name}]" if ":" in name else name
    return host if number == connection.default_port else f"{host}:{number}"


def is_quiet(connection: http.client.HTTPConnection) -> bool:
    """Tell whether nothing has come on a connection that waits for no answer, neither bytes nor its end."""
    waiting = select.poll()
    waiting.register(connection.sock, select.POLLIN)
    return not waiting.poll(0)


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
    sent, seconds = 0, sock.gettimeout()
    if seconds is not None:
        # Waiting inside of the call saves half of the calls.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _as_timeval(seconds))
        sock.settimeout(None)
    try:
        while sent < size:
            try:
                count = os.sendfile(sock.fileno(), handle, offset + sent, min(size - sent, PIECE))
            except BlockingIOError as exc:
                raise TimeoutError("timed out") from exc
            except ConnectionError:
                raise
            except OSError:
                break
            if not count:
                break
            sent += count
            stream.advance(count)
    finally:
        sock.settimeout(seconds)
    return sent


def _as_timeval(seconds: float) -> bytes:
    return struct.pack("@ll", int(seconds), int(seconds % 1 * 1e6))


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
