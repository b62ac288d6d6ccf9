# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Token authorization with a real registry and a real, small token service."""

from __future__ import annotations

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _registry_client as client
from ansible_collections.homeport.registry.plugins.module_utils import _registry_upload as upload
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import UnauthorizedError
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import digest_of
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_transport import Transport

from .conftest import READER, WRITER
from .token_service import TokenService


@pytest.fixture
def tokens(tmp_path):
    rights: dict[str | None, set[str]] = {READER[0]: {"pull"}, WRITER[0]: {"pull", "push", "delete", "*"}, None: set()}
    service = TokenService(tmp_path, dict([READER, WRITER]), rights)
    yield service
    service.stop()


@pytest.fixture
def url(start, tokens):
    return start(auth=tokens.section()).url


def push(session, content=b"content"):
    upload.push_blob(session, "team/app", digest_of(content), upload.bytes_body(content))


def pull(session, content=b"content"):
    return b"".join(client.stream_blob(session, "team/app", digest_of(content)))


def test_rights_come_from_the_token(url, tokens):
    transport = Transport(timeout=10)
    writer, reader, nobody = (Session(transport, url, *user) for user in (WRITER, READER, (None, None)))
    ping = client.ask(nobody)
    assert (ping.status, ping.challenge and ping.challenge.realm) == (401, tokens.realm)
    for session in (writer, reader, nobody):
        client.log_in(session)
    push(writer)
    assert pull(writer) == pull(reader) == b"content"
    client.list_repositories(writer)
    client.delete_blob(writer, "team/app", digest_of(b"content"))
    for refused in (
        lambda: push(reader),
        lambda: pull(nobody),
        lambda: client.list_repositories(reader),
        lambda: client.delete_blob(reader, "a", digest_of(b"")),
    ):
        with pytest.raises(UnauthorizedError):
            refused()
    transport.close()


def test_a_token_is_used_until_another_scope_is_needed(url, tokens):
    transport = Transport(timeout=10)
    session = Session(transport, url, *WRITER)
    push(session, b"one")
    push(session, b"two")
    pull(session, b"one")
    pull(session, b"two")
    # the server names the actions of a scope in any order
    asked = [(user, [set(scope.rpartition(":")[2].split(",")) for scope in scopes]) for user, scopes in tokens.asked]
    assert asked == [(WRITER[0], [{"pull", "push"}]), (WRITER[0], [{"pull"}])]
    transport.close()


def test_a_wrong_password_is_the_token_services_answer(url, tokens):
    with pytest.raises(UnauthorizedError, match="wrong password") as caught:
        client.log_in(Session(Transport(), url, READER[0], "no"))
    assert caught.value.where == f"GET {tokens.realm}"
