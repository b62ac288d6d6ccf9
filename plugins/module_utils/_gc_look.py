# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a collection would do to the store as it is now, and whether it may. Private."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils import _gc_ceiling, _gc_store
from ansible_collections.homeport.registry.plugins.module_utils._gc_child import Program
from ansible_collections.homeport.registry.plugins.module_utils._gc_errors import (
    GcError,
    NothingToDoError,
    RefusedError,
)
from ansible_collections.homeport.registry.plugins.module_utils._gc_options import Options
from ansible_collections.homeport.registry.plugins.module_utils._gc_output import Collected, diagnose
from ansible_collections.homeport.registry.plugins.module_utils._gc_report import LISTED, Report
from ansible_collections.homeport.registry.plugins.module_utils._registry_inventory import (
    Inventory,
    Problem,
    take_inventory,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import is_foreign
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session

# A collection would take the layers of such an image, or the collector stops in the middle.
_FATAL = frozenset(
    ("manifest-missing", "manifest-empty", "revision-link-empty", "revision-link-damaged", "repository-name")
)
_FATAL_FROM_3 = frozenset(("layer-link-empty", "layer-link-damaged"))
_BROKEN_TAGS = frozenset(("tag-link-empty", "tag-link-damaged"))


def fatal_in_store(problem: Problem, major: int, untagged: str) -> bool:
    """Tell whether damage of the store's files forbids to collect with this version and option."""
    if problem.kind in _BROKEN_TAGS:
        return untagged == "delete"
    return problem.kind in _FATAL or (major >= 3 and problem.kind in _FATAL_FROM_3)


def fatal_in_inventory(problem: Problem, broken_tags: t.Container[str], untagged: str) -> bool:
    """Tell whether what the registry cannot serve forbids to collect.

    broken_tags: tags whose link is known to be broken, which take nothing with them.
    """
    if problem.kind == "listing-untrusted":
        return untagged == "delete"
    if problem.kind == "manifest-missing" and "@" in problem.where:
        # A child that somebody deleted by digest; --delete-untagged would take intact copies elsewhere with it.
        return untagged == "delete"
    return problem.where not in broken_tags and problem.kind != "repository-missing"


@dataclasses.dataclass
class Look:
    """The store at one moment: its files where it has any, its images, and what a collection would take."""

    store: _gc_store.Scan | None
    inventory: Inventory
    plan: Collected


class Looker:
    """Looks at one store with one program.

    major: version of the program. blobs_before: how many the last run left. seen: what was served in the last look.
    """

    def __init__(self, options: Options, program: Program, session: Session, report: Report) -> None:
        """Take what to look with."""
        self._options, self._program, self._session, self._report = options, program, session, report
        self.major = 3
        self.blobs_before = 0
        self.seen = Inventory({}, [])
        self.flags = ["--delete-untagged"] if options.untagged == "delete" else []

    def scan(self) -> _gc_store.Scan | None:
        """Return the files of the store, nothing where it has none."""
        return _gc_store.scan(self._options.root) if self._options.root else None

    def seconds_remembered(self) -> float:
        """Return for how long the files of the store may be seen here as they were."""
        if not self._options.root:
            return 0.0
        with open("/proc/self/mountinfo", encoding="utf-8") as stream:
            return _gc_store.seconds_remembered(os.path.realpath(self._options.root), stream.read())

    def recognise(self, store: _gc_store.Scan | None) -> None:
        """Refuse another store than that of the last run, and mark one that has no mark yet."""
        root = self._options.root
        expected = (self._report.document["store"] or {}).get("id")
        found = _gc_store.identity(root) if root else None
        where = root or next(iter(self._options.storage))
        empty = store is not None and not store.sizes and not store.revisions
        _gc_store.check_identity(found, expected if root else None, self.blobs_before, empty, where)
        if root and store and not found and not empty and not self._options.dry_run:
            found = _gc_store.mark(root) or None
        if found:
            self._report.document["store"] = {**(self._report.document["store"] or {}), "id": found}
        if empty:
            raise self._nothing(where)

    def _nothing(self, where: str) -> NothingToDoError:
        return NothingToDoError(
            "find images in the store",
            where=where,
            got="nothing was pushed to it yet",
            remedy="If images are in it, check the mount and rootdirectory.",
        )

    def inventory(self) -> Inventory:
        """Return the images in the store."""
        return take_inventory(self._session, threads=self._options.threads)

    def judge_files(self, store: _gc_store.Scan | None) -> None:
        """Refuse a store whose files are broken in a way that makes collecting dangerous or pointless."""
        problems = store.problems if store else []
        self.note(problems)
        self._refuse([one for one in problems if fatal_in_store(one, self.major, self._options.untagged)])

    def judge(self, store: _gc_store.Scan | None, inventory: Inventory, *, beside: bool = False) -> None:
        """Refuse a registry that does not serve what it lists, and note what was lost before.

        Args:
            store: the files, as they were before the inventory.
            inventory: what the registry served.
            beside: others change the store meanwhile; what has come since the look at the files is not missing.
        """
        broken_tags = {one.where for one in (store.problems if store else []) if one.kind in _BROKEN_TAGS}
        self.note(inventory.problems)
        untagged = self._options.untagged
        self._refuse([one for one in inventory.problems if fatal_in_inventory(one, broken_tags, untagged)])
        lost = _missing(inventory, store) if store else []
        if lost and beside and (now := self.scan()):
            lost = [(name, digest) for name, digest in lost if digest not in now.sizes]
        text = "the layer was missing before the collection"
        self.note(Problem("blob-missing", f"{name}@{digest}", text, "Push the image again.") for name, digest in lost)

    @staticmethod
    def _refuse(bad: list[Problem]) -> None:
        if bad:
            more = f", and {len(bad) - 1} more in `problems`" if len(bad) > 1 else ""
            raise RefusedError(
                "find the store whole", where=bad[0].where, got=f"{bad[0].text}{more}", remedy=bad[0].remedy
            )

    def note(self, problems: t.Iterable[Problem]) -> None:
        """Keep problems in the report, each once and not too many."""
        kept = self._report.document["problems"]
        for problem in problems:
            entry = problem._asdict()
            if entry not in kept and len(kept) < LISTED:
                kept.append(entry)
                self._report.log(f"problem: {problem.kind} {problem.where}: {problem.text} {problem.remedy}")

    def run_collector(self, *flags: str) -> Collected:
        """Run the collector and return what it said. Raises GcError when it did not do what it should."""
        code, errors, found = self._program.collect(*flags, *self.flags)
        diagnosis = diagnose(code, errors, found)
        if diagnosis is None:
            return found
        if diagnosis.kind == "empty":
            where = self._options.root or next(iter(self._options.storage))
            _gc_store.check_identity(None, None, self.blobs_before, True, where)
            raise self._nothing(where)
        if diagnosis.kind == "link-damaged" and self._options.root:
            # Which one it does not say.
            problems = _gc_store.read_links(self._options.root)
            self.note(problems)
            self._refuse(problems)
        dry = "--dry-run" in flags
        kind = RefusedError if dry and diagnosis.kind not in ("unknown", "killed") else GcError
        raise kind(
            "run the collector" + (" without deleting" if dry else ""),
            where=" ".join(["garbage-collect", *flags, *self.flags]),
            got=diagnosis.got,
            remedy=diagnosis.remedy,
        )

    def cross_check(self, inventory: Inventory, plan: Collected, *, beside: bool = False) -> None:
        """Refuse a plan that does not keep everything that the registry serves.

        Args:
            inventory: what the registry served.
            plan: what the collector would keep and take, asked after the inventory.
            beside: others change the store meanwhile; what they have deleted since the inventory may go.
        """
        if not inventory.repositories and not plan.marked:
            # On object storage an empty place looks like this, without an error.
            where = self._options.root or next(iter(self._options.storage))
            _gc_store.check_identity(None, None, self.blobs_before, True, where)
        taken = _taken(inventory, plan)
        if taken and beside:
            now = self.inventory().repositories
            taken = [one for one in taken if one[0] in now and one[1] in now[one[0]].entries]
        if taken:
            name, digest, lost = taken[0]
            raise RefusedError(
                "find every image among what stays",
                where=f"{name}@{digest}",
                got=f"the registry serves it, and the collector would take {lost}",
                remedy="Do not collect with another program than the one that serves. Report this as a fault.",
            )

    def look(self, store: _gc_store.Scan | None, *, beside: bool = False) -> Look:
        """Look at everything once.

        Args:
            store: its files, as they are now.
            beside: others change the store meanwhile; the dry run is a step of its own then.

        Raises:
            GcError: when something forbids to collect.
        """
        report = self._report
        self.judge_files(store)
        inventory = self.seen = self.inventory()
        found = report.document["before"] = counts(inventory, store)
        self.judge(store, inventory, beside=beside)
        if beside and report.document["step"] != "dry_run":
            text = f"{found['manifests']} manifests in {found['repositories']} repositories"
            report.step("dry_run", f"ask what would go of {text}")
        plan = self.run_collector("--dry-run")
        self.cross_check(inventory, plan, beside=beside)
        return Look(store, inventory, plan)

    def ceiling(self, look: Look) -> None:
        """Write down what would go, and refuse when that is too much."""
        lost = _gc_ceiling.touched(look.plan, look.store)
        ranked = sorted(((len(digests), name) for name, digests in lost.items()), reverse=True)[:LISTED]
        self._report.document["eligible"] = {
            **_gc_ceiling.measure(look.plan, look.store),
            "repositories": {name: count for count, name in ranked},
        }
        _gc_ceiling.check(look.plan, self._options.ceiling, look.store, names_links=self.major >= 3)


def _missing(inventory: Inventory, store: _gc_store.Scan) -> list[tuple[str, str]]:
    """Return repository and digest of each layer that is not among the files."""
    found = []
    for name, repository in inventory.repositories.items():
        blobs = (blob for entry in repository.entries.values() for blob in entry.blobs)
        named = {blob.digest for blob in blobs if not is_foreign(blob.media_type)}
        found += [(name, digest) for digest in sorted(named - store.sizes.keys())]
    return found


def _taken(inventory: Inventory, plan: Collected) -> list[tuple[str, str, str]]:
    """Return each image that would not be whole afterwards: its repository, its digest, and what would go of it."""
    gone = plan.blobs.union(*plan.untagged.values())
    found = []
    for name, repository in inventory.repositories.items():
        for digest, entry in repository.entries.items():
            needed = {digest, *(blob.digest for blob in entry.blobs)}
            if bad := needed & (gone | plan.links.get(name, set())) or {digest} - plan.marked:
                found.append((name, digest, sorted(bad)[0]))
    return found


def counts(look_inventory: Inventory, store: _gc_store.Scan | None) -> dict[str, int | None]:
    """Return how much is in the store, for the report."""
    repositories = look_inventory.repositories.values()
    blobs = {blob.digest: blob.size for one in repositories for entry in one.entries.values() for blob in entry.blobs}
    manifests = {digest: entry.size for one in repositories for digest, entry in one.entries.items()}
    everything = {**blobs, **manifests}
    return {
        "repositories": len(look_inventory.repositories),
        "tags": sum(len(one.tags) for one in repositories),
        "manifests": len(manifests),
        "reachable_blobs": len(everything),
        "reachable_bytes": sum(everything.values()),
        "blobs": len(store.sizes) if store else None,
        "bytes": store.bytes if store else None,
    }
