# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The bundle's one document, bundle.json, and the names of everything around it. Private.

Whatever else lies in a volume follows from this document, so one signature over it covers all of a bundle.
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t
from collections.abc import Iterable, Iterator, Mapping

from ansible_collections.homeport.registry.plugins.module_utils._bundle_errors import FormatError
from ansible_collections.homeport.registry.plugins.module_utils._bundle_read import Reader, check_path

SCHEMA = "homeport.bundle/v1"
DOCUMENT = "bundle.json"
SIGNATURE = "bundle.json.sig"
LAYOUT = "oci-layout"
INDEX = "index.json"
BLOBS = "blobs"
FILES = "files"
LAYOUT_CONTENT = b'{"imageLayoutVersion":"1.0.0"}'
REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"
KINDS = ("collection", "wheel", "file")
# Of a content that the receiver has already.
ELSEWHERE = 0

NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
VERSION = re.compile(r"[A-Za-z0-9]+(?:[._+-][A-Za-z0-9]+)*")
_OCI_INDEX = "application/vnd.oci.image.index.v1+json"


class Parent(t.NamedTuple):
    """The bundle that a delta builds on; `sha256` is of its bundle.json, as hexadecimal digits."""

    name: str
    version: str
    sha256: str


class Image(t.NamedTuple):
    """An image under its full name, with source host and with tag or digest; `size` is of its top manifest in bytes.

    `referrers` are manifests that belong to it or to a kept child, `tags` the tags kept beside it with their digests.
    """

    name: str
    digest: str
    media_type: str
    size: int
    platforms: tuple[str, ...]
    bootstrap: bool
    referrers: tuple[str, ...]
    tags: Mapping[str, str]


class ManifestEntry(t.NamedTuple):
    """A manifest or index; `size` in bytes, `children` those that are kept, `blobs` configuration and layers."""

    media_type: str
    size: int
    children: tuple[str, ...]
    blobs: tuple[str, ...]
    subject: str | None


class Blob(t.NamedTuple):
    """A content, manifests included; `size` in bytes, `volume` 0 when the receiver has it already."""

    size: int
    volume: int


class File(t.NamedTuple):
    """A file below `files/`; `sha256` as hexadecimal digits, `size` in bytes.

    `name` and `version` are of the collection or wheel, `pythons` the versions of Python that a wheel is for.
    """

    path: str
    sha256: str
    size: int
    volume: int
    kind: str
    name: str = ""
    version: str = ""
    pythons: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Bundle:
    """The whole document."""

    name: str
    version: str
    lock_sha256: str
    parent: Parent | None
    images: tuple[Image, ...]
    manifests: Mapping[str, ManifestEntry]
    blobs: Mapping[str, Blob]
    files: tuple[File, ...]
    volumes: int

    def dump(self) -> bytes:
        """Return the bytes of bundle.json."""
        document = {
            "schema": SCHEMA,
            "name": self.name,
            "version": self.version,
            "lock_sha256": self.lock_sha256,
            "parent": self.parent and self.parent._asdict(),
            "images": [image._asdict() for image in self.images],
            "manifests": {digest: entry._asdict() for digest, entry in self.manifests.items()},
            "blobs": {digest: blob._asdict() for digest, blob in self.blobs.items()},
            "files": [file_document(file) for file in self.files],
            "volumes": self.volumes,
        }
        return canonical(document)

    def file_names(self) -> list[str]:
        """Return the names of all volumes, in order."""
        return [volume_name(self.name, self.version, number, self.volumes) for number in range(1, self.volumes + 1)]

    def manifests_of(self, image: Image) -> list[str]:
        """Return the manifests of an image in the order in which a registry accepts them: what is needed comes first.

        Children are before their index, referrers after the image, the manifests of `tags` last.
        """
        found: dict[str, None] = {}
        for top in (image.digest, *image.referrers, *(image.tags[tag] for tag in sorted(image.tags))):
            for digest in self._below(top, found):
                found[digest] = None
        return list(found)

    def blobs_of(self, image: Image) -> list[str]:
        """Return the configurations and layers of an image and all that belongs to it, each once."""
        found: dict[str, None] = {}
        for digest in self.manifests_of(image):
            found.update(dict.fromkeys(self.manifests[digest].blobs))
        return list(found)

    def volumes_of(self, image: Image) -> list[int]:
        """Return the volumes that hold something of an image, without what the receiver has already."""
        digests = [*self.manifests_of(image), *self.blobs_of(image)]
        return sorted({self.blobs[digest].volume for digest in digests} - {ELSEWHERE})

    def members(self, volume: int) -> list[tuple[str, int, str]]:
        """Return path, size in bytes and digest of the contents and files in a volume, in order."""
        blobs = [(blob_path(d), blob.size, d) for d, blob in sorted(self.blobs.items()) if blob.volume == volume]
        files = [(file.path, file.size, f"sha256:{file.sha256}") for file in self.files if file.volume == volume]
        return blobs + files

    def index(self, volume: int) -> bytes:
        """Return the index.json of a volume: the images whose top manifest lies in it, and referrers without a name."""
        named, others = [], dict[str, None]()
        for image in self.images:
            if self.blobs[image.digest].volume == volume:
                names = {REF_NAME: image.name, CONTAINERD_NAME: image.name}
                named.append(self._descriptor(image.digest) | {"annotations": names})
            others.update(dict.fromkeys((*image.referrers, *image.tags.values())))
        tops = {image.digest for image in self.images}
        rest = [self._descriptor(d) for d in sorted(others) if d not in tops and self.blobs[d].volume == volume]
        return canonical({"schemaVersion": 2, "mediaType": _OCI_INDEX, "manifests": named + rest})

    def _descriptor(self, digest: str) -> dict[str, t.Any]:
        entry = self.manifests[digest]
        return {"mediaType": entry.media_type, "digest": digest, "size": entry.size}

    def _below(self, digest: str, done: Mapping[str, None]) -> Iterator[str]:
        if digest not in done:
            for child in self.manifests[digest].children:
                yield from self._below(child, done)
            yield digest


