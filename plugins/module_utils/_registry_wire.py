# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""HTTP/1.1 on the wire: connections, and the answers that come on them. Private.

Less than the library has, which takes longer to import than a push of small images takes here. Headers are read without
a parser of mail, as the library does it, which costs more than all the rest of a small request; on two cores the
registry lacks that time.
"""

from __future__ import annotations

import io
import re
import socket
import typing as t
from collections.abc import Mapping

from ansible_collections.homeport.registry.plugins.module_utils._registry_dial import dial
from ansible_collections.homeport.registry.plugins.module_utils._registry_pace import Paced

if t.TYPE_CHECKING:
    import ssl

_LINE = 65536
_HEADERS = 200
_STATUS = re.compile(r"HTTP/1\.([0-9]) +([1-9][0-9]{2})(?: +(.*))?$")
_NO_HOST = re.compile(r"[\x00-\x20\x7f]")
_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")
_NUMBER = re.compile(r"[0-9]{1,15}")

# How the names of headers that are asked for all the time look in a text.
_MARKS = {
    name: f"\r\n{name.lower()}:"
    for name in ("connection", "content-length", "content-type", "transfer-encoding", "Docker-Content-Digest")
}


class WireError(Exception):
    """What came is no HTTP/1 or ends too early, or what should be sent is none."""


class HungUpError(WireError, ConnectionResetError):
    """The server closed the connection instead of answering."""


class UnsendableError(WireError):
    """A part of a request would break out of its line."""


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


def number_in(text: str | None) -> int | None:
    """Return the number that a header holds, nothing where it holds none that counts bytes or seconds."""
    return int(text) if text and _NUMBER.fullmatch(text) else None


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
        WireError: when it is no answer of HTTP/1.
    """
    line, breaks, rest = text.partition("\r\n")
    match = _STATUS.match(line)
    if not match:
        raise WireError(f"this is no answer of HTTP/1: {line[:100]!a}")
    minor, number, reason = match.groups("")
    version, status = 10 if minor == "0" else 11, int(number)
    headers = Headers(breaks + rest)
    chunked = headers.get("transfer-encoding", "").lower() == "chunked"
    announced = headers.get("content-length", "")
    length = None if chunked else number_in(announced)
    options = headers.get("connection", "").lower()
    closes = "close" in options or (version < 11 and "keep-alive" not in options)
    if method == "HEAD" or status in (204, 304) or 100 <= status < 200:
        length = 0
    return Head(version, status, reason, headers, length, chunked, closes or (length is None and not chunked))


