# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a registry holds, as plain data: repositories, tags, manifests, and what is wrong with them. Private.

A content is one object, however many repositories hold it: digests repeat, and memory is the limit of a large registry.
"""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Iterable, Iterator, Mapping

from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.homeport.registry.plugins.module_utils._registry_client import Descriptor, Manifest
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import ProtocolError
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import (
    DOCKER_LIST,
    OCI_INDEX,
    is_digest,
)

VERSION = 1
INDEX_TYPES = frozenset((OCI_INDEX, DOCKER_LIST))


class DocumentError(RegistryError):
    """A text is not the inventory that it should be."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """One manifest or index; `size` in bytes.

    `children` are the manifests of an index, in order; `blobs` the configuration and layers of an image, in order;
    `subject` is the digest of the manifest that this one belongs to.
    """

    __slots__ = ("blobs", "children", "digest", "media_type", "size", "subject")

    digest: str
    media_type: str
    size: int
    children: tuple[Descriptor, ...]
    blobs: tuple[Descriptor, ...]
    subject: str | None


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


@dataclasses.dataclass(frozen=True)
class Problem:
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
            "problems": [dataclasses.asdict(problem) for problem in self.problems],
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
            problems = [Problem(**{key: str(one[key]) for key in _PROBLEM_KEYS}) for one in document["problems"]]
        except (KeyError, TypeError, AttributeError, ValueError) as exc:
            raise _not_an_inventory(f"a part is missing or of another form: {type(exc).__name__} {exc}") from exc
        return cls(repositories, problems)


_PROBLEM_KEYS = [field.name for field in dataclasses.fields(Problem)]


class Pool:
    """Gives equal contents one object; may be used by many threads."""

    def __init__(self) -> None:
        """Begin empty."""
        self.entries: dict[str, Entry] = {}
        self._descriptors: dict[str, Descriptor] = {}
        self._words: dict[str, str] = {}

    def digest(self, digest: t.Any) -> str:
        """Return the one object of a digest.

        Raises:
            ValueError: when it is no digest.
        """
        if not isinstance(digest, str) or not is_digest(digest):
            raise ValueError(f"{ascii(digest)[:100]} is no digest")
        known = self._descriptors.get(digest)
        return known.digest if known else self._words.setdefault(digest, digest)

    def word(self, word: str) -> str:
        """Return the one object of a text that repeats, such as a media type."""
        return self._words.setdefault(word, word)

    def descriptor(self, source: t.Any, type_key: str = "mediaType") -> Descriptor:
        """Return the descriptor that a manifest's JSON describes.

        Raises:
            ValueError, TypeError, AttributeError: when it describes none.
        """
        size = source["size"]
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise ValueError(f"{ascii(size)[:100]} is no size")
        media_type = self.word(str(source.get(type_key) or ""))
        known = self._descriptors.get(source["digest"])
        if known and (known.size, known.media_type) == (size, media_type):
            return known
        made = Descriptor(media_type, self.digest(source["digest"]), size)
        return made if known else self._descriptors.setdefault(made.digest, made)

    def entry(self, manifest: Manifest) -> Entry:
        """Return the entry of a manifest.

        Raises:
            ProtocolError: when its content is no manifest.
        """
        known = self.entries.get(manifest.digest)
        if known:
            return known
        document = manifest.document()
        try:
            sources = [document["config"]] if document.get("config") else []
            sources += document.get("layers") or []
            subject = document.get("subject")
            made = Entry(
                self.digest(manifest.digest),
                self.word(str(document.get("mediaType") or manifest.media_type)),
                manifest.size,
                tuple(self.descriptor(child) for child in document.get("manifests") or []),
                tuple(self.descriptor(source) for source in sources),
                self.digest(subject["digest"]) if subject else None,
            )
        except (KeyError, TypeError, AttributeError, ValueError) as exc:
            raise ProtocolError(
                f"understand the manifest {manifest.digest}",
                where=manifest.media_type,
                got=f"a part is missing or of another form: {type(exc).__name__} {exc}",
                remedy="Push the image again with another client, or delete it.",
            ) from exc
        return self.entries.setdefault(made.digest, made)

    def entry_in(self, digest: str, body: t.Any) -> Entry:
        """Return the entry of its JSON data.

        Raises:
            KeyError, TypeError, AttributeError, ValueError: when it describes none.
        """
        made = Entry(
            self.digest(digest),
            self.word(str(body["media_type"])),
            int(body["size"]),
            tuple(self.descriptor(child, "media_type") for child in body["children"]),
            tuple(self.descriptor(blob, "media_type") for blob in body["blobs"]),
            self.digest(body["subject"]) if body["subject"] else None,
        )
        known = self.entries.setdefault(made.digest, made)
        return known if known == made else made


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
