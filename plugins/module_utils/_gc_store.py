# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The store as files: what is in it, what is broken, and whether it is the store it was. Private.

Only for a file system; object storage is asked through a registry instead. Reading a directory costs far less than
a request, so everything is looked at: 1,000 images of six blobs take less than a second.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator, Mapping, Set

from ansible_collections.homeport.registry.plugins.module_utils._gc_errors import GcError, RefusedError
from ansible_collections.homeport.registry.plugins.module_utils._registry_inventory import Problem

MARKER = ".homeport-store"
_NAME = re.compile(r"^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$")
# What a link file holds is a digest and nothing else.
_LINK_SIZES = frozenset((len("sha256:") + 64, len("sha512:") + 128))
# What acdirmax of NFS is where nothing else was asked for.
_NFS_REMEMBERS = 60.0
_PUSH_AGAIN = "Push the image again, or delete its tags, and collect again."


@dataclasses.dataclass
class Scan:
    """What the store holds.

    sizes: bytes of each blob, by digest. revisions, layers: digests by repository. tags: repository:tag of each.
    """

    sizes: dict[str, int] = dataclasses.field(default_factory=dict)
    revisions: dict[str, set[str]] = dataclasses.field(default_factory=dict)
    layers: dict[str, set[str]] = dataclasses.field(default_factory=dict)
    tags: set[str] = dataclasses.field(default_factory=set)
    problems: list[Problem] = dataclasses.field(default_factory=list)
    fingerprint: str = ""

    @property
    def bytes(self) -> int:
        """Return the bytes of all blobs."""
        return sum(self.sizes.values())

    def holders(self, digests: set[str]) -> dict[str, set[str]]:
        """Return which repositories link which of these digests."""
        found: dict[str, set[str]] = {}
        for links in (self.revisions, self.layers):
            for repository, linked in links.items():
                if both := linked & digests:
                    found.setdefault(repository, set()).update(both)
        return found


def scan(root: str) -> Scan:
    """Look at everything but unfinished uploads. Raises GcError when the store cannot be read."""
    base = os.path.join(root, "docker", "registry", "v2")
    found, digest = Scan(), hashlib.sha256()
    try:
        for name, status in _blobs(base):
            found.sizes[name] = status.st_size
            digest.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode())
        for repository, path in _repositories(os.path.join(base, "repositories"), ""):
            _look_at(repository, path, found, digest)
    except OSError as error:
        raise GcError(
            "read the store",
            where=str(error.filename or root),
            got=os.strerror(error.errno or 0),
            remedy="Check the owner of the files (uid 65532) and the volume.",
        ) from None
    _compare(found)
    found.fingerprint = digest.hexdigest()
    return found


def _names(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))
    except OSError as error:
        if _is_missing(error):
            return []
        raise


def _status(path: str) -> os.stat_result | None:
    # To ask for a file by its name takes a third of what it takes to list its folder.
    try:
        return os.stat(path)
    except OSError as error:
        if _is_missing(error):
            return None
        raise


def _is_missing(error: OSError) -> bool:
    """Tell whether there is nothing in that place, or what was there went away meanwhile."""
    return error.errno in (errno.ENOENT, errno.ENOTDIR)


def _folders(path: str) -> Iterator[tuple[str, str]]:
    """Yield digest and path of each folder below a folder of algorithms."""
    for algorithm in _names(path):
        for name in _names(f"{path}/{algorithm}"):
            yield f"{algorithm}:{name}", f"{path}/{algorithm}/{name}"


def _blobs(base: str) -> Iterator[tuple[str, os.stat_result]]:
    for prefix, path in _folders(f"{base}/blobs"):
        algorithm = prefix.partition(":")[0]
        for name in _names(path):
            if status := _status(f"{path}/{name}/data"):
                yield f"{algorithm}:{name}", status


def _repositories(path: str, name: str) -> Iterator[tuple[str, str]]:
    try:
        with os.scandir(path) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError as error:
        if _is_missing(error):
            return
        raise
    if name and ("_layers" in names or "_manifests" in names):
        yield name, path
    for below in names:
        if not below.startswith("_"):
            yield from _repositories(f"{path}/{below}", f"{name}/{below}" if name else below)


