# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The lock: everything that a wish asks for, resolved to digests, as a document for review. Private."""

from __future__ import annotations

import dataclasses
import json
import typing as t
from collections.abc import Mapping

from ansible_collections.homeport.registry.plugins.module_utils import _bundle_format as fmt
from ansible_collections.homeport.registry.plugins.module_utils._bundle_read import Reader
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import digest_of

SCHEMA = "homeport.bundle-lock/v1"
# Where a file comes from: a Galaxy server, a package index, the building machine, or the lock itself.
GALAXY, INDEX, HERE, MADE = "galaxy", "index", "here", "made"
_REMEDY = "Lock again with homeport.registry.bundle_lock; a lock is not written by hand."


@dataclasses.dataclass(frozen=True)
class LockedFile:
    """A file of the bundle and where it comes from; `source` is a path for what is from the building machine."""

    file: fmt.File
    origin: str
    source: str = ""


@dataclasses.dataclass(frozen=True)
class Lock:
    """The whole document; `blobs` are sizes in bytes by digest, manifests included."""

    name: str
    version: str
    images: tuple[fmt.Image, ...]
    manifests: Mapping[str, fmt.ManifestEntry]
    blobs: Mapping[str, int]
    files: tuple[LockedFile, ...]

    def dump(self) -> bytes:
        """Return the bytes of the lock file, made to be compared line by line."""
        document = {
            "schema": SCHEMA,
            "name": self.name,
            "version": self.version,
            "images": [image._asdict() for image in self.images],
            "files": [_file_out(one) for one in self.files],
            "manifests": {digest: one._asdict() for digest, one in sorted(self.manifests.items())},
            "blobs": dict(sorted(self.blobs.items())),
        }
        return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"

    def bundle(self, volumes: int = 1) -> fmt.Bundle:
        """Return the bundle of this lock with everything in the first volume."""
        return fmt.Bundle(
            name=self.name,
            version=self.version,
            lock_sha256=digest_of(self.dump()).partition(":")[2],
            parent=None,
            images=self.images,
            manifests=self.manifests,
            blobs={digest: fmt.Blob(size, 1) for digest, size in self.blobs.items()},
            files=tuple(one.file._replace(volume=1) for one in self.files),
            volumes=volumes,
        )

    def lines(self) -> list[str]:
        """Return what people want to see moving, one line for each image and file."""
        images = []
        for image in self.images:
            bootstrap = " bootstrap" if image.bootstrap else ""
            images.append(f"image {image.name} {image.digest} {','.join(image.platforms) or '-'}{bootstrap}")
            images += [f"image {image.name} referrer {digest}" for digest in image.referrers]
            images += [f"image {image.name} tag {tag} {digest}" for tag, digest in sorted(image.tags.items())]
        return images + [f"file {one.file.path} sha256:{one.file.sha256}" for one in self.files]


def parse_lock(body: bytes, where: str) -> Lock:
    """Return what the bytes of a lock file say.

    Raises:
        FormatError: when they are none, were changed by hand, or contradict themselves.
    """
    read = Reader.of_json(body, where, SCHEMA, _REMEDY)
    lock = Lock(
        name=read.matching("name", fmt.NAME),
        version=read.matching("version", fmt.VERSION),
        images=tuple(fmt.read_image(one) for one in read.items("images")),
        manifests={digest: fmt.read_manifest(one) for digest, one in read.by_digest("manifests")},
        blobs=read.sizes("blobs"),
        files=tuple(_file_in(one) for one in read.items("files")),
    )
    read.end(("schema",))
    fmt.check(lock.bundle(), where)
    if lock.dump() != body:
        raise read.wrong("", "it is not as it was written")
    return lock


def changes(before: Lock | None, after: Lock) -> list[str]:
    """Return what differs between two locks, in words, one line for each image or file."""
    if before is None:
        return [f"{image.name}: locked at {image.digest}" for image in after.images] + [
            f"{one.file.path}: locked at sha256:{one.file.sha256}" for one in after.files
        ]
    found = []
    old_images, new_images = ({image.name: image for image in lock.images} for lock in (before, after))
    for name in sorted({*old_images, *new_images}):
        old, new = old_images.get(name), new_images.get(name)
        if old is None and new is not None:
            found.append(f"{name}: added at {new.digest}")
        elif new is None:
            found.append(f"{name}: removed")
        elif old and old.digest != new.digest:
            found.append(f"{name}: moved from {old.digest} to {new.digest}")
        elif old and old != new:
            parts = [field for field in old._fields if _differ(old, new, field)]
            found.append(f"{name}: other {', '.join(parts)}")
    old_files, new_files = ({one.file.path: one for one in lock.files} for lock in (before, after))
    for path in sorted({*old_files, *new_files}):
        was, now = old_files.get(path), new_files.get(path)
        if was is None and now is not None:
            found.append(f"{path}: added at sha256:{now.file.sha256}")
        elif now is None:
            found.append(f"{path}: removed")
        elif was != now:
            found.append(f"{path}: changed to sha256:{now.file.sha256}")
    if (before.name, before.version) != (after.name, after.version):
        found.append(f"the bundle: {before.name} {before.version} is now {after.name} {after.version}")
    if not found and before.dump() != after.dump():
        found.append("the contents below the images: other sizes or parts")
    return found


def _differ(old: fmt.Image, new: fmt.Image, key: str) -> bool:
    return bool(getattr(old, key) != getattr(new, key))


def _file_out(one: LockedFile) -> dict[str, t.Any]:
    document = fmt.file_document(one.file)
    del document["volume"]
    return document | {"origin": one.origin} | ({"source": one.source} if one.source else {})


def _file_in(one: Reader) -> LockedFile:
    origin = one.text("origin")
    if origin not in (GALAXY, INDEX, HERE, MADE):
        raise one.wrong("origin", f"{ascii(origin)[:60]} is not known")
    source = one.text("source") if one.has("source") else ""
    return LockedFile(fmt.read_file(one, volume=1), origin, source)
