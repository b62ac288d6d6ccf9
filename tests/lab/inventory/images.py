# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A registry with images in it, and hands that break its store on the disk."""

from __future__ import annotations

import dataclasses
import json
import typing as t
from pathlib import Path

from ansible_collections.homeport.registry.plugins.module_utils import _registry_client as client
from ansible_collections.homeport.registry.plugins.module_utils import _registry_upload as upload
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    digest_of,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session

CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


@dataclasses.dataclass(frozen=True)
class Pushed:
    """What was stored: a manifest and its descriptor."""

    digest: str
    size: int
    media_type: str

    def descriptor(self) -> dict[str, t.Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


class Pusher:
    """Pushes images as clients do."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def blob(self, repository: str, content: bytes, media_type: str = LAYER) -> dict[str, t.Any]:
        digest = digest_of(content)
        upload.push_blob(self.session, repository, digest, upload.bytes_body(content))
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def image(
        self,
        repository: str,
        tag: str | None,
        *layers: bytes,
        docker: bool = False,
        config: bytes = b"{}",
        **more: t.Any,
    ) -> Pushed:
        """Push an image; without a tag by its digest."""
        media_type = DOCKER_MANIFEST if docker else OCI_MANIFEST
        document = {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": self.blob(repository, config, CONFIG),
            "layers": [self.blob(repository, layer) for layer in layers],
            **more,
        }
        return self.manifest(repository, tag, document)

    def index(self, repository: str, tag: str | None, *children: Pushed, docker: bool = False, **more: t.Any) -> Pushed:
        media_type = DOCKER_LIST if docker else OCI_INDEX
        manifests = [
            child.descriptor() | {"platform": {"architecture": f"a{number}", "os": "linux"}}
            for number, child in enumerate(children)
        ]
        document = {"schemaVersion": 2, "mediaType": media_type, "manifests": manifests, **more}
        return self.manifest(repository, tag, document)

    def manifest(self, repository: str, tag: str | None, document: dict[str, t.Any]) -> Pushed:
        body = json.dumps(document).encode()
        media_type = document["mediaType"]
        digest = client.put_manifest(self.session, repository, tag or digest_of(body), body, media_type)
        return Pushed(digest, len(body), media_type)


class Store:
    """Paths below the root of a store on the disk."""

    def __init__(self, root: Path) -> None:
        self._base = root / "docker/registry/v2"

    def blob(self, digest: str) -> Path:
        algorithm, _colon, value = digest.partition(":")
        return self._base / "blobs" / algorithm / value[:2] / value / "data"

    def tag_link(self, repository: str, tag: str) -> Path:
        return self._base / "repositories" / repository / "_manifests/tags" / tag / "current/link"

    def revision_link(self, repository: str, digest: str) -> Path:
        algorithm, _colon, value = digest.partition(":")
        return self._base / "repositories" / repository / "_manifests/revisions" / algorithm / value / "link"

    def layer_link(self, repository: str, digest: str) -> Path:
        algorithm, _colon, value = digest.partition(":")
        return self._base / "repositories" / repository / "_layers" / algorithm / value / "link"

    def repository(self, name: str) -> Path:
        return self._base / "repositories" / name
