# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Logging in, against a scripted registry and a scripted token service."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qsl, urlsplit

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._registry_auth import Authenticator
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import (
    BadNameError,
    HttpError,
    ProtocolError,
    TlsError,
    UnauthorizedError,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session

from .conftest import Reply

BASIC = "Basic " + base64.b64encode(b"ci:p:\xc3\xa4ss").decode()
PULL = "repository:team/app:pull"


def ask(session: Session, scope: str = PULL, path: str = "/v2/team/app/tags/list") -> bytes:
    return session.request("read the tags", "GET", path, scope=scope, expect=(200,)).read()


def basic_registry(request) -> Reply:
    if request.headers.get("authorization") == BASIC:
        return Reply(200, b"welcome")
    return Reply(401, b"", {"WWW-Authenticate": 'Basic realm="Registry"'})


class TokenService:
    """Hands out numbered tokens and keeps what it was asked; the registry takes the latest for the right scope."""

    def __init__(self, registry, service, *, lifetime: int = 300, refuse: bool = False) -> None:
        self.asked: list[dict] = []
        self.authorization: list[str | None] = []
        self.valid: dict[str, str] = {}
        self.lifetime = lifetime
        self.refuse = refuse
        self.realm = service.url + "/token"
        registry.reply = self.registry
        service.reply = self.token

    def registry(self, request) -> Reply:
        scope = "repository:team/app:pull" if request.method == "GET" else "repository:team/app:pull,push"
        if request.headers.get("authorization") == f"Bearer {self.valid.get(scope)}":
            return Reply(200, b"welcome")
        return Reply(401, b"", {"WWW-Authenticate": f'Bearer realm="{self.realm}",service="reg",scope="{scope}"'})

    def token(self, request) -> Reply:
        query = dict(parse_qsl(urlsplit(request.path).query))
        self.asked.append(query)
        self.authorization.append(request.headers.get("authorization"))
        if self.refuse:
            return Reply(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"no"}]}')
        token = f"token{len(self.asked)}"
        self.valid[query["scope"]] = token
        return Reply(200, json.dumps({"token": token, "expires_in": self.lifetime}).encode())


def test_basic_is_sent_only_when_asked_and_then_always(server, transport):
    server.reply = basic_registry
    session = Session(transport, server.url, "ci", "p:\u00e4ss")
    assert ask(session) == ask(session) == b"welcome"
    assert [request.headers.get("authorization") for request in server.requests] == [None, BASIC, BASIC]


def test_wrong_password_is_tried_once(server, transport):
    server.reply = basic_registry
    session = Session(transport, server.url, "ci", "wrong")
    for tries in (2, 3):
        with pytest.raises(UnauthorizedError, match="Check name and password") as caught:
            ask(session)
        assert len(server.requests) == tries
    assert "wrong" not in str(caught.value)


def test_anonymous_is_told_to_log_in(server, transport):
    server.reply = basic_registry
    with pytest.raises(UnauthorizedError, match="Give a user name and a password"):
        ask(Session(transport, server.url))
    assert len(server.requests) == 1


def test_unknown_schemes_are_not_answered(server, transport):
    server.replies(Reply(401, b"", {"WWW-Authenticate": "Negotiate"}))
    with pytest.raises(UnauthorizedError):
        ask(Session(transport, server.url, "ci", "x"))
    assert len(server.requests) == 1


def test_a_colon_in_the_name_is_refused(server, transport):
    with pytest.raises(BadNameError, match="colon"):
        Session(transport, server.url, "a:b", "x")


def test_token_for_a_user(server, other_server, transport):
    service = TokenService(server, other_server)
    session = Session(transport, server.url, "ci", "p:\u00e4ss")
    assert [ask(session) for dummy in range(3)] == [b"welcome"] * 3
    assert service.asked == [{"service": "reg", "scope": PULL, "account": "ci"}]
    assert service.authorization == [BASIC]
    # The password goes to the token service and never to the registry.
    assert [request.headers.get("authorization") for request in server.requests] == [None] + ["Bearer token1"] * 3


def test_token_for_nobody(server, other_server, transport):
    service = TokenService(server, other_server)
    assert ask(Session(transport, server.url)) == b"welcome"
    assert service.asked == [{"service": "reg", "scope": PULL}]
    assert service.authorization == [None]


