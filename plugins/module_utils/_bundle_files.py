# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a bundle holds besides images: collections, wheels and plain files. Private."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tarfile
import typing as t
from collections.abc import Callable, Iterable, Iterator, Sequence

from ansible_collections.homeport.registry.plugins.module_utils._bundle_cache import Cache
from ansible_collections.homeport.registry.plugins.module_utils._bundle_errors import BundleError
from ansible_collections.homeport.registry.plugins.module_utils._bundle_format import FILES, File, check_file_path
from ansible_collections.homeport.registry.plugins.module_utils._bundle_lock import (
    GALAXY,
    HERE,
    INDEX,
    MADE,
    LockedFile,
)
from ansible_collections.homeport.registry.plugins.module_utils._bundle_wish import Wish, WishedPython

# Runs a command; returns exit status, output and error output.
Run = Callable[[list[str]], tuple[int, str, str]]
COLLECTIONS = f"{FILES}/collections"
WHEELS = f"{FILES}/wheels"
_REQUIREMENTS = f"{COLLECTIONS}/requirements.yml"
_GLIBC = re.compile(r"manylinux_2_(\d+)_(\w+)")
# Names that wheels had for these versions of glibc before they had their numbers.
_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_WHEEL = re.compile(r"([^-]+)-([^-]+)(?:-\d[^-]*)?-([^-]+)-([^-]+)-([^-]+)\.whl")
_CHUNK = 1 << 20
_TOLD = 600


class Tools(t.NamedTuple):
    """What fetches files: how to run commands, the commands, and an empty folder of their own."""

    run: Run
    pip: Sequence[str]
    galaxy: Sequence[str]
    scratch: str


def collect(wish: Wish, tools: Tools, cache: Cache, folder: str) -> list[LockedFile]:
    """Return all files that a wish asks for, sorted by path.

    Args:
        wish: what is asked for.
        tools: see there.
        cache: keeps what is downloaded.
        folder: of the lock; paths on this machine are noted relative to it.

    Raises:
        BundleError: when one cannot be had, or two have the same path.
    """
    found = [*_collections(wish, tools, cache, folder), *_wheels(wish.python, tools, cache)]
    found += _plain(wish, folder)
    found += [
        LockedFile(File(path, hashlib.sha256(content).hexdigest(), len(content), 1, "file"), MADE)
        for path, content in made_files([one.file for one in found]).items()
    ]
    by_path: dict[str, LockedFile] = {}
    for one in found:
        if by_path.setdefault(one.file.path, one) is not one:
            raise BundleError(
                "list the files",
                where=one.file.path,
                got="two files would have this path in the bundle",
                remedy="Give one of them another dest.",
            )
    return [by_path[path] for path in sorted(by_path)]


def made_files(files: Iterable[File]) -> dict[str, bytes]:
    """Return the files that follow from others, by path: what ansible-galaxy and pip read to install them offline."""
    made = {}
    collections = [file for file in files if file.kind == "collection"]
    if collections:
        lines = ["---", "collections:"]
        for file in sorted(collections, key=lambda file: file.path):
            lines += [f"  - name: {os.path.basename(file.path)}", "    type: file"]
        made[_REQUIREMENTS] = "\n".join([*lines, ""]).encode()
    hashes: dict[str, dict[str, list[str]]] = {}
    for file in files:
        for python in file.pythons:
            hashes.setdefault(python, {}).setdefault(f"{file.name}=={file.version}", []).append(file.sha256)
    for python, packages in hashes.items():
        lines = [
            " \\\n    ".join([package, *(f"--hash=sha256:{one}" for one in sorted(packages[package]))])
            for package in sorted(packages)
        ]
        made[f"{WHEELS}/requirements-{python}.txt"] = "\n".join([*lines, ""]).encode()
    return made


