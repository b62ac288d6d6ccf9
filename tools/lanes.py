# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work beside other work: a queue is done in lanes, some of it never at the same time, and nobody's output mixes."""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TextIO, TypeVar

T = TypeVar("T")
LANES = 2


class _Queue:
    """Names in the order in which they begin, but that a name waits while one is done that it must keep apart from."""

    def __init__(self, names: Sequence[str], apart: Sequence[Collection[str]]) -> None:
        self._left = list(names)
        self._apart = apart
        self._begun = set[str]()
        self._changed = threading.Condition()

    def take(self) -> str | None:
        """Return the next name that may begin; wait where there is none yet; return None where none is left."""
        with self._changed:
            while self._left:
                for name in self._left:
                    if not any(name in group and self._begun.intersection(group) for group in self._apart):
                        self._left.remove(name)
                        self._begun.add(name)
                        return name
                self._changed.wait()
            return None

    def done(self, name: str) -> None:
        with self._changed:
            self._begun.remove(name)
            self._changed.notify_all()

    def stop(self) -> None:
        """Let nothing more begin."""
        with self._changed:
            self._left.clear()
            self._changed.notify_all()


def run(
    names: Sequence[str], one: Callable[[str, TextIO], T], logs: Path, apart: Sequence[Collection[str]] = ()
) -> list[T]:
    """Do everything that is named, two at a time; return the results in the order in which they came.

    The names begin in their order, except that those of a group of `apart` are never done at the same time: the first
    that may begin does. `one` takes a name and the file for all that is printed on the way: NAME.log in the folder
    `logs`, to be followed while it grows, and shown whole when it is complete. Where `one` raises, nothing more begins,
    and the exception is raised when what has begun is complete.
    """
    logs.mkdir(parents=True, exist_ok=True)
    lock = threading.Lock()
    queue = _Queue(names, apart)
    results: list[T] = []

    def show(name: str, path: Path) -> None:
        with lock, path.open(encoding="utf-8", errors="replace") as written:
            print(f"== {name}", flush=True)
            shutil.copyfileobj(written, sys.stdout)
            sys.stdout.flush()

    def lane() -> None:
        while (name := queue.take()) is not None:
            path = logs / f"{name}.log"
            try:
                with path.open("w", encoding="utf-8") as out:
                    with lock:
                        print(f"== {name}, begun beside others; follow it in {path}", flush=True)
                    try:
                        result = one(name, out)
                    finally:
                        out.flush()
                        show(name, path)
                with lock:
                    results.append(result)
            except BaseException:
                queue.stop()
                raise
            finally:
                queue.done(name)

    with ThreadPoolExecutor(LANES) as pool:
        waiting = [pool.submit(lane) for _lane in range(LANES)]
        try:
            for each in waiting:
                each.result()
        except BaseException:
            # An interrupt reaches the programs too; what has not begun is not to begin.
            queue.stop()
            raise
    return results
