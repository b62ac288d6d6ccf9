# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""registries.yaml of k3s and RKE2: single entries, and nothing else of the file. Private.

At each start k3s makes a directory in certs.d for every registry that the file mentions, and removes what else was in
it. Directories of other registries stay, and are read on every pull.
"""

from __future__ import annotations

import dataclasses
import glob
import importlib
import json
import os
import re
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils import _node_pem as pem
from ansible_collections.homeport.registry.plugins.module_utils._node_directory import generated
from ansible_collections.homeport.registry.plugins.module_utils._node_errors import NodeError
from ansible_collections.homeport.registry.plugins.module_utils._node_files import Content, read
from ansible_collections.homeport.registry.plugins.module_utils._node_yaml import NULLS, Document
from ansible_collections.homeport.registry.plugins.module_utils._node_yaml_reader import YamlError

SECRETS = ("auth", "identitytoken", "password", "token")
# Before, everything in certs.d was removed at each start (k3s-io/k3s pull request 10823, September 2024).
KEEPS_OTHERS = (1, 7, 21)
_PATH = re.compile(r"^private-registry:\s*[\"']?([^\"'#\s]+)", re.MULTILINE)
_CA = re.compile(r'^\s*ca = \["([^"]+)"\]', re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Entry:
    """A value of the file; `item` for one that is in a list."""

    path: tuple[str, ...]
    value: str
    item: bool = False

    def dump(self) -> dict[str, t.Any]:
        """Return it for JSON."""
        return {"path": list(self.path), "value": self.value, "item": self.item}

    @property
    def shown(self) -> str:
        """Return it as somebody would write it by hand."""
        inner = f"[{json.dumps(self.value)}]" if self.item else self.value
        for key in reversed(self.path[1:]):
            inner = f"{{{json.dumps(key) if '.' in key or ':' in key else key}: {inner}}}"
        return f"{self.path[0]}: {inner}"

    def is_in(self, document: Document) -> bool:
        """Tell whether the file holds it."""
        found = document.get(*self.path)
        if self.item:
            return isinstance(found, list) and self.value in [str(one).rstrip("/") for one in found]
        return found == self.value

    def is_in_force(self, generated: str) -> bool:
        """Tell whether what k3s made of the file holds it."""
        if self.value == "true":
            return "skip_verify = true" in generated
        return re.search(rf'"{re.escape(self.value)}(?:/v2)?"', generated) is not None


def load(dumped: t.Mapping[str, t.Any]) -> Entry:
    """Return what `Entry.dump` gave."""
    return Entry(tuple(dumped["path"]), dumped["value"], dumped["item"])


def path_of(kind: str) -> str:
    """Return the file that k3s or RKE2 reads at its start."""
    home = f"/etc/rancher/{kind}"
    found = f"{home}/registries.yaml"
    for config in (f"{home}/config.yaml", *sorted(glob.glob(f"{home}/config.yaml.d/*.yaml"))):
        content = read(config)
        line = _PATH.search(content.data.decode("utf-8", "replace")) if content else None
        found = line.group(1) if line else found
    return found


def ca_path(kind: str, host: str) -> str:
    """Return the file of a registry's CA certificates, which is read on every pull."""
    return f"/etc/rancher/{kind}/homeport/{host}/ca.crt"


