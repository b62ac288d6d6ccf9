# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Proof that what a registry lists can be pulled, and that nothing of before is lost. Private.

Standard library only, and Python 3.9: this also runs where nothing can be installed.
HEAD proves nothing (a registry may know the size of what it has lost), so everything here is read by GET.
"""

from __future__ import annotations

import dataclasses
import re
import threading
import typing as t
from collections.abc import Callable, Iterator

from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.homeport.registry.plugins.module_utils._registry_ahead import Question, ask_ahead
from ansible_collections.homeport.registry.plugins.module_utils._registry_client import (
    Descriptor,
    get_manifest,
    is_last_byte,
    last_byte_question,
    manifest_in,
    manifest_question,
    open_blob,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_content import (
    Inventory,
    Problem,
    Repository,
    in_order,
    name_of,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import (
    NOT_NOW,
    DigestError,
    HttpError,
    NotFoundError,
    TruncatedError,
    without_query,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_inventory import (
    manifest_problem,
    take_inventory,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import Hasher, is_foreign
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_wire import Headers

Depth = t.Literal["tags", "blobs", "full"]
_AGAIN = "Push the image again: the registry takes what it lacks. Until then do not use it."
_GONE = (
    "If nobody deleted it on purpose, push the image again, and find out what deleted it before the next collection."
)


@dataclasses.dataclass
class Check:
    """What was read, and what is wrong: manifests and blobs counted once for each repository, bytes of blobs."""

    manifests: int
    blobs: int
    bytes: int
    problems: list[Problem]


def check_content(
    session: Session, inventory: Inventory, depth: Depth, *, threads: int = 8, fresh: bool = False
) -> Check:
    """Read what an inventory names, from the registry.

    Problems are those of manifests (see `take_inventory`), `blob-missing`, `blob-unreadable`, `size-mismatch` and
    `digest-mismatch`. A tag that was moved or deleted since is none: `compare` tells these.

    Args:
        session: a session with the right to pull.
        inventory: what to read.
        depth: `tags` reads every tag, and every manifest by digest, and compares the digests. `blobs` also reads the
            last byte of every blob through every repository that has it, and compares the size. `full` also reads
            every blob whole, once, and compares its digest.
        threads: connections to use at once.
        fresh: the inventory was taken just now, so that its manifests are not read again.

    Raises:
        RegistryError: when the registry does not answer.
    """
    checker = _Checker(session, whole=depth == "full")
    if not fresh:
        ask_ahead(
            session,
            _references(inventory),
            threads,
            question=checker.ask_manifest,
            use=checker.use_manifest,
            otherwise=checker.read_manifest,
        )
    if depth != "tags":
        ask_ahead(
            session,
            _blobs(inventory),
            threads,
            question=checker.ask_end,
            use=checker.use_end,
            otherwise=checker.read_blob,
        )
    return Check(checker.manifests, checker.blobs, checker.bytes, checker.confirmed())


def compare(before: Inventory, after: Inventory) -> list[Problem]:
    """Return what the later inventory has lost: `tag-lost`, `tag-moved`, `manifest-lost`, `blob-lost`.

    What was added is no problem. Of a tag that points elsewhere now, the old content may be gone; of one that still
    points to the same manifest, everything below has to be there.
    """
    problems = []
    for name, old in sorted(before.repositories.items()):
        new = after.repositories.get(name) or Repository(name, {}, {})
        there = set(new.entries)
        for entry in new.entries.values():
            there.update(blob.digest for blob in entry.blobs)
        told: set[str] = set()
        for tag, digest in sorted(old.tags.items()):
            now = new.tags.get(tag)
            where = name_of(name, tag)
            if now is None:
                problems.append(_lost("tag-lost", where, f"it pointed to {digest} and is not there any more"))
            elif now != digest:
                problems.append(_lost("tag-moved", where, f"it pointed to {digest} and points to {now} now"))
            else:
                for kind, content in _below(old, digest):
                    if content not in there and content not in told:
                        told.add(content)
                        text = f"{where} needs it and it is not there any more"
                        problems.append(_lost(kind, name_of(name, content), text))
    return in_order(problems)


def _below(repository: Repository, digest: str) -> Iterator[tuple[str, str]]:
    for entry in repository.reach(digest):
        yield "manifest-lost", entry.digest
        for blob in entry.blobs:
            yield "blob-lost", blob.digest


def _lost(kind: str, where: str, text: str) -> Problem:
    return Problem(kind, where, f"Compared with the inventory of before: {text}.", _GONE)


def _references(inventory: Inventory) -> Iterator[tuple[str, str]]:
    for name, repository in sorted(inventory.repositories.items()):
        for tag in repository.tags:
            yield name, tag
        # A tag shows its own manifest; unless it has moved, that need not be read twice.
        shown = set(repository.tags.values())
        for digest in repository.entries:
            if digest not in shown:
                yield name, digest


def _blobs(inventory: Inventory) -> Iterator[tuple[str, Descriptor, bool]]:
    """Yield every blob of every repository, and whether it is the first time that this content appears."""
    seen: set[str] = set()
    for name, repository in sorted(inventory.repositories.items()):
        mine: set[str] = set()
        for entry in repository.entries.values():
            for blob in entry.blobs:
                if blob.digest not in mine:
                    mine.add(blob.digest)
                    yield name, blob, blob.digest not in seen
                    seen.add(blob.digest)


class _Checker:
    """Counts what it reads."""

    def __init__(self, session: Session, whole: bool) -> None:
        self._session = session
        self._whole = whole
        self._lock = threading.Lock()
        self._problems: list[Problem] = []
        self.manifests = 0
        self.blobs = 0
        self.bytes = 0

    def ask_manifest(self, item: tuple[str, str]) -> Question:
        """Return what asks for a manifest by tag or digest."""
        return manifest_question(*item)

    def use_manifest(
        self, item: tuple[str, str], status: int, headers: Headers, body: bytes
    ) -> list[tuple[str, str]] | None:
        """Count a manifest that is the right one; nothing is returned if it is to be read again."""
        if status != 200 or manifest_in(item[1], headers, body)[1]:
            return None
        with self._lock:
            self.manifests += 1
        return []

    def read_manifest(self, item: tuple[str, str]) -> None:
        """Read one manifest by tag or digest; the client compares the digest."""
        name, reference = item
        try:
            _twice(lambda: get_manifest(self._session, name, reference))
        except RegistryError as exc:
            problem = manifest_problem(name_of(name, reference), exc)
            if problem is None:
                raise
            self._note(problem)
        with self._lock:
            self.manifests += 1

    def ask_end(self, item: tuple[str, Descriptor, bool]) -> Question | None:
        """Return what asks for the last byte of a blob; nothing if it has to be read whole."""
        name, blob, _first = item
        return None if self._is_for_whole(item) else last_byte_question(name, blob.digest, blob.size)

    def use_end(
        self, item: tuple[str, Descriptor, bool], status: int, headers: Headers, body: bytes
    ) -> list[tuple[str, Descriptor, bool]] | None:
        """Count a blob whose last byte has come; nothing is returned if something about it is to be looked at again."""
        _name, blob, _first = item
        if not is_last_byte(blob.size, status, headers, body):
            return None
        with self._lock:
            self.blobs += 1
            self.bytes += 1
        return []

    def _is_for_whole(self, item: tuple[str, Descriptor, bool]) -> bool:
        _name, blob, first = item
        return (self._whole and first) or not blob.size

    def read_blob(self, item: tuple[str, Descriptor, bool]) -> None:
        """Read the end of a blob, and all of it where that is asked for."""
        name, blob, _first = item
        where = name_of(name, blob.digest)
        read = self._read_whole if self._is_for_whole(item) else self._read_end
        try:
            _twice(lambda: read(name, blob))
        except NotFoundError as exc:
            if not is_foreign(blob.media_type):
                self._note(Problem.of("blob-missing", where, exc, _AGAIN))
        except TruncatedError as exc:
            self._note(Problem.of("blob-unreadable", where, exc, _AGAIN))
        except DigestError as exc:
            self._note(Problem.of("digest-mismatch", where, exc))
        except HttpError as exc:
            if exc.status in NOT_NOW:
                raise
            self._note(Problem.of("blob-unreadable", where, exc))
        with self._lock:
            self.blobs += 1

    def _read_end(self, name: str, blob: Descriptor) -> None:
        with open_blob(self._session, name, blob.digest, first=blob.size - 1) as response:
            length = response.headers.get("Content-Length") or ""
            if response.status != 200:
                # "bytes 9-9/10", or "bytes */8" when there is no such byte.
                length = (response.headers.get("Content-Range") or "").rpartition("/")[2]
            piece = b"" if response.status == 416 else next(response.chunks(), b"")
            where = without_query(response.url)
        with self._lock:
            self.bytes += len(piece)
        if self._compare_size(name, blob, length if length.isdigit() else "an unknown number of") and not piece:
            raise TruncatedError(
                f"read the blob {name_of(name, blob.digest)}",
                where=f"GET {where}",
                got="no byte of it arrives",
                remedy=_AGAIN,
            )

    def _read_whole(self, name: str, blob: Descriptor) -> None:
        size, hasher = 0, Hasher(blob.digest)
        with open_blob(self._session, name, blob.digest) as response:
            for piece in response.chunks():
                size += len(piece)
                hasher.update(piece)
        with self._lock:
            self.bytes += size
        if self._compare_size(name, blob, str(size)) and hasher.digest != blob.digest:
            raise DigestError(
                f"read the blob {name_of(name, blob.digest)}",
                where=f"GET {without_query(response.url)}",
                got=f"the content is {hasher.digest}",
                remedy="Do not use this content; check the storage of the registry and every proxy on the way.",
            )

    def _compare_size(self, name: str, blob: Descriptor, size: str) -> bool:
        if size == str(blob.size):
            return True
        where = name_of(name, blob.digest)
        text = f"Could not read the blob {where} as its manifest describes it: it has {size} bytes and not {blob.size}."
        self._note(Problem("size-mismatch", where, text, "Do not use it. Check the storage, and push the image again."))
        return False

    def _note(self, problem: Problem) -> None:
        with self._lock:
            self._problems.append(problem)

    def confirmed(self) -> list[Problem]:
        """Return the problems, without contents that are missing because somebody deleted what needed them."""
        doubtful: dict[str, list[Problem]] = {}
        certain = []
        for problem in self._problems:
            if problem.kind.endswith("-missing"):
                doubtful.setdefault(re.split("[:@]", problem.where)[0], []).append(problem)
            else:
                certain.append(problem)
        for name, problems in doubtful.items():
            now = take_inventory(self._session, repositories=[name])
            wanted = {problem.where for problem in now.problems}
            for repository in now.repositories.values():
                wanted.update(name_of(name, tag) for tag in repository.tags)
                for entry in repository.entries.values():
                    below = (entry.digest, *(one.digest for one in entry.children + entry.blobs))
                    wanted.update(name_of(name, digest) for digest in below)
            certain += [problem for problem in problems if problem.where in wanted]
        return in_order(certain)


def _twice(read: Callable[[], object]) -> None:
    """Read, and read once more when the answer breaks off: only what stays is a fault of the content."""
    try:
        read()
    except TruncatedError:
        read()
