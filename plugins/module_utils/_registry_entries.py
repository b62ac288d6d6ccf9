# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What manifests say, as plain data. Private.

A content is one object, however many repositories hold it: digests repeat, and memory is the limit of a large registry.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils._registry_client import Descriptor, Manifest
from ansible_collections.homeport.registry.plugins.module_utils._registry_errors import ProtocolError
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import (
    DOCKER_LIST,
    OCI_INDEX,
    is_digest,
)

INDEX_TYPES = frozenset((OCI_INDEX, DOCKER_LIST))


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
