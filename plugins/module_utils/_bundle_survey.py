# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What of a bundle a registry has already, found by reading. Private.

HEAD is not believed: a registry may know the size of what a garbage collection took away. Of each blob the last byte is
read, each manifest is read whole and compared with its digest.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Collection, Iterable

from ansible_collections.homeport.registry.plugins.module_utils import _registry_listing as listing
from ansible_collections.homeport.registry.plugins.module_utils._registry_client import (
    get_manifest,
    head_blob,
    head_manifest,
    open_blob,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import (
    DigestError,
    HttpError,
    NotFoundError,
    TruncatedError,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_inventory import NOT_NOW
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_workers import in_parallel

# A repository and a digest in it.
Place = tuple[str, str]


@dataclasses.dataclass
class Survey:
    """What was found: `blobs` and `manifests` by place, `tags` by repository and tag with the digest they point to."""

    blobs: set[Place] = dataclasses.field(default_factory=set)
    manifests: set[Place] = dataclasses.field(default_factory=set)
    tags: dict[Place, str] = dataclasses.field(default_factory=dict)

    def home_of(self, digest: str, kind: str, candidates: Iterable[str]) -> str:
        """Return one of the repositories that has a content as `kind`, blobs or manifests, or nothing."""
        there = self.blobs if kind == "blobs" else self.manifests
        return next((name for name in candidates if (name, digest) in there), "")


def has_blob(session: Session, repository: str, digest: str, size: int) -> bool:
    """Tell whether a repository has a blob of this size and can read it to its end.

    Raises:
        RegistryError: when the registry does not tell.
    """
    try:
        with open_blob(session, repository, digest, first=max(size - 1, 0)) as response:
            length = response.headers.get("Content-Length") or ""
            if response.status != 200:
                # "bytes 9-9/10", or "bytes */8" when there is no such byte.
                length = (response.headers.get("Content-Range") or "").rpartition("/")[2]
            if response.status == 416:
                return size == 0 and length in ("", "0")
            piece = next(response.chunks(), b"")
    except (NotFoundError, TruncatedError):
        return False
    except HttpError as exc:
        # A link without content, left by a crash, is answered with an error of the server.
        if exc.status in NOT_NOW or exc.status < 500:
            raise
        return False
    return length == str(size) and (bool(piece) or not size)


def has_manifest(session: Session, repository: str, digest: str) -> bool:
    """Tell whether a repository serves a manifest, and byte for byte the one of this digest.

    Raises:
        RegistryError: when the registry does not tell.
    """
    return served_digest(session, repository, digest) == digest


def served_digest(session: Session, repository: str, reference: str) -> str:
    """Return the digest of the manifest that is served, whole and right, under a tag or digest, or nothing.

    Raises:
        RegistryError: when the registry does not tell.
    """
    try:
        return get_manifest(session, repository, reference).digest
    except (NotFoundError, TruncatedError, DigestError):
        return ""
    except HttpError as exc:
        if exc.status in NOT_NOW or exc.status < 500:
            raise
        return ""


def tag_digest(session: Session, repository: str, tag: str) -> str:
    """Return the digest that a tag points to, or nothing when there is no such tag.

    Raises:
        RegistryError: when the registry does not tell.
    """
    try:
        return head_manifest(session, repository, tag).digest
    except NotFoundError:
        return ""
    except HttpError as exc:
        if exc.status in NOT_NOW or exc.status < 500:
            raise
        return ""


def survey(
    session: Session,
    *,
    blobs: Iterable[tuple[str, str, int]],
    manifests: Iterable[Place],
    tags: Iterable[Place],
    kept: Iterable[tuple[str, str, str]] = (),
    threads: int,
) -> Survey:
    """Look for contents and tags.

    Args:
        session: a session with the right to pull.
        blobs: repository, digest and size in bytes of each.
        manifests: repository and digest of each.
        tags: repository and tag of each.
        kept: repository, tag and digest of each manifest that should be under a tag, for which one look may do.
        threads: connections to use at once.

    Raises:
        RegistryError: when the registry does not answer, or may not be asked.
    """
    found, lock = Survey(), threading.Lock()

    def look_at_kept(one: tuple[str, str, str]) -> None:
        repository, tag, digest = one
        shown = served_digest(session, repository, tag)
        there = shown == digest or has_manifest(session, repository, digest)
        with lock:
            if shown:
                found.tags[repository, tag] = shown
            if there:
                found.manifests.add((repository, digest))

    def look(item: tuple[str, str, str, int]) -> None:
        kind, repository, what, size = item
        if kind == "tag":
            digest = tag_digest(session, repository, what)
            if digest:
                with lock:
                    found.tags[repository, what] = digest
            return
        there = (
            has_manifest(session, repository, what) if kind == "manifest" else has_blob(session, repository, what, size)
        )
        if there:
            with lock:
                (found.manifests if kind == "manifest" else found.blobs).add((repository, what))

    both = dict.fromkeys(kept)
    known = {(repository, what) for repository, tag, digest in both for what in (tag, digest)}
    in_parallel(look_at_kept, both, threads)
    items = [("tag", *place, 0) for place in dict.fromkeys(tags) if place not in known]
    items += [("manifest", *place, 0) for place in dict.fromkeys(manifests) if place not in known]
    items += [("blob", *one) for one in dict.fromkeys(blobs)]
    in_parallel(look, items, threads)
    return found


def find_elsewhere(session: Session, digests: Collection[str], manifests: Collection[str], threads: int) -> Survey:
    """Look through all repositories of a registry for contents that were not where they should be.

    Args:
        session: a session with the right to list the repositories and to pull from them.
        digests: blobs to look for.
        manifests: manifests to look for.
        threads: connections to use at once.

    Raises:
        RegistryError: when the registry does not tell its repositories.
    """
    found, lock = Survey(), threading.Lock()
    names, _problems = listing.repositories(session)
    open_blobs, open_manifests = set(digests), set(manifests)

    def look(name: str) -> None:
        for digest in list(open_blobs):
            try:
                head_blob(session, name, digest)
            except HttpError as exc:
                if exc.status in NOT_NOW:
                    raise
                continue
            with lock:
                found.blobs.add((name, digest))
                open_blobs.discard(digest)
        for digest in list(open_manifests):
            if has_manifest(session, name, digest):
                with lock:
                    found.manifests.add((name, digest))
                    open_manifests.discard(digest)

    if digests or manifests:
        in_parallel(look, names, threads)
    return found
