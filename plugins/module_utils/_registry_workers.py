# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Doing many small exchanges at once. Private."""

from __future__ import annotations

import threading
import time
import typing as t
from collections.abc import Callable, Iterable, Iterator

Item = t.TypeVar("Item")


def in_parallel(work: Callable[[Item], None], items: Iterable[Item], threads: int) -> None:
    """Call `work` with every item, from as many threads as asked for; nothing is kept for an item.

    An error ends all of it: what has begun is finished, nothing new begins, and the first error is raised.

    Args:
        work: has to be safe to be called by many threads.
        items: taken one by one, by one thread at a time.
        threads: at least 1; the calling thread is one of them.
    """

    def one_by_one(mine: Iterator[Item]) -> None:
        for item in mine:
            work(item)

    share(one_by_one, items, threads)


def share(work: Callable[[Iterator[Item]], None], items: Iterable[Item], threads: int) -> None:
    """Call `work` in as many threads as asked for, each time with the items that it gets to, until none is left.

    An error ends all of it, as in `in_parallel`.

    Args:
        work: has to be safe to be called by many threads.
        items: taken one by one, by one thread at a time.
        threads: at least 1; the calling thread is one of them.
    """
    iterator = iter(items)
    lock = threading.Lock()
    errors: list[BaseException] = []

    def mine() -> Iterator[Item]:
        while not errors:
            with lock:
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    def take() -> None:
        try:
            work(mine())
        except BaseException as exc:
            errors.append(exc)

    helpers = [threading.Thread(target=take, daemon=True) for _number in range(threads - 1)]
    for helper in helpers:
        helper.start()
    take()
    for helper in helpers:
        helper.join()
    if errors:
        raise errors[0]


class Throttle:
    """How many may work at once: halved when a server is overtaxed, one more after it has coped for a while.

    Use it as a context manager around one piece of work.
    """

    # Seconds in which several errors count as one, since what is under way fails together.
    _BREATH = 1.0

    def __init__(self, most: int) -> None:
        """Begin with as many as allowed at most."""
        self._most = max(most, 1)
        self._limit = self._most
        self._working = 0
        self._good = 0
        self._slowed = float("-inf")
        self._condition = threading.Condition()
        self.least = self._most

    def __enter__(self) -> None:
        with self._condition:
            while self._working >= self._limit:
                self._condition.wait()
            self._working += 1

    def __exit__(self, *details: object) -> None:
        with self._condition:
            self._working -= 1
            self._condition.notify()

    def slower(self) -> None:
        """Halve the number."""
        with self._condition:
            now = time.monotonic()
            self._good = 0
            if now - self._slowed >= self._BREATH:
                self._slowed = now
                self._limit = max(1, self._limit // 2)
                self.least = min(self.least, self._limit)

    def faster(self) -> None:
        """Count a success; after enough of them allow one more."""
        with self._condition:
            self._good += 1
            if self._limit < self._most and self._good >= 4 * self._limit:
                self._good = 0
                self._limit += 1
                self._condition.notify()
