# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""HTTP with kept-alive connections, bounded retries and careful redirects; standard library only. Private.

One transport may be used by many threads: each exchange takes a connection of its own from a pool.
"""

from __future__ import annotations

import functools
import random
import threading
import time
import typing as t
from collections.abc import Callable, Mapping
from urllib.parse import urljoin

from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import (
    ProtocolError,
    ProxyError,
    TlsError,
    UnreachableError,
    UnsafeRequestError,
    without_query,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_http import (
    SAFE_METHODS,
    Body,
    Exchange,
    Response,
    refuse_downgrade,
    retry_after,
    send,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import Origin, origin_of
from ansible_collections.homeport.registry.plugins.module_utils._registry_sending import is_quiet
from ansible_collections.homeport.registry.plugins.module_utils._registry_tls import (
    connection_error,
    is_broken,
    make_context,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_wire import (
    Connection,
    PlainConnection,
    SecureConnection,
    WireError,
)

if t.TYPE_CHECKING:
    import ssl

    from ansible_collections.homeport.registry.plugins.module_utils._registry_proxy import Proxies

MAX_REDIRECTS = 5
_BUSY = frozenset((429, 503))
# Seconds between questions to a busy server that does not say when to come back.
_BREATH = 1.0
# Seconds in which nothing on the way forgets a connection.
_MOMENT = 2.0
_GATEWAY = frozenset((502, 504))
_REDIRECTS = frozenset((301, 302, 303, 307, 308))


class Transport:
    """Sends requests. See the module's docstring."""

    def __init__(
        self,
        *,
        context: ssl.SSLContext | None = None,
        timeout: float = 30.0,
        attempts: int = 4,
        patience: float = 60.0,
        busy: float = 0.0,
        read_only: bool = False,
        observer: Callable[[Exchange], None] | None = None,
        proxies: Proxies | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Set the limits.

        Args:
            context: TLS settings, the system's by default.
            timeout: seconds to wait for a connection and for each piece of an answer.
            attempts: how often a request is tried at most, 1 for no retries.
            patience: seconds that one request may spend waiting between its attempts.
            busy: seconds that one request may wait beside these for a server that asks to come back later (429, 503),
                such as one whose store is being worked on.
            read_only: refuse every method but GET and HEAD.
            observer: called after every exchange, from the thread that made it.
            proxies: who leads where, nobody by default: a registry of one's own is rarely behind a proxy.
            sleep: waits some seconds; for tests.
        """
        self.timeout = timeout
        self._context = context
        self._attempts = attempts
        self._patience = patience
        self.busy = busy
        self._read_only = read_only
        self.observer = observer
        self._proxies = proxies
        self.sleep = sleep
        self._lock = threading.Lock()
        # What was used last comes last; with each when that was.
        self._idle: dict[Origin, list[tuple[Connection, float]]] = {}

    @property
    def context(self) -> ssl.SSLContext:
        """The TLS settings; reading the system's authorities takes longer than many requests without TLS."""
        with self._lock:
            self._context = self._context or make_context()
            return self._context

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            connections = [connection for idle in self._idle.values() for connection, _since in idle]
            self._idle.clear()
        for connection in connections:
            connection.close()

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Body | None = None,
        repeatable: bool = True,
        attempts: int | None = None,
    ) -> Response:
        """Send a request, repeat it where that is allowed, follow redirects of reads, and return the answer.

        Args:
            method: GET, HEAD, POST, PUT, PATCH or DELETE.
            url: absolute URL.
            headers: sent with the request; `Authorization` is dropped when a redirect leads to another origin.
            body: what to send.
            repeatable: whether the request may be sent again after a connection that broke in the middle.
            attempts: how often it is tried at most, if not as often as others; 1 also never waits for a busy server.

        Raises:
            UnsafeRequestError: when the transport is read-only and the method is not GET or HEAD.
            UnreachableError: when no answer came, after all attempts.
        """
        if self._read_only and method not in SAFE_METHODS:
            raise UnsafeRequestError(
                f"send {method}",
                where=without_query(url),
                got="this client only reads, because of check mode",
                remedy="Run without check mode to do this.",
            )
        attempt, waited = 0, 0.0
        most = attempts or self._attempts
        busy = 0.0 if attempts == 1 else self.busy
        while True:
            attempt += 1
            last = attempt >= most
            pause = random.uniform(0.5, 1.0) * 0.5 * 2 ** (attempt - 1)
            try:
                response = self._follow(method, url, dict(headers or {}), body, repeatable)
            except (TlsError, ProxyError):
                raise
            except UnreachableError as exc:
                refused = isinstance(exc.__cause__, ConnectionRefusedError)
                if last or not (repeatable or refused):
                    raise
            else:
                asked = retry_after(response.headers.get("Retry-After"), time.time()) or pause
                if response.status in _BUSY and max(asked, _BREATH) <= busy:
                    busy -= max(asked, _BREATH)
                    attempt -= 1
                    response.close()
                    self.sleep(max(asked, _BREATH))
                    continue
                if last or not (response.status in _BUSY or (repeatable and response.status in _GATEWAY)):
                    return response
                pause = asked
                if waited + pause > self._patience:
                    return response
                response.close()
            self.sleep(pause)
            waited += pause

    def _follow(
        self, method: str, url: str, headers: dict[str, str], body: bytes | Body | None, repeatable: bool
    ) -> Response:
        for _hop in range(MAX_REDIRECTS + 1):
            response = self._exchange(method, url, headers, body, repeatable)
            target = response.headers.get("Location")
            if method not in SAFE_METHODS or response.status not in _REDIRECTS or not target:
                return response
            response.close()
            target = urljoin(url, target)
            refuse_downgrade(url, target)
            if origin_of(target) != origin_of(url):
                headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
            url = target
        raise ProtocolError(
            "follow the redirects",
            where=f"{method} {without_query(url)}",
            got=f"there are more than {MAX_REDIRECTS}",
            remedy="Check the address, and the proxy in front of the registry.",
        )

    def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | Body | None, repeatable: bool
    ) -> Response:
        """Send once; an idle connection that the server had closed meanwhile is replaced without counting."""
        origin = origin_of(url)
        while True:
            connection, used = self.take(origin, open_for_sure=not repeatable)
            began = time.monotonic()
            try:
                raw, intact = send(connection, method, url, headers, body)
            except (OSError, WireError) as exc:
                connection.close()
                # Where a kept one breaks, nobody knows whether the server has seen the request.
                if used and repeatable and is_broken(exc):
                    continue
                where = f"{method} {without_query(url)}"
                proxy = self._proxies.to(origin) if self._proxies else None
                raise connection_error("get an answer", f"{where} by proxy {proxy}" if proxy else where, exc) from exc
            except BaseException:
                # What should be sent could not be read, and the request is cut off in the middle.
                connection.close()
                raise
            if self.observer:
                self.observer(Exchange(method, url, raw.status, time.monotonic() - began))

            return Response(raw, method, url, functools.partial(self._release, origin, connection, intact))

    def by_proxy(self, url: str) -> bool:
        """Tell whether a proxy is asked for what has this address."""
        return bool(self._proxies and self._proxies.to(origin_of(url)))

    def take(self, origin: Origin, *, open_for_sure: bool = False) -> tuple[Connection, bool]:
        """Return a connection, which is to be given back, and whether it was used before.

        With `open_for_sure` one that was used is returned only if that was a moment ago and the server has not hung up
        since; a body sent on it finds the path as fast as it has become.
        """
        while True:
            with self._lock:
                idle = self._idle.get(origin)
                if not idle:
                    break
                connection, since = idle.pop()
            if not open_for_sure:
                return connection, True
            # What was used last is on top: those below it are older, and stay for whom they are good enough.
            if time.monotonic() - since > _MOMENT:
                self.give_back(origin, connection, True, since)
                break
            if is_quiet(connection):
                return connection, True
            connection.close()
        return self._connect(origin), False

    def _connect(self, origin: Origin) -> Connection:
        proxy = self._proxies.to(origin) if self._proxies else None
        host, port = (proxy.host, proxy.port) if proxy else (origin.host, origin.port)
        if origin.scheme == "https":
            made: Connection = SecureConnection(host, port, self.timeout, self.context)
        else:
            made = PlainConnection(host, port, self.timeout)
        if proxy:
            made.peer, made.for_proxy = (origin.host, origin.port), proxy.headers
        return made

    def _release(self, origin: Origin, connection: Connection, intact: bool, ended: bool) -> None:
        self.give_back(origin, connection, intact and ended)

    def give_back(self, origin: Origin, connection: Connection, usable: bool, since: float | None = None) -> None:
        """Keep a connection for the next request if it is usable, or close it; `since` is when it was used last."""
        # Without a socket the server asked to close.
        if not usable or connection.sock is None:
            connection.close()
            return
        with self._lock:
            idle = self._idle.setdefault(origin, [])
            idle.append((connection, time.monotonic() if since is None else since))
