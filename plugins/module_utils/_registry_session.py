# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""One user's conversation with one registry: addresses, authorization and error answers. Private."""

from __future__ import annotations

import time
import typing as t
from collections.abc import Collection, Iterator, Mapping
from urllib.parse import urljoin

from ansible_collections.homeport.registry.plugins.module_utils._registry_auth import Authenticator
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import (
    ProtocolError,
    UnreachableError,
    http_error,
    without_query,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_http import (
    Body,
    Response,
    refuse_downgrade,
    retry_after,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import check_base_url, origin_of
from ansible_collections.homeport.registry.plugins.module_utils._registry_transport import Transport

# Enough for every error document; the rest of a page of markup is of no use.
_ERROR_BODY = 64 << 10


class Session:
    """Sends requests to one registry as one user; may be used by many threads."""

    def __init__(
        self, transport: Transport, url: str, username: str | None = None, password: str | None = None
    ) -> None:
        """Keep the address, which may have a path prefix, and the credentials.

        Raises:
            BadNameError: when the address or the user name cannot be used.
        """
        self.base = check_base_url(url)
        self.transport = transport
        self.auth = Authenticator(transport, username, password)
        self.origin = origin_of(self.base)

    def request(
        self,
        tried: str,
        method: str,
        url: str,
        *,
        scope: str,
        expect: Collection[int],
        headers: Mapping[str, str] | None = None,
        body: bytes | Body | None = None,
        repeatable: bool = True,
        attempts: int | None = None,
    ) -> Response:
        """Send a request, log in when the registry asks for it, and return the answer if its status is expected.

        Args:
            tried: what the caller attempts, for errors.
            method: the HTTP method.
            url: path below the registry's address, or an absolute URL that the registry named.
            scope: the right that is needed, as token services spell it.
            expect: statuses that are returned; every other raises.
            headers: sent with the request.
            body: what to send.
            repeatable, attempts: see `Transport.request`.

        Raises:
            HttpError: for an unexpected status, the class tells which.
            UnreachableError, UnsafeRequestError: see `Transport.request`.
        """
        target = url if url.startswith(("http://", "https://")) else self.base + url
        ours = origin_of(target) == self.origin
        authorization = self.auth.header(scope) if ours else None
        answered = False
        while True:
            sent = dict(headers or {}) | ({"Authorization": authorization} if authorization else {})
            try:
                response = self.transport.request(
                    method, target, headers=sent, body=body, repeatable=repeatable, attempts=attempts
                )
            except UnreachableError as exc:
                raise type(exc)(tried, where=exc.where, got=exc.got, remedy=exc.remedy) from exc
            if response.status in expect:
                return response
            text = self._error_body(response)
            # A challenge is answered once, and only if it comes from the registry itself.
            if response.status == 401 and ours and not answered and origin_of(response.url) == self.origin:
                answered = True
                better = self.auth.answer(response, scope, authorization)
                if better and better != authorization:
                    authorization = better
                    continue
            error = http_error(
                tried,
                method=response.method,
                url=response.url,
                status=response.status,
                body=text,
                credentials=bool(authorization),
                retry_after=response.headers.get("Retry-After"),
            )
            error.retry_after = retry_after(response.headers.get("Retry-After"), time.time())
            raise error

    def resolve(self, tried: str, response: Response, location: str | None) -> str:
        """Return the absolute URL of a Location or Link of an answer.

        Raises:
            ProtocolError: when there is none.
            TlsError: when it leads from https to http.
        """
        if not location:
            raise ProtocolError(
                tried,
                where=f"{response.method} {without_query(response.url)}",
                got=f"the answer (status {response.status}) does not say where to go on",
                remedy="Check the proxy in front of the registry: it must not remove headers.",
            )
        # Joining nothing takes longer than asking for the next upload.
        whole = location.startswith(("http://", "https://"))
        target = location if whole else urljoin(response.url, location)
        refuse_downgrade(response.url, target)
        return target

    def pages(self, tried: str, path: str, scope: str) -> Iterator[bytes]:
        """Yield the body of each page of a list, following Link headers.

        Raises:
            ProtocolError: when a page leads to another server or back to one that was read before.
        """
        url, seen = self.base + path, set[str]()
        while True:
            seen.add(url)
            response = self.request(tried, "GET", url, scope=scope, expect=(200,))
            yield response.read(64 << 20)
            link = next_link(response.headers.get_all("Link") or [])
            if link is None:
                return
            url = self.resolve(tried, response, link)
            if url in seen or origin_of(url) != self.origin:
                raise ProtocolError(
                    tried,
                    where=without_query(response.url),
                    got="the link to the next page leads back or to another server",
                    remedy="Check the proxy in front of the registry; it must pass on the Host header.",
                )

    @staticmethod
    def _error_body(response: Response) -> bytes:
        pieces: list[bytes] = []
        with response:
            for piece in response.chunks():
                pieces.append(piece)
                if sum(map(len, pieces)) >= _ERROR_BODY:
                    break
        return b"".join(pieces)


def next_link(values: t.Sequence[str]) -> str | None:
    """Return the target of the Link with `rel=next`, or nothing."""
    for value in values:
        for part in value.split(","):
            target, *parameters = part.split(";")
            target = target.strip()
            relations = [p.strip().replace(" ", "").replace('"', "").lower() for p in parameters]
            if "rel=next" in relations and target.startswith("<") and target.endswith(">"):
                return target[1:-1]
    return None
