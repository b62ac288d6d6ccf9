# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Strict reading of JSON documents: nothing missing, nothing of another type, nothing unknown. Private."""

from __future__ import annotations

import json
import re
import typing as t
from collections.abc import Collection, Iterator, Mapping

from ansible_collections.homeport.registry.plugins.module_utils._bundle_errors import FormatError
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import is_digest

Made = t.TypeVar("Made")

_SHA256 = re.compile(r"[0-9a-f]{64}")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
# What any file system and any tar program takes as one part of a path.
_PART = re.compile(r"[A-Za-z0-9_+@=][A-Za-z0-9_.+@=,~ -]*")


class Reader:
    """One JSON object. Every method raises FormatError, which says where in which document what was found."""

    def __init__(self, source: t.Any, where: str, place: str = "", remedy: str = "") -> None:
        """Wrap an object.

        Args:
            source: what shall be a JSON object.
            where: the document, for errors.
            place: of the object in it, for errors.
            remedy: what to do about a fault.
        """
        self._where = where
        self._place = place
        self._remedy = remedy or "Use a document that this collection has written, unchanged."
        if not isinstance(source, Mapping):
            raise self.wrong("", "it is no object")
        self._source = source
        self._read: set[str] = set()

    @classmethod
    def of_json(cls, body: bytes, where: str, schema: str, remedy: str = "") -> Reader:
        """Return the object that JSON bytes hold, of this schema."""
        try:
            source = json.loads(body, object_pairs_hook=_without_repeats)
        except (ValueError, RecursionError) as exc:
            made = cls({}, where, remedy=remedy)
            raise made.wrong("", f"it is no JSON: {exc}") from exc
        made = cls(source, where, remedy=remedy)
        if made.text("schema") != schema:
            raise made.wrong("schema", f"it is {ascii(source['schema'])[:60]} and not {schema}")
        return made

    def wrong(self, key: str, got: str) -> FormatError:
        """Return the error for a key."""
        place = ".".join(part for part in (self._place, key) if part)
        text = f"{place}: {got}" if place else got
        return FormatError("read the document", where=self._where, got=text, remedy=self._remedy)

    def end(self, also: Collection[str] = ()) -> None:
        """Refuse keys that were not read."""
        unknown = sorted(set(map(str, self._source)) - self._read - set(also))
        if unknown:
            raise self.wrong(unknown[0], "it is not known to this version")

    def done(self, made: Made) -> Made:
        """Return what was made from the object, if all of it was read."""
        self.end()
        return made

    def has(self, key: str) -> bool:
        """Tell whether a key is there and not null."""
        return self._source.get(key) is not None

    def digest_or_null(self, key: str) -> str | None:
        """Return a digest, or nothing for null."""
        value = self._get(key)
        return None if value is None else self._digest(key, value)

    def text(self, key: str) -> str:
        """Return a text that is not empty and has no control characters."""
        value = self._get(key)
        if not isinstance(value, str) or not value or not value.isprintable():
            raise self.wrong(key, f"{ascii(value)[:60]} is no text")
        return value

    def matching(self, key: str, pattern: re.Pattern[str]) -> str:
        """Return a text that matches a pattern as a whole."""
        value = self.text(key)
        if not pattern.fullmatch(value):
            raise self.wrong(key, f"{ascii(value)[:60]} does not match {pattern.pattern}")
        return value

    def number(self, key: str, least: int = 0) -> int:
        """Return a whole number."""
        value = self._get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise self.wrong(key, f"{ascii(value)[:60]} is no whole number from {least} on")
        return value

    def boolean(self, key: str) -> bool:
        """Return true or false."""
        value = self._get(key)
        if not isinstance(value, bool):
            raise self.wrong(key, f"{ascii(value)[:60]} is neither true nor false")
        return value

    def sha256(self, key: str) -> str:
        """Return 64 hexadecimal digits."""
        return self.matching(key, _SHA256)

    def digest(self, key: str) -> str:
        """Return a digest."""
        return self._digest(key, self._get(key))

    def digests(self, key: str) -> tuple[str, ...]:
        """Return a list of digests."""
        return tuple(self._digest(f"{key}[{number}]", value) for number, value in enumerate(self._list(key)))

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts."""
        values = self._list(key)
        for number, value in enumerate(values):
            if not isinstance(value, str) or not value or not value.isprintable():
                raise self.wrong(f"{key}[{number}]", f"{ascii(value)[:60]} is no text")
        return tuple(values)

    def values(self, key: str) -> list[t.Any]:
        """Return a list of anything."""
        return self._list(key)

    def tags(self, key: str) -> dict[str, str]:
        """Return tags with their digests."""
        found = {}
        for tag, value in self._mapping(key).items():
            if not _TAG.fullmatch(tag):
                raise self.wrong(key, f"{ascii(tag)[:60]} is no tag")
            found[tag] = self._digest(f"{key}.{tag}", value)
        return found

    def sizes(self, key: str) -> dict[str, int]:
        """Return sizes that are kept under digests."""
        source = self._mapping(key)
        below = self._below(source, key)
        return {self._digest(key, digest): below.number(digest) for digest in source}

    def optional(self, key: str) -> Reader | None:
        """Return an object, or nothing for null."""
        value = self._get(key)
        return None if value is None else self._below(value, key)

    def items(self, key: str) -> Iterator[Reader]:
        """Yield the objects of a list."""
        for number, value in enumerate(self._list(key)):
            yield self._below(value, f"{key}[{number}]")

    def by_digest(self, key: str) -> Iterator[tuple[str, Reader]]:
        """Yield the objects that are kept under digests."""
        for digest, value in self._mapping(key).items():
            yield self._digest(key, digest), self._below(value, f"{key}.{digest}")

    def _below(self, value: t.Any, key: str) -> Reader:
        place = ".".join(part for part in (self._place, key) if part)
        return Reader(value, self._where, place, self._remedy)

    def _get(self, key: str) -> t.Any:
        self._read.add(key)
        if key not in self._source:
            raise self.wrong(key, "it is missing")
        return self._source[key]

    def _list(self, key: str) -> list[t.Any]:
        value = self._get(key)
        if not isinstance(value, list):
            raise self.wrong(key, f"{ascii(value)[:60]} is no list")
        return value

    def _mapping(self, key: str) -> Mapping[str, t.Any]:
        value = self._get(key)
        if not isinstance(value, Mapping):
            raise self.wrong(key, f"{ascii(value)[:60]} is no object")
        return value

    def _digest(self, key: str, value: t.Any) -> str:
        if not isinstance(value, str) or not is_digest(value):
            raise self.wrong(key, f"{ascii(value)[:100]} is no digest")
        return value


def check_path(one: Reader, key: str, top: str) -> str:
    """Return a path below a top folder that leads nowhere else.

    Raises:
        FormatError: otherwise.
    """
    path = one.text(key)
    first, *parts = path.split("/")
    if first != top or not parts or not all(_PART.fullmatch(part) for part in parts) or len(path) > 200:
        raise one.wrong(
            key, f"{ascii(path)[:100]} is no plain path of at most 200 characters below {top}/ without hidden parts"
        )
    return path


def _without_repeats(pairs: list[tuple[str, t.Any]]) -> dict[str, t.Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has a key twice")
    return found
