# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory of real registries."""

from __future__ import annotations

import json

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _registry_client as client
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import UnauthorizedError
from ansible_collections.homeport.registry.plugins.module_utils._registry_inventory import (
    Inventory,
    take_inventory,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
)

from .images import Pusher

ACCOUNT = ("ci", "push: pull")


def kinds(inventory):
    return [(problem.kind, problem.where) for problem in inventory.problems]


def test_an_empty_registry(session):
    assert take_inventory(session) == Inventory({}, [])


def test_types_children_and_blobs(session, push):
    oci = push.image("team/app", "oci", b"one", b"two")
    docker = push.image("team/app", "docker", b"one", docker=True)
    deep = push.image("team/app", None, b"deep")
    inner = push.index("team/app", None, deep)
    outer = push.index("team/app", "nested", inner, docker, subject=oci.descriptor())
    listed = push.index("team/app", "list", docker, docker=True)
    inventory = take_inventory(session)
    assert inventory.problems == []
    repository = inventory.repositories["team/app"]
    assert repository.tags == {
        "docker": docker.digest,
        "list": listed.digest,
        "nested": outer.digest,
        "oci": oci.digest,
    }
    assert list(repository.tags) == sorted(repository.tags)
    assert list(repository.entries) == sorted(repository.entries)
    entries = repository.entries
    assert {digest: entry.media_type for digest, entry in entries.items()} == {
        oci.digest: OCI_MANIFEST,
        deep.digest: OCI_MANIFEST,
        docker.digest: DOCKER_MANIFEST,
        inner.digest: OCI_INDEX,
        outer.digest: OCI_INDEX,
        listed.digest: DOCKER_LIST,
    }
    assert [entry.size for entry in entries.values()] == [
        {one.digest: one.size for one in (oci, deep, docker, inner, outer, listed)}[digest] for digest in entries
    ]
    assert [child.digest for child in entries[outer.digest].children] == [inner.digest, docker.digest]
    assert [child.digest for child in entries[inner.digest].children] == [deep.digest]
    assert [blob.size for blob in entries[oci.digest].blobs] == [2, 3, 3]
    assert entries[outer.digest].subject == oci.digest
    assert entries[oci.digest].subject is None
    assert {entry.digest for entry in repository.reach(outer.digest)} == {
        one.digest for one in (deep, docker, inner, outer)
    }
    again = Inventory.from_document(json.loads(json.dumps(inventory.document())))
    assert again == inventory


def test_the_same_whatever_the_number_of_threads(session, push):
    for number in range(12):
        image = push.image(f"r{number % 5}", f"v{number}", b"layer %d" % (number % 3))
        push.index(f"r{number % 5}", f"i{number}", image)
    one = take_inventory(session, threads=1).document()
    assert one == take_inventory(session, threads=8).document()
    assert list(one["repositories"]) == ["r0", "r1", "r2", "r3", "r4"]


def test_only_the_named_repositories(session, push):
    push.image("a", "v1")
    push.image("b", "v1")
    inventory = take_inventory(session, repositories=["b", "none"])
    assert list(inventory.repositories) == ["b", "none"]
    assert kinds(inventory) == [("repository-missing", "none")]


@pytest.mark.parametrize("entries", [1, 2, 3, 7])
def test_a_catalog_in_small_pages(start, connect, entries):
    session = connect(start(settings={"catalog": {"maxentries": entries}}).url)
    push = Pusher(session)
    # Names that stand in another order as paths than as text.
    names = ["foo", "foo-bar", "foo/bar", "foo/bar-baz", "foo.bar", "z"]
    for name in names:
        push.image(name, "v1")
    inventory = take_inventory(session)
    assert sorted(inventory.repositories) == sorted(names)
    assert inventory.problems == []


def test_many_tags_whatever_their_names(session, push):
    tags = ["v1", "v1.2", "v1.20", "v10", "v1-alpine", "V1", "latest", "_x", "1"]
    for tag in tags:
        push.image("a", tag)
    inventory = take_inventory(session)
    assert list(inventory.repositories["a"].tags) == sorted(tags)
    assert inventory.problems == []


def test_repositories_without_manifests(session, push, is_old):
    push.blob("only-blobs", b"content")
    image = push.image("emptied", "v1")
    push.image("full", "v1")
    client.delete_manifest(session, "emptied", image.digest)
    inventory = take_inventory(session)
    assert inventory.problems == []
    assert inventory.repositories["emptied"].tags == {}
    assert list(inventory.repositories["full"].tags) == ["v1"]
    assert inventory.repositories["emptied"].entries == {}


def test_through_an_account_and_without_one(start, connect):
    server = start(users=[ACCOUNT])
    session = connect(server.url, *ACCOUNT)
    Pusher(session).image("a", "v1")
    assert list(take_inventory(session).repositories) == ["a"]
    with pytest.raises(UnauthorizedError, match="user name and a password"):
        take_inventory(connect(server.url))


def test_a_tag_link_without_content(session, push, store):
    push.image("a", "good")
    push.image("a", "bad", b"x")
    store.tag_link("a", "bad").write_bytes(b"")
    inventory = take_inventory(session)
    assert kinds(inventory) == [("manifest-unreadable", "a:bad")]
    (problem,) = inventory.problems
    assert "status 500" in problem.text
    assert "link file without content" in problem.remedy
    assert list(inventory.repositories["a"].tags) == ["good"]


def test_a_revision_link_without_content(session, push, store):
    image = push.image("a", "v1")
    store.revision_link("a", image.digest).write_bytes(b"")
    inventory = take_inventory(session)
    assert [problem.where for problem in inventory.problems] == ["a:v1"]
    assert inventory.problems[0].kind in ("manifest-unreadable", "manifest-missing")
    assert "before" in inventory.problems[0].remedy


def test_a_manifest_whose_content_is_lost(session, push, store):
    image = push.image("a", "v1")
    push.image("a", "v2", b"other")
    store.blob(image.digest).unlink()
    inventory = take_inventory(session)
    assert kinds(inventory) == [("manifest-missing", "a:v1")]
    assert "Do not collect garbage before" in inventory.problems[0].remedy


def test_a_child_whose_content_is_lost(session, push, store):
    kept, lost = push.image("a", None, b"kept"), push.image("a", None, b"lost")
    index = push.index("a", "multi", kept, lost)
    store.blob(lost.digest).unlink()
    inventory = take_inventory(session)
    assert kinds(inventory) == [("manifest-missing", f"a@{lost.digest}")]
    assert set(inventory.repositories["a"].entries) == {index.digest, kept.digest}


def test_a_manifest_with_changed_bytes(session, push, store):
    image = push.image("a", "v1", note="before")
    path = store.blob(image.digest)
    path.write_bytes(path.read_bytes().replace(b"before", b"change"))
    inventory = take_inventory(session)
    assert kinds(inventory) == [("digest-mismatch", "a:v1")]


def test_an_empty_manifest(session, push, store):
    image = push.image("a", "v1")
    store.blob(image.digest).write_bytes(b"")
    inventory = take_inventory(session)
    assert [problem.where for problem in inventory.problems] == ["a:v1"]
