# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in the registry and what was deleted, shared by pushers and pullers; nobody deletes what somebody reads."""

from __future__ import annotations

import collections
import contextlib
import random
import threading
from collections.abc import Iterator

from tests.storm.ledger import Claim, Name


class State:
    """Images by their name."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._lock = threading.Lock()
        self._live: dict[Name, Claim] = {}
        self._owners: dict[Name, int] = {}
        self._reading: collections.Counter[Name] = collections.Counter()
        self._deleted: dict[int, list[Claim]] = collections.defaultdict(list)
        self._places: set[tuple[str, str]] = set()
        self.counts: collections.Counter[str] = collections.Counter()
        self.longest_wait = 0.0

    def count(self, what: str, number: int = 1) -> None:
        """Add to a counter."""
        with self._lock:
            self.counts[what] += number

    def waited(self, seconds: float) -> None:
        """Remember the longest time that one push took because it was refused."""
        with self._lock:
            self.longest_wait = max(self.longest_wait, seconds)

    @property
    def size(self) -> int:
        """Return how many images there are."""
        with self._lock:
            return len(self._live)

    def add(self, owner: int, claim: Claim) -> None:
        """Make an acknowledged image known to everybody; only its owner may take it away."""
        with self._lock:
            self._live[claim.name] = claim
            self._owners[claim.name] = owner

    def reserve(self, repository: str, seed: str) -> bool:
        """Tell whether an image may go into a repository, which holds each one once: a deletion goes by digest."""
        with self._lock:
            place = (repository, seed)
            if place in self._places:
                return False
            self._places.add(place)
            return True

    def add_deleted(self, owner: int, claim: Claim) -> None:
        """Remember an image that its owner has deleted and may push again."""
        with self._lock:
            self._deleted[owner].append(claim)

    def take(self, owner: int, generator: random.Random) -> Claim | None:
        """Take one of the owner's images, which nobody reads, out of everybody's sight."""
        with self._lock:
            mine = [name for name, who in self._owners.items() if who == owner and not self._reading[name]]
            if not mine:
                return None
            name = generator.choice(mine)
            del self._owners[name]
            return self._live.pop(name)

    def take_deleted(self, owner: int, generator: random.Random) -> Claim | None:
        """Take one of the images that the owner has deleted."""
        with self._lock:
            mine = self._deleted[owner]
            return mine.pop(generator.randrange(len(mine))) if mine else None

    @contextlib.contextmanager
    def reading(self, generator: random.Random) -> Iterator[Claim | None]:
        """Hold any image, which is not deleted meanwhile; nothing where there is none."""
        with self._lock:
            claim = generator.choice(list(self._live.values())) if self._live else None
            if claim:
                self._reading[claim.name] += 1
        try:
            yield claim
        finally:
            if claim:
                with self._lock:
                    self._reading[claim.name] -= 1
                    if not self._reading[claim.name]:
                        del self._reading[claim.name]
