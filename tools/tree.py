# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the collection's tarball and install it, so that gates and tests see what users get.

python -m tools.tree                    build and install, print the tree
python -m tools.tree run CMD ...        become CMD with the installed collection first in every path
python -m tools.tree manifest           write the tarball's file list to where it is committed
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from tools.paths import ROOT, cache_dir, project_files

MANIFEST = ROOT / ".config" / "manifest.txt"
KEEP_SECONDS = 2 * 24 * 3600


@dataclasses.dataclass(frozen=True)
class Tree:
    """One built and installed state of the collection."""

    base: Path
    tarball: Path

    @property
    def key(self) -> str:
        """The hash of the tarball's content."""
        return self.base.name.removeprefix("tree-")

    @property
    def collection(self) -> Path:
        """The collection as ansible-galaxy installed it."""
        return self.base / "ansible_collections" / "homeport" / "registry"

    @property
    def sanity(self) -> Path:
        """A copy of it under git, which ansible-test insists on."""
        return self.base / "sanity" / "ansible_collections" / "homeport" / "registry"


def build(folder: Path) -> Path:
    """Build the tarball from the project's own files into the folder and return its path.

    Building from an export keeps ignored files out and does not walk the lab's state.
    Raises subprocess.CalledProcessError with the builder's own words on its standard error.
    """
    export = folder / "export"
    for name in project_files():
        target = export / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    out = folder / "out"
    subprocess.run(
        ["ansible-galaxy", "collection", "build", "--output-path", str(out), str(export)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    (tarball,) = out.glob("*.tar.gz")
    return tarball


def _content_hash(tarball: Path) -> str:
    with tarfile.open(tarball) as archive:
        # MANIFEST.json holds the metadata and the hash of FILES.json, which holds every file's hash.
        member = archive.extractfile("MANIFEST.json")
        if member is None:
            raise ValueError(f"{tarball} holds no MANIFEST.json")
        return hashlib.sha256(member.read()).hexdigest()[:16]


def _git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=tree", "-c", "user.email=tree@localhost"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def _install(tarball: Path, tree: Tree) -> None:
    staging = tree.base.with_name(tree.base.name + ".partial")
    for leftover in (staging, tree.base):
        if leftover.exists():
            shutil.rmtree(leftover)
    staging.mkdir(parents=True)
    subprocess.run(
        # Forced, because an older tree may be on the search path of whoever calls.
        [
            "ansible-galaxy",
            "collection",
            "install",
            "--offline",
            "--no-deps",
            "--force",
            "-p",
            str(staging),
            str(tarball),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(staging)},
    )
    shutil.copy2(tarball, staging / tarball.name)
    relative = tree.sanity.relative_to(tree.base)
    shutil.copytree(staging / tree.collection.relative_to(tree.base), staging / relative)
    _git(staging / relative, "init", "-q")
    (staging / relative / ".git" / "info" / "exclude").write_text("/tests/output/\n", encoding="utf-8")
    _git(staging / relative, "add", "-A")
    _git(staging / relative, "commit", "-q", "-m", "The installed collection")
    staging.rename(tree.base)


def _drop_old(keep: Path) -> None:
    limit = time.time() - KEEP_SECONDS
    for old in keep.parent.glob("tree-*"):
        if old != keep and old.is_dir() and old.stat().st_mtime < limit:
            shutil.rmtree(old, ignore_errors=True)


def ensure() -> Tree:
    """Build the collection as it is now and return where it is installed; the same content is installed once."""
    cache_dir().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        tarball = build(Path(scratch))
        base = cache_dir() / f"tree-{_content_hash(tarball)}"
        tree = Tree(base, base / tarball.name)
        with open(cache_dir() / "tree.lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if base.exists():
                os.utime(base)
            else:
                _install(tarball, tree)
            _drop_old(base)
    return tree


def environment(tree: Tree) -> dict[str, str]:
    """Return this process's environment with the installed collection found first by Ansible and Python."""
    python_path = [str(tree.base), str(ROOT)]
    return {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(tree.base),
        "PYTHONPATH": os.pathsep.join(python_path),
        "HOMEPORT_TREE": str(tree.base),
    }


def manifest_of(tarball: Path) -> list[str]:
    """Return the names of the tarball's files, sorted."""
    with tarfile.open(tarball) as archive:
        return sorted(member.name for member in archive if member.isfile())


def main(argv: list[str]) -> int:
    """Run the command line; return the exit code."""
    try:
        tree = ensure()
    except subprocess.CalledProcessError as error:
        print(f"error: {' '.join(error.cmd)} ended with exit code {error.returncode}", file=sys.stderr)
        return 1
    if argv[:1] == ["run"] and len(argv) > 1:
        os.execvpe(argv[1], argv[1:], environment(tree))
    if argv == ["manifest"]:
        MANIFEST.write_text("\n".join(manifest_of(tree.tarball)) + "\n", encoding="utf-8")
    elif argv:
        print(__doc__, file=sys.stderr)
        return 2
    else:
        print(tree.base)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
