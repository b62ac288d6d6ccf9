# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a bundle holds and costs, in numbers and in lines for people. Private."""

from __future__ import annotations

import collections
import typing as t
from collections.abc import Collection

from ansible_collections.homeport.registry.plugins.module_utils import _bundle_format as fmt
from ansible_collections.homeport.registry.plugins.module_utils import _bundle_write as writing

# As long as the signature of the usual kind of key; a longer one may take some blocks more.
_SIGNATURE = "x" * 300


def describe(bundle: fmt.Bundle, known: Collection[str], bandwidth: float | None) -> dict[str, t.Any]:
    """Return everything that can be said about a bundle without its contents.

    Args:
        bundle: with everything in its volume.
        known: digests that a receiver has.
        bandwidth: of the way to the receiver in megabits (10^6) a second, if minutes are wanted.
    """
    needs = {image.name: _needs(bundle, image) for image in bundle.images}
    users = collections.Counter(digest for digests in needs.values() for digest in digests)
    size = {digest: blob.size for digest, blob in bundle.blobs.items()}
    images: list[dict[str, t.Any]] = []
    for image in bundle.images:
        digests = needs[image.name]
        unique = sum(size[digest] for digest in digests if users[digest] == 1)
        total = sum(size[digest] for digest in digests)
        new = sum(size[digest] for digest in digests if digest not in known and bundle.blobs[digest].volume)
        images.append(
            {
                "name": image.name,
                "digest": image.digest,
                "platforms": list(image.platforms),
                "bootstrap": image.bootstrap,
                "bytes": total,
                "unique_bytes": unique,
                "shared_bytes": total - unique,
                "new_bytes": new,
                "volumes": bundle.volumes_of(image),
            }
        )
    kinds = collections.Counter[str]()
    for file in bundle.files:
        kinds[file.kind] += file.size
    volumes: list[dict[str, t.Any]] = [
        {"number": number, "file": name, "bytes": writing.volume_size(_members(bundle, number))}
        for number, name in enumerate(bundle.file_names(), 1)
    ]
    new = sum(blob.size for digest, blob in bundle.blobs.items() if digest not in known and blob.volume)
    result: dict[str, t.Any] = {
        "name": bundle.name,
        "version": bundle.version,
        "parent": bundle.parent._asdict() if bundle.parent else None,
        "images": images,
        "volumes": volumes,
        "totals": {
            "images": len(images),
            "contents": len(bundle.blobs),
            "image_bytes": sum(size.values()),
            "image_bytes_one_by_one": sum(image["bytes"] for image in images),
            "new_image_bytes": new,
            "files": len(bundle.files),
            "collection_bytes": kinds["collection"],
            "wheel_bytes": kinds["wheel"],
            "file_bytes": kinds["file"],
            "volume_bytes": sum(volume["bytes"] for volume in volumes),
        },
    }
    if bandwidth:
        carried = result["totals"]["volume_bytes"]
        result["minutes"] = {"carry": _minutes(carried, bandwidth), "push": _minutes(new, bandwidth)}
    result["summary"] = list(_lines(result))
    return result


def _needs(bundle: fmt.Bundle, image: fmt.Image) -> set[str]:
    return {*bundle.manifests_of(image), *bundle.blobs_of(image)}


def _members(bundle: fmt.Bundle, number: int) -> list[writing.Member]:
    return writing.members(bundle, number, _SIGNATURE, lambda path, digest: path)


def _minutes(size: int, bandwidth: float) -> float:
    return round(size * 8 / (bandwidth * 1e6) / 60, 1)


def _lines(result: dict[str, t.Any]) -> t.Iterator[str]:
    totals = result["totals"]
    yield f"{result['name']} {result['version']}: {totals['images']} images, {totals['files']} files"
    apart = totals["image_bytes_one_by_one"]
    saved = 100 * (apart - totals["image_bytes"]) // apart if apart else 0
    once, new = _size(totals["image_bytes"]), _size(totals["new_image_bytes"])
    yield f"images: {once}, {saved} % less than one by one; new: {new}"
    files = totals["collection_bytes"], totals["wheel_bytes"], totals["file_bytes"]
    yield "collections: {}, wheels: {}, files: {}".format(*map(_size, files))
    for volume in result["volumes"]:
        yield f"{volume['file']}: {_size(volume['bytes'])}"
    if "minutes" in result:
        yield f"minutes: {result['minutes']['carry']} to carry all, {result['minutes']['push']} to push what is new"
    for image in sorted(result["images"], key=lambda image: -image["new_bytes"]):
        new = f"{_size(image['new_bytes'])} new, " if image["new_bytes"] != image["bytes"] else ""
        where = ",".join(map(str, image["volumes"])) or "-"
        yield f"{image['name']}: {_size(image['bytes'])}, {new}{_size(image['unique_bytes'])} alone, volume {where}"


def _size(size: int) -> str:
    if size < 1024:
        return f"{size} B"
    number, units = float(size), ["KiB", "MiB", "GiB", "TiB"]
    while (number := number / 1024) >= 1024 and len(units) > 1:
        units.pop(0)
    return f"{number:.1f} {units[0]}"
