# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Connections to a name with several addresses, of which some may be dead. Private.

As in Go's dialer, which registries' other clients have, a dead address costs a moment and not all of the time.
"""

from __future__ import annotations

import collections
import errno
import os
import select
import socket
import time
import typing as t

# Seconds after which the next address is tried beside those that have not answered; what RFC 8305 recommends.
_HEAD_START = 0.25

# Family and address, as the resolver gives them.
Place = tuple[int, t.Any]


def places_of(host: str, port: int) -> list[Place]:
    """Return the addresses of a host in the order of the resolver.

    Raises:
        OSError: when it does not resolve.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(int(family), place) for family, _kind, _protocol, _name, place in found]


def dial(host: str, port: int, timeout: float | None) -> socket.socket:
    """Return a connection to the first address of a host that answers; see `dial_first`."""
    return dial_first(places_of(host, port), timeout)


def dial_first(places: t.Sequence[Place], timeout: float | None) -> socket.socket:
    """Return a connection to the first of these that answers, which has the timeout.

    Args:
        places: at least one.
        timeout: seconds for all of them together; None for no limit.

    Raises:
        OSError: what the last of them has said, TimeoutError when that was nothing.
    """
    dialing = _Dialing(places, timeout)
    try:
        sock = dialing.run()
    finally:
        dialing.close()
    sock.settimeout(timeout)
    return sock


class _Dialing:
    """Attempts that are under way."""

    def __init__(self, places: t.Sequence[Place], timeout: float | None) -> None:
        self._left = collections.deque(places)
        self._end = None if timeout is None else time.monotonic() + timeout
        self._next = 0.0
        self._waiting: dict[int, socket.socket] = {}
        self._poll = select.poll()
        self._error: OSError = TimeoutError("timed out")

    def run(self) -> socket.socket:
        """Return the first connection that is made."""
        while True:
            now = time.monotonic()
            if self._end is not None and now >= self._end:
                raise TimeoutError("timed out")
            if self._left and (not self._waiting or now >= self._next):
                made = self._begin(*self._left.popleft())
                if made:
                    return made
                self._next = now + _HEAD_START
            elif not self._waiting:
                raise self._error
            else:
                made = self._wait(now)
                if made:
                    return made

    def _begin(self, family: int, place: t.Any) -> socket.socket | None:
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as exc:
            # A machine without this family of addresses.
            self._error = exc
            return None
        sock.setblocking(False)
        code = sock.connect_ex(place)
        if code == errno.EINPROGRESS:
            self._waiting[sock.fileno()] = sock
            self._poll.register(sock, select.POLLOUT)
            return None
        return self._judged(sock, code)

    def _wait(self, now: float) -> socket.socket | None:
        """Wait for an answer, until the next address is due or the time is over."""
        ends = [self._next] if self._left else []
        ends += [] if self._end is None else [self._end]
        # One more, since what is cut off would let it wake too early, again and again.
        for handle, _events in self._poll.poll(int((min(ends) - now) * 1000) + 1 if ends else None):
            sock = self._waiting.pop(handle)
            self._poll.unregister(handle)
            made = self._judged(sock, sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
            if made:
                return made
            self._next = 0.0
        return None

    def _judged(self, sock: socket.socket, code: int) -> socket.socket | None:
        if not code:
            return sock
        sock.close()
        self._error = OSError(code, os.strerror(code))
        return None

    def close(self) -> None:
        """Give up the attempts that have not answered."""
        for sock in self._waiting.values():
            sock.close()
