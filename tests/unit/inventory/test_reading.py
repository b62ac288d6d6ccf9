# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""How contents are read, and what is a fault of a content and what of the registry as a whole."""

from __future__ import annotations

import hashlib
import json

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._registry_client import Descriptor
from ansible_collections.homeport.registry.plugins.module_utils._registry_content import (
    Inventory,
    Repository,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_entries import Entry
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import (
    ForbiddenError,
    HttpError,
    ThrottledError,
    UnreachableError,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_inventory import take_inventory
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import OCI_INDEX, OCI_MANIFEST
from ansible_collections.homeport.registry.plugins.module_utils._registry_verify import check_content
from tests.unit.registry_client.conftest import Reply

CONTENT = b"twenty bytes, no less"[:20]


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def one_blob(size: int = 20) -> Inventory:
    blob = Descriptor("application/octet-stream", digest_of(CONTENT), size)
    entry = Entry(digest_of(b"{}"), OCI_MANIFEST, 2, (), (blob,), None)
    return Inventory({"a": Repository("a", {"v1": entry.digest}, {entry.digest: entry})}, [])


def check(session, depth="blobs"):
    result = check_content(session, one_blob(), depth, fresh=True)
    return result.bytes, [problem.kind for problem in result.problems]


def partial(total: object, body: bytes = b"!") -> Reply:
    return Reply(206, body, {"Content-Range": f"bytes 19-19/{total}"})


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        (partial(20), (1, [])),
        (partial(21), (1, ["size-mismatch"])),
        (partial("*"), (1, ["size-mismatch"])),
        (Reply(416, b"no such byte", {"Content-Range": "bytes */8"}), (0, ["size-mismatch"])),
        # A server that does not know of ranges.
        (Reply(200, CONTENT), (20, [])),
        (Reply(200, b""), (0, ["size-mismatch"])),
        # What a registry does whose cache still knows a blob that was collected.
        (Reply(200, b"", length=20), (0, ["blob-unreadable"])),
        (Reply(206, b"", {"Content-Range": "bytes 19-19/20"}, length=1), (0, ["blob-unreadable"])),
        (Reply(206, b"", {"Content-Range": "bytes 19-19/20"}), (0, ["blob-unreadable"])),
        (Reply(500, b'{"errors":[{"code":"UNKNOWN"}]}'), (0, ["blob-unreadable"])),
        (Reply(403), (0, ["blob-unreadable"])),
    ],
)
def test_the_end_of_a_blob(script, session, reply, found):
    script.replies(reply)
    assert check(session) == found
    assert script.requests[0].headers["range"] == "bytes=19-19"


def test_what_breaks_off_once_is_read_again(script, session):
    script.replies(Reply(206, b"", {"Content-Range": "bytes 19-19/20"}, length=1), partial(20))
    assert check(session) == (1, [])
    script.replies(Reply(200, CONTENT[:7], length=20), Reply(200, CONTENT))
    assert check(session, "full") == (20, [])


@pytest.mark.parametrize(
    ("reply", "error"),
    [(Reply(503), ThrottledError), (Reply(502), HttpError), (Reply(hang_up=True), UnreachableError)],
)
def test_a_registry_that_is_away_is_no_damage(script, session, reply, error):
    script.replies(reply)
    with pytest.raises(error):
        check(session)
    with pytest.raises(error):
        check_content(session, one_blob(), "tags")
    with pytest.raises(error):
        take_inventory(session, repositories=["a"])


def manifests(bodies, tags=("v1",)):
    """Return what answers for repository a with these manifests by digest; the tag is the first."""
    by_digest = {digest_of(body): body for body in bodies}

    def reply(request):
        if request.path.startswith("/v2/a/tags/list"):
            return Reply(200, json.dumps({"tags": [] if "last=" in request.path else list(tags)}).encode())
        name = request.path.rpartition("/")[2]
        body = bodies[0] if name in tags else by_digest.get(name)
        if body is None:
            return Reply(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')
        return Reply(200, body, {"Content-Type": json.loads(body)["mediaType"]})

    return reply


def image(number: int) -> bytes:
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [], "number": number}).encode()


def index(*children: bytes) -> bytes:
    descriptors = [{"mediaType": OCI_MANIFEST, "digest": digest_of(body), "size": len(body)} for body in children]
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": descriptors}).encode()


def test_all_types_are_accepted_and_a_child_is_read_once(script, session):
    child = image(1)
    script.reply = manifests([index(child, child), child], tags=("v1", "v2"))
    inventory = take_inventory(session, repositories=["a"])
    assert inventory.problems == []
    assert len(inventory.repositories["a"].entries) == 2
    asked = [request for request in script.requests if "/manifests/sha256:" in request.path]
    assert len(asked) == 1
    assert asked[0].headers["accept"].count("vnd.") == 4


def test_what_was_deleted_while_it_was_read_is_no_problem(script, session):
    child = image(1)
    whole, gone = manifests([index(child)], tags=("v1",)), manifests([image(2)], tags=("v2",))
    asked = []

    def reply(request):
        asked.append(request.path)
        # The second look finds the tag gone.
        return (whole if len([path for path in asked if path.endswith("tags/list")]) < 2 else gone)(request)

    script.reply = reply
    inventory = take_inventory(session, repositories=["a"])
    assert inventory.problems == []
    assert list(inventory.repositories["a"].tags) == ["v2"]


def test_a_repository_that_may_not_be_read(script, session):
    script.reply = lambda request: Reply(403, b'{"errors":[{"code":"DENIED"}]}')
    inventory = take_inventory(session, repositories=["a", "b"])
    assert [(problem.kind, problem.where) for problem in inventory.problems] == [
        ("repository-unreadable", "a"),
        ("repository-unreadable", "b"),
    ]
    with pytest.raises(ForbiddenError):
        take_inventory(session)
