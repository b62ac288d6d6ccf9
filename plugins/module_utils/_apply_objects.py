# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Read desired objects from YAML and task arguments, and check what can be checked without a server.

This module is private to the collection.
"""

from __future__ import annotations

import base64
import datetime
import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

try:
    import yaml

    _BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
except ImportError:
    # it comes with the kubernetes client, whose absence the plugins report
    _BASE = object

from ansible_collections.homeport.registry.plugins.module_utils._apply_errors import InputError
from ansible_collections.homeport.registry.plugins.module_utils._kube_kinds import KNOWN, Resource, from_crd

PRUNE_ANNOTATION = "registry.homeport.dev/prune"
JOIN_ANNOTATION = "registry.homeport.dev/apply"
Key = tuple[str, str, str, str]
_LINE_KEY = re.compile(r"^\s*(?:- )*\s*(?P<key>[\w./-]+)\s*:")


_FRAME = ("apiVersion", "kind", "metadata")


@dataclass(frozen=True)
class Reference:
    """The place of one object in the API."""

    resource: Resource
    namespace: str
    name: str

    @property
    def key(self) -> Key:
        """Return what makes the object the same one in any API version."""
        return (self.resource.group, self.resource.kind, self.namespace, self.name)

    @property
    def label(self) -> str:
        """Return the object as people name it, for example ``Deployment registry/registry``."""
        place = f"{self.namespace}/" if self.namespace else ""
        return f"{self.resource.kind} {place}{self.name}"

    @property
    def short(self) -> str:
        """Return ``Kind/name``, the form of options that name objects."""
        return f"{self.resource.kind}/{self.name}"

    @property
    def path(self) -> str:
        """Return the URL path of the object."""
        return self.resource.path(self.namespace, self.name)

    def describe(self) -> dict[str, str]:
        """Return the keys that identify the object in a task result."""
        return {
            "api_version": self.resource.api_version,
            "kind": self.resource.kind,
            "namespace": self.namespace,
            "name": self.name,
        }


@dataclass(frozen=True)
class Desired(Reference):
    """One object to apply or to remove."""

    body: dict[str, Any]
    source: str

    @property
    def keep(self) -> bool:
        """Tell whether the object asks never to be pruned."""
        annotations = self.body["metadata"].get("annotations") or {}
        return annotations.get(PRUNE_ANNOTATION) == "disabled"

    @property
    def joined(self) -> dict[str, list[str]]:
        """Return the entries that an object of somebody else shall hold: names by list, empty for an object of ours."""
        if JOIN_ANNOTATION not in (self.body["metadata"].get("annotations") or {}):
            return {}
        lists = {field: value for field, value in self.body.items() if field not in _FRAME}
        return {field: [entry["name"] for entry in value] for field, value in lists.items()}


class _Loader(_BASE):
    """YAML as Kubernetes reads it: no dates, and a key that comes twice is a mistake."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _value_node in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            if key_node.value in seen and isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key appears twice", key_node.start_mark)
            if isinstance(key_node, yaml.ScalarNode):
                seen.add(key_node.value)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return mapping


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in getattr(_Loader, "yaml_implicit_resolvers", {}).items()
}


