# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A package index and a Galaxy server, both of files on loopback, with packages that are made on the spot."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def wheel(folder: Path, name: str, version: str, tags: str, *needs: str, content: str = "") -> Path:
    """Write a wheel that pip takes."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{version}-{tags}.whl"
    info = f"{name}-{version}.dist-info"
    requirements = "".join(f"Requires-Dist: {need}\n" for need in needs)
    python, abi, platforms = tags.split("-")
    lines = [f"Tag: {python}-{abi}-{platform}\n" for platform in platforms.split(".")]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", content)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requirements}")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n" + "".join(lines))
        archive.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return path


def collection(folder: Path, name: str, version: str, **needs: str) -> Path:
    """Write a collection's tarball as ansible-galaxy builds it; needs are named with two underscores for the dot."""
    folder.mkdir(exist_ok=True)
    namespace, short = name.split(".")
    dependencies = {need.replace("__", "."): wanted for need, wanted in needs.items()}
    files = {
        "README.md": b"A collection.\n",
    }
    listed = [{"name": ".", "ftype": "dir", "chksum_type": None, "chksum_sha256": None, "format": 1}] + [
        {
            "name": path,
            "ftype": "file",
            "chksum_type": "sha256",
            "chksum_sha256": hashlib.sha256(content).hexdigest(),
            "format": 1,
        }
        for path, content in files.items()
    ]
    files["FILES.json"] = json.dumps({"files": listed, "format": 1}).encode()
    info = {
        "namespace": namespace,
        "name": short,
        "version": version,
        "authors": ["nobody"],
        "readme": "README.md",
        "dependencies": dependencies,
    }
    about = {
        "name": "FILES.json",
        "ftype": "file",
        "chksum_type": "sha256",
        "chksum_sha256": hashlib.sha256(files["FILES.json"]).hexdigest(),
        "format": 1,
    }
    document = {"collection_info": info, "file_manifest_file": about, "format": 1}
    files["MANIFEST.json"] = json.dumps(document).encode()
    path = folder / f"{namespace}-{short}-{version}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for inside in ("MANIFEST.json", "FILES.json", "README.md"):
            member = tarfile.TarInfo(inside)
            member.size = len(files[inside])
            archive.addfile(member, io.BytesIO(files[inside]))
    return path


@contextlib.contextmanager
def galaxy(folder: Path) -> Iterator[str]:
    """Serve the collections of a folder by version 3 of Galaxy's API and give its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0].strip("/").split("/")
            body = self.answer_to(path)
            self.send_response(200 if body is not None else 404)
            self.end_headers()
            self.wfile.write(body if isinstance(body, bytes) else json.dumps(body or {}).encode())

        def answer_to(self, path: list[str]) -> object:
            if path == ["api"]:
                return {"available_versions": {"v3": "v3/"}}
            if path[0] == "files":
                return (folder / path[1]).read_bytes()
            if path[:3] != ["api", "v3", "collections"] or len(path) < 5:
                return None
            namespace, name = path[3:5]
            found = {
                one.name.removesuffix(".tar.gz").rpartition("-")[2]: one
                for one in folder.glob(f"{namespace}-{name}-*.tar.gz")
            }
            if len(path) == 6 and found:
                return {"meta": {"count": len(found)}, "links": {"next": None}, "data": [{"version": v} for v in found]}
            if len(path) == 7 and path[6] in found:
                tarball = found[path[6]]
                with tarfile.open(tarball) as archive:
                    manifest = archive.extractfile("MANIFEST.json")
                    assert manifest is not None
                    info = json.load(manifest)["collection_info"]
                return {
                    "namespace": {"name": namespace},
                    "collection": {"name": name},
                    "version": path[6],
                    "download_url": f"{address}/files/{tarball.name}",
                    "artifact": {"sha256": hashlib.sha256(tarball.read_bytes()).hexdigest()},
                    "metadata": {"dependencies": info["dependencies"]},
                    "href": self.path,
                }
            if len(path) == 5 and found:
                return {"namespace": namespace, "name": name, "highest_version": {"version": max(found)}}
            return None

        def log_message(self, *details: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"{address}/api/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
