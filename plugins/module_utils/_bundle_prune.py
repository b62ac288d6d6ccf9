# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Removing the tags that an older bundle brought and the current one does not. Private.

Nothing is removed by guess: a tag has to be one that a signed document names, and to point to what that document says.
"""

from __future__ import annotations

import dataclasses
import hashlib
import typing as t
from collections.abc import Sequence

from ansible_collections.homeport.registry.plugins.module_utils import _bundle_format as fmt
from ansible_collections.homeport.registry.plugins.module_utils import _bundle_referrers as referrers
from ansible_collections.homeport.registry.plugins.module_utils import _bundle_sshsig as sshsig
from ansible_collections.homeport.registry.plugins.module_utils._bundle_archive import Volume
from ansible_collections.homeport.registry.plugins.module_utils._bundle_errors import BundleError
from ansible_collections.homeport.registry.plugins.module_utils._bundle_known import is_tar, read_document
from ansible_collections.homeport.registry.plugins.module_utils._bundle_plan import image_plans
from ansible_collections.homeport.registry.plugins.module_utils._bundle_survey import Place, tag_digest
from ansible_collections.homeport.registry.plugins.module_utils._bundle_tools import read_file
from ansible_collections.homeport.registry.plugins.module_utils._registry_client import delete_tag
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import HttpError
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_workers import in_parallel

_TRIED = "remove what an older bundle brought"


@dataclasses.dataclass(frozen=True)
class Document:
    """A bundle's document that a trusted key has signed; `sha256` is its sum."""

    bundle: fmt.Bundle
    sha256: str
    path: str

    @property
    def name(self) -> str:
        """How people call it."""
        return f"{self.bundle.name} {self.bundle.version}"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What shall become of a tag; `reason` is empty where it is removed."""

    repository: str
    tag: str
    digest: str
    bundle: str
    reason: str


def read_signed(path: str, trusted: Sequence[str], *, allow_unsigned: bool = False) -> Document:
    """Return the signed document of a volume, or of a bundle.json with its signature beside it.

    Raises:
        BundleError: when it cannot be read, or no trusted key has signed it.
    """
    document = read_document(path)
    if trusted or not allow_unsigned:
        if is_tar(path):
            with Volume(path) as volume:
                armored = volume.read(fmt.SIGNATURE, 64 << 10)
        else:
            armored = read_file(f"{path}.sig")
        sshsig.verify(document, armored.decode("ascii", "replace"), trusted, where=f"the signature of {path}")
    return Document(fmt.parse(document, path), hashlib.sha256(document).hexdigest(), path)


def judge(
    session: Session, current: Document, needed: Sequence[Document], older: Sequence[Document], threads: int
) -> list[Verdict]:
    """Say which tags of older bundles are removed and why the others stay; only reads.

    Args:
        session: with the right to pull.
        current: the bundle that supersedes the older ones; it has to be in the registry.
        needed: other bundles that are in use.
        older: what is superseded.
        threads: connections to use at once.

    Raises:
        BundleError: when an older one is no older one of the current, or the current is not whole.
        RegistryError: when the registry does not answer.
    """
    for one in older:
        if one.sha256 in {other.sha256 for other in (current, *needed)} or one.bundle.name != current.bundle.name:
            what = "is in use itself" if one.bundle.name == current.bundle.name else f"is no version of {current.name}"
            remedy = "Name versions of the same bundle that are not used any more."
            raise BundleError(_TRIED, where=one.path, got=f"{one.name} {what}", remedy=remedy)
    used: set[Place] = set()
    manifests: set[str] = set()
    for one in (current, *needed):
        manifests.update(one.bundle.manifests)
        for image in image_plans(one.bundle):
            used.update((image.repository, tag) for tag in (*image.tags, *image.lists))
    keeps = {(image.repository, image.keep): image.image.digest for image in image_plans(current.bundle)}
    now = _look(session, keeps, threads)
    lost = sorted(f"{name}:{tag}" for (name, tag), digest in keeps.items() if now.get((name, tag)) != digest)
    if lost:
        raise BundleError(
            _TRIED,
            where=session.base,
            got=f"{current.name} is not whole there: {', '.join(lost[:5])} is missing",
            remedy="Push the current bundle first.",
        )
    return _verdicts(session, older, used, manifests, threads)


def _look(session: Session, places: t.Iterable[Place], threads: int) -> dict[Place, str]:
    found: dict[Place, str] = {}

    def look(place: Place) -> None:
        found[place] = tag_digest(session, *place)

    in_parallel(look, list(places), threads)
    return found


def _verdicts(
    session: Session, older: Sequence[Document], used: set[Place], manifests: set[str], threads: int
) -> list[Verdict]:
    brought: dict[Place, dict[str, str]] = {}
    lists: dict[Place, tuple[str, set[str]]] = {}
    for one in older:
        for image in image_plans(one.bundle):
            for tag, digest in image.tags.items():
                brought.setdefault((image.repository, tag), {})[digest] = one.name
            for tag, digests_in in referrers.wanted_lists(one.bundle, image).items():
                known = lists.get((image.repository, tag), ("", set()))[1]
                lists[image.repository, tag] = (one.name, known | set(digests_in))
    now = _look(session, {*brought, *lists}, threads)
    verdicts = []
    for place, digests in sorted(brought.items()):
        digest, reason = now[place], ""
        if not digest:
            continue
        if place in used:
            reason = "a bundle in use brings it too"
        elif digest not in digests:
            reason = "it points to something that no older bundle brought"
        verdicts.append(Verdict(*place, digest, digests.get(digest) or next(iter(digests.values())), reason))
    for place, (name, wanted) in sorted(lists.items()):
        if not now[place]:
            continue
        current = referrers.current_list(session, *place)
        if place in used or place[1].replace("-", ":", 1) in manifests:
            reason = "a bundle in use needs what it belongs to"
        elif current is None or not referrers.listed(current.body) <= wanted:
            reason = "it lists more than an older bundle brought"
        else:
            reason = ""
        verdicts.append(Verdict(*place, now[place], name, reason))
    return verdicts


def remove(session: Session, verdicts: Sequence[Verdict], threads: int) -> None:
    """Remove the tags that are to be removed.

    Raises:
        RegistryError: when the registry does not do it.
    """

    def work(one: Verdict) -> None:
        # Somebody may have pushed meanwhile.
        if tag_digest(session, one.repository, one.tag) != one.digest:
            return
        try:
            delete_tag(session, one.repository, one.tag)
        except HttpError as exc:
            if exc.status == 404:
                return
            raise

    in_parallel(work, [one for one in verdicts if not one.reason], threads)
