# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make an image one of two platforms, as images of the internet are.

python -m tests.verify.airgap.platforms URL REPOSITORY TAG ARCHITECTURE
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
import typing as t
import urllib.parse
import urllib.request

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
ACCEPT = f"{INDEX}, {MANIFEST}, application/vnd.docker.distribution.manifest.v2+json"
HERE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


def ask(method: str, url: str, body: bytes | None = None, **headers: str) -> tuple[bytes, t.Any]:
    """Send a request; return the body and the headers of the answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with urllib.request.urlopen(urllib.request.Request(url, body, named, method=method), timeout=60) as answer:
        return answer.read(), answer.headers


def digest_of(content: bytes) -> str:
    """Return the digest of a content."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def push(base: str, content: bytes) -> dict[str, t.Any]:
    """Push a blob and return its descriptor."""
    _body, headers = ask("POST", f"{base}/blobs/uploads/", b"")
    place = urllib.parse.urljoin(base, headers["Location"])
    joint = "&" if "?" in place else "?"
    ask("PUT", f"{place}{joint}digest={digest_of(content)}", content, Content_Type="application/octet-stream")
    return {"mediaType": CONFIG, "digest": digest_of(content), "size": len(content)}


def main(url: str, repository: str, tag: str, architecture: str) -> None:
    """Put an index in the place of a manifest, or of another index."""
    base = f"{url}/v2/{repository}"
    ours, headers = ask("GET", f"{base}/manifests/{tag}", Accept=ACCEPT)
    if headers["Content-Type"] == INDEX:
        first = json.loads(ours)["manifests"][0]["digest"]
        ours, headers = ask("GET", f"{base}/manifests/{first}", Accept=ACCEPT)
    config = push(base, json.dumps({"os": "linux", "architecture": architecture}).encode())
    body = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []}
    other = json.dumps(body).encode()
    ask("PUT", f"{base}/manifests/{digest_of(other)}", other, Content_Type=MANIFEST)
    children = [
        {
            "mediaType": media_type,
            "digest": digest_of(content),
            "size": len(content),
            "platform": {"os": "linux", "architecture": runs_on},
        }
        for content, media_type, runs_on in (
            (ours, headers["Content-Type"], HERE),
            (other, MANIFEST, architecture),
        )
    ]
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": children}, indent=2).encode()
    ask("PUT", f"{base}/manifests/{tag}", index, Content_Type=INDEX)


if __name__ == "__main__":
    main(*sys.argv[1:])
