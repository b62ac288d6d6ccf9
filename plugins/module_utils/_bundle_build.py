# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""From a lock to signed volumes: what is there already, what is missing, and doing it. Private."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import re
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils import _bundle_format as fmt
from ansible_collections.homeport.registry.plugins.module_utils import _bundle_sshsig as sshsig
from ansible_collections.homeport.registry.plugins.module_utils import _bundle_write as writing
from ansible_collections.homeport.registry.plugins.module_utils._bundle_archive import ArchiveError, Volume
from ansible_collections.homeport.registry.plugins.module_utils._bundle_cache import Cache
from ansible_collections.homeport.registry.plugins.module_utils._bundle_errors import (
    BundleError,
    ContentError,
    SignatureError,
    SpaceError,
)
from ansible_collections.homeport.registry.plugins.module_utils._bundle_files import Tools, fetch_again, made_files
from ansible_collections.homeport.registry.plugins.module_utils._bundle_known import Known
from ansible_collections.homeport.registry.plugins.module_utils._bundle_lock import HERE, MADE, Lock
from ansible_collections.homeport.registry.plugins.module_utils._bundle_pull import Pulled, missing, pull
from ansible_collections.homeport.registry.plugins.module_utils._bundle_sources import Sources
from ansible_collections.homeport.registry.plugins.module_utils._bundle_volumes import assign

# What a file system needs for itself beside the contents.
_SLACK = 4 << 20
_CHUNK = 1 << 20


class Key(t.NamedTuple):
    """A private key, and its passphrase if it has one."""

    text: bytes
    passphrase: str | None


@dataclasses.dataclass
class VolumePlan:
    """A volume: where it belongs, its members, and its sha256 if it is there already (else it is empty)."""

    number: int
    path: str
    members: list[writing.Member]
    sha256: str = ""
    written: bool = False

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return writing.volume_size(self.members)


