# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that push, delete and push again; each thing is tried until the registry has done it."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable

from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError
from tests.storm.images import BASES, KINDS, Image, Recipe
from tests.storm.ledger import Claim, Ledger, Name
from tests.storm.registry import Refusal, Registry
from tests.storm.state import State


class GivenUpError(Exception):
    """Something was refused for longer than the patience lasts."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much is done, and how fast.

    seed: the same one gives the same images and the same order of what each client does. prefix: of repository names.
    repositories: how many there are. size: bytes of a layer at most. rate: pushes a second of each pusher at most.
    images: how many are there at a time. total: pushes of each pusher at most. think: seconds between the blobs of an
    image and its manifest at most. patience: seconds until a refused push counts as failed. deletes, untags: whether.
    """

    seed: str
    prefix: str
    repositories: int = 4
    size: int = 65536
    rate: float = 4.0
    images: int = 200
    total: int = 100_000
    think: float = 0.2
    patience: float = 300.0
    deletes: bool = True
    untags: bool = True

    def repository(self, number: int) -> str:
        """Return a repository's name."""
        return f"{self.prefix}/team-{number % self.repositories}"


class Pusher:
    """One client that writes, by the collection's own registry client."""

    by = "homeport"

    def __init__(self, number: int, registry: Registry, state: State, ledger: Ledger, limits: Limits) -> None:
        """Take a number of its own; of it and the seed follows everything it does."""
        self.number, self.registry, self.state, self.ledger, self.limits = number, registry, state, ledger, limits
        self.random = random.Random(f"{limits.seed} pusher {number}")
        self.serial = 0
        self.untags, self.deletes = limits.untags, limits.deletes

    def run(self, stop: Callable[[], bool]) -> None:
        """Work until told to stop; what has been begun is brought to its end.

        Raises GivenUpError when something is refused for too long.
        """
        while not stop() and self.serial < self.limits.total:
            began = time.monotonic()
            self._work()
            # A client that was refused has waited enough.
            left = self.random.uniform(0.5, 1.5) / self.limits.rate - (time.monotonic() - began)
            time.sleep(max(0.0, left))

    def _work(self) -> None:
        actions = {self._push_new: 6, self._push_copy: 2}
        if self.deletes:
            full = self.state.size >= self.limits.images
            actions = {**({} if full else actions), self._delete: 30 if full else 3, self._push_again: 2}
        if self.untags:
            actions[self._untag] = 1
        self.random.choices(list(actions), list(actions.values()))[0]()

    def _push_new(self) -> None:
        self.serial += 1
        kind = self.random.choices(KINDS, (4, 3, 2))[0]
        seed = f"{self.limits.seed} {self.number} {self.serial}"
        recipe = Recipe(kind, seed, self.random.randrange(BASES), self.limits.size)
        repository = self.limits.repository(self.random.randrange(self.limits.repositories))
        self.state.reserve(repository, seed)
        self._push(Claim(Name(repository, f"p{self.number}-{self.serial}"), recipe))

    def _push_copy(self) -> None:
        """Push an image that another repository has, by mounting its blobs."""
        with self.state.reading(self.random) as found:
            if found is None:
                return
            repository = self.limits.repository(self.random.randrange(self.limits.repositories))
            if self.state.reserve(repository, found.recipe.seed):
                self.serial += 1
                name = Name(repository, f"p{self.number}-{self.serial}-copy")
                self._push(Claim(name, found.recipe), found.name.repository)

    def _push_again(self) -> None:
        """Push an image that was deleted, of which a collection may have taken everything or nothing meanwhile."""
        claim = self.state.take_deleted(self.number, self.random)
        if claim:
            self.state.count("pushed again")
            self._push(Claim(claim.name, claim.recipe))

    def _push(self, claim: Claim, source: str | None = None) -> None:
        image, name = claim.image(), claim.name
        tries = self.insist(f"push {name}", lambda: self.deliver(claim, image, source))
        self.ledger.write(
            "acknowledged",
            repository=name.repository,
            tag=name.tag,
            digest=image.top.content.digest,
            recipe=claim.recipe.document(),
            by=self.by,
            mounted_from=source,
            tries=tries,
        )
        self.state.add(self.number, claim)
        for what in ("acknowledged", f"acknowledged {claim.recipe.kind}", f"acknowledged by {self.by}"):
            self.state.count(what)
        if source:
            self.state.count("acknowledged copy")

    def deliver(self, claim: Claim, image: Image, source: str | None) -> None:
        """Push once."""
        think = self.random.uniform(0, self.limits.think)
        self.registry.push_image(claim.name.repository, image, source=source, think=think)

    def _delete(self) -> None:
        claim = self.state.take(self.number, self.random)
        if claim is None:
            return
        name, image = claim.name, claim.image()
        self.ledger.write("deleting", repository=name.repository, tag=name.tag)
        manifests = [manifest.content.digest for manifest in reversed(image.manifests)]
        if self.random.random() < 0.5:
            # Most people delete what the tag names and know of nothing else.
            manifests = [image.top.content.digest]
        done: list[bool] = []
        self.insist(f"delete {name}", lambda: done.append(self.registry.delete_image(name.repository, manifests)))
        if done[-1]:
            self.state.count("deleted")
            self.state.add_deleted(self.number, claim)
        self.deletes = done[-1]

    def _untag(self) -> None:
        claim = self.state.take(self.number, self.random)
        if claim is None or not claim.tagged or claim.recipe.kind == "signed":
            if claim:
                self.state.add(self.number, claim)
            return
        name = claim.name
        self.ledger.write("untagging", repository=name.repository, tag=name.tag)
        done: list[bool] = []
        self.insist(f"untag {name}", lambda: done.append(self.registry.untag(name.repository, name.tag)))
        claim.tagged = False
        if done[-1]:
            self.state.count("untagged")
        else:
            self.untags = False
        # Nobody reads it any more; at the end it must be there by its digest.

    def insist(self, what: str, action: Callable[[], object]) -> int:
        """Do something until it works and return how often it was tried; every refusal is written down."""
        began, tries = time.monotonic(), 0
        while True:
            tries += 1
            try:
                action()
            except RegistryError as error:
                refusal = self.refusal(error)
                self.refused(what, refusal)
                pause = refusal.retry_after or self.random.uniform(0.5, 1.5)
            else:
                if tries > 1:
                    self.state.count("retried")
                    self.state.waited(time.monotonic() - began)
                return tries
            if time.monotonic() + pause - began > self.limits.patience:
                self.ledger.write("given up", what=what, tries=tries)
                self.state.count("given up")
                raise GivenUpError(what)
            time.sleep(pause)

    def refusal(self, error: RegistryError) -> Refusal:
        """Return what an error means."""
        return self.registry.refusal(error)

    def refused(self, what: str, refusal: Refusal) -> None:
        """Write a refusal down."""
        self.ledger.write("refused", what=what, by=self.by, **refusal.document())
        self.state.count("refused")
        told = " ".join(sorted(set(refusal.codes))) or refusal.message[:160]
        self.state.count(f"refused: {refusal.status} {told}")
        if not refusal.explained:
            self.state.count("refused without a reason")
