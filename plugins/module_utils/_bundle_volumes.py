# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which content goes into which volume. Private.

Blobs are never cut. What one image needs stays together where that costs no further volume, so that a volume can be
pushed alone.
"""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Collection, Sequence

from ansible_collections.homeport.registry.plugins.module_utils import _bundle_format as fmt
from ansible_collections.homeport.registry.plugins.module_utils._bundle_errors import SpaceError
from ansible_collections.homeport.registry.plugins.module_utils._bundle_write import END, member_cost

# Room for a signature by any key.
_SIGNATURE = 4096
_MOST_VOLUMES = 999


class Item(t.NamedTuple):
    """A content or file; `cost` is what it takes in a volume, in bytes, with its header."""

    name: str
    cost: int


def assign(bundle: fmt.Bundle, volume_size: int | None, known: Collection[str]) -> fmt.Bundle:
    """Return the bundle with everything in its volume.

    Args:
        bundle: with everything in the first volume.
        volume_size: bytes that a volume may have, or nothing for a single one.
        known: digests of what the receiver's registry has already, of which `left_out` is not carried.

    Raises:
        SpaceError: when a content is larger than a volume.
    """
    known = left_out(bundle, known)
    if volume_size is None:
        places, volumes = dict[str, int](), 1
    else:
        room = volume_size - overhead(bundle)
        groups = _groups(bundle, known)
        _check_sizes(bundle, [item for group in groups for item in group], volume_size, room)
        together = _pack(groups, room)
        apart = _pack([[item] for item in _largest_first(item for group in groups for item in group)], room)
        chosen = together if len(together) <= len(apart) else apart
        places = {item.name: number for number, items in enumerate(chosen, 1) for item in items}
        volumes = max(1, len(chosen))
    return dataclasses.replace(
        bundle,
        blobs={
            digest: fmt.Blob(blob.size, fmt.ELSEWHERE if digest in known else places.get(digest, 1))
            for digest, blob in bundle.blobs.items()
        },
        files=tuple(file._replace(volume=places.get(file.path, 1)) for file in bundle.files),
        volumes=volumes,
    )


def left_out(bundle: fmt.Bundle, known: Collection[str]) -> set[str]:
    """Return what a delta leaves out for a receiver whose registry has `known`.

    Manifests are carried all the same, since a new tag needs them. So are all contents of an image for the beginning
    that is new, since nodes take it from the bundle and have no registry to ask for the rest.
    """
    carried = set(bundle.manifests)
    for image in bundle.images:
        if image.bootstrap and image.digest not in known:
            carried.update(bundle.blobs_of(image))
    return {digest for digest in known if digest in bundle.blobs and digest not in carried}


def overhead(bundle: fmt.Bundle) -> int:
    """Return the most bytes that a volume needs besides contents and files."""
    widest = dataclasses.replace(
        bundle,
        blobs={digest: fmt.Blob(blob.size, _MOST_VOLUMES) for digest, blob in bundle.blobs.items()},
        files=tuple(file._replace(volume=_MOST_VOLUMES) for file in bundle.files),
        volumes=_MOST_VOLUMES,
    )
    members = {
        fmt.DOCUMENT: len(widest.dump()),
        fmt.SIGNATURE: _SIGNATURE,
        fmt.LAYOUT: len(fmt.LAYOUT_CONTENT),
        fmt.INDEX: len(widest.index(_MOST_VOLUMES)),
    }
    return sum(member_cost(name, size) for name, size in members.items()) + len(END)


def _groups(bundle: fmt.Bundle, known: Collection[str]) -> list[list[Item]]:
    """Return what each image brings along that none before it does, what is for the beginning first, then the files."""
    seen = set(known)
    groups: list[list[Item]] = []
    for image in sorted(bundle.images, key=lambda image: (not image.bootstrap, image.name)):
        digests = [d for d in (*bundle.manifests_of(image), *bundle.blobs_of(image)) if d not in seen]
        seen.update(digests)
        groups.append([Item(d, member_cost(fmt.blob_path(d), bundle.blobs[d].size)) for d in dict.fromkeys(digests)])
    first = sum(image.bootstrap for image in bundle.images)
    rest = sorted(groups[first:], key=lambda group: -sum(item.cost for item in group))
    for kind in fmt.KINDS:
        rest.append([Item(file.path, member_cost(file.path, file.size)) for file in bundle.files if file.kind == kind])
    return [group for group in groups[:first] + rest if group]


def _pack(groups: Sequence[Sequence[Item]], room: int) -> list[list[Item]]:
    """Put groups into volumes, each into the first where it fits; one that fits into none is taken apart."""
    volumes: list[list[Item]] = []
    free: list[int] = []

    def put(items: Sequence[Item]) -> bool:
        cost = sum(item.cost for item in items)
        if cost > room:
            return False
        number = next((number for number, left in enumerate(free) if left >= cost), len(free))
        if number == len(free):
            volumes.append([])
            free.append(room)
        volumes[number] += items
        free[number] -= cost
        return True

    for group in groups:
        if not put(group):
            for item in _largest_first(group):
                put([item])
    return volumes


def _largest_first(items: t.Iterable[Item]) -> list[Item]:
    return sorted(items, key=lambda item: (-item.cost, item.name))


def _check_sizes(bundle: fmt.Bundle, items: Sequence[Item], volume_size: int, room: int) -> None:
    largest = max(items, key=lambda item: item.cost, default=None)
    if largest is None or largest.cost <= room:
        return
    owners = [
        image.name
        for image in bundle.images
        if largest.name in bundle.blobs_of(image) or largest.name in bundle.manifests_of(image)
    ]
    raise SpaceError(
        "fill the volumes",
        where=f"{largest.name}{f' of {owners[0]}' if owners else ''}",
        got=f"with its header it takes {largest.cost} bytes, and a volume of {volume_size} has room for {max(room, 0)}",
        remedy=f"Contents are never cut: use volumes of at least {largest.cost + volume_size - room} bytes.",
    )
