# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small bundle that has something of everything."""

from __future__ import annotations

import copy
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils import _bundle_format as fmt
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import OCI_INDEX, OCI_MANIFEST


def digest(letter: str) -> str:
    return f"sha256:{letter * 64}"


INDEX, CHILD, CONFIG, LAYER, SBOM, SIGNATURE = map(digest, "abcdef")
NAME = "docker.io/library/nginx:1.27"

_DOCUMENT: dict[str, t.Any] = {
    "schema": fmt.SCHEMA,
    "name": "shop",
    "version": "2026.11",
    "lock_sha256": "0" * 64,
    "parent": {"name": "shop", "version": "2026.10", "sha256": "1" * 64},
    "images": [
        {
            "name": NAME,
            "digest": INDEX,
            "media_type": OCI_INDEX,
            "size": 300,
            "platforms": ["linux/amd64"],
            "bootstrap": False,
            "referrers": [SBOM],
            "tags": {f"sha256-{'a' * 64}.sig": SIGNATURE},
        }
    ],
    "manifests": {
        INDEX: {"media_type": OCI_INDEX, "size": 300, "children": [CHILD], "blobs": [], "subject": None},
        CHILD: {"media_type": OCI_MANIFEST, "size": 200, "children": [], "blobs": [CONFIG, LAYER], "subject": None},
        SBOM: {"media_type": OCI_MANIFEST, "size": 100, "children": [], "blobs": [CONFIG], "subject": CHILD},
        SIGNATURE: {"media_type": OCI_MANIFEST, "size": 100, "children": [], "blobs": [CONFIG], "subject": None},
    },
    "blobs": {
        INDEX: {"size": 300, "volume": 1},
        CHILD: {"size": 200, "volume": 1},
        SBOM: {"size": 100, "volume": 1},
        SIGNATURE: {"size": 100, "volume": 2},
        CONFIG: {"size": 2, "volume": 0},
        LAYER: {"size": 5000, "volume": 2},
    },
    "files": [
        {
            "path": "files/wheels/demo-1-py3-none-any.whl",
            "sha256": "2" * 64,
            "size": 40,
            "volume": 1,
            "kind": "wheel",
            "name": "demo",
            "version": "1",
            "pythons": ["3.11", "3.12"],
        }
    ],
    "volumes": 2,
}


def document() -> dict[str, t.Any]:
    """Return a new copy of the document, to be changed."""
    return copy.deepcopy(_DOCUMENT)


def bundle() -> fmt.Bundle:
    return fmt.parse(fmt.canonical(document()))
