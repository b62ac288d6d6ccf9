# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Docker's daemon.json: single entries of two lists, and nothing else of the file. Private."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils._node_errors import NodeError
from ansible_collections.homeport.registry.plugins.module_utils._node_process import arguments_of, option

DEFAULT = "/etc/docker/daemon.json"
# Both are read again when the daemon gets SIGHUP.
FLAGS = {"insecure-registries": "--insecure-registry", "registry-mirrors": "--registry-mirror"}
Entries = t.Mapping[str, t.Collection[str]]


def path_of(pid: int) -> str:
    """Return the configuration file of a running dockerd."""
    return option(arguments_of(pid), "--config-file") or DEFAULT


def refuse_flags(pid: int, wanted: Entries) -> None:
    """Refuse a list that the command line sets too: with both, the next start of the daemon fails.

    Raises:
        NodeError: naming the option.
    """
    words = arguments_of(pid)
    for key in wanted:
        if any(word.partition("=")[0] == FLAGS[key] for word in words):
            raise NodeError(
                f"set {key}",
                where="the command line of dockerd",
                got=f"it holds {FLAGS[key]}, and Docker does not start when the file sets the same",
                remedy=f"Move these values into {path_of(pid)} and take the option away.",
            )


def merged(text: str | None, path: str, wanted: Entries, ours: Entries) -> str | None:
    """Return the text with the wanted entries, without those that were ours and are not wanted; None for no file.

    Args:
        text: the file as it is, None where there is none.
        path: of the file, for messages.
        wanted: entries by key that have to be there.
        ours: entries by key that we added earlier.

    Raises:
        NodeError: when the file is no JSON object, or a list in it is none.
    """
    try:
        content = json.loads(text) if text and text.strip() else {}
        if not isinstance(content, dict):
            raise ValueError("it is no object")
    except ValueError as exc:
        raise NodeError(
            "read Docker's configuration",
            where=path,
            got=str(exc),
            remedy="Correct the file: Docker would not start with it.",
        ) from exc
    before = json.dumps(content)
    for key in sorted({*wanted, *ours}):
        current = content.get(key, [])
        if not isinstance(current, list):
            raise NodeError(f"set {key}", where=path, got="it is no list", remedy="Correct the file.")
        kept = [value for value in current if value in wanted.get(key, ()) or value not in ours.get(key, ())]
        content[key] = kept + [value for value in wanted.get(key, ()) if value not in kept]
        if not content[key]:
            del content[key]
    if json.dumps(content) == before:
        return text
    return json.dumps(content, indent=2) + "\n" if content else None


def same(one: str | None, other: str | None) -> bool:
    """Tell whether two texts say the same; no file is an empty object."""
    return json.loads(one or "{}") == json.loads((other or "").strip() or "{}")


def added(text: str | None, wanted: Entries, ours: Entries) -> dict[str, list[str]]:
    """Return which wanted entries are ours: those that were not in the text before us."""
    content = json.loads(text) if text and text.strip() else {}
    found = {}
    for key, values in wanted.items():
        present = content.get(key, [])
        own = [value for value in values if value not in present or value in ours.get(key, ())]
        if own:
            found[key] = own
    return found
