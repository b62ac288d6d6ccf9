# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The first look happens beside pushes and deletions: what does not fit together then is no fault of the store."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _gc_beside
from ansible_collections.homeport.registry.plugins.module_utils import _registry_client as client
from ansible_collections.homeport.registry.plugins.module_utils._gc_beside import look_beside_pushes
from ansible_collections.homeport.registry.plugins.module_utils._gc_errors import RefusedError
from ansible_collections.homeport.registry.plugins.module_utils._gc_look import Look, Looker
from ansible_collections.homeport.registry.plugins.module_utils._gc_output import Collected
from ansible_collections.homeport.registry.plugins.module_utils._gc_store import Scan, lost
from ansible_collections.homeport.registry.plugins.module_utils._registry_inventory import Inventory
from tests.lab.inventory.images import Pusher, Store

Make = Callable[..., Looker]


class Beside:
    """Deletes another image each time that the inventory has been taken, and so before the collector is asked."""

    def __init__(self, looker: Looker, push: Pusher, times: int, again: bool) -> None:
        self.push, self.left, self.again = push, times, again
        self.inventory, self.collect = looker.inventory, looker.run_collector
        self.away, self.asked = "", 0

    def image(self, name: str) -> str:
        return self.push.image(f"moving/{name}", "1", f"layer {name}".encode()).digest

    def ask(self, *flags: str) -> Collected:
        self.asked += 1
        return self.collect(*flags)

    def take(self) -> Inventory:
        if self.away:
            self.image(self.away)
            self.away = ""
            return self.inventory()
        if not self.left:
            return self.inventory()
        self.left -= 1
        name = str(self.left)
        digest = self.image(name)
        found = self.inventory()
        client.delete_manifest(self.push.session, f"moving/{name}", digest)
        self.away = name if self.again else ""
        return found


@pytest.fixture
def beside(push: Pusher, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Beside]:
    """Return a function that lets somebody delete images; `again`: and push each as soon as it is asked for."""

    def beside(looker: Looker, times: int, *, again: bool = False) -> Beside:
        made = Beside(looker, push, times, again)
        monkeypatch.setattr(looker, "inventory", made.take)
        monkeypatch.setattr(looker, "run_collector", made.ask)
        return made

    return beside


@pytest.fixture(params=[True, False], ids=["files", "objects"])
def long_look(request: pytest.FixtureRequest, look: Make, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Make what looks for too long at a store of files, or at one that has none, as object storage."""
    monkeypatch.setattr(_gc_beside, "LOOKING", 0.0)

    def make() -> Looker:
        looker = look()
        if not request.param:
            monkeypatch.setattr(looker, "scan", lambda: None)
        return looker

    return make


def _look(looker: Looker, files: Scan | None = None) -> Look | None:
    """Look as a collection does."""
    looker._program.serve()
    files = files or looker.scan()
    return look_beside_pushes(looker, looker._report, files, dry_run=looker._options.dry_run)


def test_what_is_deleted_meanwhile_may_go(push: Pusher, look: Make, beside: Callable[..., Beside]) -> None:
    """One image is deleted between the inventory and the dry run: that is known without another dry run."""
    push.image("kept", "1", b"layer")
    looker = look()
    other = beside(looker, 1)
    found = _look(looker)
    assert found is not None
    assert set(found.inventory.repositories) >= {"kept"}
    assert looker._report.document["problems"] == []
    assert [step["name"] for step in looker._report.document["steps"]] == ["dry_run"]
    assert other.asked == 1


def test_what_comes_back_meanwhile_is_looked_at_again(push: Pusher, look: Make, beside: Callable[..., Beside]) -> None:
    """One image is deleted before the dry run and pushed again after it: the second look finds all in order."""
    push.image("kept", "1", b"layer")
    looker = look()
    other = beside(looker, 1, again=True)
    found = _look(looker)
    assert found is not None
    assert "moving/0" in found.inventory.repositories
    assert looker._report.document["problems"] == []
    assert other.asked == 2


def test_a_store_that_never_holds_still_is_decided_inside_the_fence(
    push: Pusher, look: Make, beside: Callable[..., Beside]
) -> None:
    """Only a dry run, which has no fence, has to say that it cannot tell."""
    push.image("kept", "1", b"layer")
    looker = look()
    beside(looker, 9, again=True)
    assert _look(looker) is None
    dry = look(dry_run=True)
    beside(dry, 9, again=True)
    with pytest.raises(RefusedError):
        _look(dry)


def test_a_long_look_at_a_store_that_moves_is_not_repeated(
    push: Pusher, long_look: Make, beside: Callable[..., Beside]
) -> None:
    """Where it takes minutes to ask the collector, a store that is pushed to will have moved again by then."""
    push.image("kept", "1", b"layer")
    looker = long_look()
    other = beside(looker, 9, again=True)
    assert _look(looker) is None
    assert other.asked == 1


def test_a_fault_is_one_however_long_it_takes_to_look(push: Pusher, long_look: Make, store: Store) -> None:
    """Nobody's pushes are stopped for it."""
    image = push.image("broken", "1", b"layer")
    store.blob(image.digest).unlink()
    looker = long_look()
    with pytest.raises(RefusedError) as caught:
        _look(looker)
    assert "broken" in str(caught.value)


def test_what_is_pushed_meanwhile_is_not_missed(push: Pusher, look: Make) -> None:
    """An image that arrives between the look at the files and the inventory has lost nothing."""
    push.image("kept", "1", b"layer")
    looker = look()
    files = looker.scan()
    assert files is not None
    push.image("new", "1", b"new layer")
    found = _look(looker, files)
    assert found is not None
    assert "new" in found.inventory.repositories
    assert looker._report.document["problems"] == []
    # And what the fence sees is another store than this, so that it looks again.
    now = looker.scan()
    assert found.store is not None
    assert now is not None
    assert now.fingerprint != found.store.fingerprint


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
