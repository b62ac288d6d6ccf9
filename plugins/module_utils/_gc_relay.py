# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The only way of the collector to its object store, which is open as long as it may delete. Private.

A collector that stood still with its node wakes up together with the engine, and may be the faster of the two. Here
whatever it sends goes through the engine, which looks at the clock before it passes each piece on. It is a SOCKS proxy
(RFC 1928), which Go's HTTP client takes from the environment: what passes is not read, so it makes no difference
whether it is encrypted or signed, and for which host. To localhost Go takes no proxy, but there is no store in a pod.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable, Mapping

_CHUNK = 1 << 16
_CONNECT_SECONDS = 10.0
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
_NO_PROXIES = ("NO_PROXY", "no_proxy")
_VERSION, _NOTHING_ASKED, _CONNECT = 5, 0, 1
_IPV4, _NAME, _IPV6 = 1, 3, 4
_DONE, _FORBIDDEN, _UNREACHABLE, _UNKNOWN = 0, 2, 4, 7


def has_proxy(environment: Mapping[str, str]) -> bool:
    """Tell whether the way to the store leads over a proxy already, which the relay must not take away."""
    return any(environment.get(name) for name in _PROXIES)


class Relay:
    """Passes on what a child sends, each piece only after it was allowed."""

    def __init__(self, may_send: Callable[[], bool]) -> None:
        """Listen on the loopback.

        Args:
            may_send: waits as long as it is in doubt, and tells whether something may be sent now; called by threads.
        """
        self._may_send = may_send
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._closed = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, name="relay", daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        """Return what the child's environment needs."""
        address = f"socks5://127.0.0.1:{self.port}"
        return {**dict.fromkeys(_PROXIES, address), **dict.fromkeys(_NO_PROXIES, "")}

    def close(self) -> None:
        """Cut whatever is connected, and take nothing more."""
        with self._lock:
            self._closed = True
            connected = list(self._open)
        # Closing alone does not wake up a thread that waits in accept or recv.
        for one in [self._listener, *connected]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                child, _address = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(child,), name="relay", daemon=True).start()

    def _serve(self, child: socket.socket) -> None:
        with child:
            if not self._remember(child):
                return
            with contextlib.suppress(OSError):
                where, refusal = _wish_of(child)
                if not refusal and not self._may_send():
                    refusal = _FORBIDDEN
                if not refusal:
                    try:
                        store = socket.create_connection(where, timeout=_CONNECT_SECONDS)
                    except (OSError, UnicodeError):
                        refusal = _UNREACHABLE
                if refusal:
                    _answer(child, refusal)
                else:
                    self._join(child, store)
            self._forget(child)

    def _remember(self, one: socket.socket) -> bool:
        with self._lock:
            self._open.add(one)
            return not self._closed

    def _forget(self, one: socket.socket) -> None:
        with self._lock:
            self._open.discard(one)

    def _join(self, child: socket.socket, store: socket.socket) -> None:
        with store:
            if self._remember(store):
                _answer(child, _DONE)
                for one in (child, store):
                    _prepare(one)
                back = threading.Thread(target=self._pass, args=(store, child, None), name="relay", daemon=True)
                back.start()
                self._pass(child, store, self._may_send)
                back.join()
            self._forget(store)

    def _pass(self, source: socket.socket, target: socket.socket, may_send: Callable[[], bool] | None) -> None:
        """Pass on what comes until it ends; what is not allowed or cannot be passed on ends both directions."""
        ended = socket.SHUT_RDWR
        with contextlib.suppress(OSError):
            while True:
                data = source.recv(_CHUNK)
                if not data:
                    ended = socket.SHUT_WR
                    break
                while data:
                    # As late as can be: what follows neither waits nor takes time.
                    if may_send is not None and not may_send():
                        raise ConnectionAbortedError
                    try:
                        data = data[target.send(data, socket.MSG_DONTWAIT) :]
                    except BlockingIOError:
                        select.select([], [target], [])
        for one in (target,) if ended == socket.SHUT_WR else (target, source):
            with contextlib.suppress(OSError):
                one.shutdown(ended)


def _wish_of(child: socket.socket) -> tuple[tuple[str, int], int]:
    """Return where the child wants to, and 0 or why it cannot. Raises OSError for what is no wish."""
    child.settimeout(_CONNECT_SECONDS)
    version, methods = _read(child, 2)
    if version != _VERSION or _NOTHING_ASKED not in _read(child, methods):
        raise ConnectionError("that is another protocol")
    child.sendall(bytes((_VERSION, _NOTHING_ASKED)))
    _version, command, _reserved, kind = _read(child, 4)
    if command != _CONNECT or kind not in (_IPV4, _NAME, _IPV6):
        return ("", 0), _UNKNOWN
    if kind == _NAME:
        host = _read(child, _read(child, 1)[0]).decode("ascii", "replace")
    elif kind == _IPV4:
        host = socket.inet_ntop(socket.AF_INET, _read(child, 4))
    else:
        host = socket.inet_ntop(socket.AF_INET6, _read(child, 16))
    return (host, int.from_bytes(_read(child, 2), "big")), 0


def _read(child: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = child.recv(size - len(data))
        if not more:
            raise ConnectionError("it went away while it asked")
        data += more
    return data


def _answer(child: socket.socket, code: int) -> None:
    child.sendall(bytes((_VERSION, code, 0, _IPV4)) + bytes(6))


def _prepare(connection: socket.socket) -> None:
    """Wait for data as long as it takes, and find a peer that is gone as soon as Go would find it."""
    connection.settimeout(None)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in ((socket.TCP_KEEPIDLE, 15), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 9)):
        connection.setsockopt(socket.IPPROTO_TCP, option, value)
