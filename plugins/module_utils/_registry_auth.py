# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""How a client proves who it is: challenges, passwords and tokens. Private."""

from __future__ import annotations

import base64
import json
import re
import threading
import time
import typing as t
from collections.abc import Callable, Sequence
from urllib.parse import urlencode, urljoin, urlsplit

from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import (
    BadNameError,
    ProtocolError,
    UnreachableError,
    http_error,
    without_query,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_http import Response, refuse_downgrade
from ansible_collections.homeport.registry.plugins.module_utils._registry_transport import Transport

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SEPARATOR = re.compile(r"[\s,]+")
_PARAMETER = re.compile(rf'({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))(?=[\s,]|\Z)')
_SCHEME = re.compile(rf"({_TOKEN})(?: +[A-Za-z0-9._~+/-]+=*(?=\s*(?:,|\Z)))?(?=[\s,]|\Z)")
# The specification's lifetime of a token that does not state one, and how much of it is not trusted.
_LIFETIME = 60.0
_MARGIN = 5.0


class Challenge(t.NamedTuple):
    """What a server asks for; `scheme` is in lower case."""

    scheme: str
    realm: str = ""
    service: str = ""
    scope: str = ""
    error: str = ""


def parse_challenges(values: Sequence[str]) -> list[Challenge]:
    """Return the challenges of all WWW-Authenticate headers, in order; what is not well formed is skipped."""
    found: list[tuple[str, dict[str, str]]] = []
    for value in values:
        position = 0
        while position < len(value):
            if match := _SEPARATOR.match(value, position):
                pass
            elif found and (match := _PARAMETER.match(value, position)):
                name, quoted, plain = match.groups()
                text = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
                found[-1][1].setdefault(name.lower(), text)
            elif match := _SCHEME.match(value, position):
                found.append((match.group(1).lower(), {}))
            position = match.end() if match else position + 1
    keys = Challenge._fields[1:]
    return [Challenge(scheme, **{key: parameters.get(key, "") for key in keys}) for scheme, parameters in found]


def choose(challenges: Sequence[Challenge]) -> Challenge | None:
    """Return the challenge to answer: Bearer before Basic, nothing for other schemes."""
    for scheme in ("bearer", "basic"):
        for challenge in challenges:
            if challenge.scheme == scheme:
                return challenge
    return None


def challenges_of(response: Response) -> list[Challenge]:
    """Return the challenges of an answer."""
    return parse_challenges(response.headers.get_all("WWW-Authenticate") or [])


class Authenticator:
    """Finds the Authorization header for each scope; may be used by many threads."""

    def __init__(
        self,
        transport: Transport,
        username: str | None = None,
        password: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep the credentials; without a user name the client is anonymous.

        Raises:
            BadNameError: when the user name holds a colon, which the protocol cannot carry.
        """
        if username is not None and ":" in username:
            raise BadNameError(
                "log in", where=f"user {username}", got="the name contains a colon", remedy="Use a name without colons."
            )
        self.username = username
        self._basic = ""
        if username is not None:
            self._basic = "Basic " + base64.b64encode(f"{username}:{password or ''}".encode()).decode()
        self._transport = transport
        self._clock = clock
        self._challenge: Challenge | None = None
        self._realm_base = ""
        self._tokens: dict[str, tuple[str, float]] = {}
        # How often no token came since nobody answered, and what was said the last time.
        self._losses = 0
        self._lost: UnreachableError | None = None
        self._lock = threading.Lock()

    @property
    def challenged(self) -> bool:
        """Whether the server is known to want something."""
        return self._challenge is not None

    def header(self, scope: str) -> str | None:
        """Return the header for a scope as far as the server's wish is known, without asking the server.

        Raises:
            UnreachableError: when somebody else has waited for a token meanwhile, and none came.
        """
        challenge = self._challenge
        if challenge is None:
            return None
        if challenge.scheme == "basic":
            return self._basic or None
        losses = self._losses
        with self._lock:
            self._share_loss(losses)
            return self._cached(scope)

    def answer(self, response: Response, scope: str, sent: str | None) -> str | None:
        """Return another header to try after a 401, or nothing when that would make no difference.

        Args:
            response: the 401.
            scope: what the request needs, the key under which a token is kept.
            sent: the header that was refused.

        Raises:
            HttpError, ProtocolError, UnreachableError: when the token service does not give a token.
        """
        challenge = choose(challenges_of(response))
        if challenge is None:
            return None
        self._challenge = challenge
        if challenge.scheme == "basic":
            return self._basic if self._basic and sent != self._basic else None
        losses = self._losses
        with self._lock:
            self._share_loss(losses)
            token = self._cached(scope)
            if token is None or token == sent:
                try:
                    token = self._fetch(challenge, response.url, scope)
                except UnreachableError as exc:
                    self._losses, self._lost = self._losses + 1, exc
                    raise
            return token

    def _share_loss(self, losses: int) -> None:
        """Do not wait again, one thread after the other, for who has just let somebody wait in vain."""
        if self._lost and losses != self._losses:
            lost = self._lost
            raise type(lost)(lost.tried, where=lost.where, got=lost.got, remedy=lost.remedy)

    def _cached(self, scope: str) -> str | None:
        token, expires = self._tokens.get(scope, ("", 0.0))
        return token if token and self._clock() < expires else None

    def _fetch(self, challenge: Challenge, asked: str, scope: str) -> str:
        """Get a token for what the server asked for and keep it for `scope`."""
        realm = urljoin(asked, challenge.realm)
        if self._basic:
            refuse_downgrade(asked, realm)
        query = [("service", challenge.service)] if challenge.service else []
        query += [("scope", one) for one in (challenge.scope or scope).split()]
        if self.username:
            query.append(("account", self.username))
        url = realm + ("&" if urlsplit(realm).query else "?") + urlencode(query)
        headers = {"Authorization": self._basic} if self._basic else {}
        began = self._clock()
        response = self._transport.request("GET", url, headers=headers)
        body = response.read()
        if response.status != 200:
            raise http_error(
                f"get a token for {scope or 'logging in'}",
                method="GET",
                url=url,
                status=response.status,
                body=body,
                credentials=bool(self._basic),
            )
        token, lifetime = _read_token(body, url)
        self._tokens[scope] = (f"Bearer {token}", began + max(lifetime - _MARGIN, 0.0))
        return f"Bearer {token}"


def _read_token(body: bytes, url: str) -> tuple[str, float]:
    try:
        document = json.loads(body)
        token = document.get("token") or document.get("access_token")
        lifetime = float(document.get("expires_in") or _LIFETIME)
    except (ValueError, AttributeError, TypeError):
        token, lifetime = None, 0.0
    if not isinstance(token, str) or not re.fullmatch(r"[\x21-\x7e]+", token):
        raise ProtocolError(
            "get a token",
            where=f"GET {without_query(url)}",
            got="the answer holds no token",
            remedy="Check the realm that the registry names (auth.token.realm); it must be a token service.",
        )
    return token, lifetime
