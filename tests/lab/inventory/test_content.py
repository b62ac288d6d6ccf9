# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What reading a registry proves, on stores that are broken by hand."""

from __future__ import annotations

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _registry_client as client
from ansible_collections.homeport.registry.plugins.module_utils._registry_inventory import take_inventory
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import digest_of
from ansible_collections.homeport.registry.plugins.module_utils._registry_verify import Depth, check_content, compare

from .images import Pusher

DEPTHS: tuple[Depth, ...] = ("tags", "blobs", "full")
ONE, TWO = b"the first layer", b"the second layer"


@pytest.fixture
def multi(push):
    """A multi-arch image that two repositories share, and a plain one."""
    images = {}
    for name in ("a", "b"):
        images["one"], images["two"] = push.image(name, None, ONE), push.image(name, None, TWO, docker=True)
        images["index"] = push.index(name, "multi", images["one"], images["two"])
    images["plain"] = push.image("a", "plain", ONE, TWO, config=b'{"os": "linux"}')
    return images


@pytest.fixture
def check(session, multi):
    """Return a function that checks the inventory of before something was broken, at every depth."""
    before = take_inventory(session)

    def check(fresh=False):
        found = {}
        for depth in DEPTHS:
            result = check_content(session, before, depth, fresh=fresh)
            found[depth] = [(problem.kind, problem.where) for problem in result.problems]
        return found

    return check


def test_what_is_sound_is_counted(session, multi):
    inventory = take_inventory(session)
    config, other = len(b"{}"), len(b'{"os": "linux"}')
    whole = config + other + len(ONE) + len(TWO)
    # Each repository's way to a blob is tried; a content is read whole once.
    expected: dict[Depth, tuple[int, int]] = {"tags": (0, 0), "blobs": (7, 7), "full": (7, whole + 3)}
    for depth, (blobs, read) in expected.items():
        result = check_content(session, inventory, depth)
        assert (result.manifests, result.blobs, result.bytes, result.problems) == (7, blobs, read, []), depth
    assert check_content(session, inventory, "blobs", fresh=True).manifests == 0
    assert check_content(session, inventory, "full", threads=1) == check_content(session, inventory, "full")
    assert compare(inventory, inventory) == []


@pytest.mark.parametrize("fresh", [False, True])
def test_a_lost_layer(check, store, fresh):
    digest = digest_of(TWO)
    store.blob(digest).unlink()
    lost = [("blob-missing", f"a@{digest}"), ("blob-missing", f"b@{digest}")]
    assert check(fresh) == {"tags": [], "blobs": lost, "full": lost}


def test_a_lost_configuration(check, store):
    digest = digest_of(b'{"os": "linux"}')
    store.blob(digest).unlink()
    lost = [("blob-missing", f"a@{digest}")]
    assert check() == {"tags": [], "blobs": lost, "full": lost}


def test_a_layer_that_one_repository_lost(check, store):
    digest = digest_of(TWO)
    store.layer_link("b", digest).unlink()
    lost = [("blob-missing", f"b@{digest}")]
    assert check() == {"tags": [], "blobs": lost, "full": lost}


def test_a_layer_link_without_content(check, store):
    digest = digest_of(TWO)
    store.layer_link("b", digest).write_bytes(b"")
    found = check()
    assert found["tags"] == []
    assert [where for _kind, where in found["blobs"]] == [f"b@{digest}"]
    assert found["blobs"] == found["full"]


@pytest.mark.parametrize("keep", [0, 1, len(TWO) - 1])
def test_a_layer_that_was_cut(check, store, keep):
    digest = digest_of(TWO)
    store.blob(digest).write_bytes(TWO[:keep])
    cut = [("size-mismatch", f"a@{digest}"), ("size-mismatch", f"b@{digest}")]
    assert check() == {"tags": [], "blobs": cut, "full": cut}


def test_a_layer_that_grew(check, store):
    digest = digest_of(TWO)
    store.blob(digest).write_bytes(TWO + b"!")
    grown = [("size-mismatch", f"a@{digest}"), ("size-mismatch", f"b@{digest}")]
    assert check() == {"tags": [], "blobs": grown, "full": grown}


def test_a_flipped_bit_is_found_by_reading_every_byte(check, store):
    digest = digest_of(TWO)
    store.blob(digest).write_bytes(bytes([TWO[0] ^ 1]) + TWO[1:])
    assert check() == {"tags": [], "blobs": [], "full": [("digest-mismatch", f"a@{digest}")]}


def test_a_flipped_bit_in_a_manifest_is_always_found(check, multi, store):
    path = store.blob(multi["two"].digest)
    path.write_bytes(path.read_bytes().replace(b"schemaVersion", b"schemaVersioN"))
    found = check()
    for depth in DEPTHS:
        assert [where for _kind, where in found[depth]] == [f"{name}@{multi['two'].digest}" for name in "ab"]


def test_a_lost_child(session, check, multi, store):
    before = take_inventory(session)
    digest = multi["two"].digest
    store.revision_link("b", digest).unlink()
    lost = [("manifest-missing", f"b@{digest}")]
    assert check() == {"tags": lost, "blobs": lost, "full": lost}
    after = take_inventory(session)
    assert [(problem.kind, problem.where) for problem in after.problems] == lost
    # Its layer was used by nothing else in this repository.
    assert {(problem.kind, problem.where) for problem in compare(before, after)} == {
        ("blob-lost", f"b@{digest_of(TWO)}"),
        ("manifest-lost", f"b@{digest}"),
    }


def test_tags_that_were_lost_or_moved(session, push, multi, check, store):
    before = take_inventory(session)
    store.tag_link("a", "plain").unlink()
    store.tag_link("a", "plain").parent.rmdir()
    moved = push.image("b", "multi", b"another")
    push.image("b", "new", b"new")
    problems = compare(before, take_inventory(session))
    assert [(problem.kind, problem.where) for problem in problems if problem.kind.startswith("tag")] == [
        ("tag-lost", "a:plain"),
        ("tag-moved", "b:multi"),
    ]
    assert multi["index"].digest in problems[-1].text
    assert moved.digest in problems[-1].text


def test_what_was_deleted_on_purpose_meanwhile_is_no_damage(session, check, multi):
    client.delete_manifest(session, "a", multi["plain"].digest)
    client.delete_blob(session, "a", digest_of(b'{"os": "linux"}'))
    assert check() == {"tags": [], "blobs": [], "full": []}


def test_layers_that_are_kept_elsewhere(start, connect):
    allowed = {"manifests": {"urls": {"allow": ["^https://example.com/"]}}}
    session = connect(start(settings={"validation": allowed}).url)
    push = Pusher(session)
    absent = {
        "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "digest": digest_of(b"elsewhere"),
        "size": 9,
        "urls": ["https://example.com/layer"],
    }
    push.manifest(
        "a",
        "v1",
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": push.blob("a", b"{}", "application/vnd.oci.image.config.v1+json"),
            "layers": [absent],
        },
    )
    assert check_content(session, take_inventory(session), "full").problems == []


def test_an_empty_layer(session, push):
    push.image("a", "v1", b"")
    result = check_content(session, take_inventory(session), "blobs")
    assert (result.blobs, result.problems) == (2, [])
