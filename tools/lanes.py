# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work in lanes: those of a lane follow each other, the lanes go on beside each other, and nobody's output mixes."""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TextIO, TypeVar

T = TypeVar("T")


def run(lanes: Sequence[Sequence[str]], one: Callable[[str, TextIO], T], logs: Path) -> list[T]:
    """Do everything that the lanes name, a lane in its order; return the results in the order in which they came.

    `one` takes a name and the file for all that is printed on the way: NAME.log in the folder `logs`, to be followed
    while it grows, and shown whole when it is complete. What `one` raises ends its lane, and is raised in the end.
    """
    logs.mkdir(parents=True, exist_ok=True)
    lock = threading.Lock()
    stopped = threading.Event()
    results: list[T] = []

    def walk(lane: Sequence[str]) -> None:
        for name in lane:
            if stopped.is_set():
                return
            path = logs / f"{name}.log"
            with path.open("w", encoding="utf-8") as out:
                with lock:
                    print(f"== {name}, begun beside others; follow it in {path}", flush=True)
                try:
                    result = one(name, out)
                finally:
                    out.flush()
                    with lock, path.open(encoding="utf-8", errors="replace") as written:
                        print(f"== {name}", flush=True)
                        shutil.copyfileobj(written, sys.stdout)
                        sys.stdout.flush()
                with lock:
                    results.append(result)

    with ThreadPoolExecutor(len(lanes)) as pool:
        waiting = [pool.submit(walk, lane) for lane in lanes]
        try:
            for each in waiting:
                each.result()
        except BaseException:
            # An interrupt reaches the programs too; what has not begun is not to begin.
            stopped.set()
            raise
    return results
