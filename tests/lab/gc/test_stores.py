# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real collectors on real stores: what they say of whole and of broken ones, and what we make of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _registry_client as client
from ansible_collections.homeport.registry.plugins.module_utils._gc_errors import (
    GcError,
    NothingToDoError,
    RefusedError,
)
from ansible_collections.homeport.registry.plugins.module_utils._gc_look import Look, Looker
from ansible_collections.homeport.registry.plugins.module_utils._gc_options import Ceiling
from ansible_collections.homeport.registry.plugins.module_utils._gc_output import Collected
from ansible_collections.homeport.registry.plugins.module_utils._registry_inventory import Inventory
from ansible_collections.homeport.registry.plugins.module_utils._registry_verify import check_content, compare
from tests.lab.inventory.images import Pusher, Store

Make = Callable[..., Looker]


def first_look(looker: Looker) -> Look:
    """Do what a collection does before its fence."""
    store = looker.scan()
    looker.recognise(store)
    looker.judge_files(store)
    looker._program.serve()
    inventory = looker.inventory()
    looker.judge(store, inventory)
    plan = looker.run_collector("--dry-run")
    looker.cross_check(inventory, plan)
    look = Look(store, inventory, plan)
    looker.ceiling(look)
    return look


def refusal(looker: Looker) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        first_look(looker)
    return caught.value


def test_what_nobody_needs_goes_and_all_else_stays(push: Pusher, look: Make, store: Store) -> None:
    """Images, an index with an attestation, a signature by fallback tag, a shared layer, an untagged image."""
    shared = b"shared" * 1000
    doomed = push.image("team/app", "old", b"only in the old one", shared)
    kept = push.image("team/app", "new", b"new", shared)
    children = [push.image("team/multi", None, b"amd64"), push.image("team/multi", None, b"arm64")]
    attestation = push.image("team/multi", None, b"{}", config=b'{"a":1}')
    index = push.index("team/multi", "1", *children, attestation)
    push.image("team/multi", f"{index.digest.replace(':', '-')}.sig", b"signature")
    pinned = push.image("team/app", None, b"pinned by digest")
    client.delete_manifest(push.session, "team/app", doomed.digest)

    looker = look(ceiling=Ceiling(100))
    seen = first_look(looker)
    before = looker._report.document["eligible"]
    assert before["repositories"]["team/app"] == 1
    real = looker.run_collector()
    assert real.blobs == seen.plan.blobs
    assert doomed.digest in real.blobs
    after = looker.inventory()
    assert compare(seen.inventory, after) == []
    assert check_content(looker._session, after, "full").problems == []
    files = looker.scan()
    assert files
    assert seen.store
    assert seen.store.bytes - files.bytes == before["bytes"]
    for digest in (kept.digest, index.digest, attestation.digest, pinned.digest):
        assert store.blob(digest).exists()
    assert looker.run_collector("--dry-run").blobs == set()


def test_the_fingerprint_knows_every_change(push: Pusher, look: Make) -> None:
    """A push, a delete and a moved tag change it; looking does not."""
    first = push.image("a", "1", b"one")
    looker = look()
    seen = [looker.scan()]
    again = looker.scan()
    assert again
    assert seen[0]
    assert again.fingerprint == seen[0].fingerprint
    second = push.image("a", "2", b"two")
    seen.append(looker.scan())
    body = client.get_manifest(push.session, "a", first.digest)
    client.put_manifest(push.session, "a", "2", body.body, body.media_type)
    seen.append(looker.scan())
    client.delete_manifest(push.session, "a", second.digest)
    seen.append(looker.scan())
    assert len({one.fingerprint for one in seen if one}) == 4


