# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers on the wire are read as the library of Python reads them, whole and broken ones, in any pieces."""

from __future__ import annotations

import http.client
import random
import socket
import threading
from typing import Any

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._registry_wire import Answer, WireError

# Not among them is where the library is wrong: a body of 204 and 304, which have none, and interim answers but 100.
STATUSES = (200, 201, 202, 206, 307, 401, 404, 416, 500, 503)
ANSWERS = 150


def made_up(dice: random.Random) -> tuple[bytes, str]:
    """Return an answer and the method that it answers."""
    body = dice.randbytes(dice.choice((0, 1, 5, 300, 9000)))
    headers = [f"X-Mark: {dice.choice(('1', '', 'two words'))}"]
    if dice.random() < 0.3:
        headers.append(f"Connection: {dice.choice(('close', 'Close', 'keep-alive', 'Keep-Alive, other'))}")
    kind = dice.choice(("length", "short", "chunked", "cut", "damaged", "endless"))
    if kind in ("length", "short"):
        headers.append(f"{dice.choice(('Content-Length', 'content-length'))}: {len(body) + 7 * (kind == 'short')}")
    elif kind != "endless":
        headers.append(f"Transfer-Encoding: {dice.choice(('chunked', 'Chunked'))}")
        pieces = []
        while body:
            size = dice.randint(1, 4000)
            piece, body = body[:size], body[size:]
            pieces.append(b"%x%s\r\n%s\r\n" % (len(piece), dice.choice((b"", b" ", b";a=b")), piece))
        last = {"chunked": b"0\r\n" + dice.choice((b"", b"X-Late: 1\r\n")) + b"\r\n", "damaged": b"zz\r\n", "cut": b""}
        body = b"".join(pieces) + last[kind]
    dice.shuffle(headers)
    first = f"HTTP/1.{dice.choice('1110')} {dice.choice(STATUSES)} {dice.choice(('OK', '', 'Not Found'))}"
    before = dice.choice((b"", b"", b"HTTP/1.1 100 Continue\r\n\r\n"))
    return before + "\r\n".join([first, *headers, "", ""]).encode() + body, dice.choice(("GET", "GET", "PUT", "HEAD"))


def send(server: socket.socket, data: bytes, size: int) -> None:
    """Send an answer in pieces and hang up."""
    with server:
        for start in range(0, len(data), size):
            try:
                server.sendall(data[start : start + size])
            except OSError:
                return


def heard(kind: type[Any], data: bytes, method: str, sent: int, read: int | None) -> tuple[Any, ...]:
    """Return what a reader makes of an answer."""
    client, server = socket.socketpair()
    sending = threading.Thread(target=send, args=(server, data, sent))
    sending.start()
    try:
        client.settimeout(10)
        answer = kind(client, method)
        answer.begin()
        pieces = [answer.read()] if read is None else list(iter(lambda: answer.read(read), b""))
        mark = answer.headers.get("X-Mark")
        return answer.status, answer.reason, mark, answer.will_close, b"".join(pieces), answer.isclosed()
    except (http.client.HTTPException, WireError):
        return ("broken",)
    finally:
        client.close()
        sending.join()


class Library(http.client.HTTPResponse):
    """The library's reader, made in the same way as ours."""

    def __init__(self, sock: socket.socket, method: str) -> None:
        """Take what comes on a socket."""
        super().__init__(sock, method=method)


@pytest.mark.parametrize("read", [None, 1, 1000, 100_000])
def test_answers_are_read_as_the_library_reads_them(read):
    dice = random.Random(f"answers {read}")
    outcomes = set()
    for _number in range(ANSWERS):
        data, method = made_up(dice)
        if read == 1:
            data = data[:900]
        sent = dice.choice((50, 5000, 100_000))
        expected = heard(Library, data, method, sent, read)
        assert heard(Answer, data, method, sent, read) == expected, data[:300]
        outcomes.add(expected[0])
    assert outcomes == {*STATUSES, "broken"}
