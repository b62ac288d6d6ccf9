# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""YAML of one kind, changed in place: one value, and nothing else of the text. Private.

Nodes have no reader of YAML, and none keeps comments. `_node_yaml_reader` says what this kind is.
"""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils._node_yaml_reader import (
    Node,
    Plain,
    YamlError,
    read_nodes,
)

Path = tuple[str, ...]

# These need no quotes; a value that is not quoted is not always a string.
_WORDS = ("mirrors", "configs", "tls", "ca_file", "endpoint", "insecure_skip_verify", "true")
NULLS = ("", "~", "null", "Null", "NULL")


class Document:
    """A YAML text with the places of its values."""

    def __init__(self, text: str, name: str) -> None:
        """Read the text; `name` is the file it came from, for messages.

        Raises:
            YamlError: when it is no mapping of this kind. What it holds is not in the message: it may be secret.
        """
        self.text, self.name = text, name
        self.eol = "\r\n" if "\r\n" in text else "\n"
        self.root = read_nodes(text, name)

    def get(self, *path: str) -> Plain | None:
        """Return what is at a path, None for nothing."""
        node = self._at(path)
        return node.plain() if node else None

    def plain(self) -> dict[str, Plain]:
        """Return everything without places."""
        found = self.root.plain() if self.root else {}
        if not isinstance(found, dict):
            raise AssertionError("a document is a mapping")
        return found

    def _at(self, path: t.Sequence[str]) -> Node | None:
        node = self.root
        for key in path:
            entry = node.keys.get(key) if node and node.keys else None
            node = entry.node if entry else None
        return node

    def with_value(self, path: Path, value: str, *, item: bool = False) -> str:
        """Return the text with a scalar at a path or, as an item, with one more at the beginning of the list there.

        Raises:
            YamlError: when something else is in the way.
        """
        depth, node = 0, self.root
        while node and node.keys and depth < len(path) and path[depth] in node.keys:
            node = node.keys[path[depth]].node
            depth += 1
        rest = path[depth:]
        nothing = node is None or node.value in NULLS or (node.flow and not node.keys and not node.items)
        if node and not rest and not item and node.value is not None and node.value not in NULLS:
            return self._spliced(node.start, node.end, _word(value))
        if node and not rest and item and node.items:
            first = node.items[0].start
            added = f"{_word(value)}, " if node.flow else f"{' ' * node.indent}- {_word(value)}{self.eol}"
            return self._spliced(first, first, added)
        if nothing and not (node and node.flow and self._lies_in_brackets(path[:depth])):
            return self._filled(node, rest, value, item=item)
        if node is None or not rest or node.keys is None:
            raise self._refusal(".".join(path[:depth]) or "the file", "something else than a mapping is there")
        if node.flow:
            comma = ", " if node.keys else ""
            return self._spliced(node.end - 1, node.end - 1, f"{comma}{_in_brackets(rest, value, item)}")
        return self._with_lines(node.end, self._lines(rest, value, node.indent, item))

    def _lies_in_brackets(self, path: t.Sequence[str]) -> bool:
        return any(bool((node := self._at(path[:depth])) and node.flow) for depth in range(1, len(path)))

    def _filled(self, node: Node | None, rest: Path, value: str, *, item: bool) -> str:
        """Return the text with lines where nothing is: at the end of the file, or below a key."""
        if node is None:
            return self._with_lines(len(self.text), self._lines(rest, value, 0, item))
        if not rest and not item:
            return self._spliced(node.start, node.end, f"{'' if node.start < node.end else ' '}{_word(value)}")
        text = self._spliced(node.start, node.end, "")
        end = text.find("\n", node.start) + 1 or len(text)
        indent = node.indent + 2
        lines = self._lines(rest, value, indent, item) if rest else [f"{' ' * indent}- {_word(value)}"]
        return Document._with_lines_in(text, end, lines, self.eol)

    def _lines(self, path: Path, value: str, indent: int, item: bool) -> list[str]:
        lines = [f"{' ' * (indent + 2 * depth)}{_word(key)}:" for depth, key in enumerate(path)]
        if item:
            return [*lines, f"{' ' * (indent + 2 * len(path))}- {_word(value)}"]
        return [*lines[:-1], f"{lines[-1]} {_word(value)}"]

    def _with_lines(self, place: int, lines: list[str]) -> str:
        return self._with_lines_in(self.text, place, lines, self.eol)

    @staticmethod
    def _with_lines_in(text: str, place: int, lines: list[str], eol: str) -> str:
        before = text[:place]
        begin = "" if not before or before.endswith("\n") else eol
        return before + begin + "".join(f"{line}{eol}" for line in lines) + text[place:]

    def without(self, path: Path, item: str | None = None) -> str:
        """Return the text without a key, or without an item of the list there.

        Raises:
            YamlError: when there is none.
        """
        parent = self._at(path if item is not None else path[:-1])
        entry = None
        if parent and item is not None:
            entry = next((one for one in parent.items or [] if one.node.value == item), None)
        elif parent and parent.keys:
            entry = parent.keys.get(path[-1])
        if parent is None or entry is None:
            raise self._refusal(".".join(path), "it is not there")
        start, end = entry.start, entry.end
        if parent.flow:
            after = re.compile(r"[ ]*,[ ]*").match(self.text, end)
            before = re.search(r",[ ]*$", self.text[:start])
            if after:
                end = after.end()
            elif before:
                start = before.start()
        return self._spliced(start, end, "")

    def masked(self, *secrets: str) -> str:
        """Return the text with every value below keys of these names covered."""
        places = sorted(_scalars(self.root, secrets, covered=False), reverse=True) if self.root else []
        text = self.text
        for start, end in places:
            text = f'{text[:start]}"********"{text[end:]}'
        return text

    def _spliced(self, start: int, end: int, text: str) -> str:
        return self.text[:start] + text + self.text[end:]

    def _refusal(self, what: str, got: str) -> YamlError:
        return YamlError(
            "change a YAML file in place", where=f"{self.name}, {what}", got=got, remedy="Edit it by hand."
        )


def _scalars(node: Node, secrets: t.Sequence[str], *, covered: bool) -> t.Iterator[tuple[int, int]]:
    for key, entry in (node.keys or {}).items():
        yield from _scalars(entry.node, secrets, covered=covered or key in secrets)
    for entry in node.items or []:
        yield from _scalars(entry.node, secrets, covered=covered)
    if covered and node.value:
        yield node.start, node.end


def _word(text: str) -> str:
    return text if text in _WORDS else json.dumps(text)


def _in_brackets(path: Path, value: str, item: bool) -> str:
    inner = f"[{_word(value)}]" if item else _word(value)
    for key in reversed(path[1:]):
        inner = f"{{{_word(key)}: {inner}}}"
    return f"{_word(path[0])}: {inner}"
