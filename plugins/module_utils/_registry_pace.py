# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Answers that come byte by byte, of which no single one is late. Private."""

from __future__ import annotations

import io
import socket
import time
import typing as t

# Bytes that have to come in the time in which any have to come at all.
_LEAST = 1024


class DripError(TimeoutError):
    """What comes is too little to ever come to an end."""


class Pace:
    """Whether an answer that has begun goes on, which each of its bytes alone does not show."""

    __slots__ = ("_came", "_most", "_waited")

    def __init__(self, most: float | None) -> None:
        """Begin an answer; `most` is how many seconds to wait for each piece."""
        self._most = most
        self._came = 0
        # Its beginning may take as long as a piece may take.
        self._waited: float | None = None

    def note(self, count: int, seconds: float) -> None:
        """Count the bytes of a piece, and how long it was waited for.

        Raises:
            DripError: when too few have come in the time for one piece.
        """
        self._came += count
        if self._waited is None or self._came >= _LEAST:
            self._waited, self._came = 0.0, 0
            return
        self._waited += seconds
        if self._most is not None and self._waited > self._most:
            raise DripError(f"only {self._came} bytes came in {self._most:g} seconds")


class Paced(io.RawIOBase):
    """What comes on a socket, as long as it does not drip."""

    def __init__(self, sock: socket.socket) -> None:
        """Read from a socket with its timeout, for as long as it is open."""
        # It keeps the socket open.
        self._stream = t.cast(io.RawIOBase, sock.makefile("rb", buffering=0))
        self._pace = Pace(sock.gettimeout())

    def readable(self) -> bool:
        """Tell that this can be read."""
        return True

    def readinto(self, buffer: t.Any) -> int | None:
        """Take what has come; see `Pace`."""
        began = time.monotonic()
        count = self._stream.readinto(buffer)
        if count:
            self._pace.note(count, time.monotonic() - began)
        return count

    def close(self) -> None:
        """Let the socket go."""
        self._stream.close()
        super().close()
