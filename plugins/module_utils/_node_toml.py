# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""TOML that knows where its values stand, so that one of them can be changed and nothing else. Private.

Python's own reader comes with 3.11 and keeps no positions; nodes have older ones.
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError

Path = tuple[str, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_BLANK = re.compile(r"[ \t]*")
_VOID = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SCALAR = re.compile(r"[^\s,\]}#]+(?: [0-9][^\s,\]}#]*)?")
_INTEGER = re.compile(r"[+-]?(?:0x[0-9a-fA-F_]+|0o[0-7_]+|0b[01_]+|[0-9][0-9_]*)")
_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b", '"': '"', "\\": "\\"}


class TomlError(RegistryError):
    """A text is no TOML, or a value cannot be changed in place."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """A key with its value and the place of the value in the text."""

    path: Path
    value: t.Any
    start: int
    end: int


@dataclasses.dataclass(frozen=True)
class Table:
    """A table header and the place behind its line."""

    path: Path
    start: int
    body: int


class Document:
    """A TOML text with the places of its settings."""

    def __init__(self, text: str, name: str) -> None:
        """Read the text; `name` is the file it came from, for messages.

        Raises:
            TomlError: when it is not well formed, or defines something twice.
        """
        self.text, self.name = text, name
        self.settings: dict[Path, Setting] = {}
        self.tables: dict[Path, Table] = {}
        self._lists: dict[Path, int] = {}
        _Reader(self).read()

    def get(self, *path: str) -> t.Any:
        """Return a value, the tables below a path as nested dictionaries, or None where nothing is."""
        found = self.settings.get(path)
        if found:
            return found.value
        tree: dict[str, t.Any] = {}
        exists = path in self.tables
        for table in self.tables:
            if table[: len(path)] == path:
                _descend(tree, table[len(path) :])
                exists = True
        for key, setting in self.settings.items():
            if key[: len(path)] == path:
                *parents, last = key[len(path) :]
                _descend(tree, parents)[last] = setting.value
                exists = True
            elif key == path[: len(key)]:
                value = setting.value
                for step in path[len(key) :]:
                    value = value.get(step) if isinstance(value, dict) else None
                return value
        return tree if exists else None

    def flat(self) -> dict[Path, t.Any]:
        """Return every setting by its path, inline tables opened."""
        found: dict[Path, t.Any] = {}

        def add(path: Path, value: t.Any) -> None:
            if isinstance(value, dict):
                for key, inner in value.items():
                    add((*path, key), inner)
            else:
                found[path] = value

        for path, setting in self.settings.items():
            add(path, setting.value)
        return found

    def with_string(self, table: Path, key: str, value: str) -> str:
        """Return the text with one string set; every other byte stays, comments included.

        Raises:
            TomlError: when the table is written inline, so that no line of its own can be added.
        """
        path = (*table, key)
        written = quote(value)
        current = self.settings.get(path)
        if current:
            return self.text[: current.start] + written + self.text[current.end :]
        for length in range(1, len(path)):
            if path[:length] in self.settings:
                raise TomlError(
                    f"set {key}",
                    where=self.name,
                    got=f"{dotted(path[:length])} is written inline",
                    remedy=f"Write it as a table of its own, [{dotted(path[:length])}], and run again.",
                )
        newline = "\r\n" if "\r\n" in self.text else "\n"
        header = self.tables.get(table)
        if header:
            line = self.text[header.start : header.body]
            indent = line[: len(line) - len(line.lstrip(" \t"))] + "  "
            head = self.text[: header.body]
            if not head.endswith("\n"):
                head += newline
            return f"{head}{indent}{key} = {written}{newline}{self.text[header.body :]}"
        head = self.text if not self.text or self.text.endswith("\n") else self.text + newline
        gap = newline if head else ""
        return f"{head}{gap}[{dotted(table)}]{newline}  {key} = {written}{newline}"


def _descend(tree: dict[str, t.Any], path: t.Iterable[str]) -> dict[str, t.Any]:
    for step in path:
        inner = tree.setdefault(step, {})
        tree = inner if isinstance(inner, dict) else {}
    return tree


def quote(value: str) -> str:
    """Return a string as TOML writes it."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def dotted(path: t.Iterable[str]) -> str:
    """Return a path as a table header writes it."""
    return ".".join(step if _BARE.fullmatch(step) else quote(step) for step in path)


class _Reader:
    """Walks over the text once."""

    def __init__(self, document: Document) -> None:
        self.document, self.text, self.at = document, document.text, 0

    def read(self) -> None:
        if self.text.startswith("\ufeff"):
            self.at = 1
        table: Path = ()
        while self._skip(_VOID):
            start = self.text.rfind("\n", 0, self.at) + 1
            if self._take("[["):
                table = self._array_header()
                continue
            if self._take("["):
                table = self._header(start)
                continue
            key = self._key()
            self._expect("=")
            self._skip(_BLANK)
            begin = self.at
            value = self._value()
            self._set((*table, *key), value, begin)
            self._end_line()

    def _header(self, start: int) -> Path:
        path = self._resolve(self._key())
        self._expect("]")
        if path in self.document.tables or path in self.document.settings:
            raise self._error(f"the table [{dotted(path)}] is there twice")
        self._end_line()
        self.document.tables[path] = Table(path, start, self.at)
        return path

    def _array_header(self) -> Path:
        path = self._resolve(self._key())
        self._expect("]")
        self._expect("]")
        self._end_line()
        number = self.document._lists.get(path, 0)
        self.document._lists[path] = number + 1
        return (*path, str(number))

    def _resolve(self, key: Path) -> Path:
        """Follow arrays of tables to their last element."""
        path: Path = ()
        for position, step in enumerate(key):
            path = (*path, step)
            count = self.document._lists.get(path)
            if count and position < len(key) - 1:
                path = (*path, str(count - 1))
        return path

    def _set(self, path: Path, value: t.Any, start: int) -> None:
        if path in self.document.settings:
            raise self._error(f"{dotted(path)} is there twice")
        self.document.settings[path] = Setting(path, value, start, self.at)

    def _key(self) -> Path:
        steps = []
        while True:
            self._skip(_BLANK)
            if self.text[self.at : self.at + 1] in ('"', "'"):
                steps.append(self._string())
            else:
                found = _BARE.match(self.text, self.at)
                if not found:
                    raise self._error("a key is missing")
                self.at = found.end()
                steps.append(found.group())
            self._skip(_BLANK)
            if not self._take("."):
                return tuple(steps)

    def _value(self) -> t.Any:
        first = self.text[self.at : self.at + 1]
        if first in ('"', "'"):
            return self._string()
        if self._take("["):
            return self._array()
        if self._take("{"):
            return self._inline_table()
        found = _SCALAR.match(self.text, self.at)
        if not found:
            raise self._error("a value is missing")
        self.at = found.end()
        word = found.group()
        if word in ("true", "false"):
            return word == "true"
        if _INTEGER.fullmatch(word):
            return int(word.replace("_", ""), 0) if word.lstrip("+-").startswith("0") and len(word) > 1 else int(word)
        return word

    def _array(self) -> list[t.Any]:
        items: list[t.Any] = []
        while True:
            self._skip(_VOID)
            if self._take("]"):
                return items
            items.append(self._value())
            self._skip(_VOID)
            if not self._take(","):
                self._skip(_VOID)
                self._expect("]")
                return items

    def _inline_table(self) -> dict[str, t.Any]:
        table: dict[str, t.Any] = {}
        while True:
            self._skip(_VOID)
            if self._take("}"):
                return table
            *parents, last = self._key()
            self._expect("=")
            self._skip(_BLANK)
            _descend(table, parents)[last] = self._value()
            self._skip(_VOID)
            if not self._take(","):
                self._expect("}")
                return table

    def _string(self) -> str:
        mark = self.text[self.at]
        if self._take(mark * 3):
            end = self.text.find(mark * 3, self.at)
            while mark == '"' and end > 0 and self._escaped(end):
                end = self.text.find(mark * 3, end + 1)
            # Up to two more quotes belong to the text.
            while end >= 0 and self.text[end + 3 : end + 4] == mark:
                end += 1
            close = 3
        else:
            self.at += 1
            end = self.text.find(mark, self.at)
            while mark == '"' and end > 0 and self._escaped(end):
                end = self.text.find(mark, end + 1)
            close = 1
            if "\n" in self.text[self.at : end]:
                end = -1
        if end < 0:
            raise self._error("a string does not end")
        raw = self.text[self.at : end]
        self.at = end + close
        if close == 3 and raw[:1] == "\n":
            raw = raw[1:]
        return self._unescape(raw) if mark == '"' else raw

    def _escaped(self, place: int) -> bool:
        before = self.text[self.at : place]
        return (len(before) - len(before.rstrip("\\"))) % 2 == 1

    def _unescape(self, raw: str) -> str:
        def replace(found: re.Match[str]) -> str:
            code = found.group(1)
            if code[0] in "uUx":
                return chr(int(code[1:], 16))
            if code[0] in _ESCAPES:
                return _ESCAPES[code[0]]
            if code.strip() == "":
                return ""
            raise self._error(f"the escape \\{code[0]} is unknown")

        return re.sub(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|x[0-9a-fA-F]{2}|[ \t]*\n\s*|.)", replace, raw)

    def _skip(self, pattern: re.Pattern[str]) -> bool:
        found = pattern.match(self.text, self.at)
        self.at = found.end() if found else self.at
        return self.at < len(self.text)

    def _take(self, token: str) -> bool:
        if self.text.startswith(token, self.at):
            self.at += len(token)
            return True
        return False

    def _expect(self, token: str) -> None:
        self._skip(_BLANK)
        if not self._take(token):
            raise self._error(f"{token} is missing")

    def _end_line(self) -> None:
        found = re.compile(r"[ \t]*(#[^\n]*)?\r?(\n|\Z)").match(self.text, self.at)
        if not found:
            raise self._error("something follows where the line should end")
        self.at = found.end()

    def _error(self, got: str) -> TomlError:
        line = self.text.count("\n", 0, self.at) + 1
        return TomlError(
            "read the configuration",
            where=f"{self.document.name}, line {line}",
            got=got,
            remedy="Correct the file; the runtime would not start with it either.",
        )
