# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a registry holds, as plain data: repositories, tags, manifests, and what is wrong with them. Private."""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Iterable, Iterator, Mapping

from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.homeport.registry.plugins.module_utils._registry_client import Descriptor
from ansible_collections.homeport.registry.plugins.module_utils._registry_entries import Entry, Pool
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import is_digest

VERSION = 1


class DocumentError(RegistryError):
    """A text is not the inventory that it should be."""


@dataclasses.dataclass
class Repository:
    """A repository: `tags` to digests, and `entries`, by digest, that the tags reach."""

    name: str
    tags: dict[str, str]
    entries: dict[str, Entry]

    def reach(self, digest: str) -> Iterator[Entry]:
        """Yield the entry of a digest and all below it, each once; what is missing is left out."""
        waiting, seen = [digest], {digest}
        while waiting:
            entry = self.entries.get(waiting.pop())
            if entry is None:
                continue
            yield entry
            for child in entry.children:
                if child.digest not in seen:
                    seen.add(child.digest)
                    waiting.append(child.digest)


class Problem(t.NamedTuple):
    """Something that is wrong.

    `kind` is a stable word, `where` a repository, repository:tag or repository@digest (empty for the whole registry),
    `text` says what was tried and what came back, `remedy` what to do.
    """

    kind: str
    where: str
    text: str
    remedy: str

    @classmethod
    def of(cls, kind: str, where: str, error: RegistryError, remedy: str = "") -> Problem:
        """Return the problem that an error stands for."""
        return cls(kind, where, f"Could not {error.tried} ({error.where}): {error.got}.", remedy or error.remedy)


@dataclasses.dataclass
class Inventory:
    """All repositories by name, and what was wrong when they were read."""

    repositories: dict[str, Repository]
    problems: list[Problem]

    def document(self) -> dict[str, t.Any]:
        """Return everything as plain JSON data, in a stable order."""
        return {
            "version": VERSION,
            "repositories": {
                name: {
                    "tags": dict(sorted(repository.tags.items())),
                    "entries": {digest: _entry_out(entry) for digest, entry in sorted(repository.entries.items())},
                }
                for name, repository in sorted(self.repositories.items())
            },
            "problems": [problem._asdict() for problem in self.problems],
        }

    @classmethod
    def from_document(cls, document: t.Any) -> Inventory:
        """Return the inventory of a document made by `document`.

        Raises:
            DocumentError: when it is none, or one of another version.
        """
        if not isinstance(document, Mapping) or document.get("version") != VERSION:
            raise _not_an_inventory(f"it is not an inventory of version {VERSION}")
        pool = Pool()
        try:
            repositories = {
                str(name): Repository(
                    str(name),
                    {str(tag): pool.digest(digest) for tag, digest in body["tags"].items()},
                    {pool.digest(digest): pool.entry_in(digest, entry) for digest, entry in body["entries"].items()},
                )
                for name, body in document["repositories"].items()
            }
            problems = [Problem(**{key: str(one[key]) for key in Problem._fields}) for one in document["problems"]]
        except (KeyError, TypeError, AttributeError, ValueError) as exc:
            raise _not_an_inventory(f"a part is missing or of another form: {type(exc).__name__} {exc}") from exc
        return cls(repositories, problems)


def name_of(repository: str, reference: str) -> str:
    """Return how a tag or digest of a repository is written."""
    return f"{repository}{'@' if is_digest(reference) else ':'}{reference}"


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Return problems sorted by place and kind, each once."""
    return sorted(set(problems), key=lambda problem: (problem.where, problem.kind, problem.text))


def _entry_out(entry: Entry) -> dict[str, t.Any]:
    def plain(descriptors: Iterable[Descriptor]) -> list[dict[str, t.Any]]:
        return [{"media_type": one.media_type, "digest": one.digest, "size": one.size} for one in descriptors]

    return {
        "media_type": entry.media_type,
        "size": entry.size,
        "children": plain(entry.children),
        "blobs": plain(entry.blobs),
        "subject": entry.subject,
    }


def _not_an_inventory(got: str) -> DocumentError:
    return DocumentError(
        "read the inventory",
        where="the document given",
        got=got,
        remedy="Give what inventory_info returned as inventory, or a file that holds it as JSON.",
    )
