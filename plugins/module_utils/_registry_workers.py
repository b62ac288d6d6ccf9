# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Doing many small exchanges at once. Private."""

from __future__ import annotations

import threading
import typing as t
from collections.abc import Callable, Iterable

Item = t.TypeVar("Item")


def in_parallel(work: Callable[[Item], None], items: Iterable[Item], threads: int) -> None:
    """Call `work` with every item, from as many threads as asked for; nothing is kept for an item.

    An error ends all of it: what has begun is finished, nothing new begins, and the first error is raised.

    Args:
        work: has to be safe to be called by many threads.
        items: taken one by one, by one thread at a time.
        threads: at least 1; the calling thread is one of them.
    """
    iterator = iter(items)
    lock = threading.Lock()
    errors: list[BaseException] = []

    def take() -> None:
        try:
            while not errors:
                with lock:
                    try:
                        item = next(iterator)
                    except StopIteration:
                        return
                work(item)
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