class RegistriesYaml:
    """The file as it is, and as it shall be."""

    def __init__(self, kind: str, root: str) -> None:
        """Read the file; one that cannot be read in this way is kept as an error until somebody needs it."""
        self.kind, self.root, self.path = kind, root, path_of(kind)
        self.before = read(self.path)
        self.text = self.before.data.decode("utf-8", "surrogateescape") if self.before else ""
        self.error: YamlError | None = None
        try:
            self.document = Document(self.text, self.path)
            _cross_check(self.document)
        except YamlError as exc:
            self.error, self.document = exc, Document("", self.path)
        self.first = self.document

    def mentions(self, host: str) -> bool:
        """Tell whether k3s makes a directory for this registry, now or at its next start."""
        if generated(self.root, host):
            return True
        if self.error:
            return host in self.text
        return any(self.document.get(section, host) is not None for section in ("mirrors", "configs"))

    def trusts(self, folder: str, host: str, fingerprints: t.Collection[str]) -> bool:
        """Tell whether these CAs of a host are trusted below a directory's name already, by files of somebody else."""
        named = self.document.get("configs", host, "tls", "ca_file")
        paths = [*_CA.findall(generated(self.root, folder)), *([named] if isinstance(named, str) and named else [])]
        paths = [path for path in paths if path != ca_path(self.kind, host)]
        known = [pem.fingerprints(content.data.decode("utf-8", "replace")) for path in paths if (content := read(path))]
        return bool(known) and all(set(fingerprints) <= set(found) for found in known)

    def add(self, entry: Entry, *, ours: bool, replace: bool) -> bool:
        """Bring an entry in; return whether it is ours: not, where it was there before us.

        Raises:
            NodeError: when the file cannot be changed safely, or says something else there.
        """
        if self.error:
            raise self._by_hand(entry, self.error.got, self.error.where) from self.error
        if entry.is_in(self.document):
            return ours
        current = self.document.get(*entry.path)
        if not entry.item and current and not ours and not replace:
            raise self._by_hand(entry, f"{'.'.join(entry.path)} has another value there", self.path)
        if entry.item and self.document.get(*entry.path[:-1], "rewrite"):
            raise self._by_hand(entry, "k3s would apply the rewrite of this mirror to ours as well", self.path)
        try:
            text = self.document.with_value(entry.path, entry.value, item=entry.item)
            self._take(text, _with(self.document.plain(), entry))
        except YamlError as exc:
            raise self._by_hand(entry, exc.got, exc.where) from exc
        return True

    def drop(self, entry: Entry, first: Document) -> str:
        """Take an entry of ours out, with the keys that came with it; return a warning, or an empty text.

        Args:
            entry: as it was brought in.
            first: the file as it was before us, for a value that is to come back and keys that stay.
        """
        if self.error or not entry.is_in(self.document):
            return f"{self.path} does not hold {entry.shown} any more as we wrote it; it stays as it is"
        old = first.get(*entry.path)
        if not entry.item and isinstance(old, str) and old:
            self.document = Document(self.document.with_value(entry.path, old), self.path)
            return ""
        self.document = Document(self.document.without(entry.path, entry.value if entry.item else None), self.path)
        path = entry.path if entry.item else entry.path[:-1]
        while path and not self.document.get(*path) and first.get(*path) is None:
            self.document = Document(self.document.without(path), self.path)
            path = path[:-1]
        return ""

    def content(self, first: Content | None, *, last: bool) -> Content | None:
        """Return the file as it shall be, None for none.

        Args:
            first: the file before us.
            last: whether nothing of ours is in it any more.
        """
        if self.document.text == self.first.text:
            return self.before
        text = first.data.decode("utf-8", "surrogateescape") if first else ""
        if last and _same(self.document, Document(text, self.path)):
            return first
        data = self.document.text.encode("utf-8", "surrogateescape")
        # Accounts are kept in it as well.
        return dataclasses.replace(self.before or Content(b"", 0o600, os.geteuid(), os.getegid()), data=data)

    def shown(self, text: str) -> str:
        """Return a text of this file as a diff may show it."""
        try:
            return Document(text, self.path).masked(*SECRETS)
        except YamlError:
            return "(not shown: it may hold passwords)\n"

    def _take(self, text: str, expected: t.Any) -> None:
        document = Document(text, self.path)
        _cross_check(document)
        if document.plain() != expected:
            raise YamlError("change a YAML file in place", where=self.path, got="more would change", remedy="")
        self.document = document

    def _by_hand(self, entry: Entry, got: str, where: str) -> NodeError:
        return NodeError(
            f"list a registry for {self.kind}",
            where=where,
            got=got,
            remedy=f"Bring in by hand what means {entry.shown}, and restart {self.kind}; or let this be replaced"
            " (and put back on removal) where it is a value: replace_foreign: true.",
        )


def _with(tree: t.Any, entry: Entry) -> t.Any:
    """Return a plain tree with an entry."""
    place = tree
    for key in entry.path[:-1]:
        if not isinstance(place.get(key), dict):
            place[key] = {}
        place = place[key]
    last = entry.path[-1]
    place[last] = [entry.value, *(place.get(last) if isinstance(place.get(last), list) else [])]
    if not entry.item:
        place[last] = entry.value
    return tree


def _same(one: Document, other: Document) -> bool:
    def filled(tree: t.Any) -> t.Any:
        if isinstance(tree, dict):
            return {key: filled(value) for key, value in tree.items()}
        return {} if not tree or tree in NULLS else tree

    return bool(filled(one.plain()) == filled(other.plain()))


def _cross_check(document: Document) -> None:
    """Compare with a real reader of YAML, where this node's Python has one.

    Raises:
        YamlError: when that reads something else.
    """
    try:
        yaml: t.Any = importlib.import_module("yaml")
    except ImportError:
        return
    try:
        found = yaml.load(document.text, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, UnicodeError):
        found = None
    if (found or {}) != document.plain():
        raise YamlError(
            "read a YAML file so that it can be changed in place",
            where=document.name,
            got="PyYAML reads it in another way",
            remedy="Edit it by hand.",
        )
