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
import typing as t
from collections.abc import Collection, Iterable

from ansible_collections.homeport.registry.plugins.module_utils._registry_ahead import Question, ask_ahead
from ansible_collections.homeport.registry.plugins.module_utils._registry_client import (
    get_manifest,
    head_blob,
    head_manifest,
    is_last_byte,
    last_byte_question,
    manifest_in,
    manifest_question,
    open_blob,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import (
    NOT_NOW,
    DigestError,
    HttpError,
    NotFoundError,
    TruncatedError,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_wire import Headers
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
    both = dict.fromkeys(kept)
    known = {(repository, what) for repository, tag, digest in both for what in (tag, digest)}
    wanted = [_Wanted("kept", repository, tag, digest) for repository, tag, digest in both]
    wanted += [_Wanted("tag", *place) for place in dict.fromkeys(tags) if place not in known]
    wanted += [_Wanted("manifest", *place) for place in dict.fromkeys(manifests) if place not in known]
    wanted += [_Wanted("blob", name, digest, size=size) for name, digest, size in dict.fromkeys(blobs)]
    looker = _Looker(session)
    ask_ahead(session, wanted, threads, question=looker.question, use=looker.use, otherwise=looker.look)
    return looker.found


class _Wanted(t.NamedTuple):
    """What is looked for: `reference` is a digest, or a tag that is to point to `digest`; `size` is a blob's."""

    kind: str
    repository: str
    reference: str
    digest: str = ""
    size: int = 0


class _Looker:
    """Looks for one thing at a time; may be used by many threads."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self.found = Survey()

    def question(self, one: _Wanted) -> Question | None:
        """Return what asks for it, unless it takes a look of another kind."""
        if one.kind != "blob":
            return manifest_question(one.repository, one.reference)
        return last_byte_question(one.repository, one.reference, one.size) if one.size else None

    def use(self, one: _Wanted, status: int, headers: Headers, body: bytes) -> list[_Wanted] | None:
        """Take down what an answer says, if it leaves no doubt."""
        below = [_Wanted("manifest", one.repository, one.digest)] if one.kind == "kept" else []
        if status == 404:
            return below
        if one.kind == "blob":
            if not is_last_byte(one.size, status, headers, body):
                return None
            self._note(one, blob=True)
            return []
        manifest, wrong = manifest_in(one.reference, headers, body)
        shown = manifest.digest
        if status != 200 or wrong or (one.kind == "manifest" and shown != one.reference):
            return None
        if one.kind == "tag":
            self._note(one, tag=shown)
            return []
        there = shown == (one.digest or one.reference)
        self._note(one, manifest=shown if there else "", tag=shown if one.kind == "kept" else "")
        return [] if there else below

    def look(self, one: _Wanted) -> None:
        """Look for it, and note what is found."""
        session, name, reference = self._session, one.repository, one.reference
        if one.kind == "tag":
            self._note(one, tag=tag_digest(session, name, reference))
        elif one.kind == "blob":
            self._note(one, blob=has_blob(session, name, reference, one.size))
        elif one.kind == "manifest":
            self._note(one, manifest=reference if has_manifest(session, name, reference) else "")
        else:
            shown = served_digest(session, name, reference)
            there = shown == one.digest or has_manifest(session, name, one.digest)
            self._note(one, tag=shown, manifest=one.digest if there else "")

    def _note(self, one: _Wanted, *, blob: bool = False, manifest: str = "", tag: str = "") -> None:
        with self._lock:
            if blob:
                self.found.blobs.add((one.repository, one.reference))
            if manifest:
                self.found.manifests.add((one.repository, manifest))
            if tag:
                self.found.tags[one.repository, one.reference] = tag


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
    # Only a delta may have to look for something, and what is not imported starts sooner.
    from ansible_collections.homeport.registry.plugins.module_utils import _registry_listing as listing

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
