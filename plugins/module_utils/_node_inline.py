# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What mirrors written in containerd's own configuration are called in an inventory. Private."""

from __future__ import annotations

import json
import typing as t
from urllib.parse import urlsplit

Entry = dict[str, t.Any]
# Where images of an upstream are fetched without any mirror.
_SERVERS = {"docker.io": "registry-1.docker.io"}


def entries_for(registry: t.Mapping[str, t.Any]) -> tuple[list[Entry], list[Entry]]:
    """Return the registries and the mirrors that say the same as a dumped table of containerd.

    Args:
        registry: with its tables mirrors and configs.
    """
    configs = registry.get("configs") or {}
    registries: dict[str, Entry] = {}
    mirrors: list[Entry] = []
    for upstream, one in (registry.get("mirrors") or {}).items():
        for endpoint in one.get("endpoint") or []:
            url = urlsplit(endpoint)
            about: Entry = {"plain_http": True} if url.scheme == "http" else _trust(configs.get(url.netloc))
            if url.netloc in (upstream, _SERVERS.get(upstream)):
                # A registry that is its own mirror is how its lack of TLS was said.
                registries.update({upstream: {"name": upstream, **about}} if about else {})
            elif upstream != "*" and not any(known["upstream"] == upstream for known in mirrors):
                path = url.path.strip("/")
                prefix = {"prefix": path[3:]} if path.startswith("v2/") else {}
                mirrors.append({"upstream": upstream, "name": url.netloc, **prefix, **about})
    named = {*registries, *(mirror["name"] for mirror in mirrors)}
    for name, one in configs.items():
        if name not in named and _trust(one):
            registries[name] = {"name": name, **_trust(one)}
    return list(registries.values()), mirrors


def _trust(config: t.Mapping[str, t.Any] | None) -> Entry:
    tls = (config or {}).get("tls") or {}
    if tls.get("insecure_skip_verify"):
        return {"insecure": True}
    return {"ca_certificates": [f"<content of {tls['ca_file']}>"]} if tls.get("ca_file") else {}


def advice(registry: t.Mapping[str, t.Any]) -> str:
    """Return what to write into the inventory instead, empty where nothing is left to say."""
    registries, mirrors = entries_for(registry)
    found = {"registry_node_trust_registries": registries, "registry_node_trust_mirrors": mirrors}
    return " and ".join(f"{name}: {json.dumps(entries)}" for name, entries in found.items() if entries)
