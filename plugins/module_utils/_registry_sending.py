# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Requests on the wire, small ones and those with a large body. Private.

A head is written in one piece. What lies in a file is sent by the kernel where it can.
"""

from __future__ import annotations

import os
import re
import select
import socket
import struct
import typing as t
from collections.abc import Mapping

from ansible_collections.homeport.registry.plugins.module_utils._registry_wire import (
    Answer,
    Connection,
    PlainConnection,
    UnsendableError,
    written,
)

# At most as much is sent at once, or read to be sent.
PIECE = 1 << 20
_UNSAFE = re.compile(r"[^\x21-\x7e]")
_BREAKS = re.compile(r"[\r\n\x00]|[^\x00-\xff]")
_BREAKS_OUT = "a request must not hold spaces, control characters or foreign letters"


def ask(connection: Connection, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
    """Send a request and return the answer; see `tell` and `hear`."""
    tell(connection, method, target, headers, body)
    return hear(connection, method)


def tell(connection: Connection, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> None:
    """Send a request, or the beginning of one.

    Args:
        connection: a connection that waits for no answer.
        method: the HTTP method.
        target: path and query.
        headers: sent with it.
        body: sent with it in one piece.

    Raises:
        OSError, WireError: when it cannot be sent, or a part would break out of its line.
    """
    head = f"{start_of(connection, method, target)}{lines_of(connection, headers)}"
    if connection.sock is None:
        connection.connect()
    sock: socket.socket = connection.sock
    sock.sendall(head.encode("iso-8859-1") + body)


def start_of(connection: Connection, method: str, target: str) -> str:
    """Return the first line of a request; errors as in `tell`."""
    if _UNSAFE.search(target):
        raise UnsendableError(_BREAKS_OUT)
    if connection.peer and isinstance(connection, PlainConnection):
        target = f"http://{_host_of(connection)}{target}"
    return f"{method} {target} HTTP/1.1\r\n"


def lines_of(connection: Connection, headers: Mapping[str, str]) -> str:
    """Return what follows the first line of a request, up to its body; errors as in `tell`."""
    if connection.peer and isinstance(connection, PlainConnection):
        headers = {**headers, **connection.for_proxy}
    more = "".join([f"\r\n{name}: {value}" for name, value in headers.items()])
    if len(_BREAKS.findall(more)) > 2 * len(headers):
        raise UnsendableError(_BREAKS_OUT)
    return f"Host: {_host_of(connection)}\r\nAccept-Encoding: identity{more}\r\n\r\n"


def _host_of(connection: Connection) -> str:
    name, number = connection.peer or (connection.host, connection.port)
    host = written(name)
    return host if number == connection.default_port else f"{host}:{number}"


def is_quiet(connection: Connection) -> bool:
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
    plain = not hasattr(sock, "cipher") and hasattr(os, "sendfile")
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


def hear(connection: Connection, method: str) -> Answer:
    """Return the answer to the request that was sent; its body is still to be read.

    Raises:
        OSError, WireError: when none comes.
    """
    answer = Answer(connection.sock, method)
    try:
        answer.begin()
    except BaseException:
        answer.close()
        raise
    if answer.will_close:
        # The answer keeps what it still has to read.
        connection.close()
    return answer
