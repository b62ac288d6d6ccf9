# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""YAML of one kind, with the places of its values: mappings of strings, one value in a line. Private.

Whatever could mean something else than it seems to is refused: anchors, tags, texts over several lines, tabs, more than
one document.
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils._node_errors import NodeError

Plain = t.Union[str, "list[Plain]", "dict[str, Plain]"]

_QUOTED = r'"(?:[^"\\]|\\.)*"|\'(?:[^\']|\'\')*\''
_KEY = re.compile(rf"({_QUOTED}|[^\s\-?:,\[\]{{}}#&*!|>'\"%@`](?:[^\s#:]|:(?=\S)|[ ](?![#:])|(?<=\S)#)*)[ ]*:(?= |$)")
_QUOTE = re.compile(_QUOTED)
_FLOW_WORD = re.compile(
    r"[^\s\-?:,\[\]{}#&*!|>'\"%@`](?:[^\s,\[\]{}:#?]|:(?=[^\s,\[\]{}])|[ ](?=[^\s,\[\]{}:#])|(?<=\S)#)*"
)
_STRANGE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x85\u2028\u2029\ufeff\ud800-\udfff]|\r(?!\n)")
_REASONS = {
    "&": "an anchor",
    "*": "an alias",
    "!": "a tag",
    "|": "a text over several lines",
    ">": "a text over several lines",
    "?": "a key of its own line",
    "-": "a list in a list",
}


class YamlError(NodeError):
    """A text is not of this kind of YAML, or a value cannot be changed in place."""


@dataclasses.dataclass
class Node:
    """A value and its place in the text.

    Of a block, the place is from the beginning of its first line to the end of its last one with content. `indent` is
    that of a block, and of a value that stands behind a key, that of the key; `flow` tells whether it lies in brackets.
    """

    value: str | None
    start: int
    end: int
    indent: int
    flow: bool = False
    keys: dict[str, Entry] | None = None
    items: list[Entry] | None = None

    @property
    def block(self) -> bool:
        """Tell whether it is a mapping or a list of lines."""
        return self.value is None and not self.flow

    def plain(self) -> Plain:
        """Return it without places; every scalar is a string, nothing an empty one."""
        if self.keys is not None:
            return {key: entry.node.plain() for key, entry in self.keys.items()}
        if self.items is not None:
            return [entry.node.plain() for entry in self.items]
        return self.value or ""


@dataclasses.dataclass
class Entry:
    """A key with its value or an item, and its place: of whole lines in a block."""

    node: Node
    start: int
    end: int


@dataclasses.dataclass(frozen=True)
class _Line:
    number: int
    start: int
    end: int
    indent: int
    text: str


def read_nodes(text: str, name: str) -> Node | None:
    """Return the mapping that a text is, None for a text without content; `name` is its file, for messages.

    Raises:
        YamlError: when it is not of this kind. What it holds is not in the message: it may be secret.
    """
    return _Reader(text, name).read()