def _links(path: str, digest: hashlib._Hash) -> Iterator[tuple[str, int, str]]:
    """Yield digest, size and path of each link file below a folder of algorithms."""
    for name, folder in _folders(path):
        link = f"{folder}/link"
        if status := _status(link):
            digest.update(f"{link} {status.st_size}\n".encode())
            yield name, status.st_size, link


def _look_at(repository: str, path: str, found: Scan, digest: hashlib._Hash) -> None:
    if not all(_NAME.match(part) for part in repository.split("/")):
        text = f"{path} has a name that no repository can have; Distribution 3 stops at it"
        found.problems.append(
            Problem("repository-name", repository, text, f"Move {path} out of the store and collect again.")
        )
    revisions = found.revisions.setdefault(repository, set())
    for name, size, link in _links(os.path.join(path, "_manifests", "revisions"), digest):
        revisions.add(name)
        if size not in _LINK_SIZES:
            found.problems.append(_broken("revision", f"{repository}@{name}", link, size))
    layers = found.layers.setdefault(repository, set())
    for name, size, link in _links(os.path.join(path, "_layers"), digest):
        layers.add(name)
        if size not in _LINK_SIZES:
            found.problems.append(_broken("layer", f"{repository}@{name}", link, size))
    tags = os.path.join(path, "_manifests", "tags")
    for tag in _names(tags):
        link = f"{tags}/{tag}/current/link"
        if not (status := _status(link)):
            continue
        found.tags.add(f"{repository}:{tag}")
        digest.update(f"{link} {status.st_size} {status.st_mtime_ns}\n".encode())
        if status.st_size not in _LINK_SIZES:
            found.problems.append(_broken("tag", f"{repository}:{tag}", link, status.st_size))


def _broken(kind: str, where: str, link: str, size: int) -> Problem:
    """Return what is wrong with a link file. kind: revision, layer, or tag."""
    harm = {
        "revision": "the collector stops at it",
        "layer": "Distribution 3 stops at it",
        "tag": "the tag is listed and cannot be pulled",
    }[kind]
    state, what = ("damaged", "is no digest") if size else ("empty", "is empty")
    # Of a tag the folder above holds its history too.
    folder = os.path.dirname(link) if kind != "tag" else os.path.dirname(os.path.dirname(link))
    remedy = f"Remove {folder}. {_PUSH_AGAIN}" if kind != "tag" else f"Remove {folder}, or push the tag again."
    return Problem(f"{kind}-link-{state}", where, f"the {kind} link {link} {what}, as after a crash; {harm}", remedy)


def read_links(root: str) -> list[Problem]:
    """Return the revision and layer links that have the size of a digest and are none, which takes reading each."""
    found, unused = [], hashlib.sha256()
    for repository, path in _repositories(os.path.join(root, "docker", "registry", "v2", "repositories"), ""):
        for kind, folder in (("revision", os.path.join("_manifests", "revisions")), ("layer", "_layers")):
            for name, size, link in _links(os.path.join(path, folder), unused):
                with open(link, "rb") as file:
                    if size in _LINK_SIZES and file.read() != name.encode():
                        found.append(_broken(kind, f"{repository}@{name}", link, size))
    return found


def _compare(found: Scan) -> None:
    """Add the manifests whose content is gone: the collector would pass over them and take their layers."""
    for repository, revisions in found.revisions.items():
        for name in sorted(revisions):
            size = found.sizes.get(name)
            if size is None:
                text = f"the content of manifest {name} is missing; a collection would delete its layers"
                found.problems.append(Problem("manifest-missing", f"{repository}@{name}", text, _PUSH_AGAIN))
            elif not size:
                text = f"the content of manifest {name} is empty, as after a crash; the collector stops at it"
                found.problems.append(Problem("manifest-empty", f"{repository}@{name}", text, _PUSH_AGAIN))


