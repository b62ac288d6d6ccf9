# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Lists of repositories and tags that are worth believing. Private.

What servers do to lists, and how it is noticed:

- Distribution 3.0 and 3.1 on object storage compare names in another order than the store, so that a list in pages
  leaves names out and repeats others. What may be lost at the end of each page is asked for, and then the whole list
  again in pages of another size.
- Tags are asked for without pages, which no release but 3.1.0 and 3.1.1 gets wrong.
- These two on object storage leave a tag out when the one before it is its beginning (v10 after v1). Such a server is
  known by how it ends a list (null); unless a list proves it innocent, it is asked what comes after each tag.
"""

from __future__ import annotations

import itertools
import json
import re
import threading
import typing as t
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from ansible_collections.homeport.registry.plugins.module_utils._registry_ahead import Question
from ansible_collections.homeport.registry.plugins.module_utils._registry_client import list_in_pages, pull
from ansible_collections.homeport.registry.plugins.module_utils._registry_content import Problem
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import HttpError, NotFoundError
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import (
    check_repository,
    is_repository,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_wire import Headers
from ansible_collections.homeport.registry.plugins.module_utils._registry_workers import in_parallel

# The largest page that Distribution allows unless it is told otherwise.
_PAGE = 1000
# How often a list is asked for, until two ways in a row agree.
_ROUNDS = 5
_SHOWN = 5
UNTRUSTED = "listing-untrusted"
# What is tried, the path, the right that is needed, and the key of the names.
_CATALOG = ("list the repositories", "/v2/_catalog", "registry:catalog:*", "repositories")
_REMEDY = (
    "Do not take a name that is not in this list for deleted. Raise catalog.maxentries of the registry above the number"
    " of repositories; Distribution 3.0 and 3.1 on object storage lose names in pages, 3.1.0 and 3.1.1 also without."
)


def repositories(session: Session) -> tuple[list[str], list[Problem]]:
    """Return the names of all repositories, sorted, and why they cannot be trusted, if so.

    Raises:
        RegistryError: when the registry does not tell.
    """
    pages = list_in_pages(session, *_CATALOG, _PAGE)
    if len(pages) == 1:
        return sorted(pages[0]), []
    known = set(itertools.chain.from_iterable(pages))
    lost = _lost_between(session, pages, known)
    if lost:
        got = f"it leaves out {shorten(lost)}, found by asking around the ends of its pages"
        return sorted(known), [_untrusted(session, _CATALOG, "", got)]
    return _settle(session, _CATALOG, pages)


def _lost_between(session: Session, pages: Sequence[Sequence[str]], known: set[str]) -> list[str]:
    """Return what is lost where pages end, and add it to what is known.

    After foo-bar, a server that sorts foo/ before foo- takes foo and foo/bar for told; in the store they come later.
    """
    size = max(len(pages[0]), 1)
    lost: list[str] = []
    ends = [page[-1] for page in pages[:-1] if page]
    asked: set[str] = set()
    while ends:
        end = ends.pop()
        for cut in [end[: match.start()] for match in re.finditer(r"[-.]", end)]:
            if cut in asked or not is_repository(cut):
                continue
            asked.add(cut)
            found = [cut] if cut not in known and _exists(session, cut) else []
            # A page that is full may end in the middle of what is below the name.
            last = cut
            while last:
                page = _after(session, "/v2/_catalog", _CATALOG[2], "repositories", last, size) or []
                below = _leading(page, f"{cut}/")
                found += [name for name in below if name not in known]
                last = below[-1] if len(below) == size else ""
                ends += below[-1:]
            known.update(found)
            lost += found
    return sorted(lost)


def _leading(names: Sequence[str], beginning: str) -> list[str]:
    """Return the names up to the first that does not begin so."""
    return list(itertools.takewhile(lambda name: name.startswith(beginning), names))


def _exists(session: Session, repository: str) -> bool:
    try:
        path = f"/v2/{repository}/tags/list"
        _after(session, path, pull(repository), "tags", "", 1)
    except NotFoundError:
        return False
    return True


def tags(session: Session, repository: str) -> tuple[list[str], list[Problem]]:
    """Return the tags of a repository in the server's order, and why they cannot be trusted, if so.

    Raises:
        RegistryError: when the registry does not tell; NotFoundError when there is no such repository.
    """
    path = f"/v2/{check_repository(repository)}/tags/list"
    source = (f"list the tags of {repository}", path, pull(repository), "tags")
    pages = list_in_pages(session, *source, None)
    if len(pages) == 1:
        return pages[0], []
    return _settle(session, source, pages, where=repository)


def tags_question(repository: str) -> Question:
    """Return what asks for the tags of a repository, for `ask_ahead`."""
    return Question(f"/v2/{check_repository(repository)}/tags/list", pull(repository), {})


def tags_in(status: int, headers: Headers, body: bytes) -> list[str] | None:
    """Return the tags, in the server's order, of an answer that holds all; nothing where `tags` has to look closer."""
    if status != 200 or headers.get("Link") is not None:
        return None
    try:
        listed = json.loads(body)["tags"]
    except (ValueError, TypeError, KeyError):
        return None
    return [str(tag) for tag in listed] if isinstance(listed, list) else None


