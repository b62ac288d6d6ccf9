# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Operations where a server misbehaves; what a good one does is tested on a real registry in tests/lab."""

from __future__ import annotations

import hashlib
import io
import json

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _registry_client as client
from ansible_collections.homeport.registry.plugins.module_utils import _registry_upload as upload
from ansible_collections.homeport.registry.plugins.module_utils._registry_auth import Challenge
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import (
    BadNameError,
    DigestError,
    HttpError,
    NotFoundError,
    ProtocolError,
    TlsError,
    UnreachableError,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_http import Body
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session

from .conftest import Reply

BODY = b'{"schemaVersion": 2}'
DIGEST = "sha256:" + hashlib.sha256(BODY).hexdigest()
OTHER = "sha256:" + "0" * 64


@pytest.fixture
def session(server, transport):
    return Session(transport, server.url)


def test_manifest_and_what_is_asked_for(server, session):
    server.replies(Reply(200, BODY, {"Content-Type": "application/x; charset=utf-8", "Docker-Content-Digest": DIGEST}))
    manifest = client.get_manifest(session, "team/app", "v1")
    assert manifest == client.Manifest("application/x", DIGEST, len(BODY), BODY)
    assert manifest.document() == {"schemaVersion": 2}
    assert server.seen() == ["GET /v2/team/app/manifests/v1"]
    accept = server.requests[0].headers["accept"]
    for part in ("oci.image.manifest.v1", "oci.image.index.v1", "distribution.manifest.v2", "manifest.list.v2"):
        assert part in accept


@pytest.mark.parametrize(("reference", "announced"), [(OTHER, None), (OTHER, OTHER), ("v1", OTHER), (DIGEST, OTHER)])
def test_a_manifest_that_is_not_its_digest(server, session, reference, announced):
    server.replies(Reply(200, BODY, {"Docker-Content-Digest": announced} if announced else {}))
    with pytest.raises(DigestError, match=f"the content is {DIGEST}"):
        client.get_manifest(session, "a", reference)


@pytest.mark.parametrize("announced", [None, "nonsense", DIGEST, "sha512:" + hashlib.sha512(BODY).hexdigest()])
def test_a_manifest_by_tag_has_the_digest_of_its_content(server, session, announced):
    server.replies(Reply(200, BODY, {"Docker-Content-Digest": announced} if announced else {}))
    expected = announced if announced and announced.startswith("sha512:") else DIGEST
    assert client.get_manifest(session, "a", "v1").digest == expected


def test_head_reads_the_manifest_when_the_digest_is_missing(server, session):
    server.replies(Reply(200, BODY))
    assert client.head_manifest(session, "a", "v1").digest == DIGEST
    assert server.seen() == ["HEAD /v2/a/manifests/v1", "GET /v2/a/manifests/v1"]


def test_a_manifest_that_is_stored_differently(server, session):
    server.replies(Reply(201, b"", {"Docker-Content-Digest": OTHER}))
    with pytest.raises(DigestError, match="the registry stored"):
        client.put_manifest(session, "a", "v1", BODY, "application/x")


def test_a_manifest_that_is_no_object():
    with pytest.raises(ProtocolError, match="not the JSON"):
        client.Manifest("x", DIGEST, 2, b"[]").document()


@pytest.mark.parametrize(
    ("reply", "error", "saying"),
    [
        (Reply(200, BODY + b"!"), DigestError, "the content is"),
        (Reply(200, b""), DigestError, "the content is"),
        # What a registry does whose cache still knows a blob that was collected.
        (Reply(200, b"", length=len(BODY)), UnreachableError, "0 of 20 bytes arrived"),
        (Reply(404, b'{"errors":[{"code":"BLOB_UNKNOWN"}]}'), NotFoundError, "BLOB_UNKNOWN"),
    ],
)
def test_a_blob_that_is_not_there_or_not_right(server, session, reply, error, saying):
    server.replies(reply)
    with pytest.raises(error, match=saying):
        list(client.stream_blob(session, "a", DIGEST))


def test_lists_follow_links_and_are_sorted_without_repetition(server, session):
    pages = {
        "/v2/a/tags/list": ({"tags": ["v10", "v9"]}, "/v2/a/tags/list?last=v9&n=1000"),
        "/v2/a/tags/list?last=v9&n=1000": ({"tags": ["v9", "v1"]}, server.url + "/v2/a/tags/list?last=x"),
        "/v2/a/tags/list?last=x": ({"tags": None}, None),
    }

    def reply(request):
        content, link = pages[request.path]
        return Reply(200, json.dumps(content).encode(), {"Link": f'<{link}>; rel="next"'} if link else {})

    server.reply = reply
    assert client.list_tags(session, "a") == ["v1", "v10", "v9"]
    assert len(server.requests) == 3


@pytest.mark.parametrize("link", ["/v2/_catalog?n=1000", "http://127.0.0.1:1/v2/_catalog?last=x"])
def test_links_that_lead_nowhere(server, session, link):
    server.replies(Reply(200, b'{"repositories": ["a"]}', {"Link": f'<{link}>; rel="next"'}))
    with pytest.raises(ProtocolError, match="leads back or to another server"):
        client.list_repositories(session)
    assert len(server.requests) == 1


def test_a_smaller_page_where_the_registry_wants_one(server, session):
    refusal = Reply(400, b'{"errors":[{"code":"PAGINATION_NUMBER_INVALID"}]}')
    server.reply = lambda request: refusal if "n=" in request.path else Reply(200, b'{"repositories": ["b", "a"]}')
    assert client.list_repositories(session) == ["a", "b"]
    assert server.seen() == ["GET /v2/_catalog?n=1000", "GET /v2/_catalog"]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"repositories": 1}', b"<html>"])
