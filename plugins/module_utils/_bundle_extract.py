# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Taking parts out of a bundle: some images as a small layout for nodes, and the files. Private.

Everything is compared with its digest on the way, and nothing appears under its name before all of it is right.
"""

from __future__ import annotations

import contextlib
import filecmp
import functools
import hashlib
import io
import os
import tarfile
import tempfile
import typing as t
from collections.abc import Callable, Iterator, Sequence

from ansible_collections.homeport.registry.plugins.module_utils import _bundle_format as fmt
from ansible_collections.homeport.registry.plugins.module_utils._bundle_archive import Volume
from ansible_collections.homeport.registry.plugins.module_utils._bundle_check import Opened
from ansible_collections.homeport.registry.plugins.module_utils._bundle_copy import remote_body
from ansible_collections.homeport.registry.plugins.module_utils._bundle_errors import BundleError, ContentError
from ansible_collections.homeport.registry.plugins.module_utils._bundle_plan import target_of
from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session


def choose(opened: Opened, names: Sequence[str]) -> list[fmt.Image]:
    """Return the images with these names, or those for the beginning where none are given.

    Raises:
        BundleError: when one is not in the bundle.
    """
    if not names:
        return [image for image in opened.bundle.images if image.bootstrap]
    known = {image.name: image for image in opened.bundle.images}
    missing = [name for name in names if name not in known]
    if missing:
        raise BundleError(
            "find images in the bundle",
            where=f"{opened.bundle.name} {opened.bundle.version}",
            got=f"it has no {', '.join(missing)}",
            remedy="Add them to the bundle, or name images as the bundle does, in full and with the tag.",
        )
    return [known[name] for name in dict.fromkeys(names)]


def write_images(
    opened: Opened, images: Sequence[fmt.Image], path: str, *, check: bool, session: Session | None = None
) -> bool:
    """Write images, without what only refers to them, as a tar that container runtimes import; tell if that changed it.

    Args:
        opened: the bundle.
        images: some of its images.
        path: the file.
        check: whether to write nothing, and say that it changes unless the file is there.
        session: of the registry that has what a delta leaves out.

    Raises:
        BundleError: when a content is in a volume that is not at hand, or left out and not in the registry.
        ContentError: when a content is damaged.
    """
    owners = {digest: image for image in images for digest in _needed(opened.bundle, image.digest)}
    contents = {digest: _find(opened, digest, owners[digest], session) for digest in sorted(owners)}
    if check:
        return not os.path.exists(path)
    with _replacing(path) as temporary:
        with tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as tar:
            _add(tar, fmt.LAYOUT, io.BytesIO(fmt.LAYOUT_CONTENT), len(fmt.LAYOUT_CONTENT))
            index = _index(opened.bundle, images)
            _add(tar, fmt.INDEX, io.BytesIO(index), len(index))
            for digest, find in contents.items():
                with contextlib.closing(find()) as content:
                    _add(tar, fmt.blob_path(digest), content, opened.bundle.blobs[digest].size)
                    content.compare(digest)
        return _put(temporary, path)


def write_file(opened: Opened, file: fmt.File, path: str, *, check: bool) -> bool:
    """Write a file of the bundle; tell if that changed something.

    Args:
        opened: the bundle.
        file: one of its files.
        path: where to.
        check: whether to write nothing.

    Raises:
        BundleError: when it is in a volume that is not at hand.
        ContentError: when it is damaged.
    """
    if os.path.isfile(path) and os.path.getsize(path) == file.size and _sum_of(path) == file.sha256:
        return False
    volume = opened.volumes.get(file.volume)
    if volume is None or file.path not in volume.members:
        raise _elsewhere(opened, file.path, file.volume)
    if check:
        return True
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with _replacing(path) as temporary:
        with contextlib.closing(_member(volume, file.path)) as content, open(temporary, "wb") as target:
            for piece in iter(lambda: content.read(1 << 20), b""):
                target.write(piece)
            content.compare(f"sha256:{file.sha256}")
        return _put(temporary, path)


class _Hashed:
    """A content, with the digest of what was read of it."""

    def __init__(self, stream: t.BinaryIO, where: str) -> None:
        self._stream = stream
        self._where = where
        self._sum = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece = self._stream.read(size)
        self._sum.update(piece)
        return piece

    def close(self) -> None:
        self._stream.close()

    def compare(self, digest: str) -> None:
        found = f"sha256:{self._sum.hexdigest()}"
        if found != digest:
            raise ContentError(
                "take a content out of the bundle",
                where=self._where,
                got=f"it is damaged: its content has the sum {found}",
                remedy="Copy this volume again from its source, and verify the bundle.",
            )


def _needed(bundle: fmt.Bundle, digest: str) -> Iterator[str]:
    manifest = bundle.manifests[digest]
    yield digest
    yield from manifest.blobs
    for child in manifest.children:
        yield from _needed(bundle, child)


class _Served(_Hashed):
    """The same of a blob in a registry, which says when it cannot be read what else would help."""

    def __init__(self, opened: Opened, digest: str, image: fmt.Image, session: Session) -> None:
        repository, _tag = target_of(image.name)
        blob = opened.bundle.blobs[digest]
        stream = t.cast(io.RawIOBase, remote_body(session, repository, digest, blob.size).open())
        # Whoever writes a tar wants every read to be full.
        super().__init__(io.BufferedReader(stream, 1 << 20), f"{session.base}/{repository}")
        self._elsewhere = _elsewhere(opened, digest, blob.volume)

    def read(self, size: int = -1) -> bytes:
        try:
            return super().read(size)
        except RegistryError as exc:
            told = self._elsewhere
            raise BundleError(told.tried, where=told.where, got=f"{told.got}; {exc}", remedy=told.remedy) from exc


def _member(volume: Volume, name: str) -> _Hashed:
    return _Hashed(volume.opener(name)(), f"{name} in {volume.path}")


def _find(opened: Opened, digest: str, image: fmt.Image, session: Session | None) -> Callable[[], _Hashed]:
    """Return how to open a content of an image. Raises BundleError where nobody has it."""
    volume, number = opened.volume_of(digest), opened.bundle.blobs[digest].volume
    if volume is not None:
        return functools.partial(_member, volume, fmt.blob_path(digest))
    # Manifests come along in every delta.
    if session is None or number or digest in opened.bundle.manifests:
        raise _elsewhere(opened, digest, number)
    return functools.partial(_Served, opened, digest, image, session)


def _elsewhere(opened: Opened, what: str, number: int) -> BundleError:
    parent = opened.bundle.parent
    if number:
        place = f"volume {number}"
    else:
        place = f"{parent.name} {parent.version}, on which this delta builds" if parent else "another bundle"
    return BundleError(
        "take a content out of the bundle",
        where=f"{opened.bundle.name} {opened.bundle.version}",
        got=f"{what} is in {place}, which is not at hand",
        remedy="Give all volumes, and a whole bundle rather than a delta where nodes are to start from it.",
    )


def _index(bundle: fmt.Bundle, images: Sequence[fmt.Image]) -> bytes:
    named = [
        {
            "mediaType": image.media_type,
            "digest": image.digest,
            "size": image.size,
            "annotations": {fmt.REF_NAME: image.name, fmt.CONTAINERD_NAME: image.name},
        }
        for image in sorted(images, key=lambda image: image.name)
    ]
    media_type = "application/vnd.oci.image.index.v1+json"
    return fmt.canonical({"schemaVersion": 2, "mediaType": media_type, "manifests": named})


def _add(tar: tarfile.TarFile, name: str, content: t.Any, size: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    tar.addfile(member, content)


@contextlib.contextmanager
def _replacing(path: str) -> Iterator[str]:
    """Give a temporary file beside a path, which is gone afterwards unless it was moved there."""
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=os.path.dirname(path) or ".")
        os.close(handle)
        try:
            yield temporary
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
    except OSError as exc:
        raise BundleError(
            "write what was taken out of the bundle",
            where=path,
            got=exc.strerror or str(exc),
            remedy="See that its folder exists, may be written to, and has room.",
        ) from exc


def _put(temporary: str, path: str) -> bool:
    if os.path.isfile(path) and filecmp.cmp(temporary, path, shallow=False):
        return False
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)
    return True


def _sum_of(path: str) -> str:
    found = hashlib.sha256()
    with open(path, "rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            found.update(piece)
    return found.hexdigest()
