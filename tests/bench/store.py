# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the store of a registry to disk at once, which takes seconds where pushing would take minutes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def write_store(
    root: Path, repositories: int, tags: int, *, layers: int = 0, deleted: int = 0
) -> list[tuple[str, str]]:
    """Write repositories with as many tags each, all on images of their own that share a layer per repository.

    With `layers`, each image has so many of its own and a config of its own instead. With `deleted`, every so many-th
    image was deleted by its digest: its blobs are there, its tag and its revision are not.
    Returns the repository and the tag of each that is there, in the order of writing.
    """
    base = root / "docker" / "registry" / "v2"
    config = _blob(base, b"{}")
    written = []
    for number in range(repositories):
        name = f"team{number % 20:02}/app{number:03}"
        home = base / "repositories" / name
        layer = _blob(base, f"layer {number}".encode())
        for content in (config, layer):
            _link(home / "_layers" / "sha256" / content["digest"][7:], content["digest"])
        for version in range(tags):
            tag = f"v1.{version}"
            parts = [layer]
            if layers:
                own = f"{number} {version}"
                parts = [_blob(base, f"layer {own} {part}".encode() * 64) for part in range(layers)]
                config = _blob(base, json.dumps({"own": own}).encode())
                for content in (config, *parts):
                    _link(home / "_layers" / "sha256" / content["digest"][7:], content["digest"])
            document = {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": config | {"mediaType": "application/vnd.oci.image.config.v1+json"},
                "layers": [part | {"mediaType": "application/vnd.oci.image.layer.v1.tar"} for part in parts],
                "annotations": {"number": f"{number} {version}"},
            }
            digest = _blob(base, json.dumps(document).encode())["digest"]
            if deleted and (number * tags + version + 1) % deleted == 0:
                continue
            manifests = home / "_manifests"
            _link(manifests / "revisions" / "sha256" / digest[7:], digest)
            _link(manifests / "tags" / tag / "current", digest)
            _link(manifests / "tags" / tag / "index" / "sha256" / digest[7:], digest)
            written.append((name, tag))
    return written


def _blob(base: Path, content: bytes) -> dict[str, Any]:
    value = hashlib.sha256(content).hexdigest()
    folder = base / "blobs" / "sha256" / value[:2] / value
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data").write_bytes(content)
    return {"digest": f"sha256:{value}", "size": len(content)}


def _link(folder: Path, digest: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "link").write_text(digest, encoding="utf-8")