def lost(before: Scan, after: Scan, stays: set[str], going: Mapping[str, Set[str]] | None = None) -> list[Problem]:
    """Return what is gone although it was to stay: tags, links and contents of these digests.

    going: links that were to go, by repository: a blob that stays for one may leave another that needs it no more.
    """
    remedy = "Push the image again, and report this as a fault of the collector."
    problems = [Problem("tag-lost", where, "the tag is gone", remedy) for where in sorted(before.tags - after.tags)]
    for kind, old, new in (("manifest", before.revisions, after.revisions), ("blob", before.layers, after.layers)):
        for name, digests in sorted(old.items()):
            planned = (going or {}).get(name, set()) if kind == "blob" else set()
            for digest in sorted((digests & stays) - new.get(name, set()) - planned):
                problems.append(Problem(f"{kind}-lost", f"{name}@{digest}", "its link is gone", remedy))
    holders = before.holders(gone) if (gone := (stays & before.sizes.keys()) - after.sizes.keys()) else {}
    for digest in sorted(gone):
        name = min((name for name, digests in holders.items() if digest in digests), default="")
        problems.append(Problem("blob-lost", f"{name}@{digest}", "its content is gone", remedy))
    return problems


def free(root: str) -> int:
    """Return the bytes that are free on the volume."""
    volume = os.statvfs(root)
    return volume.f_bavail * volume.f_frsize


def seconds_remembered(root: str, mounts: str) -> float:
    """Return for how long this node may take a directory for what it was before another node changed it.

    Args:
        root: the directory of the store.
        mounts: what /proc/self/mountinfo holds.
    """
    place, kind, options = "", "", ""
    for line in mounts.splitlines():
        before, _dash, after = line.partition(" - ")
        point = before.split()[4]
        inside = root == point or root.startswith(point.rstrip("/") + "/")
        # The last one hides those that were mounted there before.
        if inside and len(point) >= len(place):
            place, (kind, _source, options) = point, after.split(None, 2)
    given = dict(option.partition("=")[::2] for option in options.strip().split(","))
    if kind not in ("nfs", "nfs4") or "noac" in given:
        return 0.0
    return float(given.get("acdirmax") or _NFS_REMEMBERS)


def identity(root: str) -> str | None:
    """Return what this store was marked with, nothing when it never was."""
    try:
        with open(os.path.join(root, MARKER), encoding="utf-8") as stream:
            return str(json.load(stream)["id"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def mark(root: str) -> str:
    """Mark the store, so that a later run can tell it from another volume, and return the mark."""
    name = str(uuid.uuid4())
    path = os.path.join(root, MARKER)
    try:
        with open(f"{path}.new", "w", encoding="utf-8") as stream:
            json.dump({"id": name, "about": "Tells garbage collection that this is the expected volume."}, stream)
        os.replace(f"{path}.new", path)
    except OSError as error:
        # A full volume is a reason to collect, not to refuse to.
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return ""
        raise GcError(
            "mark the store",
            where=path,
            got=os.strerror(error.errno or 0),
            remedy="Check the owner of the files (uid 65532), and that the volume is mounted for writing.",
        ) from None
    return name


def check_identity(found: str | None, expected: str | None, blobs_before: int, empty: bool, where: str) -> None:
    """Refuse a store that is not the one that was collected last.

    Args:
        found: its mark, if any.
        expected: the mark of the last run, if any.
        blobs_before: how many blobs the last run left in it.
        empty: whether it holds no image now.
        where: its place, for the error.

    Raises:
        RefusedError: when it is another one, or lost everything.
    """
    if expected and found != expected:
        got = f"its mark {MARKER} is {'missing' if found is None else found}, and the last run saw {expected}"
    elif empty and blobs_before:
        got = f"it is empty, and the last run left {blobs_before} blobs in it"
    else:
        return
    raise RefusedError(
        "recognise the store",
        where=where,
        got=got,
        remedy="Check the mount and rootdirectory. If the store was replaced on purpose, delete the report ConfigMap.",
    )