def _settle(
    session: Session, source: tuple[str, str, str, str], pages: Sequence[Sequence[str]], where: str = ""
) -> tuple[list[str], list[Problem]]:
    """Return the names of a list, asked for in other pages until two ways in a row agree."""
    names = set(itertools.chain.from_iterable(pages))
    size = len(pages[0])
    sizes = itertools.cycle((max(size * 2 // 3, 1), max(size, 1)))
    every, always = set(names), set(names)
    for _round in range(_ROUNDS - 1):
        other = set(itertools.chain.from_iterable(list_in_pages(session, *source, next(sizes))))
        if other == names:
            return sorted(names), []
        every |= other
        always &= other
        names = other
    got = f"pages of different sizes give different lists; not in all of them: {shorten(sorted(every - always))}"
    return sorted(every), [_untrusted(session, source, where, got)]


def _untrusted(session: Session, source: tuple[str, str, str, str], where: str, got: str) -> Problem:
    return Problem(UNTRUSTED, where, f"Could not {source[0]} ({session.base}{source[1]}): {got}.", _REMEDY)


def shorten(names: Sequence[str]) -> str:
    """Return the first names, and how many follow."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def shows_no_skipping(listed: Sequence[str]) -> bool:
    """Tell whether a list of tags, in the server's order, holds what a server that leaves out would have left out."""
    return any(after.startswith(before) and after > f"{before}/" for before, after in zip(listed, listed[1:]))


def may_leave_out(session: Session, lists: Mapping[str, Sequence[str]]) -> bool:
    """Tell whether the server may be one that leaves tags out; one request at most."""
    with_tags = [name for name, listed in lists.items() if listed]
    if not with_tags or any(shows_no_skipping(lists[name]) for name in with_tags):
        return False
    # A server without pages sends the whole list, so the shortest is asked for.
    shortest = min(with_tags, key=lambda name: len(lists[name]))
    try:
        return _tags_after(session, shortest, "~", 1) is None
    except HttpError:
        return False


def left_out(
    session: Session, lists: Mapping[str, Sequence[str]], threads: int
) -> tuple[dict[str, list[str]], list[Problem]]:
    """Ask what comes after each tag; return the tags that the lists do not have, by repository, and the problems.

    Raises:
        RegistryError: when the registry does not answer at all.
    """
    search = _Search(session, lists)
    waiting = [(name, tag) for name, listed in lists.items() for tag in listed]
    while waiting:
        in_parallel(search.look, waiting, threads)
        waiting, search.new = search.new, []
    problems = [unlisted(session, name, sorted(names)) for name, names in search.found.items()]
    problems += [Problem.of(UNTRUSTED, name, exc, _REMEDY) for name, exc in search.refused.items()]
    return search.found, problems


class _Search:
    """Looks for tags that lists do not have; `new` are those whose surroundings were not looked at yet."""

    def __init__(self, session: Session, lists: Mapping[str, Sequence[str]]) -> None:
        self._session = session
        self._known = {name: set(listed) for name, listed in lists.items()}
        self._lock = threading.Lock()
        self.found: dict[str, list[str]] = {}
        self.refused: dict[str, HttpError] = {}
        self.new: list[tuple[str, str]] = []

    def look(self, item: tuple[str, str]) -> None:
        """Look at what follows a tag of a repository."""
        name, tag = item
        if name in self.refused:
            return
        try:
            # Behind everything that belongs to the tag itself, before every longer name.
            follow = _tags_after(self._session, name, f"{tag}/~", 100) or []
        except HttpError as exc:
            self.refused[name] = exc
            return
        for one in _leading(follow, tag):
            with self._lock:
                if one not in self._known[name]:
                    self._known[name].add(one)
                    self.found.setdefault(name, []).append(one)
                    self.new.append((name, one))


def unlisted(session: Session, name: str, tags: Sequence[str]) -> Problem:
    """Return the problem that a list leaves out tags that are there."""
    source = (f"list the tags of {name}", f"/v2/{name}/tags/list", "", "")
    return _untrusted(session, source, name, f"the lists leave out {shorten(tags)}, found by asking for it")


def _after(session: Session, path: str, scope: str, key: str, last: str, number: int) -> list[str] | None:
    """Return the names of a list after `last`, at most `number`; nothing when the server says null."""
    url = f"{path}?n={number}&last={quote(last, safe='')}"
    body = session.request(f"list what comes after {last}", "GET", url, scope=scope, expect=(200,)).read(64 << 20)
    try:
        document: t.Any = json.loads(body)
    except ValueError:
        document = None
    listed = document.get(key, []) if isinstance(document, dict) else []
    return [str(one) for one in listed] if isinstance(listed, list) else None


def _tags_after(session: Session, repository: str, last: str, number: int) -> list[str] | None:
    return _after(session, f"/v2/{check_repository(repository)}/tags/list", pull(repository), "tags", last, number)
