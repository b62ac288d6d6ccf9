# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The Kubernetes API from inside a pod, by its service account; standard library only. Private."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import ssl
import threading
import time
import typing as t
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from urllib.parse import urlencode, urlsplit

from ansible_collections.homeport.registry.plugins.module_utils._gc_errors import GcError

MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
_BUSY = frozenset((429, 500, 502, 503, 504))
TIMEOUT = 20.0
_LONGEST_PAUSE = 5.0
# Longer than a Lease can be kept without the server: what ends first is then said by the Lease.
PATIENCE = 240.0


def clock() -> float:
    """Return seconds that also pass while the machine sleeps; this runs in a container, so on Linux."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class ApiError(GcError):
    """The API server refused a request, or gave no answer for as long as there was time."""

    def __init__(self, tried: str, *, where: str, got: str, status: int) -> None:
        """Keep the status, 0 for no answer."""
        if status in (401, 403):
            remedy = "Run homeport.registry.site: it gives the collector's account the rights it needs."
        elif status == 0:
            remedy = "Check the API server, and the network policy of the collector's pod."
        else:
            remedy = "Look at the object that is named here."
        super().__init__(tried, where=where, got=got, remedy=remedy)
        self.status = status


class Api:
    """Requests of one account; may be used by several threads, each on a connection of its own.

    A request that got no answer, 429 or 5xx is repeated until the patience of its caller ends.
    """

    def __init__(self, url: str, account: str) -> None:
        """Take the server's address, empty for the one that every pod is told, and the folder of token and ca.crt."""
        if not url:
            host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT", "443")
            url = f"https://{f'[{host}]' if ':' in host else host}:{port}"
        self._where = urlsplit(url)
        self._account = account
        self._context = ssl.create_default_context(cafile=os.path.join(account, "ca.crt"))
        self._local = threading.local()
        self._ahead: float | None = None

    def now(self) -> float:
        """Return the time by the API server's clock: this node's may be wrong, or be put right at any moment."""
        return time.time() if self._ahead is None else clock() + self._ahead

    def _connection(self, timeout: float) -> http.client.HTTPSConnection:
        found: http.client.HTTPSConnection | None = getattr(self._local, "connection", None)
        if found is None:
            host, port = self._where.hostname or "", self._where.port or 443
            found = http.client.HTTPSConnection(host, port, context=self._context)
            self._local.connection = found
        found.timeout = timeout
        if found.sock is not None:
            found.sock.settimeout(timeout)
        return found

    def _drop(self) -> None:
        connection = getattr(self._local, "connection", None)
        self._local.connection = None
        if connection is not None:
            connection.close()

    def _exchange(self, method: str, path: str, body: t.Any, content_type: str, timeout: float) -> tuple[int, t.Any]:
        # Tokens are renewed by the kubelet while the pod runs.
        with open(os.path.join(self._account, "token"), encoding="utf-8") as stream:
            token = stream.read().strip()
        headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/json",
            "User-Agent": "homeport.registry gc",
        }
        if body is not None:
            headers["Content-Type"] = content_type
        connection = self._connection(timeout)
        try:
            connection.request(method, path, None if body is None else json.dumps(body).encode(), headers)
            response = connection.getresponse()
            data = response.read()
        except BaseException:
            self._drop()
            raise
        with contextlib.suppress(TypeError, ValueError):
            self._ahead = parsedate_to_datetime(response.headers["Date"]).timestamp() - clock()
        try:
            return response.status, json.loads(data)
        except ValueError:
            return response.status, {"message": data.decode(errors="replace")[:200]}

    def request(
        self,
        tried: str,
        method: str,
        path: str,
        body: t.Any = None,
        *,
        content_type: str = "application/json",
        expect: tuple[int, ...] = (200, 201),
        query: t.Mapping[str, str] | None = None,
        patience: float = PATIENCE,
        timeout: float = TIMEOUT,
        before: Callable[[], None] = lambda: None,
    ) -> tuple[int, t.Any]:
        """Send a request and return status and document.

        Args:
            tried: what the caller attempts, for errors.
            method: the HTTP method.
            path: below the server's address.
            body: sent as JSON.
            content_type: of the body.
            expect: statuses that are returned; every other raises.
            query: parameters of the request.
            patience: seconds for which a request without a usable answer is repeated, 0 for a single attempt.
            timeout: seconds for which an attempt waits for the server to say anything.
            before: called before each attempt, and raises where it must not be made any more.

        Raises:
            ApiError: for any other status, and for no answer.
        """
        end, pause = time.monotonic() + patience, 0.2
        where = f"{method} {path}"
        target = path + (f"?{urlencode(query)}" if query else "")
        while True:
            before()
            try:
                status, document = self._exchange(method, target, body, content_type, timeout)
            except (OSError, http.client.HTTPException) as error:
                failure = ApiError(tried, where=where, got=f"no answer ({error or type(error).__name__})", status=0)
            else:
                if status in expect:
                    return status, document
                message = document.get("message", "") if isinstance(document, dict) else ""
                failure = ApiError(tried, where=where, got=f"status {status}, {message}", status=status)
                if status not in _BUSY:
                    raise failure
            if time.monotonic() + pause > end:
                raise failure
            time.sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 1.6)