class Build:
    """One build of a lock into a folder."""

    def __init__(
        self, lock: Lock, lock_path: str, folder: str, key: Key, known: Known, size: int | None, cache: Cache
    ) -> None:
        """Plan the volumes, sign, and compare with what is there.

        Raises:
            BundleError: when a content does not fit, the key cannot be used, or the folder does not exist.
        """
        if not os.path.isdir(folder):
            raise BundleError(
                "build the bundle", where=folder, got="this folder does not exist", remedy=f"Create {folder} first."
            )
        self.lock, self.cache, self.folder = lock, cache, folder
        self._lock_folder = os.path.dirname(os.path.abspath(lock_path))
        self._locked = {one.file.path: one for one in lock.files}
        self.bundle = dataclasses.replace(assign(lock.bundle(), size, known.digests), parent=known.parent)
        fmt.check(self.bundle)
        names = self.bundle.file_names()
        self.signature = self._sign([os.path.join(folder, name) for name in names], key)
        self.signer = sshsig.public_key(*key).fingerprint
        self.volumes = [
            VolumePlan(number, os.path.join(folder, name), self._members(number))
            for number, name in enumerate(names, 1)
        ]
        for volume in self.volumes:
            volume.sha256 = writing.matches(volume.path, volume.members)
        self.stale = self._stale(names)

    @property
    def sha256(self) -> str:
        """The sum of bundle.json, which names the bundle."""
        return hashlib.sha256(self.bundle.dump()).hexdigest()

    @property
    def todo(self) -> list[VolumePlan]:
        """The volumes that are not there as they should be."""
        return [volume for volume in self.volumes if not volume.sha256]

    def wanted(self) -> dict[str, int]:
        """Return sizes in bytes of the contents of images that have to be in the cache, by digest."""
        numbers = {volume.number for volume in self.todo}
        return {digest: blob.size for digest, blob in self.bundle.blobs.items() if blob.volume in numbers}

    def check_space(self, absent: list[str]) -> None:
        """Compare what will be written with the room that there is.

        Raises:
            SpaceError: when it is too little.
        """
        needs: dict[int, list[tuple[str, int]]] = {}
        to_come = sum(self.bundle.blobs[digest].size - self.cache.partial_size(digest) for digest in absent)
        for path, size in ((self.folder, sum(one.size for one in self.todo)), (self.cache.folder, to_come)):
            place = _existing(path)
            needs.setdefault(os.stat(place).st_dev, []).append((place, size))
        for on_disk in needs.values():
            place, size = on_disk[0][0], sum(size for _place, size in on_disk)
            status = os.statvfs(place)
            free = status.f_bavail * status.f_frsize
            if size and size + _SLACK > free:
                raise SpaceError(
                    "build the bundle",
                    where=" and ".join(dict.fromkeys(place for place, size in on_disk if size)),
                    got=f"{size + _SLACK} bytes are needed and {free} are free",
                    remedy="Make room, or give another folder (dest) or another cache.",
                )

    def fetch(self, absent: list[str], sources: Sources, tools: Tools, threads: int) -> Pulled:
        """Get everything that is missing.

        Raises:
            BundleError: when something cannot be had; what has arrived is kept.
        """
        numbers = {volume.number for volume in self.todo}
        files = [self._locked[file.path] for file in self.bundle.files if file.volume in numbers]
        made = made_files([one.file for one in self.lock.files])
        for one in files:
            digest = f"sha256:{one.file.sha256}"
            if one.origin == HERE:
                self._check_here(os.path.join(self._lock_folder, one.source), one.file)
            elif one.origin == MADE:
                self.cache.store(digest, made.get(one.file.path, b""))
            elif not self.cache.is_whole(digest, one.file.size):
                self.cache.take(fetch_again(one, tools), digest)
        return pull(self.lock, absent, sources, self.cache, threads)

    def write(self) -> None:
        """Write what is not there, then put all of it in place, and take away volumes of an earlier form.

        Raises:
            BundleError: when it cannot be done; what was there stays.
        """
        temporary = {volume.number: f"{volume.path}.{os.getpid()}.partial" for volume in self.todo}
        try:
            for volume in self.todo:
                volume.sha256 = writing.write(temporary[volume.number], volume.members)
                volume.written = True
            for volume in self.volumes:
                if volume.written:
                    os.replace(temporary[volume.number], volume.path)
            for path in self.stale:
                os.unlink(path)
        except OSError as exc:
            raise BundleError(
                "put the volumes in place",
                where=str(exc.filename),
                got=str(exc.strerror),
                remedy="Check the rights of the folder.",
            ) from exc
        finally:
            for path in temporary.values():
                with contextlib.suppress(OSError):
                    os.unlink(path)

    def _members(self, number: int) -> list[writing.Member]:
        return writing.members(self.bundle, number, self.signature, self._find)

    def _find(self, path: str, digest: str) -> str:
        """Return where the content of a member lies on this machine."""
        one = self._locked.get(path)
        return os.path.join(self._lock_folder, one.source) if one and one.origin == HERE else self.cache.path(digest)

    def _sign(self, paths: list[str], key: Key) -> str:
        """Return the signature that is there, if it is by the same key, since not every key signs alike twice."""
        document = self.bundle.dump()
        trusted = sshsig.public_key(*key)
        for path in paths:
            with contextlib.suppress(ArchiveError), Volume(path) as volume:
                if volume.read(fmt.DOCUMENT) != document:
                    continue
                signature = volume.read(fmt.SIGNATURE).decode("ascii", "replace")
                with contextlib.suppress(SignatureError):
                    if sshsig.verify(document, signature, [trusted.line]).blob == trusted.blob:
                        return signature
        return sshsig.sign(document, *key)

    def _stale(self, names: list[str]) -> list[str]:
        """Return volumes of the same bundle that this build has no place for."""
        base = re.escape(f"bundle-{self.bundle.name}-{self.bundle.version}")
        mine = re.compile(rf"{base}(?:\.vol\d{{2,3}})?\.tar")
        found = [name for name in os.listdir(self.folder) if mine.fullmatch(name) and name not in names]
        return [os.path.join(self.folder, name) for name in sorted(found)]

    @staticmethod
    def _check_here(path: str, file: fmt.File) -> None:
        hasher = hashlib.sha256()
        got = ""
        try:
            with open(path, "rb") as stream:
                while piece := stream.read(_CHUNK):
                    hasher.update(piece)
        except OSError as exc:
            got = str(exc.strerror)
        if not got and hasher.hexdigest() != file.sha256:
            got = f"it is sha256:{hasher.hexdigest()}, the lock says sha256:{file.sha256}"
        if got:
            raise ContentError(
                f"take {file.path}", where=path, got=got, remedy="Lock again if it was changed on purpose."
            )


def absent_of(build: Build, threads: int) -> list[str]:
    """Return the contents of images that have to be downloaded, the largest first."""
    return missing(build.cache, build.wanted(), threads)


def _existing(path: str) -> str:
    """Return the path, or the nearest folder above it that exists."""
    path = os.path.abspath(path)
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path