def test_each_scope_has_its_token(server, other_server, transport):
    service = TokenService(server, other_server)
    session = Session(transport, server.url)
    ask(session)
    session.request("push", "POST", "/v2/x", scope="repository:team/app:pull,push", expect=(200,)).close()
    ask(session)
    assert [query["scope"] for query in service.asked] == [PULL, "repository:team/app:pull,push"]


def test_an_expired_token_is_replaced(server, other_server, transport):
    service = TokenService(server, other_server)
    session = Session(transport, server.url)
    now = [1000.0]
    session.auth = Authenticator(transport, clock=lambda: now[0])
    ask(session)
    now[0] += 294
    ask(session)
    assert len(service.asked) == 1
    now[0] += 2
    ask(session)
    assert len(service.asked) == 2


def test_a_token_that_was_withdrawn_is_replaced(server, other_server, transport):
    service = TokenService(server, other_server)
    session = Session(transport, server.url)
    ask(session)
    service.valid.clear()
    assert ask(session) == b"welcome"
    assert len(service.asked) == 2


def test_a_token_that_does_not_help_is_not_asked_for_again(server, other_server, transport):
    service = TokenService(server, other_server)
    server.reply = lambda request: Reply(
        401, b"", {"WWW-Authenticate": f'Bearer realm="{service.realm}",scope="{PULL}",error="insufficient_scope"'}
    )
    session = Session(transport, server.url, "ci", "x")
    with pytest.raises(UnauthorizedError, match="whether this user may do this"):
        ask(session)
    assert len(service.asked) == 1
    assert len(server.requests) == 2


def test_threads_share_one_token(server, other_server, transport):
    service = TokenService(server, other_server)
    session = Session(transport, server.url)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda dummy: ask(session), range(24))) == {b"welcome"}
    assert len(service.asked) == 1


def test_the_token_service_refuses(server, other_server, transport):
    TokenService(server, other_server, refuse=True)
    with pytest.raises(UnauthorizedError, match="get a token for repository:team/app:pull") as caught:
        ask(Session(transport, server.url, "ci", "wrong"))
    assert other_server.url in caught.value.where
    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"token": 1}', b'{"token": "a\\nb"}', b'{"token":"x","expires_in":"?"}']
)
def test_no_token_in_the_answer(server, other_server, transport, body):
    TokenService(server, other_server)
    other_server.replies(Reply(200, body))
    with pytest.raises(ProtocolError, match="holds no token"):
        ask(Session(transport, server.url))


def test_access_token_without_lifetime(server, other_server, transport):
    service = TokenService(server, other_server)
    service.valid[PULL] = "other"
    other_server.replies(Reply(200, b'{"access_token": "other"}'))
    assert ask(Session(transport, server.url)) == b"welcome"


def test_the_password_does_not_go_to_an_open_token_service(server, other_server, transport):
    server.replies(Reply(401, b"", {"WWW-Authenticate": f'Bearer realm="{other_server.url}/token"'}))
    response = transport.request("GET", server.url)
    response.url = "https://registry.example.com/v2/"
    with response, pytest.raises(TlsError, match="not encrypted"):
        Authenticator(transport, "ci", "secret").answer(response, PULL, None)
    assert other_server.requests == []


def test_credentials_do_not_follow_an_address_on_another_server(server, other_server, transport):
    server.reply = other_server.reply = basic_registry
    session = Session(transport, server.url, "ci", "p:\u00e4ss")
    ask(session)
    with pytest.raises(HttpError):
        ask(session, path=other_server.url + "/upload")
    assert [request.headers.get("authorization") for request in other_server.requests] == [None]


def test_a_challenge_from_another_server_is_not_answered(server, other_server, transport):
    server.replies(Reply(302, b"", {"Location": other_server.url + "/steal"}))
    other_server.replies(Reply(401, b"", {"WWW-Authenticate": 'Basic realm="x"'}))
    with pytest.raises(HttpError):
        ask(Session(transport, server.url, "ci", "p:\u00e4ss"))
    assert all("authorization" not in request.headers for request in other_server.requests + server.requests)
