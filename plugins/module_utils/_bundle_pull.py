# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Getting contents from their sources into the cache: at once, and on from where it broke off. Private."""

from __future__ import annotations

import threading
import typing as t
from collections.abc import Iterable, Mapping, Sequence

from ansible_collections.homeport.registry.plugins.module_utils import _registry_client as client
from ansible_collections.homeport.registry.plugins.module_utils._bundle_cache import Cache
from ansible_collections.homeport.registry.plugins.module_utils._bundle_errors import BundleError, ContentError
from ansible_collections.homeport.registry.plugins.module_utils._bundle_lock import Lock
from ansible_collections.homeport.registry.plugins.module_utils._bundle_sources import Source, Sources
from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import TruncatedError, without_query
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import Hasher, ImageName, parse_image
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_workers import in_parallel

# How often in a row a download may break without a single new byte.
_STANDSTILLS = 5
_CHUNK = 1 << 20


class Pulled(t.NamedTuple):
    """What came over the network."""

    contents: int
    bytes: int


def origins(lock: Lock) -> dict[str, list[ImageName]]:
    """Return the images that need each content, which is where it can be pulled."""
    found: dict[str, list[ImageName]] = {}
    bundle = lock.bundle()
    for image in lock.images:
        name = parse_image(image.name)
        for digest in {*bundle.manifests_of(image), *bundle.blobs_of(image)}:
            found.setdefault(digest, []).append(name)
    return found


def missing(cache: Cache, wanted: Mapping[str, int], threads: int) -> list[str]:
    """Return the digests of contents that are not in the cache as they should be.

    Args:
        cache: is read, and what is damaged thrown away.
        wanted: sizes in bytes by digest.
        threads: to read with.
    """
    absent: list[str] = []

    def look(digest: str) -> None:
        if not cache.is_whole(digest, wanted[digest]):
            absent.append(digest)

    in_parallel(look, wanted, threads)
    return sorted(absent, key=lambda digest: (-wanted[digest], digest))


def pull(lock: Lock, wanted: Iterable[str], sources: Sources, cache: Cache, threads: int) -> Pulled:
    """Download contents; each is compared with its digest before it is in the cache.

    Raises:
        BundleError: when one cannot be had from any of its sources; what has arrived is kept.
    """
    places = origins(lock)
    counted = threading.Lock()
    contents = size = 0

    def one(digest: str) -> None:
        nonlocal contents, size
        got = _from_any(lock, digest, places[digest], sources, cache)
        with counted:
            contents += 1
            size += got

    in_parallel(one, wanted, threads)
    return Pulled(contents, size)


def _from_any(lock: Lock, digest: str, images: Sequence[ImageName], sources: Sources, cache: Cache) -> int:
    """Try each source of a content until one has it; return the bytes that came."""
    first: tuple[ImageName, RegistryError] | None = None
    for image in images:
        try:
            source = sources.of_image(image)
            if digest in lock.manifests:
                manifest = client.get_manifest(source.session, source.repository(image), digest)
                cache.store(digest, manifest.body)
                return manifest.size
            return pull_blob(source, source.repository(image), digest, lock.blobs[digest], cache)
        except RegistryError as exc:
            first = first or (image, exc)
    if first is None:
        raise BundleError(
            "pull a content", where=digest, got="no image needs it", remedy="Lock again with bundle_lock."
        )
    image, error = first
    raise BundleError(
        f"pull {digest} of {image.full}",
        where=error.where,
        got=f"{error.tried}: {error.got}",
        remedy=f"{error.remedy} What has arrived is kept; build again to go on, or lock again if the image is gone.",
    ) from error


def pull_blob(source: Source, repository: str, digest: str, size: int, cache: Cache) -> int:
    """Download a blob into the cache, on from what is there of it; return the bytes that came.

    Raises:
        RegistryError: when the source does not give it.
        ContentError: when it is not what its digest says.
    """
    with cache.arriving(digest) as stream:
        if cache.size(digest) == size:
            # Another process was faster.
            return 0
        download = _Download(stream, digest, size)
        while True:
            resumed = download.offset > 0
            download.run(source.session, repository)
            stream.flush()
            if download.is_right:
                cache.complete(digest)
                return download.came
            got = f"the content has {download.offset} bytes and the digest {download.digest}, and not {size} bytes"
            download.begin_anew()
            # What was there from before may have been damaged.
            if not resumed:
                break
    raise ContentError(
        f"read the blob {digest}",
        where=f"{source.session.base}, {repository}",
        got=got,
        remedy="Do not use this content; check the storage of the registry and every proxy on the way.",
    )


class _Download:
    """A content that arrives in a file; `offset` is how much there is, `came` how much of it was sent now."""

    def __init__(self, stream: t.BinaryIO, digest: str, size: int) -> None:
        self._stream, self._wanted, self._size = stream, digest, size
        self._hasher = Hasher(digest)
        self.offset = self.came = 0
        stream.seek(0)
        while piece := stream.read(_CHUNK):
            self._hasher.update(piece)
            self.offset += len(piece)

    @property
    def digest(self) -> str:
        return self._hasher.digest

    @property
    def is_right(self) -> bool:
        return self.offset == self._size and self.digest == self._wanted

    def begin_anew(self) -> None:
        self._stream.seek(0)
        self._stream.truncate()
        self._hasher = Hasher(self._wanted)
        self.offset = 0

    def run(self, session: Session, repository: str) -> None:
        """Receive until all is there, or more than that."""
        furthest, standstills = self.offset, 0
        while self.offset < self._size:
            try:
                self._receive(session, repository)
            except TruncatedError:
                self._stream.flush()
                standstills = 0 if self.offset > furthest else standstills + 1
                furthest = max(furthest, self.offset)
                if standstills == _STANDSTILLS:
                    raise
                session.transport.sleep(0.2 * (standstills + 1))

    def _receive(self, session: Session, repository: str) -> None:
        with client.open_blob(session, repository, self._wanted, rest=self.offset) as response:
            there = response.headers.get("Content-Range") or ""
            if self.offset and not (response.status == 206 and there.startswith(f"bytes {self.offset}-")):
                # The server sends all again, or has less than had arrived.
                self.begin_anew()
            if response.status != 416:
                for piece in response.chunks():
                    self._stream.write(piece)
                    self._hasher.update(piece)
                    self.offset += len(piece)
                    self.came += len(piece)
                    if self.offset > self._size:
                        return
            if self.offset < self._size:
                raise TruncatedError(
                    f"read the blob {self._wanted}",
                    where=f"GET {without_query(response.url)}",
                    got=f"{self.offset} of {self._size} bytes arrived",
                    remedy="Repeat; if it stays, the registry has lost the content: look into its log.",
                )