def test_lists_that_are_none(server, session, body):
    server.replies(Reply(200, body))
    with pytest.raises(ProtocolError, match="not the JSON"):
        client.list_repositories(session)


def test_a_missing_location(server, session):
    server.replies(Reply(202))
    with pytest.raises(ProtocolError, match="does not say where to go on"):
        client.start_upload(session, "a")


def test_an_upload_does_not_leave_encryption(server, session, transport):
    server.replies(Reply(202))
    with transport.request("POST", server.url) as response:
        response.url = "https://registry.example.com/v2/a/blobs/uploads/"
        with pytest.raises(TlsError, match="not encrypted"):
            session.resolve("start an upload", response, "http://registry.example.com/v2/a/blobs/uploads/id")


class UploadServer:
    """An upload session that counts bytes and can lose connections."""

    def __init__(self, server, *, lose: tuple[int, ...] = (), swallow: bool = False) -> None:
        self.content = b""
        self.patches = 0
        self.lose = lose
        self.swallow = swallow
        server.reply = self.reply

    def reply(self, request) -> Reply:
        state = {"Location": f"/v2/a/blobs/uploads/id?_state={len(self.content)}"}
        state["Range"] = f"0-{max(len(self.content) - 1, 0)}"
        if request.method == "POST":
            return Reply(202, b"", state)
        if request.method == "GET":
            return Reply(204, b"", state)
        if request.method == "DELETE":
            return Reply(204)
        if request.method == "PUT":
            return Reply(201 if f"digest={DIGEST}" in request.path else 400, b"")
        self.patches += 1
        if self.patches in self.lose:
            # The first half arrives, then the connection breaks.
            self.content += request.body[: len(request.body) // 2]
            return Reply(hang_up=True)
        if not self.swallow:
            self.content += request.body
        state["Location"] = f"/v2/a/blobs/uploads/id?_state={len(self.content)}"
        state["Range"] = f"0-{max(len(self.content) - 1, 0)}"
        return Reply(202, b"", state)


def body_of(content: bytes = BODY) -> Body:
    return Body(lambda: io.BytesIO(content), len(content))


@pytest.mark.parametrize("chunk", [1, 7, 20, 100])
def test_chunks_arrive_in_order(server, session, chunk):
    uploaded = UploadServer(server)
    upload.push_blob(session, "a", DIGEST, body_of(), chunk=chunk)
    assert uploaded.content == BODY
    assert server.seen()[-1].startswith("PUT /v2/a/blobs/uploads/id?_state=20&digest=sha256:")
    assert server.requests[-1].headers["content-length"] == "0"
    ranges = [request.headers["content-range"] for request in server.requests if request.method == "PATCH"]
    assert ranges[0] == f"0-{min(chunk, 20) - 1}"
    assert ranges[-1].endswith("-19")


def test_an_upload_goes_on_after_a_broken_connection(server, session):
    uploaded = UploadServer(server, lose=(2, 4))
    upload.push_blob(session, "a", DIGEST, body_of(), chunk=6)
    assert uploaded.content == BODY
    ranges = [request.headers["content-range"] for request in server.requests if request.method == "PATCH"]
    assert ranges == ["0-5", "6-11", "9-14", "15-19", "17-19"]


def test_an_upload_does_not_go_on_for_ever(server, session):
    UploadServer(server, lose=tuple(range(1, 100)))
    with pytest.raises(UnreachableError):
        upload.push_blob(session, "a", DIGEST, body_of(BODY * 1000), chunk=10)
    assert server.seen()[-1].startswith("DELETE ")
    assert sum(request.method == "PATCH" for request in server.requests) == 6


def test_bytes_that_did_not_arrive_are_noticed(server, session):
    UploadServer(server, swallow=True)
    with pytest.raises(ProtocolError, match="the registry has the range 0-0"):
        upload.push_blob(session, "a", DIGEST, body_of(), chunk=10)
    assert server.seen()[-1].startswith("DELETE ")


def test_a_refused_digest_gives_the_upload_up(server, session):
    UploadServer(server)
    with pytest.raises(HttpError) as caught:
        upload.push_blob(session, "a", OTHER, body_of())
    assert caught.value.status == 400
    assert [request.method for request in server.requests] == ["POST", "PUT", "DELETE"]


def test_a_blob_that_is_stored_differently(server, session):
    server.reply = lambda request: (
        Reply(202, b"", {"Location": "/u"})
        if request.method == "POST"
        else Reply(201, b"", {"Docker-Content-Digest": OTHER})
    )
    with pytest.raises(DigestError, match="the registry stored"):
        upload.push_blob(session, "a", DIGEST, body_of())


def test_upload_state_stays_out_of_messages(server, session):
    server.reply = lambda request: (
        Reply(202, b"", {"Location": "/u?_state=private"}) if request.method == "POST" else Reply(500)
    )
    with pytest.raises(HttpError) as caught:
        upload.push_blob(session, "a", DIGEST, body_of())
    assert "private" not in str(caught.value)


def test_front_door(server, session):
    server.replies(Reply(200, b"{}", {"Docker-Distribution-Api-Version": "registry/2.0"}))
    assert client.ask(session) == client.Ping(200, None, "registry/2.0")
    server.replies(Reply(401, b"", {"WWW-Authenticate": 'Basic realm="x"'}))
    ping = client.ask(session)
    assert ping == client.Ping(401, Challenge("basic", "x"), "")
    server.replies(Reply(404, b"404 page not found"))
    with pytest.raises(NotFoundError, match="not served here"):
        client.ask(session)


def test_an_error_says_what_was_tried_and_where(server, session):
    server.replies(Reply(hang_up=True))
    with pytest.raises(UnreachableError) as caught:
        client.list_tags(session, "team/app")
    assert caught.value.tried == "list the tags of team/app"
    assert caught.value.where == f"GET {server.url}/v2/team/app/tags/list"


def referrers(*digests: str) -> bytes:
    return json.dumps({"manifests": [{"mediaType": "x", "digest": digest, "size": 1} for digest in digests]}).encode()


def test_what_refers_to_a_manifest_is_listed_over_all_pages(server, session):
    path = f"/v2/a/referrers/{DIGEST}"
    server.replies(Reply(200, referrers(DIGEST), {"Link": f'<{path}?n=2>; rel="next"'}), Reply(200, referrers(OTHER)))
    assert [one.digest for one in client.list_referrers(session, "a", DIGEST) or []] == [OTHER, DIGEST]
    assert server.seen() == [f"GET {path}", f"GET {path}?n=2"]


@pytest.mark.parametrize("status", [400, 404, 405, 501])
def test_a_registry_without_the_list_is_not_one_with_an_empty_list(server, session, status):
    server.replies(Reply(status))
    assert client.list_referrers(session, "a", DIGEST) is None
    server.replies(Reply(200, b'{"manifests": []}'))
    assert client.list_referrers(session, "a", DIGEST) == []


@pytest.mark.parametrize("status", [401, 403, 500])
def test_a_list_that_is_refused_is_an_error(server, session, status):
    server.replies(Reply(status))
    with pytest.raises(HttpError, match="list what belongs to a@sha256"):
        client.list_referrers(session, "a", DIGEST)


@pytest.mark.parametrize("body", [b"[]", b'{"manifests": [{}]}', b'{"manifests": [{"mediaType": "x", "digest": "y"}]}'])
def test_a_list_that_is_none_is_an_error(server, session, body):
    server.replies(Reply(200, body))
    with pytest.raises((ProtocolError, BadNameError)):
        client.list_referrers(session, "a", DIGEST)