@pytest.mark.parametrize(
    "damage", ["blob missing", "blob empty", "revision link empty", "layer link empty", "bad name"]
)
def test_a_broken_store_is_named(push: Pusher, look: Make, store: Store, damage: str, major: int) -> None:
    """Where a collection would do harm or stop half way it is refused, with the file and what to do."""
    image = push.image("team/app", "1", b"layer")
    push.image("team/other", "1", b"other")
    layer = client.get_manifest(push.session, "team/app", "1").document()["layers"][0]["digest"]
    fatal_in_2 = True
    if damage == "blob missing":
        store.blob(image.digest).unlink()
    elif damage == "blob empty":
        store.blob(image.digest).write_bytes(b"")
    elif damage == "revision link empty":
        store.revision_link("team/app", image.digest).write_bytes(b"")
    elif damage == "layer link empty":
        store.layer_link("team/app", layer).write_bytes(b"")
        fatal_in_2 = False
    else:
        (store.repository("Bad_") / "_layers").mkdir(parents=True)
        (store.repository("Bad_") / "_manifests").mkdir(parents=True)
    looker = look()
    if major < 3 and not fatal_in_2:
        first_look(looker)
        assert looker._report.document["problems"]
        return
    error = refusal(looker)
    assert error.remedy
    assert "Bad_" in str(error) if damage == "bad name" else "team/app" in str(error)
    assert store.blob(layer).exists()


def test_an_untagged_manifest_without_content_is_found_too(push: Pusher, look: Make, store: Store) -> None:
    """No tag leads there, so that only the files of the store tell it."""
    image = push.image("team/app", None, b"layer")
    push.image("team/app", "1", b"other")
    store.blob(image.digest).unlink()
    assert image.digest in str(refusal(look()))


@pytest.mark.parametrize(("content", "kind"), [(b"", "tag-link-empty"), (b"sha256:", "tag-link-damaged")])
def test_a_broken_tag_link_takes_nothing_with_it(
    push: Pusher, look: Make, store: Store, content: bytes, kind: str
) -> None:
    """It is reported, and the rest is collected; with deleting of untagged manifests it is refused."""
    push.image("team/app", "1", b"layer")
    push.image("team/app", "2", b"layer")
    store.tag_link("team/app", "2").write_bytes(content)
    looker = look()
    first_look(looker)
    assert kind in {problem["kind"] for problem in looker._report.document["problems"]}
    assert refusal(look(untagged="delete"))


@pytest.mark.parametrize("kind", ["revision", "layer"])
@pytest.mark.parametrize("content", [b"sha256:0123", bytes(71)], ids=["cut", "zeros"])
def test_a_damaged_link_is_named(push: Pusher, look: Make, store: Store, major: int, kind: str, content: bytes) -> None:
    """Of an image without a tag, which no request leads to. The collector says only that there is one."""
    image = push.image("team/app", None, b"layer")
    push.image("team/other", "1", b"other")
    layer = client.get_manifest(push.session, "team/app", image.digest).document()["layers"][0]["digest"]
    links = {"revision": ("revision_link", image.digest), "layer": ("layer_link", layer)}
    link = getattr(store, links[kind][0])("team/app", links[kind][1])
    link.write_bytes(content)
    looker = look()
    if kind == "layer" and major < 3:
        first_look(looker)
        return
    error = refusal(looker)
    assert str(link) in str(error)
    assert str(link.parent) in error.remedy
    assert [problem["kind"] for problem in looker._report.document["problems"]] == [f"{kind}-link-damaged"]
    assert store.blob(layer).exists()


def test_an_unfinished_push_is_nothing_to_collect(push: Pusher, look: Make, store: Store) -> None:
    """A store of uploads only: the collector ends with an error there."""
    begin = "/v2/team/app/blobs/uploads/"
    push.session.request("begin an upload", "POST", begin, scope="repository:team/app:pull,push", expect=(202,))
    assert list((store.repository("team/app") / "_uploads").iterdir())
    looker = look()
    with pytest.raises(NothingToDoError):
        first_look(looker)
    with pytest.raises(NothingToDoError):
        looker.run_collector("--dry-run")


def test_a_layer_that_was_lost_before_is_reported(push: Pusher, look: Make, store: Store) -> None:
    """A collection makes it no worse, so it goes on."""
    push.image("team/app", "1", b"layer")
    layer = client.get_manifest(push.session, "team/app", "1").document()["layers"][0]["digest"]
    store.blob(layer).unlink()
    looker = look()
    first_look(looker)
    assert [problem["where"] for problem in looker._report.document["problems"]] == [f"team/app@{layer}"]


def test_a_child_deleted_by_digest(push: Pusher, look: Make, major: int) -> None:
    """The plain collection goes on; deleting untagged manifests would take intact copies elsewhere with it."""
    for repository in ("a", "b"):
        children = [push.image(repository, None, b"amd64"), push.image(repository, None, b"arm64")]
        push.index(repository, "1", *children)
    client.delete_manifest(push.session, "a", children[0].digest)
    first_look(look(ceiling=Ceiling(100)))
    if major >= 3:
        assert children[0].digest in str(refusal(look(untagged="delete", ceiling=Ceiling(100))))


