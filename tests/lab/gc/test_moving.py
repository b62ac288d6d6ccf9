# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The first look happens beside pushes and deletions: what does not fit together then is no fault of the store."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _registry_client as client
from ansible_collections.homeport.registry.plugins.module_utils._gc_errors import RefusedError
from ansible_collections.homeport.registry.plugins.module_utils._gc_look import Look, Looker
from ansible_collections.homeport.registry.plugins.module_utils._gc_run import Collection
from ansible_collections.homeport.registry.plugins.module_utils._gc_store import Scan, lost
from ansible_collections.homeport.registry.plugins.module_utils._registry_inventory import Inventory
from tests.lab.inventory.images import Pusher, Store

Make = Callable[..., Looker]


class Beside:
    """Deletes another image each time that the inventory has been taken, and so before the collector is asked."""

    def __init__(self, looker: Looker, push: Pusher, times: int) -> None:
        self.looker, self.push, self.left, self.inventory = looker, push, times, looker.inventory
        looker.inventory = self.take  # type: ignore[method-assign]  # the moment between two steps

    def take(self) -> Inventory:
        found = self.inventory()
        if self.left:
            self.left -= 1
            image = self.push.image(f"moving/{self.left}", "1", f"layer {self.left}".encode())
            found = self.inventory()
            client.delete_manifest(self.push.session, f"moving/{self.left}", image.digest)
        return found


def _look(looker: Looker, files: Scan | None = None) -> Look | None:
    """Look as a collection does, which here has no cluster to write to."""
    collection = object.__new__(Collection)
    collection._looker, collection._options, collection.report = looker, looker._options, looker._report
    looker._program.serve()
    return collection._look_beside_pushes(files or looker.scan())


def test_a_deletion_meanwhile_is_looked_at_again(push: Pusher, look: Make) -> None:
    """One image is deleted between the inventory and the dry run: the second look finds everything in order."""
    push.image("kept", "1", b"layer")
    looker = look()
    Beside(looker, push, 1)
    found = _look(looker)
    assert found is not None
    assert set(found.inventory.repositories) >= {"kept"}
    assert looker._report.document["problems"] == []
    assert [step["name"] for step in looker._report.document["steps"]] == ["dry_run"]


def test_a_store_that_never_holds_still_is_decided_inside_the_fence(push: Pusher, look: Make) -> None:
    """Only a dry run, which has no fence, has to say that it cannot tell."""
    push.image("kept", "1", b"layer")
    looker = look()
    Beside(looker, push, 9)
    assert _look(looker) is None
    dry = look(dry_run=True)
    Beside(dry, push, 9)
    with pytest.raises(RefusedError):
        _look(dry)


def test_what_is_pushed_meanwhile_is_not_missed(push: Pusher, look: Make) -> None:
    """An image that arrives between the look at the files and the inventory has lost nothing."""
    push.image("kept", "1", b"layer")
    looker = look()
    files = looker.scan()
    assert files is not None
    push.image("new", "1", b"new layer")
    found = _look(looker, files)
    assert found is not None
    assert found.store is not None
    assert found.store.fingerprint != files.fingerprint
    assert looker._report.document["problems"] == []


def test_a_layer_that_is_missing_is_reported_where_the_store_holds_still(
    push: Pusher, look: Make, store: Store
) -> None:
    """It is a fact, and no reason to stop."""
    push.image("broken", "1", b"layer")
    store.blob(client.get_manifest(push.session, "broken", "1").document()["layers"][0]["digest"]).unlink()
    looker = look()
    assert _look(looker) is not None
    assert [problem["kind"] for problem in looker._report.document["problems"]] == ["blob-missing"]


def test_a_fault_of_a_store_that_holds_still_is_one(push: Pusher, look: Make, store: Store) -> None:
    """Nothing has changed since the look began, so the manifest is really missing, and nobody's pushes are stopped."""
    image = push.image("broken", "1", b"layer")
    store.blob(image.digest).unlink()
    looker = look()
    with pytest.raises(RefusedError) as caught:
        _look(looker)
    assert "broken" in str(caught.value)


def test_a_layer_may_leave_one_repository_and_stay_in_another(push: Pusher, look: Make, major: int) -> None:
    """Its link goes where its only image was deleted; a link that was not to go is a loss."""
    image = push.image("gone", "1", b"layer")
    push.image("kept", "1", b"layer")
    push.image("gone", "other", b"other")
    client.delete_manifest(push.session, "gone", image.digest)
    looker = look()
    found = _look(looker)
    assert found is not None
    looker.run_collector()
    after = looker.scan()
    assert found.store is not None
    assert after is not None
    assert lost(found.store, after, found.plan.marked, found.plan.links) == []
    assert bool(lost(found.store, after, found.plan.marked, {})) == (major >= 3)
