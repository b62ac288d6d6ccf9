# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images as build tools and signers push them."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from tests.lab.inventory.images import Pushed, Pusher

CONFIG = "application/vnd.oci.image.config.v1+json"
PLATFORMS = ("linux/amd64", "linux/arm64", "linux/arm/v7")


class Stock(Pusher):
    """Pushes whole images. Contents follow from names, so that the same call makes the same image."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.base = b"a layer that all images share " * 1000

    def plain(
        self, repository: str, tag: str | None, platform: str = "linux/amd64", *layers: bytes, **more: t.Any
    ) -> Pushed:
        """Push an image for one platform."""
        system, machine, *variant = platform.split("/")
        config = {"os": system, "architecture": machine} | ({"variant": variant[0]} if variant else {})
        own = f"{repository} for {platform} ".encode() * 100
        return self.image(repository, tag, self.base, *(layers or (own,)), config=json.dumps(config).encode(), **more)

    def multi(
        self, repository: str, tag: str, *, docker: bool = False, attested: bool = False, extra: bytes = b""
    ) -> tuple[Pushed, dict[str, Pushed]]:
        """Push an index, or a Docker list, and its images by platform; with attestations as BuildKit adds them."""
        children, entries = {}, []
        for platform in PLATFORMS:
            system, machine, *variant = platform.split("/")
            layers = (f"{repository} for {platform} ".encode() * 100 + extra,)
            child = self.plain(repository, None, platform, *layers, docker=docker)
            children[platform] = child
            named = {"os": system, "architecture": machine} | ({"variant": variant[0]} if variant else {})
            entries.append(child.descriptor() | {"platform": named})
        for platform in PLATFORMS if attested else ():
            about = children[platform].digest
            proof = self.image(repository, None, f"attestation of {about}".encode(), config=b'{"x":1}')
            entries.append(
                proof.descriptor()
                | {
                    "platform": {"os": "unknown", "architecture": "unknown"},
                    "annotations": {
                        "vnd.docker.reference.digest": about,
                        "vnd.docker.reference.type": "attestation-manifest",
                    },
                }
            )
            children[f"{platform} attested"] = proof
        media_type = (
            "application/vnd.docker.distribution.manifest.list.v2+json"
            if docker
            else "application/vnd.oci.image.index.v1+json"
        )
        # Spaces and order as no other program would write them: digests must survive.
        document = {"manifests": entries, "schemaVersion": 2, "mediaType": media_type}
        return self.manifest(repository, tag, document), children

    def referrer(self, repository: str, subject: Pushed, kind: str = "sbom") -> Pushed:
        """Push something that refers to a manifest, and list it in the fallback tag."""
        made = self.image(
            repository,
            None,
            f"{kind} of {subject.digest}".encode(),
            config=b"{}",
            artifactType=f"application/vnd.example.{kind}",
            subject=subject.descriptor(),
        )
        self.index(repository, subject.digest.replace(":", "-"), made)
        return made

    def signature(self, repository: str, subject: Pushed, suffix: str = ".sig") -> Pushed:
        """Push a signature as cosign does, under a tag that is named after the manifest."""
        tag = subject.digest.replace(":", "-") + suffix
        return self.image(repository, tag, f"{suffix} of {subject.digest}".encode(), config=b'{"cosign":1}')
