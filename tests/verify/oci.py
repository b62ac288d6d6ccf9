# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""OCI layouts made of nothing but a seed: the same seed gives the same digests in every process."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import random
import tarfile
import typing as t

LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
EPOCH = "1970-01-01T00:00:00Z"

Descriptor = dict[str, t.Any]


def _digest(body: bytes) -> str:
    return "sha256:" + hashlib.sha256(body).hexdigest()


@dataclasses.dataclass(frozen=True)
class Layout:
    """An OCI layout with one tagged manifest.

    digest: of the tagged manifest or index. sizes: of every blob in it, by digest. archive: the layout as a plain tar.
    """

    tag: str
    digest: str
    media_type: str
    sizes: dict[str, int]
    archive: bytes = dataclasses.field(repr=False)

    @property
    def digests(self) -> frozenset[str]:
        """Return the digests of all blobs."""
        return frozenset(self.sizes)


class _Builder:
    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}

    def add(self, body: bytes, media_type: str, **fields: t.Any) -> Descriptor:
        """Keep a blob and return its descriptor."""
        digest = _digest(body)
        self.blobs[digest] = body
        return {"mediaType": media_type, "digest": digest, "size": len(body), **fields}

    def document(self, content: dict[str, t.Any], media_type: str, **fields: t.Any) -> Descriptor:
        """Keep a JSON document and return its descriptor."""
        return self.add(json.dumps(content, sort_keys=True).encode(), media_type, **fields)

    def layout(self, top: Descriptor, tag: str) -> Layout:
        """Return the layout whose index names this manifest."""
        named = {**top, "annotations": {"org.opencontainers.image.ref.name": tag}}
        files = {f"blobs/sha256/{digest.split(':')[1]}": body for digest, body in self.blobs.items()}
        files["oci-layout"] = b'{"imageLayoutVersion":"1.0.0"}'
        files["index.json"] = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [named]}).encode()
        return Layout(
            tag,
            top["digest"],
            top["mediaType"],
            {digest: len(body) for digest, body in self.blobs.items()},
            _tar(files),
        )


def _tar(files: dict[str, bytes], mode: int = 0o644) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, body in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(body), mode
            tar.addfile(member, io.BytesIO(body))
    return archive.getvalue()


def _image(builder: _Builder, seed: str, architecture: str, layers: int, size: int) -> Descriptor:
    described: list[Descriptor] = []
    identities: list[str] = []
    for number in range(layers):
        body = _tar({f"layer-{number}": random.Random(f"{seed} {architecture} {number}").randbytes(size)})
        identities.append(_digest(body))
        described.append(builder.add(gzip.compress(body, compresslevel=1, mtime=0), LAYER))
    config = {
        "architecture": architecture,
        "os": "linux",
        "created": EPOCH,
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": identities},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": builder.document(config, CONFIG),
        "layers": described,
    }
    return builder.document(manifest, MANIFEST, platform={"architecture": architecture, "os": "linux"})


def image(seed: str, *, tag: str = "1", layers: int = 3, size: int = 32768) -> Layout:
    """Return an image of so many layers of so many incompressible bytes."""
    builder = _Builder()
    top = _image(builder, seed, "amd64", layers, size)
    return builder.layout({key: value for key, value in top.items() if key != "platform"}, tag)


def index(seed: str, *, architectures: tuple[str, ...] = ("amd64", "arm64", "s390x"), tag: str = "1") -> Layout:
    """Return an index of one image for each architecture."""
    builder = _Builder()
    children = [_image(builder, seed, architecture, 2, 16384) for architecture in architectures]
    return builder.layout(builder.document({"schemaVersion": 2, "mediaType": INDEX, "manifests": children}, INDEX), tag)


def artifact(seed: str, *, tag: str = "1") -> Layout:
    """Return an artifact that is no image: its own artifact type, config type and layer type."""
    builder = _Builder()
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": "application/vnd.homeport.test.artifact.v1",
        "config": builder.document({"seed": seed}, "application/vnd.homeport.test.config.v1+json"),
        "layers": [
            builder.add(
                random.Random(seed).randbytes(4096),
                "application/vnd.homeport.test.payload",
                annotations={"org.opencontainers.image.title": "payload.bin"},
            )
        ],
        "annotations": {"org.opencontainers.image.created": EPOCH},
    }
    return builder.layout(builder.document(manifest, MANIFEST), tag)


def program_image(program: bytes, architecture: str, *, tag: str = "1") -> Layout:
    """Return an image of one program, which it runs."""
    builder = _Builder()
    body = _tar({"program": program}, mode=0o755)
    config = {
        "architecture": architecture,
        "os": "linux",
        "created": EPOCH,
        "config": {"Entrypoint": ["/program"]},
        "rootfs": {"type": "layers", "diff_ids": [_digest(body)]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": builder.document(config, CONFIG),
        "layers": [builder.add(gzip.compress(body, compresslevel=1, mtime=0), LAYER)],
    }
    return builder.layout(builder.document(manifest, MANIFEST), tag)
