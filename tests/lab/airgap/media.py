# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bundle with all that a registry is made of, and the delta that comes after it, built by the job of a controller."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import typing as t
from pathlib import Path

import yaml

from tests.lab.controller.job import Controller, Credential
from tests.lab.modules.distribution import Distribution
from tests.verify.airgap import platforms
from tools.paths import ROOT

# No node has images of this host.
HOST = "images.homeport.test"
HELD = {
    "registry:3": "homeport.lab/registry:3",
    "gate:1": "homeport.lab/gate:1",
    "engine:3": "homeport.lab/engine:3",
    "app:1": "registry.k8s.io/pause:3.10.2",
}
PRODUCT = {f"registry_{role}image": f"{HOST}/{name}" for role, name in zip(("", "gate_", "engine_"), HELD)}
APP = f"{HOST}/app:1"


@dataclasses.dataclass(frozen=True)
class Bundle:
    """A bundle on the way. folder: of its volumes. built: what the job has left to the next."""

    folder: Path
    built: dict[str, t.Any]

    def digests(self) -> dict[str, str]:
        """Return the images with their digests."""
        lock = json.loads(Path(self.built["homeport_airgap_build"]["lock"]).read_text("utf-8"))
        return {one["name"]: one["digest"] for one in lock["images"]}


class Media:
    """Two bundles. The second is a delta: it brings another app, and one that is new."""

    def __init__(self, folder: Path) -> None:
        """Build both out of a registry that is gone afterwards."""
        self.folder = folder
        key = folder / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "builder", "-f", str(key)], check=True)
        self.public = key.with_suffix(".pub").read_text("utf-8").strip()
        source = Distribution(str(ROOT / ".lab/bin/registry"), folder / "source", store=folder / "store")
        source.start()
        try:
            signing = Credential(
                "homeport_bundle_key", key=key.read_text("utf-8"), passphrase="", public_key=self.public
            )
            self._builder = Controller(folder / "jobs", {}, signing)
            self._builder.variables = {
                "registry_bundle_cache": str(folder / "cache"),
                "registry_bundle_sources": [{"host": HOST, "url": source.url}],
            }
            for name, image in HELD.items():
                self._copy(image, f"{source.url.partition('://')[2]}/{name}")
            # As images of the internet are: of several platforms, of which one is brought.
            platforms.main(source.url, "app", "1", "s390x")
            self.first = self._build("1", *HELD)
            platforms.main(source.url, "app", "1", "ppc64le")
            self._copy(HELD["app:1"], f"{source.url.partition('://')[2]}/newcomer:1")
            (volume,) = self.first.folder.glob("*.tar")
            self._builder.variables["registry_bundle_parent"] = str(volume)
            self.second = self._build("2", *HELD, "newcomer:1")
        finally:
            source.stop()

    def _copy(self, image: str, target: str) -> None:
        daemon = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
        line = ["skopeo", "copy", "--quiet", "--dest-tls-verify=false", f"--src-daemon-host={daemon}"]
        subprocess.run([*line, f"docker-daemon:{image}", f"docker://{target}"], check=True)

    def _build(self, version: str, *names: str) -> Bundle:
        folder = self.folder / version
        folder.mkdir()
        images = [
            {"name": f"{HOST}/{name}", "bootstrap": True} if f"{HOST}/{name}" in PRODUCT.values() else f"{HOST}/{name}"
            for name in names
        ]
        wish = {"name": "site", "version": version, "platforms": [f"linux/{platforms.HERE}"], "images": images}
        (folder / "bundle.yml").write_text(yaml.safe_dump(wish), encoding="utf-8")
        answers = {"registry_bundle_wish": str(folder / "bundle.yml"), "registry_bundle_dest": str(folder / "volumes")}
        job = self._builder.launch("homeport_airgap_build", survey=answers)
        assert job.status == "successful", job.output
        return Bundle(folder / "volumes", job.artifacts)