class _Reader:
    def __init__(self, text: str, name: str) -> None:
        self.text, self.name = text, name
        self.lines: list[_Line] = []
        begin = 1 if text.startswith("\ufeff") else 0
        strange = _STRANGE.search(text, begin)
        if strange:
            raise self._refusal(text.count("\n", 0, strange.start()) + 1, "it holds a control character")
        start = begin
        for number, whole in enumerate(text[begin:].split("\n"), 1):
            body = whole.rstrip("\r")
            stripped = body.strip(" \t")
            end = min(start + len(whole) + 1, len(text))
            if "\t" in (body.partition("#")[0] if stripped.startswith("#") else body):
                raise self._refusal(number, "it holds a tab")
            if stripped and not stripped.startswith("#"):
                self._add(number, start, end, body)
            start = end

    def _add(self, number: int, start: int, end: int, body: str) -> None:
        if re.match(r"---(?: *| +#.*)$", body) and not self.lines:
            return
        if body.startswith(("---", "...", "%")):
            raise self._refusal(number, "it holds more than one document, or a directive")
        self.lines.append(_Line(number, start, end, len(body) - len(body.lstrip(" ")), body))

    def read(self) -> Node | None:
        if not self.lines:
            return None
        first = self.lines[0]
        if first.text.strip().startswith(("{", "[", "-")):
            if re.fullmatch(r"\{ *\} *(?: #.*)?", first.text) and len(self.lines) == 1:
                place = first.start + first.text.index("{")
                return Node(None, place, first.start + first.text.index("}") + 1, -2, flow=True, keys={})
            raise self._refusal(first.number, "it is no mapping in lines of its own")
        node, index = self._block(0, first.indent)
        if index < len(self.lines):
            raise self._refusal(self.lines[index].number, "its indentation fits nothing above it")
        return node

    def _block(self, index: int, indent: int) -> tuple[Node, int]:
        is_list = self.lines[index].text[indent:].startswith("-")
        node = Node(None, self.lines[index].start, 0, indent)
        node.items, node.keys = ([], None) if is_list else (None, {})
        while index < len(self.lines) and self.lines[index].indent == indent:
            line = self.lines[index]
            if re.match(r"-(?: |$)", line.text[indent:]) is None and is_list:
                break
            following = self._item(index, node) if is_list else self._pair(index, node)
            index = following
        node.end = self.lines[index - 1].end
        return node, index

    def _item(self, index: int, parent: Node) -> int:
        line = self.lines[index]
        rest = line.text[parent.indent + 1 :]
        place = len(line.text) - len(rest.lstrip(" "))
        if not rest.strip() or rest.strip().startswith("#") or _KEY.match(line.text, place):
            raise self._refusal(line.number, "it holds a list of something else than words")
        node = self._value(line, place, parent.indent)
        self._refuse_more(index, parent.indent)
        if parent.items is None:
            raise AssertionError("only a list is read here")
        parent.items.append(Entry(node, line.start, line.end))
        return index + 1

    def _pair(self, index: int, parent: Node) -> int:
        line, indent = self.lines[index], parent.indent
        found = _KEY.match(line.text, indent)
        if not found:
            first = line.text[indent]
            raise self._refusal(line.number, f"it holds {_REASONS.get(first, 'something else than a key')}")
        key = self._unquoted(line, found.group(1).rstrip(" "))
        if parent.keys is None:
            raise AssertionError("only a mapping is read here")
        if key in parent.keys or key == "<<":
            raise self._refusal(line.number, "it holds a key twice, or merges keys")
        rest = line.text[found.end() :]
        place = len(line.text) - len(rest.lstrip(" "))
        if rest.strip() and not rest.strip().startswith("#"):
            node, following = self._value(line, place, indent), index + 1
            self._refuse_more(index, indent)
        else:
            below = self.lines[index + 1] if index + 1 < len(self.lines) else None
            if below and (
                below.indent > indent or (below.indent == indent and re.match(r"-(?: |$)", below.text[indent:]))
            ):
                node, following = self._block(index + 1, below.indent)
            else:
                after = line.start + found.end()
                node, following = Node("", after, after, indent), index + 1
        parent.keys[key] = Entry(node, line.start, self.lines[following - 1].end)
        return following

    def _refuse_more(self, index: int, indent: int) -> None:
        if index + 1 < len(self.lines) and self.lines[index + 1].indent > indent:
            raise self._refusal(self.lines[index + 1].number, "it holds a value over several lines")

    def _value(self, line: _Line, place: int, indent: int) -> Node:
        first = line.text[place]
        if first in "{[":
            node, end = self._flow(line, place, indent)
        elif first in "\"'":
            found = _QUOTE.match(line.text, place)
            if not found:
                raise self._refusal(line.number, "it holds a quoted value over several lines")
            end = found.end()
            node = Node(self._unquoted(line, found.group()), line.start + place, line.start + end, indent)
        elif first in "&*!|>%@`?,}]" or re.match(r"[-?:](?: |$)", line.text[place:]):
            raise self._refusal(line.number, f"it holds {_REASONS.get(first, 'what no value begins with')}")
        else:
            found = re.compile(r"(?:[^#]|(?<=\S)#)*?(?= #|\s*$)").match(line.text, place)
            if not found:
                raise AssertionError("the expression fits an empty text too")
            word = found.group().rstrip(" ")
            if re.search(r":(?: |$)", word):
                raise self._refusal(line.number, "it holds two keys in one line")
            end = place + len(word)
            node = Node(word, line.start + place, line.start + end, indent)
        if not re.fullmatch(r"(?: +#.*| *)", line.text[end:]):
            raise self._refusal(line.number, "something follows a value")
        return node

    def _flow(self, line: _Line, place: int, indent: int) -> tuple[Node, int]:
        """Read a mapping or list in brackets; return it and the place behind it."""
        text, closing = line.text, {"{": "}", "[": "]"}[line.text[place]]
        node = Node(None, line.start + place, 0, indent, flow=True)
        node.keys, node.items = ({}, None) if closing == "}" else (None, [])
        place = _skip(text, place + 1)
        while not text.startswith(closing, place):
            begin, key = place, ""
            if node.keys is not None:
                key, place = self._flow_word(line, place)
                place = _skip(text, place)
                if key in node.keys or key == "<<" or not re.match(r":(?:[ ,}]|$)", text[place:]):
                    raise self._refusal(line.number, "its brackets hold something else than keys with values")
                place = _skip(text, place + 1)
            start = place
            if text[place : place + 1] in ("{", "["):
                value, place = self._flow(line, place, indent)
            else:
                nothing = node.keys is not None and text[place : place + 1] in (",", "}")
                word, place = ("", place) if nothing else self._flow_word(line, place)
                value = Node(word, line.start + start, line.start + place, indent, flow=True)
            entry = Entry(value, line.start + begin, line.start + place)
            if node.keys is not None:
                node.keys[key] = entry
            elif node.items is not None:
                node.items.append(entry)
            place = _skip(text, place)
            if text.startswith(",", place):
                place = _skip(text, place + 1)
            elif not text.startswith(closing, place):
                raise self._refusal(line.number, "its brackets do not end in their line")
        node.end = line.start + place + 1
        return node, place + 1

    def _flow_word(self, line: _Line, place: int) -> tuple[str, int]:
        found = _QUOTE.match(line.text, place) or _FLOW_WORD.match(line.text, place)
        if not found:
            raise self._refusal(line.number, "its brackets hold what cannot be read, or do not end in their line")
        return self._unquoted(line, found.group().rstrip(" ")), found.end()

    def _unquoted(self, line: _Line, word: str) -> str:
        if word.startswith("'"):
            return word[1:-1].replace("''", "'")
        if not word.startswith('"'):
            return word
        try:
            return str(json.loads(word))
        except ValueError as exc:
            raise self._refusal(line.number, "it holds an escape that only YAML knows") from exc

    def _refusal(self, number: int, got: str) -> YamlError:
        return YamlError(
            "read a YAML file so that it can be changed in place",
            where=f"{self.name}, line {number}",
            got=got,
            remedy="Write it in the plain way, one value in a line, or edit it by hand.",
        )


def _skip(text: str, place: int) -> int:
    while text.startswith(" ", place):
        place += 1
    return place
