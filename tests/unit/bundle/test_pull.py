# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A download goes on where it broke off, whatever the server makes of that; only the right content is kept."""

from __future__ import annotations

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._bundle_cache import Cache
from ansible_collections.homeport.registry.plugins.module_utils._bundle_errors import ContentError
from ansible_collections.homeport.registry.plugins.module_utils._bundle_pull import pull_blob
from ansible_collections.homeport.registry.plugins.module_utils._bundle_sources import Source
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import (
    NotFoundError,
    ThrottledError,
    TruncatedError,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import digest_of
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from tests.unit.registry_client.conftest import Reply

BODY = bytes(range(256)) * 40
SIZE = len(BODY)
DIGEST = digest_of(BODY)


@pytest.fixture
def cache(tmp_path):
    return Cache(str(tmp_path / "cache"))


@pytest.fixture
def source(server, transport):
    return Source(Session(transport, server.url), "")


def part(first: int, body: bytes = BODY) -> Reply:
    rest = body[first:]
    return Reply(206, rest, {"Content-Range": f"bytes {first}-{len(body) - 1}/{len(body)}"})


def cut(reply: Reply, sent: int) -> Reply:
    """Return an answer that breaks off after so many bytes."""
    return Reply(reply.status, reply.body[:sent], reply.headers, length=len(reply.body))


def begin(cache: Cache, content: bytes) -> None:
    with cache.arriving(DIGEST) as stream:
        stream.write(content)


def ranges(server) -> list[str]:
    return [request.headers.get("range", "") for request in server.requests]


@pytest.mark.parametrize(
    ("there", "replies", "asked", "came"),
    [
        (b"", [Reply(200, BODY)], [""], SIZE),
        (BODY[:1000], [part(1000)], ["bytes=1000-"], SIZE - 1000),
        # All of it had arrived before.
        (BODY, [], [], 0),
        # A server that does not know ranges.
        (BODY[:1000], [Reply(200, BODY)], ["bytes=1000-"], SIZE),
        # One that has another part in mind.
        (BODY[:1000], [part(500), Reply(200, BODY)], None, None),
        # What had arrived is more than there is, or is something else.
        (BODY + b"x", [Reply(200, BODY)], [""], SIZE),
        (b"x" * 1000, [part(1000), Reply(200, BODY)], ["bytes=1000-", ""], SIZE - 1000 + SIZE),
        (BODY[:1000], [Reply(416), Reply(200, BODY)], ["bytes=1000-", ""], SIZE),
        # Connections that break.
        (b"", [cut(Reply(200, BODY), 3000), cut(part(3000), 1), part(3001)], ["", "bytes=3000-", "bytes=3001-"], SIZE),
    ],
)
def test_the_right_content_arrives(server, source, cache, there, replies, asked, came):
    if there:
        begin(cache, there)
    server.replies(*replies)
    got = pull_blob(source, "a", DIGEST, SIZE, cache)
    assert cache.read(DIGEST) == BODY
    assert cache.partial_size(DIGEST) == 0
    if asked is not None:
        assert ranges(server) == asked
        assert got == came


def test_a_source_that_limits_its_rate_is_asked_again_when_it_says(server, source, cache, pauses):
    later = Reply(429, b"", {"Retry-After": "3"})
    server.replies(later, cut(Reply(200, BODY), 1000), later, part(1000))
    assert pull_blob(source, "a", DIGEST, SIZE, cache) == SIZE
    assert ranges(server) == ["", "", "bytes=1000-", "bytes=1000-"]
    assert pauses.count(3) == 2


def test_a_source_that_limits_its_rate_for_too_long_is_given_up_and_what_came_is_kept(server, source, cache):
    server.replies(cut(Reply(200, BODY), 1000), Reply(429, b"", {"Retry-After": "3600"}))
    with pytest.raises(ThrottledError, match="3600"):
        pull_blob(source, "a", DIGEST, SIZE, cache)
    server.replies(part(1000))
    assert pull_blob(source, "a", DIGEST, SIZE, cache) == SIZE - 1000


def test_what_is_there_already_is_not_asked_for(server, source, cache):
    cache.store(DIGEST, BODY)
    assert pull_blob(source, "a", DIGEST, SIZE, cache) == 0
    assert server.requests == []


@pytest.mark.parametrize(
    "reply", [Reply(200, b"x" * SIZE), Reply(200, BODY + b"x"), Reply(200, b"x" + BODY[1:])], ids=["x", "longer", "bit"]
)
def test_another_content_is_not_kept(server, source, cache, reply):
    server.replies(reply)
    with pytest.raises(ContentError, match="Do not use this content"):
        pull_blob(source, "a", DIGEST, SIZE, cache)
    assert cache.read(DIGEST) is None
    assert cache.partial_size(DIGEST) == 0


def test_a_source_that_never_gives_all_is_given_up_and_what_came_is_kept(server, source, cache):
    server.reply = lambda request: cut(Reply(200, BODY), 100) if "range" not in request.headers else Reply(416)
    with pytest.raises(TruncatedError, match=r"100 of|bytes arrived"):
        pull_blob(source, "a", DIGEST, SIZE, cache)
    assert len(server.requests) < 20


def test_what_has_come_before_an_error_is_kept(server, source, cache):
    server.replies(cut(Reply(200, BODY), 3000), Reply(404))
    with pytest.raises(NotFoundError):
        pull_blob(source, "a", DIGEST, SIZE, cache)
    assert cache.partial_size(DIGEST) == 3000


def test_a_cache_throws_away_what_is_damaged_unless_it_may_not_write(cache):
    cache.store(DIGEST, BODY)
    with open(cache.path(DIGEST), "r+b") as stream:
        stream.write(b"x")
    only_reading = Cache(cache.folder, writable=False)
    assert not only_reading.is_whole(DIGEST, SIZE)
    assert cache.read(DIGEST) is None
    assert only_reading.size(DIGEST) == SIZE
    assert not cache.is_whole(DIGEST, SIZE)
    assert cache.size(DIGEST) is None
    only_reading.store(DIGEST, BODY)
    assert cache.size(DIGEST) is None