class Answer:
    """The answer to a request, whose body is read once."""

    def __init__(self, sock: socket.socket, method: str) -> None:
        """Take what comes on a socket; see `begin`."""
        self.fp: io.BufferedReader | None = io.BufferedReader(Paced(sock))
        self._method = method
        # Of the chunk that is being read.
        self._left = 0
        self.status = 0
        self.reason = ""
        self.headers = Headers()
        self.length: int | None = None
        self.will_close = False
        self._chunked = False

    def begin(self) -> None:
        """Read the head of the answer.

        Raises:
            OSError, WireError: when none comes.
        """
        head = read_head(self._head(), self._method)
        while 100 <= head.status < 200 and head.status != 101:
            # It only says that the answer is still to come.
            head = read_head(self._head(), self._method)
        self.status, self.reason, self.headers = head.status, head.reason, head.headers
        self.length, self.will_close = head.length, head.closes
        self._chunked = head.chunked and head.length is None

    def _head(self) -> str:
        """Return a head without the empty line at its end."""
        stream = t.cast(t.Any, self.fp)
        # Nearly always all of it has come by now.
        end = stream.peek(1).find(b"\r\n\r\n")
        if end >= 0:
            return str(stream.read(end + 4)[:-4], "iso-8859-1")
        lines: list[str] = []
        while True:
            line = self._line()
            if len(lines) > _HEADERS:
                raise WireError("the head of the answer is too long")
            if line in (b"\r\n", b"\n", b""):
                break
            lines.append(line.decode("iso-8859-1").rstrip("\r\n"))
        if not lines:
            raise HungUpError("the server hung up without an answer")
        return "\r\n".join(lines)

    def _line(self) -> bytes:
        line = self.fp.readline(_LINE + 1) if self.fp else b""
        if len(line) > _LINE:
            raise WireError("a line of the answer is too long")
        return line

    def read(self, size: int | None = None) -> bytes:
        """Return the next bytes of the body, all that are left without a size; none when it has ended.

        Raises:
            OSError, WireError: when it breaks off. With a size, the end of the connection ends a body that has not come
                as far as was announced; who asks like that compares its length.
        """
        if self.fp is None or size == 0:
            return b""
        if self._chunked:
            return self._read_chunks(size)
        wanted = self.length if size is None or (self.length is not None and self.length < size) else size
        content = self.fp.read(-1 if wanted is None else wanted)
        if self.length is not None:
            self.length -= len(content)
        if size is None and self.length:
            self.close()
            raise WireError(f"{len(content)} bytes came and {self.length} did not")
        if size is None or not content or self.length == 0:
            self.close()
        return content

    def _read_chunks(self, size: int | None) -> bytes:
        pieces: list[bytes] = []
        wanted = size
        while self.fp and (wanted is None or wanted > 0):
            if not self._left and not self._next_chunk():
                self.close()
                break
            piece = self.fp.read(self._left if wanted is None else min(self._left, wanted))
            self._left -= len(piece)
            wanted = None if wanted is None else wanted - len(piece)
            pieces.append(piece)
            if not piece:
                self.close()
                raise WireError("the connection ended inside of a chunk")
            if not self._left and self._line() not in (b"\r\n", b"\n"):
                self.close()
                raise WireError("a chunk does not end where it should")
        return b"".join(pieces)

    def _next_chunk(self) -> int:
        """Return the bytes of the next chunk, none after the last one, with which all of the answer has been read."""
        size = self._line().partition(b";")[0].strip()
        if not _SIZE.fullmatch(size):
            self.close()
            raise WireError("a chunk begins without its size")
        self._left = int(size, 16)
        if not self._left:
            for _number in range(_HEADERS):
                if self._line() in (b"\r\n", b"\n", b""):
                    return 0
            self.close()
            raise WireError("too much follows the body")
        return self._left

    def isclosed(self) -> bool:
        """Tell whether all of the body has been read, or was given up."""
        return self.fp is None

    def close(self) -> None:
        """Give up what has not been read."""
        stream, self.fp = self.fp, None
        if stream:
            stream.close()


class Connection:
    """A connection to a server, made when it is needed; `sock` is nothing before and after.

    peer: host and port of who is asked, where that is not who it leads to but behind a proxy. for_proxy: headers that
    the proxy wants to see.
    """

    default_port = 80

    def __init__(self, host: str, port: int, timeout: float | None = None) -> None:
        """Keep where it leads, and how many seconds to wait for it and for each piece.

        Raises:
            UnsendableError: when no host has this name.
        """
        if _NO_HOST.search(host):
            raise UnsendableError(f"a host must not hold spaces or control characters: {host!a}")
        self.host = host
        self.port = port
        self.timeout = timeout
        self.sock: t.Any = None
        self.peer: tuple[str, int] | None = None
        self.for_proxy: Mapping[str, str] = {}

    def connect(self) -> None:
        """Make it.

        Raises:
            OSError, WireError: when that is not possible.
        """
        self.sock = dial(self.host, self.port, self.timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        """Close it; an answer that is still being read keeps what it needs."""
        sock, self.sock = self.sock, None
        if sock:
            sock.close()


class PlainConnection(Connection):
    """A connection without encryption; a proxy gets whole addresses."""


class SecureConnection(Connection):
    """A connection with TLS; a proxy leads to the peer and sees only what is encrypted."""

    default_port = 443

    def __init__(self, host: str, port: int, timeout: float | None, context: ssl.SSLContext) -> None:
        """Keep the TLS settings too."""
        super().__init__(host, port, timeout)
        self._context = context

    def connect(self) -> None:
        """Make it, and let the server prove its name; errors as in `Connection`."""
        super().connect()
        if self.peer:
            self._tunnel(*self.peer)
        self.sock = self._context.wrap_socket(self.sock, server_hostname=self.peer[0] if self.peer else self.host)

    def _tunnel(self, host: str, port: int) -> None:
        to = f"{written(host)}:{port}"
        more = "".join(f"{name}: {value}\r\n" for name, value in self.for_proxy.items())
        self.sock.sendall(f"CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n{more}\r\n".encode("iso-8859-1"))
        answer = Answer(self.sock, "CONNECT")
        try:
            answer.begin()
        finally:
            answer.close()
        if answer.status != 200:
            self.close()
            raise OSError(f"Tunnel connection failed: {answer.status} {answer.reason.strip()}")


def written(host: str) -> str:
    """Return a host as it stands before a port."""
    return f"[{host}]" if ":" in host else host
