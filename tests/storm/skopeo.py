# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pusher that lets skopeo push, with skopeo's own ways to find, mount and try again."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import typing as t
from pathlib import Path
from urllib.parse import urlsplit

from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError
from tests.storm.images import Document, Image
from tests.storm.ledger import Claim
from tests.storm.pushing import Pusher
from tests.storm.registry import Account, Address, Refusal

# It waits up to four times for the time that it is told, at each of its own four tries.
SECONDS = 240
_STATUS = re.compile(r"status(?: code)?:? (\d{3})\b", re.IGNORECASE)
_STAMP = re.compile(r'^time="[^"]*" ')
# How skopeo shows the codes of the registry's error documents.
_CODE = re.compile(
    r"\b(unavailable|toomanyrequests|(?:manifest|blob|name|blob upload) (?:blob )?(?:unknown|invalid))\b"
)


class SkopeoError(RegistryError):
    """Skopeo has given up."""

    def __init__(self, tried: str, refusal: Refusal) -> None:
        """Keep what skopeo was told."""
        super().__init__(tried, where="skopeo", got=refusal.message, remedy="Look into the log of the registry.")
        self.refusal = refusal


class SkopeoPusher(Pusher):
    """One client that writes by skopeo; it deletes and takes tags away as the others do."""

    by = "skopeo"

    def __init__(self, *args: t.Any, address: Address, account: Account, folder: Path) -> None:
        """Take the arguments of a Pusher, where the registry is, and an empty folder of its own."""
        super().__init__(*args)
        parts = urlsplit(address.url)
        self.host = parts.netloc
        self.folder = folder
        self.options = ["--all", "--preserve-digests", "--retry-times", "3"]
        self.options.append(f"--dest-tls-verify={'true' if parts.scheme == 'https' else 'false'}")
        if account.name is None:
            self.options.append("--dest-no-creds")
        else:
            word = base64.b64encode(f"{account.name}:{account.password or ''}".encode()).decode()
            secret = folder / "auth.json"
            secret.touch(mode=0o600)
            secret.write_text(json.dumps({"auths": {self.host: {"auth": word}}}), encoding="utf-8")
            self.options += ["--authfile", str(secret)]
        if address.ca:
            (folder / "certificates").mkdir()
            shutil.copy(address.ca, folder / "certificates" / "ca.crt")
            self.options += ["--dest-cert-dir", str(folder / "certificates")]

    def deliver(self, claim: Claim, image: Image, source: str | None) -> None:
        """Push the image; skopeo finds out by itself what to mount from where."""
        layout = self.folder / "image"
        shutil.rmtree(layout, ignore_errors=True)
        write_layout(layout, image)
        tag = claim.name.tag
        self._copy(f"oci:{layout}:{tag}", f"docker://{self.host}/{claim.name.repository}:{tag}")
        # What refers to an image is no image, and is pushed by other tools.
        if claim.recipe.kind == "signed":
            super().deliver(claim, image, source)

    def _copy(self, source: str, target: str) -> None:
        line = ["skopeo", "--insecure-policy", "copy", *self.options, source, target]
        try:
            done = subprocess.run(line, capture_output=True, text=True, timeout=SECONDS, check=False)
            code, said = done.returncode, done.stderr
        except subprocess.TimeoutExpired:
            code, said = 1, f'level=fatal msg="not done after {SECONDS} s"'
        for line_said in said.splitlines():
            if "retrying in" in line_said:
                self.state.count("retried by skopeo itself")
                self.refused(f"push {target}", understand(line_said))
        if code:
            fatal = [one for one in said.splitlines() if "level=fatal" in one]
            raise SkopeoError(f"push {target}", understand(fatal[-1] if fatal else said[-500:]))

    def refusal(self, error: RegistryError) -> Refusal:
        """Return what skopeo was told."""
        return error.refusal if isinstance(error, SkopeoError) else super().refusal(error)


def understand(line: str) -> Refusal:
    """Return what a line of skopeo says about the registry's answer.

    Skopeo shows the status of an answer or the words of its error code, seldom both, and no Retry-After.
    """
    line = _STAMP.sub("", line)
    status = _STATUS.search(line)
    code = _CODE.search(line)
    known = int(status.group(1)) if status else 0
    if code:
        return Refusal(known or -1, (code.group(1).upper().replace(" ", "_"),), line, 0.0)
    return Refusal(known, ("SHOWN_BY_STATUS",) if known in (429, 503) else (), line, 0.0)


def write_layout(folder: Path, image: Image) -> None:
    """Write an image as an OCI layout in which each of its tags is a name."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for content in [*image.blobs.values(), *(manifest.content for manifest in image.manifests)]:
        (blobs / content.digest.partition(":")[2]).write_bytes(content.body)
    named: list[Document] = [
        manifest.content.descriptor(annotations={"org.opencontainers.image.ref.name": manifest.tag})
        for manifest in image.manifests
        if manifest.tag is not None
    ]
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": named}), encoding="utf-8")
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}', encoding="utf-8")