def fetch_again(one: LockedFile, tools: Tools) -> str:
    """Download a locked collection or wheel and return where it is; its digest is not compared yet.

    Raises:
        BundleError: when it cannot be had.
    """
    file = one.file
    folder = os.path.join(tools.scratch, file.sha256)
    name = os.path.basename(file.path)
    if one.origin == GALAXY:
        command = [*tools.galaxy, "collection", "download", "--no-deps", "-p", folder, f"{file.name}:{file.version}"]
    else:
        match = _WHEEL.fullmatch(name)
        platforms = match[5].split(".") if match else []
        flags = [f"--platform={platform}" for platform in platforms if platform != "any"]
        flags += [f"--abi={abi}" for abi in (match[4].split(".") if match else []) if flags]
        command = [*_pip(tools, folder, file.pythons[0]), "--no-deps", *flags, f"{file.name}=={file.version}"]
    _run(tools, command, f"download {name}")
    path = os.path.join(folder, name)
    if not os.path.isfile(path):
        raise BundleError(
            f"download {name}",
            where=command[0],
            got=f"what came is {', '.join(sorted(os.listdir(folder))) or 'nothing'}",
            remedy="Lock again, and look at what has changed.",
        )
    return path


def platform_tags(platform: str) -> list[str]:
    """Return all tags of wheels that run where one platform is there, the newest first.

    `manylinux_2_28_x86_64` stands for a glibc of 2.28 or newer, so it also runs what was made for older ones.
    """
    match = _GLIBC.fullmatch(platform)
    if not match:
        return [platform]
    tags = []
    for minor in range(int(match[1]), 4, -1):
        tags.append(f"manylinux_2_{minor}_{match[2]}")
        if minor in _LEGACY:
            tags.append(f"{_LEGACY[minor]}_{match[2]}")
    return tags


def machines(platforms: Sequence[str]) -> list[list[str]]:
    """Return the tags of platforms for each kind of machine: pip takes one wheel from all that it is given."""
    found: dict[str, dict[str, None]] = {}
    for platform in platforms:
        match = re.search(r"x86_64|i686|aarch64|armv7l|ppc64le|s390x|riscv64|arm64", platform)
        kind = match[0] if match else platform
        system = re.match(r"[a-z]+", platform)
        found.setdefault(f"{system[0] if system else ''} {kind}", {}).update(dict.fromkeys(platform_tags(platform)))
    return [list(tags) for tags in found.values()]


def _wheels(wished: WishedPython | None, tools: Tools, cache: Cache) -> Iterator[LockedFile]:
    if wished is None:
        return
    pythons: dict[str, set[str]] = {}
    paths: dict[str, str] = {}
    for python in wished.versions:
        for number, tags in enumerate(machines(wished.platforms)):
            folder = os.path.join(tools.scratch, f"wheels-{python}-{number}")
            command = [*_pip(tools, folder, python), *(f"--platform={tag}" for tag in tags)]
            if wished.constraints:
                command += ["--constraint", wished.constraints]
            _run(tools, [*command, *wished.packages], f"download wheels for Python {python} on {tags[0]}")
            for name in os.listdir(folder):
                pythons.setdefault(name, set()).add(python)
                paths[name] = os.path.join(folder, name)
    for name in sorted(paths):
        match = _WHEEL.fullmatch(name)
        if not match:
            raise BundleError(
                "list the wheels",
                where=name,
                got="it is no wheel",
                remedy="Ask for packages that are offered as wheels.",
            )
        versions = tuple(sorted(pythons[name], key=lambda text: [int(part) for part in text.split(".")]))
        plain = re.sub(r"[-_.]+", "-", match[1]).lower()
        yield _locked(paths[name], f"{WHEELS}/{name}", "wheel", INDEX, cache, plain, match[2], versions)


