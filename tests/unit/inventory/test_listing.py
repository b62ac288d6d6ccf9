# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lists that leave names out are noticed, completed where that can be, and said not to be trusted."""

from __future__ import annotations

import itertools
import json

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _registry_listing as listing
from ansible_collections.homeport.registry.plugins.module_utils._registry_client import list_repositories, list_tags
from ansible_collections.homeport.registry.plugins.module_utils._registry_inventory import take_inventory
from ansible_collections.homeport.registry.plugins.module_utils._registry_stock import verify
from ansible_collections.homeport.registry.plugins.module_utils._registry_wire import Headers
from tests.unit.registry_client.conftest import Reply

from .conftest import ObjectStore

TAGS = ["1", "latest", "v1", "v1.2", "v10", "v10.1", "v100", "v1000", "v2", "v2-alpine", "v20"]


@pytest.fixture
def skipping(script):
    """3.1.1 on object storage."""
    return ObjectStore(script, skips=True, orders=True, null=True)


@pytest.mark.parametrize("tags", [["v1", "v10"], ["a", "aa", "aaa"], TAGS])
def test_tags_left_out_after_their_beginning_are_found(skipping, session, tags):
    skipping.repositories = {"team/app": tags, "other": ["x"]}
    assert list_tags(session, "team/app") != sorted(tags)
    inventory = take_inventory(session)
    assert list(inventory.repositories["team/app"].tags) == sorted(tags)
    (problem,) = inventory.problems
    assert (problem.kind, problem.where) == ("listing-untrusted", "team/app")
    assert "leave out" in problem.text
    assert "Distribution 3.0 and 3.1 on object storage" in problem.remedy


def test_every_subset_of_awkward_names_is_complete(skipping, session):
    for names in itertools.combinations(["v1", "v1.2", "v10", "v10.1", "v100", "v1-a"], 4):
        skipping.repositories = {"a": list(names)}
        assert list(take_inventory(session, repositories=["a"]).repositories["a"].tags) == sorted(names)


def test_a_sound_list_needs_no_second_look(script, session):
    store = ObjectStore(script, skips=False, orders=True, null=True)
    store.repositories = {"a": ["v1", "v10"], "b": ["x"]}
    assert take_inventory(session).problems == []
    lists = [request for request in script.seen() if "tags/list" in request]
    assert lists == ["GET /v2/a/tags/list", "GET /v2/b/tags/list"] or sorted(lists) == [
        "GET /v2/a/tags/list",
        "GET /v2/b/tags/list",
    ]


def test_a_server_that_ends_its_lists_otherwise_is_asked_once(script, session):
    store = ObjectStore(script, skips=False, orders=True, null=False)
    store.repositories = {f"r{number}": ["x", "y"] for number in range(9)}
    assert take_inventory(session).problems == []
    assert len([request for request in script.seen() if "last=" in request]) == 1


NAMES = ["a", "foo", "foo-bar", "foo-car", "foo.x", "foo/bar", "foo/bar-x", "foo/bar/deep", "foo-bar/y", "z"]


