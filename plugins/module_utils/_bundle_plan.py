# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What has to go where, before anything is written: each content is sent once and mounted elsewhere. Private."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import typing as t
from collections.abc import Iterable, Sequence

from ansible_collections.homeport.registry.plugins.module_utils import _bundle_format as fmt
from ansible_collections.homeport.registry.plugins.module_utils._bundle_check import Opened
from ansible_collections.homeport.registry.plugins.module_utils._bundle_errors import FormatError
from ansible_collections.homeport.registry.plugins.module_utils._bundle_survey import (
    Survey,
    find_elsewhere,
    survey,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import HttpError
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import (
    check_reference,
    check_repository,
    is_repository,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session

_LONGEST_TAG = 128
# Under which clients look for what belongs to a manifest, where a registry cannot tell.
FALLBACK = re.compile(r"sha256-[0-9a-f]{64}")


def target_of(name: str) -> tuple[str, str]:
    """Return repository and tag of an image in the receiving registry; without a tag the second is empty.

    The source host stays as the first part of the path: names from two sources never meet, and it is what the mirror
    settings of every container runtime expect. The colon of a port becomes an underscore, which no host name has.

    Raises:
        FormatError: when the name has no host, or cannot be a name in a registry.
    """
    rest = name.partition("@")[0]
    head, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        head, tag = rest, ""
    host, _slash, path = head.partition("/")
    repository = f"{host.lower().replace(':', '_')}/{path}"
    if not host or not path or not ("." in host or ":" in host or host == "localhost") or not is_repository(repository):
        raise FormatError(
            "find the place of an image",
            where=ascii(name)[:300],
            got="it is not the full name of an image, with host, path and tag or digest",
            remedy="Build the bundle with full names, such as docker.io/library/nginx:1.27.",
        )
    if tag:
        check_reference(tag)
    return check_repository(repository), tag


def keep_tag(bundle: fmt.Bundle, digest: str) -> str:
    """Return the tag that keeps a manifest of a bundle when the tag that people use moves on."""
    base = f"hp-{bundle.name}-{bundle.version}".replace("+", "_")
    ending = f"-{digest.partition(':')[2][:12]}"
    if len(base) + len(ending) > _LONGEST_TAG:
        base = base[:90] + "-" + hashlib.sha256(base.encode()).hexdigest()[:12]
    return base + ending


@dataclasses.dataclass
class ImagePlan:
    """One image on its way.

    `tag` is empty for an image that is known by its digest only. `waits` are the volumes that hold what it still needs,
    `absent` the contents that the receiver should have and has not.
    """

    image: fmt.Image
    repository: str
    tag: str
    keep: str
    manifests: list[str]
    blobs: list[str]
    waits: list[int] = dataclasses.field(default_factory=list)
    absent: list[str] = dataclasses.field(default_factory=list)

    @property
    def ready(self) -> bool:
        """Whether it can be whole after this run."""
        return not self.waits and not self.absent

    @property
    def lists(self) -> dict[str, str]:
        """The lists of referrers that the bundle brings, by tag; they are merged with what is there."""
        return {tag: digest for tag, digest in self.image.tags.items() if FALLBACK.fullmatch(tag)}

    @property
    def tags(self) -> dict[str, str]:
        """All its tags with the digests they have to point to, except lists of referrers, which are merged."""
        own = {tag: digest for tag, digest in self.image.tags.items() if not FALLBACK.fullmatch(tag)}
        return own | {self.keep: self.image.digest} | ({self.tag: self.image.digest} if self.tag else {})


class Transfer(t.NamedTuple):
    """One content and where it has to go: sent to the first of `targets`, unless `source` is a repository that has it.

    `manifest` tells that it is one that is laid down as a blob, until a later volume completes its image.
    """

    digest: str
    size: int
    source: str
    targets: tuple[str, ...]
    manifest: bool = False

    @property
    def sent(self) -> int:
        """Bytes that have to be sent."""
        return 0 if self.source else self.size

    @property
    def mounts(self) -> tuple[str, ...]:
        """Repositories that get it by mounting."""
        return self.targets if self.source else self.targets[1:]


@dataclasses.dataclass
class Plan:
    """Everything that is to be done; `found` is what the registry had before."""

    images: list[ImagePlan]
    transfers: list[Transfer]
    found: Survey

    @property
    def absent(self) -> list[str]:
        """Digests that a delta leaves to the receiver, which does not have them."""
        return sorted({digest for image in self.images for digest in image.absent})

    @property
    def sent(self) -> int:
        """Bytes to send."""
        return sum(one.sent for one in self.transfers)

    def has_tag(self, image: ImagePlan, tag: str, digest: str) -> bool:
        """Tell whether a tag of an image was right before."""
        return self.found.tags.get((image.repository, tag)) == digest

    def is_done(self, image: ImagePlan) -> bool:
        """Tell whether an image was whole before, except for lists of referrers."""
        places = [(image.repository, digest) for digest in image.blobs]
        manifests = [(image.repository, digest) for digest in image.manifests]
        return (
            self.found.blobs.issuperset(places)
            and self.found.manifests.issuperset(manifests)
            and all(self.has_tag(image, tag, digest) for tag, digest in image.tags.items())
        )


def image_plans(bundle: fmt.Bundle) -> list[ImagePlan]:
    """Return where the images of a bundle go.

    Raises:
        FormatError: when a name cannot be used.
    """
    found = []
    for image in bundle.images:
        repository, tag = target_of(image.name)
        one = ImagePlan(image, repository, tag, keep_tag(bundle, image.digest), [], [])
        one.manifests = [digest for digest in bundle.manifests_of(image) if digest not in one.lists.values()]
        one.blobs = list(dict.fromkeys(blob for digest in one.manifests for blob in bundle.manifests[digest].blobs))
        found.append(one)
    return found


def make_plan(session: Session, opened: Opened, threads: int) -> Plan:
    """Look at the registry and say what has to be done; only reads.

    Args:
        session: a session with the right to pull.
        opened: the volumes at hand.
        threads: connections to use at once.

    Raises:
        RegistryError: when the registry does not answer, or a name cannot be used.
    """
    bundle = opened.bundle
    images = image_plans(bundle)
    found = survey(
        session,
        blobs=[(one.repository, digest, bundle.blobs[digest].size) for one in images for digest in one.blobs],
        manifests=[(one.repository, digest) for one in images for digest in one.manifests],
        tags=[(one.repository, tag) for one in images for tag in one.tags],
        kept=[(one.repository, one.keep, one.image.digest) for one in images],
        threads=threads,
    )
    repositories = list(dict.fromkeys(one.repository for one in images))
    # Manifests that an earlier volume laid down wait as blobs.
    parked = survey(
        session,
        blobs=[
            (one.repository, digest, bundle.blobs[digest].size)
            for one in images
            for digest in (*one.manifests, *one.lists.values())
            if bundle.volumes > 1 and (one.repository, digest) not in found.manifests
        ],
        manifests=(),
        tags=(),
        threads=threads,
    )
    found.blobs |= parked.blobs
    _look_elsewhere(session, opened, images, repositories, found, threads)
    for image in images:
        _judge(opened, image, repositories, found)
    return Plan(images, _transfers(opened, images, repositories, found), found)


def _look_elsewhere(
    session: Session,
    opened: Opened,
    images: Sequence[ImagePlan],
    repositories: list[str],
    found: Survey,
    threads: int,
) -> None:
    """Find what the receiver should have in other repositories; adds to `repositories` and `found`."""
    blobs = opened.bundle.blobs

    def lacking(kind: str, digests: Iterable[str]) -> set[str]:
        return {
            digest
            for digest in digests
            if blobs[digest].volume == fmt.ELSEWHERE and not found.home_of(digest, kind, repositories)
        }

    lost_blobs = lacking("blobs", (digest for one in images for digest in one.blobs))
    lost_manifests = lacking("manifests", (digest for one in images for digest in one.manifests))
    if not lost_blobs and not lost_manifests:
        return
    try:
        more = find_elsewhere(session, lost_blobs, lost_manifests, threads)
    except HttpError:
        # Who may not list repositories can only say that it is not where it should be.
        return
    found.blobs |= more.blobs
    found.manifests |= more.manifests
    repositories += sorted({name for name, _digest in more.blobs | more.manifests} - set(repositories))


def _judge(opened: Opened, image: ImagePlan, repositories: Sequence[str], found: Survey) -> None:
    """Write into an image's plan what it lacks."""
    lacking = [
        digest
        for digest in image.blobs
        if not opened.volume_of(digest) and not found.home_of(digest, "blobs", repositories)
    ]
    lacking += [
        digest
        for digest in image.manifests
        if not opened.volume_of(digest)
        and not found.home_of(digest, "manifests", repositories)
        and not found.home_of(digest, "blobs", repositories)
    ]
    volumes = {digest: opened.bundle.blobs[digest].volume for digest in lacking}
    image.absent = sorted(digest for digest, volume in volumes.items() if volume == fmt.ELSEWHERE)
    image.waits = sorted(set(volumes.values()) - {fmt.ELSEWHERE})


def _transfers(
    opened: Opened, images: Sequence[ImagePlan], repositories: Sequence[str], found: Survey
) -> list[Transfer]:
    targets: dict[tuple[str, bool], dict[str, None]] = {}
    for image in images:
        for digest in image.blobs:
            if (image.repository, digest) not in found.blobs:
                targets.setdefault((digest, False), {})[image.repository] = None
        for digest in [] if image.ready else (*image.manifests, *image.lists.values()):
            place = (image.repository, digest)
            if place not in found.manifests and place not in found.blobs:
                targets.setdefault((digest, True), {})[image.repository] = None
    transfers = []
    for (digest, manifest), names in targets.items():
        source = found.home_of(digest, "blobs", repositories)
        if source or opened.volume_of(digest):
            size = opened.bundle.blobs[digest].size
            transfers.append(Transfer(digest, size, source, tuple(names), manifest))
    # The largest first, so that no connection is left alone with it in the end.
    return sorted(transfers, key=lambda one: (-one.sent, one.digest))