def parse_text(text: str, source: str) -> list[dict[str, Any]]:
    """Return the objects in a multi-document YAML text; empty documents are dropped.

    ``source`` names the text in errors. Raises InputError.
    """
    try:
        documents = list(yaml.load_all(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        raise InputError(_describe_yaml_error(error, text, source)) from None
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{source}: not YAML ({type(error).__name__})") from None
    return [item for document in documents for item in expand(document, source)]


def _describe_yaml_error(error: yaml.MarkedYAMLError, text: str, source: str) -> str:
    # the library's own text quotes the line, which may hold a password
    problem = re.sub(r"['\"][^'\"]{2,}['\"]", "(…)", error.problem or error.context or "cannot be parsed")
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return f"{source}: not YAML: {problem}"
    lines = text.splitlines()
    key = _LINE_KEY.match(lines[mark.line]) if mark.line < len(lines) else None
    near = f", near {key['key']}" if key else ""
    return f"{source}: not YAML at line {mark.line + 1}, column {mark.column + 1} of the rendered text{near}: {problem}"


def expand(document: Any, source: str) -> list[dict[str, Any]]:
    """Return the objects of one document: none, one, or the items of a ``List``. Raises InputError."""
    if document is None:
        return []
    if isinstance(document, list):
        return [item for entry in document for item in expand(entry, source)]
    if not isinstance(document, dict):
        raise InputError(f"{source}: expected a Kubernetes object, found {type(document).__name__}")
    if document.get("kind") == "List" and isinstance(document.get("items"), list):
        return [item for entry in document["items"] for item in expand(entry, source)]
    return [document]


def plain(value: Any) -> Any:
    """Return ``value`` as plain JSON types; Ansible's tagged and lazy types do not survive json or YAML."""
    if isinstance(value, Mapping):
        return {_key_text(key): plain(item) for key, item in value.items()}
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()
    # a vaulted text of ansible-core before 2.19 is a sequence of characters
    vaulted = getattr(value, "__ENCRYPTED__", False)
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) and not vaulted:
        return [plain(item) for item in value]
    return plain_text(value)


def plain_text(value: Any) -> str:
    """Return the text itself: str() of Ansible's own text types gives the same type back."""
    return str.__str__(value if isinstance(value, str) else str(value))


def _key_text(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return plain_text(key)


def check(document: dict[str, Any], source: str) -> tuple[str, str, str]:
    """Return apiVersion, kind and name of one object. Raises InputError when one is missing."""
    api_version, kind = document.get("apiVersion"), document.get("kind")
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    for field, value in (("apiVersion", api_version), ("kind", kind), ("metadata.name", name)):
        if isinstance(value, str) and value:
            continue
        named = f"{kind} " if field != "kind" and isinstance(kind, str) else ""
        if value:
            raise InputError(f"{source}: the object {named}has a {field} that is not text; quote it")
        hint = "; generateName cannot be applied twice" if "generateName" in (metadata or ()) else ""
        raise InputError(f"{source}: the object {named}has no {field}{hint}")
    return str(api_version), str(kind), str(name)


Lookup = Callable[[str, str], "Resource | None"]


def resolve(documents: Iterable[tuple[dict[str, Any], str]], namespace: str | None, discover: Lookup) -> list[Desired]:
    """Return the desired objects with their place in the API.

    ``documents`` are objects with their source; ``discover`` is asked only for kinds that neither the
    static table nor a CustomResourceDefinition among the objects knows. Raises InputError.
    """
    documents = [(plain(document), source) for document, source in documents]
    own = {
        (resource.api_version, resource.kind): resource
        for document, source in documents
        if document.get("kind") == "CustomResourceDefinition"
        for resource in from_crd(document)
    }
    desired: dict[Key, Desired] = {}
    for document, source in documents:
        api_version, kind, name = check(document, source)
        resource = KNOWN.get((api_version, kind)) or own.get((api_version, kind)) or discover(api_version, kind)
        if resource is None:
            raise InputError(f"{source}: this cluster knows no kind {kind} in {api_version} ({kind} {name})")
        item = _place(document, source, resource, name, namespace)
        if item.key in desired:
            raise InputError(f"{item.label} is defined twice: in {desired[item.key].source} and in {source}")
        desired[item.key] = item
    return list(desired.values())


def _place(document: dict[str, Any], source: str, resource: Resource, name: str, namespace: str | None) -> Desired:
    metadata = dict(document["metadata"])
    own = metadata.pop("namespace", None)
    place = ""
    if resource.namespaced:
        place = own or namespace or ""
        if not place:
            raise InputError(
                f"{source}: {resource.kind} {name} names no namespace; set metadata.namespace or the namespace option"
            )
        metadata["namespace"] = place
    body = {**document, "metadata": metadata}
    if resource.kind == "Secret" and not resource.group:
        body = encode_secret(body, source)
    _check_join(body, f"{source}: {resource.kind} {name}")
    return Desired(resource, place, name, body, source)


def _check_join(body: dict[str, Any], what: str) -> None:
    """Refuse an object that asks to be joined and holds anything but lists of names. Raises InputError."""
    mode = (body["metadata"].get("annotations") or {}).get(JOIN_ANNOTATION)
    if mode is None:
        return
    if mode != "join":
        raise InputError(f"{what}: the annotation {JOIN_ANNOTATION} is {mode!r}; the one known value is join")
    lists = [value for field, value in body.items() if field not in _FRAME]
    named = [
        isinstance(value, list)
        and value
        and all(isinstance(entry, dict) and list(entry) == ["name"] for entry in value)
        for value in lists
    ]
    if not named or not all(named):
        raise InputError(f"{what}: an object to join holds lists of entries that have a name and nothing else")


def encode_secret(body: dict[str, Any], source: str) -> dict[str, Any]:
    """Return a Secret with ``stringData`` moved into ``data``.

    The server keeps no ownership of stringData keys, so a key that leaves the template would stay for ever.
    Raises InputError when a value is not text, naming the key only.
    """
    body = dict(body)
    text = body.pop("stringData", None)
    data = dict(body.get("data") or {})
    for field, values in (("data", data), ("stringData", text or {})):
        for key, value in values.items():
            if not isinstance(value, str):
                name = body["metadata"]["name"]
                raise InputError(f"{source}: Secret {name}: {field}.{key} must be text; quote it")
    data.update({key: base64.b64encode(value.encode()).decode() for key, value in (text or {}).items()})
    if data:
        body["data"] = data
    return body


def secret_texts(items: Iterable[Desired]) -> list[str]:
    """Return every value in the Secrets among ``items``, encoded and decoded, longest first."""
    texts: set[str] = set()
    for item in items:
        if item.resource.kind != "Secret" or item.resource.group:
            continue
        for value in (item.body.get("data") or {}).values():
            texts.add(value)
            try:
                texts.add(base64.b64decode(value, validate=True).decode())
            except ValueError:
                continue
    return sorted((text for text in texts if len(text) > 3), key=lambda text: (-len(text), text))
