# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that pull, and the last look at everything: every byte of every image, compared with its digest."""

from __future__ import annotations

import random
import time
import typing as t
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError
from tests.storm.ledger import Claim, Ledger
from tests.storm.registry import Registry
from tests.storm.state import State


class Puller:
    """One client that reads whole images and never tries anything twice: each failure counts."""

    def __init__(self, number: int, registry: Registry, state: State, ledger: Ledger, seed: str, rate: float) -> None:
        """Take a number of its own and the pulls a second at most."""
        self.registry, self.state, self.ledger, self.rate = registry, state, ledger, rate
        self.random = random.Random(f"{seed} puller {number}")

    def run(self, stop: Callable[[], bool]) -> None:
        """Pull until told to stop."""
        while not stop():
            began = time.monotonic()
            with self.state.reading(self.random) as claim:
                if claim is not None:
                    self._pull(claim)
            time.sleep(max(0.0, self.random.uniform(0.5, 1.5) / self.rate - (time.monotonic() - began)))

    def _pull(self, claim: Claim) -> None:
        self.state.count("pulls")
        try:
            requests = self.registry.read_image(claim.name.repository, claim.image(), tagged=claim.tagged)
        except RegistryError as error:
            self.state.count("failed pulls")
            self.ledger.write("pull failed", image=str(claim.name), **self.registry.refusal(error).document())
            # What is broken stays broken; a second look at once would only fill the ledger.
            time.sleep(0.5)
        else:
            self.state.count("requests of pulls", requests)


def verify(registry: Registry, claims: Sequence[Claim], *, threads: int = 4) -> list[dict[str, t.Any]]:
    """Read every byte of every image and return those that are broken, with the first thing that is wrong.

    Args:
        registry: where to read, with as many attempts as a patient client makes.
        claims: what must be there.
        threads: how many images are read at a time.
    """

    def look(claim: Claim) -> dict[str, t.Any] | None:
        try:
            registry.read_image(claim.name.repository, claim.image(), tagged=claim.tagged)
        except RegistryError as error:
            return {"image": str(claim.name), "kind": claim.recipe.kind, "problem": str(error)}
        return None

    with ThreadPoolExecutor(threads) as pool:
        return [broken for broken in pool.map(look, claims) if broken is not None]
