# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was acknowledged, on disk before it counts, and what must therefore be there."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
import time
import typing as t
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.storm.images import Image, Recipe, build

Event = dict[str, t.Any]


class Ledger:
    """A file of one JSON document a line, each of which is on the disk when `write` returns."""

    def __init__(self, path: Path) -> None:
        """Open the file; what is in it stays."""
        # What a killed process had not finished writing gets a line of its own.
        torn = path.exists() and not path.read_bytes().endswith(b"\n") and path.stat().st_size > 0
        self._file = path.open("a", encoding="utf-8")
        self._lock = threading.Lock()
        if torn:
            self._file.write("\n")

    def write(self, event: str, **fields: t.Any) -> None:
        """Append an event with the time it happened at, in seconds since the epoch."""
        line = json.dumps({"event": event, "time": round(time.time(), 3), **fields}, sort_keys=True)
        with self._lock:
            self._file.write(line + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read(path: Path) -> Iterator[Event]:
    """Yield the events of a file, without lines that were not written to their end."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and "event" in event:
                yield event


@dataclasses.dataclass(frozen=True)
class Name:
    """Where an image is: no two images of a ledger have the same name at the same time."""

    repository: str
    tag: str

    def __str__(self) -> str:
        """Return it as people write it."""
        return f"{self.repository}:{self.tag}"


@dataclasses.dataclass
class Claim:
    """An acknowledged image that must be whole; without `tagged` it must be there by its digest only."""

    name: Name
    recipe: Recipe
    tagged: bool = True

    def image(self) -> Image:
        """Return what it consists of."""
        return build(self.recipe, self.name.tag)


def claims(events: Iterable[Event], *, untagged_are_kept: bool = True) -> list[Claim]:
    """Return what must be there after these events, in order of the last push.

    From the moment on when a deletion was about to be sent, nothing is claimed of the image until it is pushed again.

    Args:
        events: as they were written.
        untagged_are_kept: whether images whose tag was taken away must still be there.
    """
    found: dict[Name, Claim] = {}
    for event in events:
        if event["event"] not in ("acknowledged", "deleting", "untagging"):
            continue
        name = Name(str(event["repository"]), str(event["tag"]))
        if event["event"] == "acknowledged":
            found.pop(name, None)
            found[name] = Claim(name, Recipe.from_document(event["recipe"]))
        elif event["event"] == "deleting":
            found.pop(name, None)
        elif name in found:
            found[name].tagged = False
    return [claim for claim in found.values() if claim.tagged or untagged_are_kept]