def file_document(file: File) -> dict[str, t.Any]:
    """Return the JSON data of a file, without what it does not have."""
    return {key: value for key, value in file._asdict().items() if value or key in ("size", "volume")}


def canonical(document: t.Any) -> bytes:
    """Return JSON with sorted keys, without spaces, with one newline at the end."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def volume_name(name: str, version: str, volume: int, volumes: int) -> str:
    """Return the file name of a volume, counted from 1."""
    return f"bundle-{name}-{version}{f'.vol{volume:02}' if volumes > 1 else ''}.tar"


def blob_path(digest: str) -> str:
    """Return the path of a content in the layout."""
    return f"{BLOBS}/{digest.replace(':', '/', 1)}"


def parse(body: bytes, where: str = DOCUMENT) -> Bundle:
    """Return what the bytes of a bundle.json say.

    Args:
        body: the bytes.
        where: they come from, for errors.

    Raises:
        FormatError: when they are not a document of this format in its one canonical form, or contradict themselves.
    """
    read = Reader.of_json(body, where, SCHEMA)
    bundle = Bundle(
        name=read.matching("name", NAME),
        version=read.matching("version", VERSION),
        lock_sha256=read.sha256("lock_sha256"),
        parent=_parent(read),
        images=tuple(read_image(one) for one in read.items("images")),
        manifests={digest: read_manifest(one) for digest, one in read.by_digest("manifests")},
        blobs={digest: _blob(one) for digest, one in read.by_digest("blobs")},
        files=tuple(read_file(one) for one in read.items("files")),
        volumes=read.number("volumes", least=1),
    )
    read.end(("schema",))
    check(bundle, where)
    if bundle.dump() != body:
        raise _wrong(where, "it is not in canonical form: sorted keys, no spaces, one newline at the end, and no more")
    return bundle


def check(bundle: Bundle, where: str = DOCUMENT) -> None:
    """Compare the parts of a document with each other.

    Raises:
        FormatError: for the first contradiction.
    """
    for problem in _contradictions(bundle):
        raise _wrong(where, problem)


def _contradictions(bundle: Bundle) -> Iterator[str]:
    yield from _order("images", [image.name for image in bundle.images])
    yield from _order("files", [file.path for file in bundle.files])
    manifests, blobs = bundle.manifests, bundle.blobs
    for image in bundle.images:
        for digest in (image.digest, *image.referrers, *image.tags.values()):
            if digest not in manifests:
                yield f"image {image.name} needs the manifest {digest}, which is not listed"
        top = manifests[image.digest]
        if (top.size, top.media_type) != (image.size, image.media_type):
            yield f"image {image.name} and its manifest {image.digest} differ in size or media type"
    for digest, manifest in manifests.items():
        if digest not in blobs:
            yield f"the manifest {digest} is not among the blobs"
        if blobs[digest].size != manifest.size:
            yield f"the manifest {digest} has two sizes"
        for missing in [child for child in manifest.children if child not in manifests]:
            yield f"the manifest {digest} needs the manifest {missing}, which is not listed"
        for missing in [blob for blob in manifest.blobs if blob not in blobs]:
            yield f"the manifest {digest} needs the blob {missing}, which is not listed"
    for digest, blob in blobs.items():
        if blob.volume > bundle.volumes:
            yield f"the blob {digest} is in volume {blob.volume} of {bundle.volumes}"
    for file in bundle.files:
        if file.volume > bundle.volumes:
            yield f"the file {file.path} is in volume {file.volume} of {bundle.volumes}"
    needed = _reachable(bundle)
    for digest in sorted(set(blobs) - needed):
        yield f"no image needs the blob {digest}"


def _reachable(bundle: Bundle) -> set[str]:
    tops = {d for image in bundle.images for d in (image.digest, *image.referrers, *image.tags.values())}
    waiting, seen, path = list(tops), set(tops), 0
    while path < len(waiting):
        entry = bundle.manifests[waiting[path]]
        path += 1
        seen.update(entry.blobs)
        fresh = [child for child in entry.children if child not in seen]
        seen.update(fresh)
        waiting += fresh
    return seen


def _order(what: str, names: Iterable[str]) -> Iterator[str]:
    names = list(names)
    if names != sorted(set(names)):
        yield f"the {what} are not in order, or one is there twice"


def _parent(read: Reader) -> Parent | None:
    one = read.optional("parent")
    if one is None:
        return None
    return one.done(Parent(one.matching("name", NAME), one.matching("version", VERSION), one.sha256("sha256")))


def read_image(one: Reader) -> Image:
    """Return the image of its JSON data."""
    return one.done(
        Image(
            name=one.text("name"),
            digest=one.digest("digest"),
            media_type=one.text("media_type"),
            size=one.number("size"),
            platforms=one.texts("platforms"),
            bootstrap=one.boolean("bootstrap"),
            referrers=one.digests("referrers"),
            tags=one.tags("tags"),
        )
    )


def read_manifest(one: Reader) -> ManifestEntry:
    """Return the manifest of its JSON data."""
    return one.done(
        ManifestEntry(
            media_type=one.text("media_type"),
            size=one.number("size"),
            children=one.digests("children"),
            blobs=one.digests("blobs"),
            subject=one.digest_or_null("subject"),
        )
    )


def _blob(one: Reader) -> Blob:
    return one.done(Blob(one.number("size"), one.number("volume")))


def read_file(one: Reader, volume: int | None = None) -> File:
    """Return the file of its JSON data; with `volume` they name none."""
    kind = one.text("kind")
    if kind not in KINDS:
        raise one.wrong("kind", f"{ascii(kind)[:60]} is none of {', '.join(KINDS)}")
    return one.done(
        File(
            path=check_path(one, "path", FILES),
            sha256=one.sha256("sha256"),
            size=one.number("size"),
            volume=one.number("volume") if volume is None else volume,
            kind=kind,
            name=one.text("name") if one.has("name") else "",
            version=one.text("version") if one.has("version") else "",
            pythons=one.texts("pythons") if one.has("pythons") else (),
        )
    )


def check_file_path(path: str, where: str) -> str:
    """Return a path below `files/` that is well formed.

    Raises:
        FormatError: otherwise; `where` is said to be its origin.
    """
    return check_path(Reader({"path": path}, where, remedy="Give the file a plain name."), "path", FILES)


def _wrong(where: str, got: str) -> FormatError:
    return FormatError(
        "read the bundle's document",
        where=where,
        got=got,
        remedy="Build the bundle again with homeport.registry.bundle_build, and copy it again.",
    )