@pytest.mark.parametrize("most", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("left", [0, 1])
def test_repositories_lost_between_pages_are_found(script, session, most, left):
    store = ObjectStore(script, skips=False, orders=True, null=True, most=most)
    told = 0
    for names in itertools.combinations(NAMES, len(NAMES) - left):
        store.repositories = {name: [] for name in names}
        alone = list_repositories(session)
        found, problems = listing.repositories(session)
        assert found == sorted(names)
        assert problems or alone == sorted(names)
        told += len(problems)
    # The model does lose names, or this would prove nothing.
    assert told or most == 9


def test_lists_that_never_agree_are_not_trusted(script, session):
    numbers = itertools.count()

    def reply(request):
        if "last=" in request.path:
            return Reply(200, json.dumps({"repositories": [f"new{next(numbers)}"]}).encode())
        return Reply(200, b'{"repositories": ["a", "b"]}', {"Link": '</v2/_catalog?last=x>; rel="next"'})

    script.reply = reply
    names, (problem,) = listing.repositories(session)
    assert names[:2] == ["a", "b"]
    assert problem.kind == "listing-untrusted"
    assert "new0, new1" in problem.text


def test_a_list_that_changes_meanwhile_is_asked_for_again(script, session):
    lists = iter([["a"], ["a", "b"], ["a", "b"]])

    def reply(request):
        body = {"repositories": next(lists)} if "last=" not in request.path else {"repositories": None}
        link = {} if "last=" in request.path else {"Link": '</v2/_catalog?last=x>; rel="next"'}
        return Reply(200, json.dumps(body).encode(), link)

    script.reply = reply
    assert listing.repositories(session)[0] == ["a", "b"]


@pytest.mark.parametrize("wanted", [["*"], ["team/*"], ["team/app", "team/web"]])
def test_what_no_list_tells_is_asked_for_before_it_is_called_lost(script, session, wanted):
    store = ObjectStore(script, skips=False, orders=False, null=False)
    store.repositories = {"team/app": ["v1", "v2"], "team/web": ["v1"]}
    before = take_inventory(session)
    told = script.reply

    def reply(request):
        """Hide a repository and a tag from the lists, and really lose another tag."""
        if request.path.startswith("/v2/_catalog"):
            return Reply(200, b'{"repositories": ["team/app"]}')
        if request.path.startswith("/v2/team/web/tags/list"):
            return Reply(404, b'{"errors":[{"code":"NAME_UNKNOWN"}]}')
        if request.path.startswith("/v2/team/app/tags/list"):
            return Reply(200, b'{"tags": []}')
        if request.path == "/v2/team/app/manifests/v2":
            return Reply(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')
        return told(request)

    script.reply = reply
    result = verify(session, wanted, "tags", threads=4, before=before)
    found = {(problem["kind"], problem["where"]) for problem in result["problems"]}
    assert found == {
        ("listing-untrusted", "team/app"),
        ("listing-untrusted", "team/web"),
        ("tag-lost", "team/app:v2"),
    }
    assert result["checked"]["tags"] == 2


@pytest.mark.parametrize(
    ("listed", "proof"),
    [
        ([], False),
        (["v1", "v2"], False),
        (["v1", "v10"], True),
        (["v1", "v1.2"], False),
        (["v1", "v1-alpine"], False),
        (["v1", "v1.2", "v10"], False),
        (["sha256-aa.sig", "v1", "v1_x"], True),
    ],
)
def test_what_proves_that_nothing_is_left_out(listed, proof):
    assert listing.shows_no_skipping(listed) is proof


@pytest.mark.parametrize(
    ("names", "text"), [(["a"], "a"), (list("abcde"), "a, b, c, d, e"), (list("abcdefg"), "a, b, c, d, e and 2 more")]
)
def test_long_lists_of_names_are_cut(names, text):
    assert listing.shorten(names) == text


def test_verifying_reads_every_manifest_once(script, session):
    store = ObjectStore(script, skips=False, orders=False, null=False)
    store.repositories = {"a": ["v1", "v2"], "b": ["v1"]}
    assert verify(session, ["*"], "full", threads=2)["verified"] is True
    assert sorted(request for request in script.seen() if "/manifests/" in request) == [
        "GET /v2/a/manifests/v1",
        "GET /v2/a/manifests/v2",
        "GET /v2/b/manifests/v1",
    ]


@pytest.mark.parametrize(
    ("status", "headers", "body", "found"),
    [
        (200, "", b'{"name": "a", "tags": ["b", "a"]}', ["b", "a"]),
        (200, "", b'{"tags": []}', []),
        # A closer look is taken at all of these.
        (200, "", b'{"tags": null}', None),
        (200, "", b'{"name": "a"}', None),
        (200, "", b'["a"]', None),
        (200, "", b"<html>", None),
        (200, '\r\nLink: </v2/a/tags/list?n=2&last=b>; rel="next"', b'{"tags": ["a", "b"]}', None),
        (404, "", b'{"tags": ["a"]}', None),
        (307, "\r\nLocation: /elsewhere", b"", None),
    ],
)
def test_which_lists_are_taken_as_they_come(status, headers, body, found):
    assert listing.tags_in(status, Headers(headers), body) == found
