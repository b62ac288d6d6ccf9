# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A writer of bundles that shares no code with the collection's: the format, spelt out a second time.

Only the signature is made by the collection; its tests compare that with OpenSSH.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import tarfile
import typing as t
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from ansible_collections.homeport.registry.plugins.module_utils import _bundle_sshsig as sshsig

OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker.distribution."
TYPES = {
    ("oci", "manifest"): OCI + "manifest.v1+json",
    ("oci", "index"): OCI + "index.v1+json",
    ("docker", "manifest"): DOCKER + "manifest.v2+json",
    ("docker", "index"): DOCKER + "manifest.list.v2+json",
}
CONFIG = {"oci": OCI + "config.v1+json", "docker": "application/vnd.docker.container.image.v1+json"}
LAYER = {"oci": OCI + "layer.v1.tar+gzip", "docker": "application/vnd.docker.image.rootfs.diff.tar.gzip"}


class Key:
    """A key of whoever builds."""

    def __init__(self) -> None:
        key = Ed25519PrivateKey.generate()
        self.private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        self.public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def canonical(document: t.Any) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


@dataclasses.dataclass
class Writer:
    """Collects images and files, then writes the volumes.

    `sizes` and `places` are by digest; a place is the volume, 1 unless set by `volume`. A content may be a path.
    """

    name: str = "platform"
    version: str = "1"
    volume: int = 1
    volumes: int = 1
    parent: dict[str, str] | None = None
    contents: dict[str, bytes | Path] = dataclasses.field(default_factory=dict)
    sizes: dict[str, int] = dataclasses.field(default_factory=dict)
    places: dict[str, int] = dataclasses.field(default_factory=dict)
    manifests: dict[str, dict[str, t.Any]] = dataclasses.field(default_factory=dict)
    images: dict[str, dict[str, t.Any]] = dataclasses.field(default_factory=dict)
    files: dict[str, dict[str, t.Any]] = dataclasses.field(default_factory=dict)

    def blob(self, content: bytes | Path) -> dict[str, t.Any]:
        """Add a content and return its descriptor without a type."""
        if isinstance(content, Path):
            with content.open("rb") as stream:
                digest, size = "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest(), content.stat().st_size
        else:
            digest, size = digest_of(content), len(content)
        self.contents[digest], self.sizes[digest] = content, size
        self.places.setdefault(digest, self.volume)
        return {"digest": digest, "size": size}

    def manifest(
        self,
        *layers: bytes | Path,
        kind: str = "oci",
        config: bytes | None = None,
        indent: int | None = None,
        **more: t.Any,
    ) -> str:
        """Add a manifest with its configuration and layers; the indent changes its bytes only."""
        if config is None:
            config = json.dumps({"os": "linux", "architecture": "amd64", "number": len(self.manifests)}).encode()
        document: dict[str, t.Any] = {
            "schemaVersion": 2,
            "mediaType": TYPES[kind, "manifest"],
            "config": {"mediaType": CONFIG[kind], **self.blob(config)},
            "layers": [{"mediaType": LAYER[kind], **self.blob(layer)} for layer in layers],
            **more,
        }
        blobs = [one["digest"] for one in [document["config"], *document["layers"]]]
        subject = (more.get("subject") or {}).get("digest")
        return self._manifest(document, indent, [], list(dict.fromkeys(blobs)), subject)

    def index(self, *children: str, kind: str = "oci", absent: int = 0, subject: str | None = None) -> str:
        """Add an index of manifests and of as many others that are not kept."""
        entries = [self.descriptor(child) for child in children]
        for number, entry in enumerate(entries):
            entry["platform"] = {"os": "linux", "architecture": ("amd64", "arm64", "s390x")[number % 3]}
        for number in range(absent):
            lost = digest_of(f"absent {number}".encode())
            platform = {"os": "linux", "architecture": ("ppc64le", "riscv64")[number % 2]}
            entries.append({"mediaType": TYPES[kind, "manifest"], "digest": lost, "size": 999, "platform": platform})
        document: dict[str, t.Any] = {"schemaVersion": 2, "mediaType": TYPES[kind, "index"], "manifests": entries}
        return self._manifest(document, None, list(children), [], subject)

    def descriptor(self, digest: str) -> dict[str, t.Any]:
        entry = self.manifests[digest]
        return {"mediaType": entry["media_type"], "digest": digest, "size": entry["size"]}

    def referrer(self, subject: str, content: bytes = b"signature") -> str:
        """Add a manifest that belongs to another one."""
        return self.manifest(
            content, config=b"{}", subject=self.descriptor(subject), artifactType="application/vnd.example.signature"
        )

    def image(
        self, name: str, digest: str, *, referrers: t.Sequence[str] = (), tags: dict[str, str] | None = None
    ) -> None:
        """Give a manifest or index a name."""
        self.images[name] = {
            "name": name,
            "digest": digest,
            "media_type": self.manifests[digest]["media_type"],
            "size": self.manifests[digest]["size"],
            "platforms": ["linux/amd64"],
            "bootstrap": False,
            "referrers": list(referrers),
            "tags": tags or {},
        }

    def file(self, path: str, content: bytes) -> None:
        """Add a file."""
        self.contents[path] = content
        self.files[path] = {
            "path": path,
            "sha256": digest_of(content)[7:],
            "size": len(content),
            "volume": self.volume,
            "kind": "file",
        }

    def document(self) -> bytes:
        """Return bundle.json."""
        blobs = {digest: {"size": size, "volume": self.places[digest]} for digest, size in self.sizes.items()}
        return canonical(
            {
                "schema": "homeport.bundle/v1",
                "name": self.name,
                "version": self.version,
                "lock_sha256": "0" * 64,
                "parent": self.parent,
                "images": [self.images[name] for name in sorted(self.images)],
                "manifests": self.manifests,
                "blobs": blobs,
                "files": [self.files[path] for path in sorted(self.files)],
                "volumes": self.volumes,
            }
        )

    def write(self, folder: Path, key: Key | None) -> list[Path]:
        """Write all volumes and return their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        document = self.document()
        paths = []
        for number in range(1, self.volumes + 1):
            part = f".vol{number:02}" if self.volumes > 1 else ""
            path = folder / f"bundle-{self.name}-{self.version}{part}.tar"
            with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
                add(tar, "bundle.json", document)
                if key:
                    add(tar, "bundle.json.sig", sshsig.sign(document, key.private).encode())
                add(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
                add(tar, "index.json", self._index(number))
                for digest in sorted(self.sizes):
                    if self.places[digest] == number:
                        add(tar, f"blobs/sha256/{digest[7:]}", self.contents[digest])
                for name in sorted(self.files):
                    if self.files[name]["volume"] == number:
                        add(tar, name, self.contents[name])
            paths.append(path)
        return paths

    def _manifest(
        self,
        document: dict[str, t.Any],
        indent: int | None,
        children: list[str],
        blobs: list[str],
        subject: str | None,
    ) -> str:
        body = json.dumps(document, indent=indent).encode()
        found = self.blob(body)
        self.manifests[found["digest"]] = {
            "media_type": document["mediaType"],
            "size": found["size"],
            "children": children,
            "blobs": blobs,
            "subject": subject,
        }
        return found["digest"]

    def _index(self, number: int) -> bytes:
        entries, others = [], set()
        for name in sorted(self.images):
            image = self.images[name]
            if self.places[image["digest"]] == number:
                keys = ("org.opencontainers.image.ref.name", "io.containerd.image.name")
                entries.append(self.descriptor(image["digest"]) | {"annotations": dict.fromkeys(keys, name)})
            others.update([*image["referrers"], *image["tags"].values()])
        others -= {image["digest"] for image in self.images.values()}
        entries += [self.descriptor(digest) for digest in sorted(others) if self.places[digest] == number]
        return canonical({"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": entries})


def add(tar: tarfile.TarFile, name: str, content: bytes | Path) -> None:
    """Add a plain file without time and owner."""
    member = tarfile.TarInfo(name)
    member.size = content.stat().st_size if isinstance(content, Path) else len(content)
    with content.open("rb") if isinstance(content, Path) else io.BytesIO(content) as stream:
        tar.addfile(member, stream)


def offset_of(path: Path, name: str) -> tuple[int, int]:
    """Return where the content of a member lies in a tar, and its size."""
    with tarfile.open(path) as tar:
        member = tar.getmember(name)
        return member.offset_data, member.size


def flip(path: Path, offset: int, mask: int = 1) -> None:
    """Flip a bit."""
    with path.open("r+b") as stream:
        stream.seek(offset)
        (byte,) = stream.read(1)
        stream.seek(offset)
        stream.write(bytes([byte ^ mask]))