def _collections(wish: Wish, tools: Tools, cache: Cache, folder: str) -> Iterator[LockedFile]:
    downloaded: list[str] = []
    if wish.collections:
        target = os.path.join(tools.scratch, "collections")
        command = [*tools.galaxy, "collection", "download", "-p", target, *wish.collections]
        _run(tools, command, f"download {', '.join(wish.collections)}")
        downloaded = [os.path.join(target, name) for name in os.listdir(target) if name.endswith(".tar.gz")]
    given = {os.path.basename(path): path for path in wish.tarballs}
    needs: dict[str, str] = {}
    names = set()
    for path in sorted([*given.values(), *(one for one in downloaded if os.path.basename(one) not in given)]):
        name, version, dependencies = _collection_info(path)
        names.add(name)
        needs.update(dict.fromkeys(dependencies, name))
        origin = HERE if path in given.values() else GALAXY
        target = f"{COLLECTIONS}/{name.replace('.', '-')}-{version}.tar.gz"
        yield _locked(path, target, "collection", origin, cache, name, version, (), folder)
    for missing in sorted(set(needs) - names):
        raise BundleError(
            "list the collections",
            where=needs[missing],
            got=f"it needs {missing}, which is not in the wish",
            remedy=f"Add {missing} to collections, else the installation behind the gap would ask a server for it.",
        )


def _collection_info(path: str) -> tuple[str, str, list[str]]:
    """Return name, version and the names of the dependencies of a collection's tarball."""
    try:
        with tarfile.open(path) as archive:
            member = archive.extractfile("MANIFEST.json")
            info = json.loads(member.read() if member else b"")["collection_info"]
        return f"{info['namespace']}.{info['name']}", str(info["version"]), list(info.get("dependencies") or {})
    except (OSError, tarfile.TarError, KeyError, TypeError, ValueError) as exc:
        raise BundleError(
            "read the collection",
            where=path,
            got=f"it is no collection's tarball: {type(exc).__name__} {exc}",
            remedy="Give a file that ansible-galaxy collection build has made.",
        ) from exc


def _plain(wish: Wish, folder: str) -> Iterator[LockedFile]:
    for wished in wish.files:
        if not os.path.isdir(wished.source):
            yield _locked(wished.source, wished.path, "file", HERE, None, folder=folder)
            continue
        for parent, folders, names in os.walk(wished.source):
            folders.sort()
            for name in sorted(names):
                path = os.path.join(parent, name)
                inside = f"{wished.path}/{os.path.relpath(path, wished.source)}"
                yield _locked(path, inside, "file", HERE, None, folder=folder)


def _locked(
    path: str,
    target: str,
    kind: str,
    origin: str,
    cache: Cache | None,
    name: str = "",
    version: str = "",
    pythons: tuple[str, ...] = (),
    folder: str = "",
) -> LockedFile:
    check_file_path(target, path)
    hasher, size = hashlib.sha256(), 0
    try:
        with open(path, "rb") as stream:
            while piece := stream.read(_CHUNK):
                hasher.update(piece)
                size += len(piece)
    except OSError as exc:
        raise BundleError(
            "read the file", where=path, got=str(exc.strerror), remedy="Name a file that this user may read."
        ) from exc
    if cache and origin != HERE:
        cache.take(path, f"sha256:{hasher.hexdigest()}")
    source = os.path.relpath(path, folder) if origin == HERE else ""
    return LockedFile(File(target, hasher.hexdigest(), size, 1, kind, name, version, pythons), origin, source)


def _pip(tools: Tools, folder: str, python: str) -> list[str]:
    flags = ["--disable-pip-version-check", "--no-input", "--only-binary=:all:", "--implementation=cp"]
    return [*tools.pip, "download", *flags, f"--python-version={python}", "--dest", folder]


def _run(tools: Tools, command: list[str], tried: str) -> None:
    status, output, errors = tools.run(command)
    if status:
        told = " ".join((errors.strip() or output.strip()).split())
        raise BundleError(
            tried,
            where=" ".join(command[:3]),
            got=f"exit status {status}, {told[-_TOLD:]}",
            remedy="Check the names, the versions and the way to the server; PIP_ and ANSIBLE_GALAXY_ variables work.",
        )
