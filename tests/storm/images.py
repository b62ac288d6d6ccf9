# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images made of nothing but a recipe: the same recipe gives the same bytes in every process and at every time."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils._registry_names import OCI_INDEX, OCI_MANIFEST

CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
EMPTY = "application/vnd.oci.empty.v1+json"
STATEMENT = "application/vnd.in-toto+json"
SIGNATURE = "application/vnd.dev.cosign.simplesigning.v1+json"
SBOM = "application/spdx+json"
# One image for one platform; an index with an attestation; an image with a signature and a referrer beside it.
KINDS = ("plain", "index", "signed")
# Images of one repository stand on one of so many base layers, as those of a team do.
BASES = 4

Document = dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What an image is made of: its kind, what makes it differ from others, its base, and its layers' size in bytes."""

    kind: str
    seed: str
    base: int
    size: int

    def document(self) -> Document:
        """Return plain JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_document(cls, document: Document) -> Recipe:
        """Return the recipe that `document` wrote."""
        return cls(str(document["kind"]), str(document["seed"]), int(document["base"]), int(document["size"]))


@dataclasses.dataclass(frozen=True)
class Content:
    """A blob or a manifest: its bytes and what they are."""

    media_type: str
    body: bytes = dataclasses.field(repr=False)

    @property
    def digest(self) -> str:
        """Return the digest of the bytes."""
        return "sha256:" + hashlib.sha256(self.body).hexdigest()

    def descriptor(self, **fields: t.Any) -> Document:
        """Return what a manifest says of it."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.body), **fields}


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A manifest or index with the contents that it names; without a tag it is pushed by its digest."""

    content: Content
    blobs: tuple[Content, ...]
    tag: str | None = None


@dataclasses.dataclass(frozen=True)
class Image:
    """Manifests in the order in which they have to be pushed, children first; `top` is what people call the image."""

    manifests: tuple[Manifest, ...]
    top: Manifest

    @property
    def blobs(self) -> dict[str, Content]:
        """Return every config and layer by its digest."""
        return {blob.digest: blob for manifest in self.manifests for blob in manifest.blobs}

    @property
    def tags(self) -> dict[str, str]:
        """Return the digest of every tag."""
        return {m.tag: m.content.digest for m in self.manifests if m.tag is not None}


def _json(document: Document, media_type: str) -> Content:
    return Content(media_type, json.dumps(document, sort_keys=True).encode())


def _bytes(seed: str, size: int, media_type: str = LAYER) -> Content:
    return Content(media_type, random.Random(seed).randbytes(size))


def _manifest(
    config: Content, layers: t.Sequence[Content], tag: str | None = None, subject: Content | None = None
) -> Manifest:
    document: Document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config.descriptor(),
        "layers": [layer.descriptor() for layer in layers],
    }
    if subject is not None:
        document["subject"] = subject.descriptor()
    return Manifest(_json(document, OCI_MANIFEST), (config, *layers), tag)


def _platform(recipe: Recipe, architecture: str, tag: str | None = None) -> Manifest:
    generator = random.Random(f"sizes {recipe}")
    layers = [_bytes(f"base {recipe.base} {recipe.size}", recipe.size)]
    layers += [
        _bytes(f"{recipe.seed} {architecture} {n}", generator.randrange(1, recipe.size + 1))
        for n in range(generator.randrange(1, 3))
    ]
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
        "history": [{"comment": recipe.seed}],
    }
    return _manifest(_json(config, CONFIG), layers, tag)


def _index(children: t.Sequence[Document], tag: str) -> Manifest:
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(children)}
    return Manifest(_json(document, OCI_INDEX), (), tag)


def build(recipe: Recipe, tag: str) -> Image:
    """Return the image of a recipe, to be known by a tag."""
    if recipe.kind == "plain":
        only = _platform(recipe, "amd64", tag)
        return Image((only,), only)
    if recipe.kind == "index":
        return _multi_platform(recipe, tag)
    if recipe.kind == "signed":
        return _signed(recipe, tag)
    raise ValueError(f"no kind of image is called {recipe.kind}")


def _multi_platform(recipe: Recipe, tag: str) -> Image:
    """Return two platforms and what a build tool attests of the first, which has no tag and no platform either."""
    platforms = {name: _platform(recipe, name) for name in ("amd64", "arm64")}
    attested = platforms["amd64"].content.digest
    attestation = _manifest(
        _json({"architecture": "unknown", "os": "unknown", "history": [{"comment": recipe.seed}]}, CONFIG),
        [_json({"predicateType": "https://slsa.example/provenance", "seed": recipe.seed}, STATEMENT)],
    )
    children = [
        platforms[name].content.descriptor(platform={"architecture": name, "os": "linux"}) for name in platforms
    ]
    children.append(
        attestation.content.descriptor(
            platform={"architecture": "unknown", "os": "unknown"},
            annotations={
                "vnd.docker.reference.type": "attestation-manifest",
                "vnd.docker.reference.digest": attested,
            },
        )
    )
    top = _index(children, tag)
    return Image((*platforms.values(), attestation, top), top)


def _signed(recipe: Recipe, tag: str) -> Image:
    """Return an image, a signature under cosign's tag, and a referrer that only OCI 1.1's fallback tag leads to."""
    top = _platform(recipe, "amd64", tag)
    name = top.content.digest.replace(":", "-")
    signature = _manifest(
        _json({"signature of": recipe.seed}, CONFIG),
        [_json({"critical": {"image": {"docker-manifest-digest": top.content.digest}}}, SIGNATURE)],
        f"{name}.sig",
    )
    bill = _json({"spdxVersion": "SPDX-2.3", "name": recipe.seed}, SBOM)
    referrer = _manifest(Content(EMPTY, b"{}"), [bill], subject=top.content)
    referrers = _index([referrer.content.descriptor(artifactType=SBOM)], name)
    return Image((top, signature, referrer, referrers), top)
