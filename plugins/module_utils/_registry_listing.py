# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Lists of repositories and tags that are worth believing. Private.

What servers do to lists, and how it is noticed:

- Distribution 3.0 and 3.1 on object storage compare names in another order than the store, so that a list in pages
  leaves names out and repeats others. A list that came in pages is therefore asked for in pages of another size.
- Tags are asked for without pages, which no release but 3.1.0 and 3.1.1 gets wrong.
- These two on object storage leave a tag out when the one before it is its beginning (v10 after v1). Such a server is
  known by how it ends a list (null); unless a list proves it innocent, it is asked what comes after each tag.
"""

from __future__ import annotations

import itertools
import json
import threading
import typing as t
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from ansible_collections.homeport.registry.plugins.module_utils._registry_client import list_in_pages, pull
from ansible_collections.homeport.registry.plugins.module_utils._registry_content import Problem
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import HttpError
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import check_repository
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_workers import in_parallel

# The largest page that Distribution allows unless it is told otherwise.
_PAGE = 1000
# How often a list is asked for, until two ways in a row agree.
_ROUNDS = 5
_SHOWN = 5
UNTRUSTED = "listing-untrusted"
_REMEDY = (
    "Do not take a name that is not in this list for deleted. Raise catalog.maxentries of the registry above the number"
    " of repositories; Distribution 3.0 and 3.1 on object storage lose names in pages, 3.1.0 and 3.1.1 also without."
)


def repositories(session: Session) -> tuple[list[str], list[Problem]]:
    """Return the names of all repositories, sorted, and why they cannot be trusted, if so.

    Raises:
        RegistryError: when the registry does not tell.
    """
    pages = list_in_pages(session, "list the repositories", "/v2/_catalog", "registry:catalog:*", "repositories", _PAGE)
    return _settle(session, "list the repositories", "/v2/_catalog", "registry:catalog:*", "repositories", pages)


def tags(session: Session, repository: str) -> tuple[list[str], list[Problem]]:
    """Return the tags of a repository in the server's order, and why they cannot be trusted, if so.

    Raises:
        RegistryError: when the registry does not tell; NotFoundError when there is no such repository.
    """
    path = f"/v2/{check_repository(repository)}/tags/list"
    tried = f"list the tags of {repository}"
    pages = list_in_pages(session, tried, path, pull(repository), "tags", None)
    if len(pages) == 1:
        return pages[0], []
    return _settle(session, tried, path, pull(repository), "tags", pages, where=repository)


def _settle(
    session: Session, tried: str, path: str, scope: str, key: str, pages: Sequence[Sequence[str]], where: str = ""
) -> tuple[list[str], list[Problem]]:
    """Return the names of a list, asked for in other pages until two ways agree."""
    names = set(itertools.chain.from_iterable(pages))
    if len(pages) == 1:
        return sorted(names), []
    size = max(len(pages[0]), 1)
    # Both orders of the same two sizes would lose the same names.
    sizes = itertools.cycle((max(size * 2 // 3, 1), size))
    every, always = set(names), set(names)
    for number in range(_ROUNDS - 1):
        other = set(itertools.chain.from_iterable(list_in_pages(session, tried, path, scope, key, next(sizes))))
        every |= other
        always &= other
        if other == names and (size > 1 or number):
            break
        names = other
    else:
        return sorted(every), [_differs(session, tried, path, where, sorted(every - always))]
    if size == 1:
        return sorted(names), [_differs(session, tried, path, where, [])]
    return sorted(names), []


def _differs(session: Session, tried: str, path: str, where: str, names: Sequence[str]) -> Problem:
    got = f"pages of different sizes give different lists; not in all of them: {shorten(names)}"
    if not names:
        got = "it comes in pages of one entry, which cannot be compared with pages of another size"
    return Problem(UNTRUSTED, where, f"Could not {tried} ({session.base}{path}): {got}.", _REMEDY)


def shorten(names: Sequence[str]) -> str:
    """Return the first names, and how many follow."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def shows_no_skipping(listed: Sequence[str]) -> bool:
    """Tell whether a list of tags, in the server's order, holds what a server that leaves out would have left out."""
    return any(after.startswith(before) and after > f"{before}/" for before, after in itertools.pairwise(listed))


def may_leave_out(session: Session, lists: Mapping[str, Sequence[str]]) -> bool:
    """Tell whether the server may be one that leaves tags out; one request at most."""
    with_tags = [name for name, listed in lists.items() if listed]
    if not with_tags or any(shows_no_skipping(lists[name]) for name in with_tags):
        return False
    # A server without pages sends the whole list, so the shortest is asked for.
    shortest = min(with_tags, key=lambda name: len(lists[name]))
    try:
        return _after(session, shortest, "~", 1) is None
    except HttpError:
        return False


def left_out(
    session: Session, lists: Mapping[str, Sequence[str]], threads: int
) -> tuple[dict[str, list[str]], list[Problem]]:
    """Ask what comes after each tag; return the tags that the lists do not have, by repository, and the problems.

    Raises:
        RegistryError: when the registry does not answer at all.
    """
    known = {name: set(listed) for name, listed in lists.items()}
    found: dict[str, list[str]] = {}
    refused: dict[str, HttpError] = {}
    lock = threading.Lock()
    waiting = [(name, tag) for name, listed in lists.items() for tag in listed]
    while waiting:
        new: list[tuple[str, str]] = []

        def look(item: tuple[str, str], new: list[tuple[str, str]] = new) -> None:
            name, tag = item
            if name in refused:
                return
            try:
                # Behind everything that belongs to the tag itself, before every longer name.
                follow = _after(session, name, f"{tag}/~", 100) or []
            except HttpError as exc:
                refused[name] = exc
                return
            for one in follow:
                if not one.startswith(tag):
                    break
                with lock:
                    if one not in known[name]:
                        known[name].add(one)
                        found.setdefault(name, []).append(one)
                        new.append((name, one))

        in_parallel(look, waiting, threads)
        waiting = new
    problems = [_skipped(session, name, sorted(names)) for name, names in found.items()]
    problems += [Problem.of(UNTRUSTED, name, exc, _REMEDY) for name, exc in refused.items()]
    return found, problems


def _skipped(session: Session, name: str, names: Sequence[str]) -> Problem:
    return Problem(
        UNTRUSTED,
        name,
        f"Could not list the tags of {name} ({session.base}/v2/{name}/tags/list): the list leaves out {shorten(names)},"
        " found by asking what comes after each tag.",
        _REMEDY,
    )


def _after(session: Session, repository: str, last: str, number: int) -> list[str] | None:
    """Return the tags after `last`, at most `number`; nothing when the server says null."""
    path = f"/v2/{check_repository(repository)}/tags/list?n={number}&last={quote(last, safe='')}"
    tried = f"list the tags of {repository} after {last}"
    body = session.request(tried, "GET", path, scope=pull(repository), expect=(200,)).read(64 << 20)
    try:
        document: t.Any = json.loads(body)
    except ValueError:
        document = None
    listed = document.get("tags", []) if isinstance(document, dict) else []
    return [str(one) for one in listed] if isinstance(listed, list) else None
