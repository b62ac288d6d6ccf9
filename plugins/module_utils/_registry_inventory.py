# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Taking the inventory of a registry through its API. Private.

Standard library only, and Python 3.9: this also runs where nothing can be installed.

Every manifest is read and compared with its digest. What comes back is small, whatever the images weigh: bodies are
dropped once they are understood, and a content that many tags and repositories share is kept once.
"""

from __future__ import annotations

import threading
import typing as t
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ansible_collections.homeport.registry.plugins.module_utils import _registry_listing as listing
from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.homeport.registry.plugins.module_utils._registry_ahead import ask_ahead
from ansible_collections.homeport.registry.plugins.module_utils._registry_client import (
    get_manifest,
    manifest_in,
    manifest_question,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_content import (
    DocumentError,
    Inventory,
    Problem,
    Repository,
    in_order,
    name_of,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_entries import Entry, Pool
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import (
    NOT_NOW,
    DigestError,
    HttpError,
    NotFoundError,
    ProtocolError,
    TruncatedError,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import check_repository
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_wire import Headers

__all__ = [
    "DocumentError",
    "Entry",
    "Inventory",
    "Problem",
    "Repository",
    "manifest_problem",
    "take_inventory",
]

# A content that is looked at while somebody deletes it is looked at again.
_PASSES = 2

_REMEDIES = {
    "manifest-missing": "Push the image again, or delete what points to it. Do not collect garbage before: that would"
    " delete the layers of an image whose manifest is lost.",
    "manifest-unreadable": "Look into the log of the registry. A link file without content, left by a crash, shows like"
    " this: push the tag again, or delete it. Do not collect garbage before.",
    "manifest-invalid": "Push the image again with another client, or delete it.",
    "digest-mismatch": "Do not use this content. Check the storage of the registry, and push the image again.",
}


def take_inventory(
    session: Session,
    *,
    repositories: Iterable[str] | None = None,
    threads: int = 8,
    also: Mapping[str, Sequence[str]] | None = None,
) -> Inventory:
    """Read all tags and manifests of a registry.

    What is wrong with a content is a problem of the inventory; a registry that does not answer is an error.
    Problems are `repository-missing`, `repository-unreadable`, `listing-untrusted`, `manifest-missing` (a tag or a
    child without its manifest), `manifest-unreadable`, `manifest-invalid` and `digest-mismatch`.

    Args:
        session: a session with the right to pull, and to read the catalog unless repositories are named.
        repositories: names of those to read, all by default.
        threads: connections to use at once.
        also: tags that are known to be there, listed or not, by repository.

    Raises:
        BadNameError: when a name is not well formed.
        RegistryError: when the registry does not answer, or not as a registry.
    """
    problems: list[Problem] = []
    if repositories is None:
        names, problems = listing.repositories(session)
    else:
        names = sorted({check_repository(name) for name in repositories})
    reader = _Reader(session, threads, also or {})
    reader.read(names, named=repositories is not None)
    for _number in range(_PASSES - 1):
        doubtful = sorted(reader.doubtful())
        if not doubtful:
            break
        reader.read(doubtful, named=repositories is not None)
    found = {name: reader.repositories[name] for name in names if name in reader.repositories}
    for one in reader.problems.values():
        problems += one
    return Inventory(found, in_order(problems))


def manifest_problem(where: str, error: RegistryError) -> Problem | None:
    """Return the problem that the failure to read a manifest is, or nothing when it is not one of the manifest."""
    if isinstance(error, NotFoundError):
        kind = "manifest-missing"
    elif isinstance(error, DigestError):
        kind = "digest-mismatch"
    elif isinstance(error, TruncatedError) or (isinstance(error, HttpError) and error.status not in NOT_NOW):
        kind = "manifest-unreadable"
    elif isinstance(error, ProtocolError):
        kind = "manifest-invalid"
    else:
        return None
    # 401 and the like say best themselves what to do.
    own = isinstance(error, HttpError) and error.status not in (404, 500)
    return Problem.of(kind, where, error, "" if own else _REMEDIES[kind])


class Wanted(t.NamedTuple):
    """A manifest to read, by tag or digest."""

    repository: str
    reference: str
    is_tag: bool


class _Reader:
    """Reads repositories into `repositories`, and what is wrong into `problems`, both by name."""

    def __init__(self, session: Session, threads: int, also: Mapping[str, Sequence[str]]) -> None:
        self._session = session
        self._threads = threads
        self._also = also
        self._pool = Pool()
        self._lock = threading.Lock()
        self._claimed: dict[str, set[str]] = {}
        self.repositories: dict[str, Repository] = {}
        self.problems: dict[str, list[Problem]] = {}

    def doubtful(self) -> list[str]:
        """Return the repositories with problems that may come from a change meanwhile."""
        passing = ("manifest-missing", "manifest-unreadable")
        return [name for name, found in self.problems.items() if any(one.kind in passing for one in found)]

    def read(self, names: Iterable[str], *, named: bool) -> None:
        """Read these repositories, anew where that was done before."""
        lists: dict[str, list[str]] = {}
        for name in names:
            self.problems.pop(name, None)
            self.repositories.pop(name, None)

        def look(name: str) -> None:
            try:
                lists[name], found = listing.tags(self._session, name)
            except NotFoundError as exc:
                # Distribution lists repositories without manifests, and then does not know them.
                lists[name] = []
                found = []
                if named:
                    found = [Problem.of("repository-missing", name, exc)]
            except HttpError as exc:
                if exc.status in NOT_NOW:
                    raise
                found = [Problem.of("repository-unreadable", name, exc)]
            self._note(name, *found)

        def use(name: str, status: int, headers: Headers, body: bytes) -> list[str] | None:
            listed = listing.tags_in(status, headers, body)
            if listed is None:
                return None
            lists[name] = listed
            return []

        ask_ahead(self._session, names, self._threads, question=listing.tags_question, use=use, otherwise=look)
        if listing.may_leave_out(self._session, lists):
            more, found = listing.left_out(self._session, lists, self._threads)
            for name, tags in more.items():
                lists[name] += tags
            for problem in found:
                self._note(problem.where, problem)
        for name, tags in lists.items():
            tags.extend(set(self._also.get(name, ())).difference(tags))
            self.repositories[name] = Repository(name, {}, {})
            self._claimed[name] = set()
        ask_ahead(
            self._session,
            _pairs(lists),
            self._threads,
            question=lambda item: manifest_question(item.repository, item.reference),
            use=self._use,
            otherwise=self._read_below,
        )
        for name in lists:
            repository = self.repositories[name]
            repository.tags = dict(sorted(repository.tags.items()))
            repository.entries = dict(sorted(repository.entries.items()))
            del self._claimed[name]

    def _read_below(self, item: Wanted) -> None:
        """Read a manifest, and all below it that nobody reads yet."""
        waiting = [item]
        while waiting:
            one = waiting.pop()
            entry = self._read(one.repository, one.reference)
            if entry is not None:
                waiting += self._keep(one, entry)

    def _use(self, item: Wanted, status: int, headers: Headers, body: bytes) -> list[Wanted] | None:
        """Keep the manifest of an answer and return what is to be read below it; nothing if it is to be read again."""
        manifest, wrong = manifest_in(item.reference, headers, body)
        if status != 200 or wrong:
            return None
        try:
            entry = self._pool.entry(manifest)
        except RegistryError:
            return None
        return self._keep(item, entry)

    def _read(self, name: str, reference: str) -> Entry | None:
        """Read one manifest, by tag or digest."""
        for last in (False, True):
            try:
                return self._pool.entry(get_manifest(self._session, name, reference))
            except RegistryError as exc:
                if isinstance(exc, TruncatedError) and not last:
                    continue
                problem = manifest_problem(name_of(name, reference), exc)
                if problem is None:
                    raise
                self._note(name, problem)
                break
        return None

    def _keep(self, item: Wanted, entry: Entry) -> list[Wanted]:
        """Keep an entry and return the children that nobody reads yet."""
        name = item.repository
        claimed = self._claimed[name]
        if item.is_tag:
            self.repositories[name].tags[item.reference] = entry.digest
        with self._lock:
            self.repositories[name].entries[entry.digest] = entry
            claimed.add(entry.digest)
            if not entry.children:
                return []
            # An index may name a child twice.
            new = {child.digest for child in entry.children} - claimed
            claimed |= new
        return [Wanted(name, digest, False) for digest in new]

    def _note(self, name: str, *problems: Problem) -> None:
        if problems:
            with self._lock:
                self.problems.setdefault(name, []).extend(problems)


def _pairs(lists: dict[str, list[str]]) -> Iterator[Wanted]:
    for name in sorted(lists):
        for tag in lists[name]:
            yield Wanted(name, tag, True)
