# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What an inventory weighs, who shares it, and what belongs to what. Private."""

from __future__ import annotations

import collections
import re
import typing as t
from collections.abc import Iterator

from ansible_collections.homeport.registry.plugins.module_utils._registry_content import (
    Descriptor,
    Inventory,
    Repository,
)

# How clients without a referrers API, and cosign, name what belongs to a manifest.
_FALLBACK = re.compile(r"(sha256|sha512)-([0-9a-f]+)(?:\.(sig|att|sbom))?")
_LENGTHS = {"sha256": 64, "sha512": 128}


def subject_of_tag(tag: str) -> str | None:
    """Return the digest of the manifest that a tag belongs to by its name, or nothing for an ordinary tag."""
    match = _FALLBACK.fullmatch(tag)
    if not match or len(match[2]) != _LENGTHS[match[1]]:
        return None
    return f"{match[1]}:{match[2]}"


def summarize(inventory: Inventory) -> tuple[list[dict[str, t.Any]], dict[str, int]]:
    """Return the repositories, sorted by name, and the totals.

    Bytes are those of manifests, configurations and layers, each content once. `unique_bytes` of a tag is what no other
    tag of the inventory needs, of a repository what no other repository needs: what a collection frees after deleting
    it. Layers that are kept elsewhere are not counted where no size is given for them.
    """
    sizes: dict[str, int] = {}
    by_tags: collections.Counter[str] = collections.Counter()
    by_repositories: collections.Counter[str] = collections.Counter()
    manifests: set[str] = set()
    for repository in inventory.repositories.values():
        mine: set[str] = set()
        manifests.update(repository.entries)
        for digest, number in collections.Counter(repository.tags.values()).items():
            contents = _contents(repository, digest)
            sizes.update(contents)
            mine.update(contents)
            for content in contents:
                by_tags[content] += number
        by_repositories.update(mine)
    found = []
    for name, repository in sorted(inventory.repositories.items()):
        mine = set()
        tags = []
        referrers = dict(_referrers(repository))
        for tag, digest in sorted(repository.tags.items()):
            contents = _contents(repository, digest)
            mine.update(contents)
            unique = sum(size for content, size in contents.items() if by_tags[content] == 1)
            tags.append(_tag(repository, tag, referrers.get(digest, []), sum(contents.values()), unique))
        total = sum(sizes[content] for content in mine)
        unique = sum(sizes[content] for content in mine if by_repositories[content] == 1)
        found.append(
            {
                "name": name,
                "tags": tags,
                "manifests": len(repository.entries),
                "bytes": total,
                "unique_bytes": unique,
                "shared_bytes": total - unique,
            }
        )
    totals = {
        "repositories": len(inventory.repositories),
        "tags": sum(len(repository.tags) for repository in inventory.repositories.values()),
        "manifests": len(manifests),
        "blobs": len(sizes.keys() - manifests),
        "bytes": sum(sizes.values()),
    }
    return found, totals


def _tag(
    repository: Repository, tag: str, referrers: list[dict[str, str]], total: int, unique: int
) -> dict[str, t.Any]:
    entry = repository.entries[repository.tags[tag]]
    return {
        "name": tag,
        "digest": entry.digest,
        "media_type": entry.media_type,
        "children": [_plain(child) for child in entry.children],
        "subject": entry.subject or subject_of_tag(tag),
        "referrers": referrers,
        "bytes": total,
        "unique_bytes": unique,
    }


def _referrers(repository: Repository) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Yield the digests of subjects with what belongs to them: by fallback tags, and by the field `subject`."""
    found: dict[str, dict[tuple[str, str], str]] = {}
    for tag, digest in sorted(repository.tags.items()):
        subject = subject_of_tag(tag)
        if subject:
            found.setdefault(subject, {})[digest, tag] = repository.entries[digest].media_type
    for digest, entry in repository.entries.items():
        if entry.subject:
            found.setdefault(entry.subject, {})[digest, ""] = entry.media_type
    for subject, owners in found.items():
        yield (
            subject,
            [{"digest": digest, "tag": tag, "media_type": owners[digest, tag]} for digest, tag in sorted(owners)],
        )


def _contents(repository: Repository, digest: str) -> dict[str, int]:
    """Return the sizes of everything that a manifest needs, itself included, by digest."""
    contents: dict[str, int] = {}
    for entry in repository.reach(digest):
        contents[entry.digest] = entry.size
        contents.update((blob.digest, blob.size) for blob in entry.blobs)
    return contents


def _plain(descriptor: Descriptor) -> dict[str, t.Any]:
    return {"digest": descriptor.digest, "media_type": descriptor.media_type, "size": descriptor.size}
