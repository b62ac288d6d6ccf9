# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""From the name of an image to every digest that it needs, and to what belongs to it. Private."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from ansible_collections.homeport.registry.plugins.module_utils import _registry_client as client
from ansible_collections.homeport.registry.plugins.module_utils._bundle_cache import Cache
from ansible_collections.homeport.registry.plugins.module_utils._bundle_errors import BundleError
from ansible_collections.homeport.registry.plugins.module_utils._bundle_format import Image, ManifestEntry
from ansible_collections.homeport.registry.plugins.module_utils._bundle_platforms import ALL, is_wanted, platform_of
from ansible_collections.homeport.registry.plugins.module_utils._bundle_sources import Source, Sources
from ansible_collections.homeport.registry.plugins.module_utils._bundle_wish import WishedImage
from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.homeport.registry.plugins.module_utils._registry_client import Descriptor, Manifest
from ansible_collections.homeport.registry.plugins.module_utils._registry_entries import INDEX_TYPES, Pool
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import (
    DigestError,
    NotFoundError,
    ProtocolError,
    TruncatedError,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import (
    MANIFEST_TYPES,
    OCI_INDEX,
    OCI_MANIFEST,
    digest_of,
    is_foreign,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_workers import in_parallel

# Tags that cosign keeps beside an image: signature, attestations, bill of materials.
_BESIDE = (".sig", ".att", ".sbom")
_IMAGE_CONFIGS = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)
# How BuildKit marks attestations inside an index.
_ATTESTED = "vnd.docker.reference.digest"
_LARGEST_CONFIG = 8 << 20
# Whatever signs a signature is carried too; nobody goes further.
_DEPTH = 3


@dataclasses.dataclass
class Resolved:
    """What images need: manifests, and sizes in bytes by digest.

    `foreign` are layers that registries do not hold; they are left out.
    """

    images: dict[str, Image] = dataclasses.field(default_factory=dict)
    manifests: dict[str, ManifestEntry] = dataclasses.field(default_factory=dict)
    blobs: dict[str, int] = dataclasses.field(default_factory=dict)
    foreign: set[str] = dataclasses.field(default_factory=set)


def resolve(wished: Sequence[WishedImage], sources: Sources, cache: Cache, threads: int) -> Resolved:
    """Return all that the wished images need.

    Raises:
        BundleError: with every image that could not be resolved, and why.
    """
    found, errors = Resolved(), dict[str, RegistryError]()
    # Sources are not asked again for what one of them has told already.
    without_list: set[str] = set()

    parts: dict[str, tuple[Image, Resolved]] = {}

    def one(image: WishedImage) -> None:
        try:
            parts[image.name.full] = _Resolver(image, sources.of_image(image.name), cache, without_list).run()
        except RegistryError as exc:
            errors[image.name.full] = exc

    in_parallel(one, wished, threads)
    for name in sorted(parts):
        _merge(found, name, parts[name], errors)
    if errors:
        name, first = min(errors.items())
        if len(errors) == 1:
            raise BundleError(
                f"resolve {name}", where=first.where, got=f"{first.tried}: {first.got}", remedy=first.remedy
            )
        text = "; ".join(f"{name}: {exc.tried}: {exc.got} ({exc.where})" for name, exc in sorted(errors.items()))
        raise BundleError("resolve the images", where=", ".join(sorted(errors)), got=text, remedy=first.remedy)
    return found


def _merge(found: Resolved, name: str, part: tuple[Image, Resolved], errors: dict[str, RegistryError]) -> None:
    found.images[name], more = part
    for digest, entry in more.manifests.items():
        # Two images may be one index, of which each wants other platforms.
        children = (*found.manifests[digest].children, *entry.children) if digest in found.manifests else entry.children
        found.manifests[digest] = entry._replace(children=tuple(dict.fromkeys(children)))
    found.foreign |= more.foreign
    for digest, size in more.blobs.items():
        if found.blobs.setdefault(digest, size) != size:
            errors[name] = _contradiction(name, digest)


class _Resolver:
    """Resolves one image."""

    def __init__(self, wished: WishedImage, source: Source, cache: Cache, without_list: set[str]) -> None:
        self._wished = wished
        self._session = source.session
        self._repository = source.repository(wished.name)
        self._cache = cache
        self._without_list = without_list
        self._found = Resolved()
        self._platforms: set[str] = set()
        self._pool = Pool()
        # Manifests that signatures and the like may refer to, in the order in which they were found.
        self._subjects: dict[str, None] = {}

    def run(self) -> tuple[Image, Resolved]:
        wished = self._wished
        top = self._read(wished.name.digest or wished.name.tag, known_tag=wished.name.tag)
        self._subjects[top.digest] = None
        self._keep(top)
        if top.media_type not in INDEX_TYPES:
            self._note_platform(self._pool.entry(top).blobs)
        self._check_platforms(top)
        referrers: dict[str, None] = {}
        tags: dict[str, str] = {}
        if wished.referrers:
            for subject in list(self._subjects):
                self._collect(subject, referrers, tags, _DEPTH)
        entry = self._found.manifests[top.digest]
        image = Image(
            name=wished.name.full,
            digest=top.digest,
            media_type=entry.media_type,
            size=top.size,
            platforms=tuple(sorted(self._platforms)),
            bootstrap=wished.bootstrap,
            referrers=tuple(sorted(set(referrers) - {top.digest})),
            tags=dict(sorted(tags.items())),
        )
        return image, self._found

    def _read(self, reference: str, known_tag: str = "") -> Manifest:
        """Return a manifest; asking for the digest of a tag first spares what is in the cache, and rate limits."""
        digest = reference
        if known_tag and reference == known_tag:
            digest = client.head_manifest(self._session, self._repository, reference).digest
        if (body := self._cache.read(digest)) is not None:
            return _typed(body, digest)
        try:
            manifest = client.get_manifest(self._session, self._repository, digest)
        except TruncatedError:
            manifest = client.get_manifest(self._session, self._repository, digest)
        typed = _typed(manifest.body, manifest.digest)
        self._cache.store(manifest.digest, manifest.body)
        return typed

    def _keep(self, manifest: Manifest, *, whole: bool = False) -> None:
        """Note a manifest with all that it needs; of an index all children, or those for the wanted platforms."""
        if manifest.digest in self._found.manifests:
            return
        entry = self._pool.entry(manifest)
        if whole or entry.media_type not in INDEX_TYPES:
            children = tuple(child.digest for child in entry.children)
        else:
            children = self._wanted_children(manifest)
        blobs = []
        for blob in entry.blobs:
            if is_foreign(blob.media_type):
                self._found.foreign.add(blob.digest)
            else:
                blobs.append(blob.digest)
                self._size(blob.digest, blob.size)
        self._size(manifest.digest, manifest.size)
        self._found.manifests[manifest.digest] = ManifestEntry(
            entry.media_type, manifest.size, children, tuple(dict.fromkeys(blobs)), entry.subject
        )
        for child in dict.fromkeys(children):
            self._keep(self._read(child), whole=whole)

    def _wanted_children(self, manifest: Manifest) -> tuple[str, ...]:
        """Return the children of an index to keep, in order, and note their platforms."""
        sources = manifest.document().get("manifests") or []
        kept: dict[str, None] = {}
        absent: set[str] = set()
        for source in sources:
            try:
                platform = platform_of(source.get("platform"))
            except TypeError as exc:
                raise ProtocolError(
                    f"understand the index {manifest.digest}",
                    where=self._session.base,
                    got=str(exc),
                    remedy="Push the image again with a current client.",
                ) from exc
            if platform is None:
                continue
            if is_wanted(platform, self._wished.platforms):
                kept[source["digest"]] = None
                self._platforms.add(platform)
                self._subjects[source["digest"]] = None
            else:
                absent.add(source["digest"])
        named = set(kept) | absent
        for source in sources:
            about = (source.get("annotations") or {}).get(_ATTESTED)
            # What names no platform belongs to a child, or is for all of them.
            fits = about is None or (self._wished.referrers and about not in absent)
            if source["digest"] not in named and fits:
                kept[source["digest"]] = None
        return tuple(digest for digest in dict.fromkeys(one["digest"] for one in sources) if digest in kept)

    def _note_platform(self, blobs: Sequence[Descriptor]) -> None:
        """Note the platform of an image that is no index; what is no container image has none."""
        if not blobs or blobs[0].media_type not in _IMAGE_CONFIGS or blobs[0].size > _LARGEST_CONFIG:
            return
        config = blobs[0]
        body = self._cache.read(config.digest)
        if body is None:
            body = client.open_blob(self._session, self._repository, config.digest).read(_LARGEST_CONFIG)
            if digest_of(body, config.digest) != config.digest:
                raise DigestError(
                    f"read the configuration {config.digest}",
                    where=self._session.base,
                    got=f"the content is {digest_of(body, config.digest)}",
                    remedy="Do not use this content; check the storage of the registry and every proxy on the way.",
                )
            self._cache.store(config.digest, body)
        try:
            platform = platform_of(json.loads(body))
        except (ValueError, TypeError):
            platform = None
        if platform:
            self._platforms.add(platform)

    def _check_platforms(self, top: Manifest) -> None:
        offered = set(self._platforms)
        if top.media_type in INDEX_TYPES:
            sources = top.document().get("manifests") or []
            offered |= {platform for one in sources if (platform := platform_of(one.get("platform")))}
        missing = sorted(set(self._wished.platforms) - {ALL} - self._platforms)
        # What is for no platform at all, such as a chart, is for all.
        if missing and offered:
            raise BundleError(
                f"find {', '.join(missing)}",
                where=f"{self._session.base}, {self._repository}",
                got=f"the image is for {', '.join(sorted(offered))}",
                remedy="Give this image its own platforms in the wish.",
            )

    def _collect(self, subject: str, referrers: dict[str, None], tags: dict[str, str], depth: int) -> None:
        """Note what refers to a manifest, and the tags that are named after it."""
        fresh = []
        for one in self._referrers_of(subject, tags):
            if one not in referrers and one != subject:
                referrers[one] = None
                self._keep(self._read(one), whole=True)
                fresh.append(one)
        if depth == _DEPTH:
            for suffix in _BESIDE:
                self._note_tag(subject.replace(":", "-") + suffix, tags)
        for one in fresh:
            if depth > 1:
                self._collect(one, referrers, tags, depth - 1)

    def _referrers_of(self, subject: str, tags: dict[str, str]) -> list[str]:
        place = self._session.base
        if place not in self._without_list:
            listed = client.list_referrers(self._session, self._repository, subject)
            if listed is not None:
                return [one.digest for one in listed]
            self._without_list.add(place)
        index = self._note_tag(subject.replace(":", "-"), tags)
        if index is None or index.media_type not in INDEX_TYPES:
            return []
        return [child.digest for child in self._pool.entry(index).children]

    def _note_tag(self, tag: str, tags: dict[str, str]) -> Manifest | None:
        """Keep a tag that stands beside the image, if there is one."""
        try:
            manifest = self._read(tag, known_tag=tag)
        except NotFoundError:
            return None
        tags[tag] = manifest.digest
        self._keep(manifest, whole=True)
        return manifest

    def _size(self, digest: str, size: int) -> None:
        if self._found.blobs.setdefault(digest, size) != size:
            raise _contradiction(self._wished.name.full, digest)


def _typed(body: bytes, digest: str) -> Manifest:
    """Return a manifest whose type is the one that it states itself, which no answer's header can change."""
    document = Manifest("", digest, len(body), body).document()
    stated = str(document.get("mediaType") or (OCI_INDEX if "manifests" in document else OCI_MANIFEST))
    if document.get("schemaVersion") != 2 or stated not in MANIFEST_TYPES:
        raise ProtocolError(
            f"understand the manifest {digest}",
            where=ascii(stated)[:80],
            got="it is of a kind that current clients do not use",
            remedy="Push the image again with a current client, or take another one.",
        )
    return Manifest(stated, digest, len(body), body)


def _contradiction(name: str, digest: str) -> BundleError:
    return BundleError(
        f"resolve {name}",
        where=digest,
        got="two manifests state different sizes of this content",
        remedy="Push the image again with another client.",
    )
