# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Archives as bundles are: OCI image layouts that name each image in full, and indexes that lack some children."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import platform
import tarfile
import typing as t
from pathlib import Path

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
HERE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
ELSEWHERE = "s390x"


def digest_of(content: bytes) -> str:
    """Return the digest of a content."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Archive:
    """An archive in the making."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.blobs: dict[str, bytes] = {}
        self.named: list[dict[str, t.Any]] = []

    def add(self, name: str, text: str, *, architecture: str = HERE, sparse: bool = True) -> dict[str, str]:
        """Add an image with a file that holds a text; return its name and digest.

        Args:
            name: in full.
            text: for the file.
            architecture: of the image.
            sparse: whether it is an index of two platforms that lacks the other one.
        """
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            self._put(tar, "text", text.encode())
        layer = gzip.compress(packed.getvalue(), mtime=0)
        config = {
            "architecture": architecture,
            "os": "linux",
            "config": {"Entrypoint": ["/text"]},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(packed.getvalue())]},
        }
        descriptors = [self._blob(json.dumps(config).encode(), CONFIG), self._blob(layer, LAYER)]
        body = {"schemaVersion": 2, "mediaType": MANIFEST, "config": descriptors[0], "layers": descriptors[1:]}
        top = self._blob(json.dumps(body).encode(), MANIFEST)
        if sparse:
            absent = {"mediaType": MANIFEST, "digest": digest_of(b"elsewhere"), "size": 9}
            children = [
                {**absent, "platform": {"os": "linux", "architecture": ELSEWHERE}},
                {**top, "platform": {"os": "linux", "architecture": architecture}},
            ]
            index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": children}
            top = self._blob(json.dumps(index, indent=3).encode(), INDEX)
        names = {"org.opencontainers.image.ref.name": name, "io.containerd.image.name": name}
        self.named.append({**top, "annotations": names})
        return {"name": name, "digest": top["digest"]}

    def write(self, path: Path) -> str:
        """Write it; return the path."""
        with tarfile.open(path, "w") as tar:
            self._put(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
            index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": self.named}
            self._put(tar, "index.json", json.dumps(index).encode())
            for digest, content in sorted(self.blobs.items()):
                self._put(tar, f"blobs/{digest.replace(':', '/')}", content)
        return str(path)

    def _blob(self, content: bytes, media_type: str) -> dict[str, t.Any]:
        self.blobs[digest_of(content)] = content
        return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}

    def _put(self, tar: tarfile.TarFile, name: str, content: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(content), 0o755
        tar.addfile(member, io.BytesIO(content))