def test_an_empty_store_has_nothing_to_collect(look: Make, root: Path) -> None:
    """Unless there were images in it at the last collection: then it is the wrong mount."""
    root.mkdir()
    looker = look()
    with pytest.raises(NothingToDoError):
        first_look(looker)
    with pytest.raises(NothingToDoError):
        looker.run_collector("--dry-run")
    looker.blobs_before = 3
    with pytest.raises(RefusedError) as caught:
        looker.recognise(looker.scan())
    assert "the last run left 3 blobs" in str(caught.value)
    with pytest.raises(RefusedError):
        looker.run_collector("--dry-run")


def test_an_empty_place_on_object_storage_is_noticed(look: Make) -> None:
    """The collector ends there without an error, and marks nothing."""
    looker = look()
    nothing = Collected(counts=(0, 0, 0))
    looker.cross_check(Inventory({}, []), nothing)
    looker.blobs_before = 3
    with pytest.raises(RefusedError) as caught:
        looker.cross_check(Inventory({}, []), nothing)
    assert "the last run left 3 blobs" in str(caught.value)


def test_another_volume_is_recognised(push: Pusher, look: Make, root: Path, tmp_path: Path) -> None:
    """The store is marked once; the mark of another one, or none, is refused."""
    push.image("a", "1", b"layer")
    looker = look()
    looker.recognise(looker.scan())
    mark = looker._report.document["store"]["id"]
    looker.recognise(looker.scan())
    assert looker._report.document["store"]["id"] == mark
    elsewhere = look(root=tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    elsewhere._report.document["store"] = {"id": mark}
    assert "missing" in str(refusal(elsewhere))
    (root / ".homeport-store").write_text('{"id": "of another"}')
    assert "of another" in str(refusal(looker))


def test_a_flag_that_the_program_does_not_know_is_no_success(push: Pusher, look: Make) -> None:
    """It ends with status 0 and a usage text."""
    push.image("a", "1", b"layer")
    looker = look()
    code, _errors, found = looker._program.collect("--no-such-flag")
    assert (code, found.summary) == (0, False)
    with pytest.raises(GcError) as caught:
        looker.run_collector("--no-such-flag")
    assert "without its summary" in str(caught.value)


def test_the_program_says_its_version(look: Make, major: int) -> None:
    assert look()._program.version()[0][0] == major


def test_a_program_that_is_none_is_named(look: Make) -> None:
    with pytest.raises(GcError) as caught:
        look(binary="/no/such/program")._program.version()
    assert "registry_gc_binary" in caught.value.remedy


@pytest.mark.parametrize("limits", [Ceiling(10.0), Ceiling(100.0, 5), Ceiling(100.0, None, ("team/*",))])
def test_too_much_is_refused_and_nothing_is_gone(push: Pusher, look: Make, store: Store, limits: Ceiling) -> None:
    image = push.image("team/app", "1", b"layer")
    push.image("other", "1", b"other")
    client.delete_manifest(push.session, "team/app", image.digest)
    looker = look(ceiling=limits)
    refusal(looker)
    assert looker._report.document["eligible"]["blobs"] >= 2
    assert store.blob(image.digest).exists()


def test_a_plan_that_would_take_an_image_is_refused(push: Pusher, look: Make) -> None:
    """What the registry serves and the collector does not keep, whatever the reason, stops the run."""
    image = push.image("a", "1", b"layer")
    looker = look()
    seen = first_look(looker)
    seen.plan.marked.discard(image.digest)
    with pytest.raises(RefusedError) as caught:
        looker.cross_check(seen.inventory, seen.plan)
    assert image.digest in str(caught.value)
    looker.cross_check(Inventory({}, []), seen.plan)


def test_a_paused_collector_deletes_nothing(push: Pusher, look: Make) -> None:
    """While the Lease is in doubt nothing runs, and after it is lost nothing ever does."""
    push.image("a", "1", b"layer")
    program = look()._program
    program.kill("the Lease is lost")
    with pytest.raises(GcError) as caught:
        program.collect("--dry-run")
    assert "the Lease is lost" in str(caught.value)
