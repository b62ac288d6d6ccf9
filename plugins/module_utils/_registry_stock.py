# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The work of the modules that take stock of a registry from outside. Private."""

from __future__ import annotations

import fnmatch
import json
import typing as t
from collections.abc import Iterable, Sequence

from ansible_collections.homeport.registry.plugins.module_utils import _registry_listing as listing
from ansible_collections.homeport.registry.plugins.module_utils._registry_client import get_manifest
from ansible_collections.homeport.registry.plugins.module_utils._registry_content import (
    DocumentError,
    in_order,
    name_of,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import NOT_NOW, HttpError
from ansible_collections.homeport.registry.plugins.module_utils._registry_inventory import (
    Inventory,
    Problem,
    take_inventory,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_summary import summarize
from ansible_collections.homeport.registry.plugins.module_utils._registry_verify import (
    Depth,
    check_content,
    compare,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_workers import in_parallel

_WILDCARDS = frozenset("*?[")


def is_pattern(name: str) -> bool:
    """Tell whether a name holds wildcards."""
    return not _WILDCARDS.isdisjoint(name)


def select(names: Iterable[str], wanted: Sequence[str]) -> list[str]:
    """Return the names that equal or match one of those wanted, sorted."""
    return sorted({name for name in names if any(fnmatch.fnmatchcase(name, one) for one in wanted)})


def take_stock(session: Session, wanted: Sequence[str], threads: int) -> Inventory:
    """Take the inventory of the repositories that equal or match one of those wanted.

    Raises:
        RegistryError: when the registry does not answer, or a name is not well formed.
    """
    if "*" in wanted:
        return take_inventory(session, threads=threads)
    names = {name for name in wanted if not is_pattern(name)}
    problems: list[Problem] = []
    if len(names) < len(set(wanted)):
        every, problems = listing.repositories(session)
        names.update(select(every, [one for one in wanted if is_pattern(one)]))
    inventory = take_inventory(session, repositories=names, threads=threads)
    return Inventory(inventory.repositories, problems + inventory.problems)


def describe(inventory: Inventory) -> dict[str, t.Any]:
    """Return an inventory as a module's result."""
    repositories, totals = summarize(inventory)
    document = inventory.document()
    return {
        "repositories": repositories,
        "totals": totals,
        "problems": document["problems"],
        "inventory": document,
    }


def read_document(path: str) -> t.Any:
    """Return the JSON of a file.

    Raises:
        DocumentError: when it cannot be read or is no JSON.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            return json.load(stream)
    except (OSError, ValueError) as exc:
        raise DocumentError(
            "read the inventory of before",
            where=path,
            got=str(exc),
            remedy="Give a file, on the machine that runs the module, that holds what inventory_info returned.",
        ) from exc


def verify(
    session: Session,
    wanted: Sequence[str],
    depth: Depth,
    *,
    threads: int,
    before: Inventory | None = None,
    allow_moved_tags: bool = False,
    allow_sparse_indexes: bool = False,
) -> dict[str, t.Any]:
    """Read what a registry holds and compare it with an inventory of before; return a module's result.

    Args:
        session: a session with the right to pull.
        wanted: names and patterns of repositories.
        depth: see `check_content`.
        threads: connections to use at once.
        before: what should still be there.
        allow_moved_tags: whether tags may point elsewhere now.
        allow_sparse_indexes: whether an index may lack some of its manifests.

    Raises:
        RegistryError: when the registry does not answer.
    """
    now = take_stock(session, wanted, threads)
    relevant = Inventory({}, [])
    if before is not None:
        names = select(before.repositories, wanted)
        relevant = Inventory({name: before.repositories[name] for name in names}, [])
        now = _complete(session, now, relevant, threads)
    check = check_content(session, now, depth, threads=threads, fresh=True)
    lost = [one for one in compare(relevant, now) if not (allow_moved_tags and one.kind == "tag-moved")]
    spared = _spared(now) if allow_sparse_indexes else frozenset()
    stored = [one for one in now.problems if one.kind != "manifest-missing" or one.where not in spared]
    problems = in_order(stored + check.problems + lost)
    document = now.document()
    return {
        "verified": not problems,
        "problems": [problem._asdict() for problem in problems],
        "depth": depth,
        "compared": before is not None,
        "checked": {
            "repositories": len(now.repositories),
            "tags": sum(len(one.tags) for one in now.repositories.values()),
            "manifests": sum(len(one.entries) for one in now.repositories.values()),
            "blobs": check.blobs,
            "bytes": check.bytes,
        },
        "inventory": document,
    }


def _spared(inventory: Inventory) -> frozenset[str]:
    """Return where a manifest is missing of an index that has another one."""
    found: set[str] = set()
    for name, repository in inventory.repositories.items():
        for entry in repository.entries.values():
            missing = [child.digest for child in entry.children if child.digest not in repository.entries]
            if len(missing) < len(entry.children):
                found.update(name_of(name, digest) for digest in missing)
    return frozenset(found)


def _complete(session: Session, now: Inventory, before: Inventory, threads: int) -> Inventory:
    """Ask by name for what was there before and is not listed any more, and add what is there all the same."""
    unseen = []
    for name, repository in before.repositories.items():
        there = now.repositories.get(name)
        unseen += [(name, tag) for tag in repository.tags if there is None or tag not in there.tags]
    told = {problem.where for problem in now.problems}
    found: dict[str, list[str]] = {}

    def look(item: tuple[str, str]) -> None:
        if name_of(*item) in told:
            return
        try:
            get_manifest(session, *item)
        except HttpError as exc:
            if exc.status in NOT_NOW:
                raise
            return
        found.setdefault(item[0], []).append(item[1])

    in_parallel(look, unseen, threads)
    # What was lost is told by its tags.
    problems = [one for one in now.problems if one.kind != "repository-missing" or one.where not in before.repositories]
    problems += [listing.unlisted(session, name, sorted(tags)) for name, tags in found.items()]
    if found:
        more = take_inventory(session, repositories=found, threads=threads, also=found)
        now.repositories.update(more.repositories)
        problems += [one for one in more.problems if one.kind != "repository-missing"]
    return Inventory(now.repositories, problems)
