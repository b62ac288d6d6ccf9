# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Work out which registries and mirrors the nodes of an inventory shall trust."""

from __future__ import annotations

DOCUMENTATION = r"""
name: node_registries
short_description: Work out which registries and mirrors nodes shall trust
version_added: 0.1.0
author:
  - homeport.registry contributors (!UNKNOWN)
description:
  - Takes the inventory hosts of the registries with their variables, and what the role
    P(homeport.registry.registry_node_trust#role) was told, and returns what M(homeport.registry.node_trust) is to be
    given.
  - A cache of the inventory becomes a mirror if nodes can reach it by TLS and it wants no account, because a mirror is
    never shown a password.
  - Mirrors that were given come first, then caches, then what a bundle has brought; each upstream is kept once.
positional: _input, settings, read
options:
  _input:
    description: The variables of each inventory host of a registry.
    type: list
    elements: dict
    required: true
  settings:
    description:
      - The options of the role without their prefix, of which C(registries), C(mirrors), C(ca_certificates), C(state),
        C(apply_via), C(cache_mirrors) and C(cluster_authorities) are used.
    type: dict
    required: true
  read:
    description:
      - What was read of registries that have made their own authority, by inventory host. The first resource, if there
        is any, is the ConfigMap with the certificate in C(ca.crt).
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show what the nodes would trust
  ansible.builtin.debug:
    msg: "{{ groups['registries'] | map('extract', hostvars) | list | homeport.registry.node_registries(settings) }}"
  vars:
    settings:
      registries: []
      mirrors: []
      ca_certificates: []
      state: present
      apply_via: ssh
      cache_mirrors: true
      cluster_authorities: true
"""

RETURN = r"""
_value:
  description: What to trust.
  type: dict
  contains:
    registries:
      description: The registries, with the suboptions of O(homeport.registry.node_trust#module:registries).
      type: list
      elements: dict
    mirrors:
      description: The mirrors, with the suboptions of O(homeport.registry.node_trust#module:mirrors).
      type: list
      elements: dict
    selfmade:
      description: Inventory hosts whose registry has made an authority that has to be read in the cluster.
      type: list
      elements: str
  sample:
    registries: [{name: registry.example.com, ca_certificates: []}]
    mirrors: [{upstream: docker.io, name: hub.example.com, ca_certificates: []}]
    selfmade: []
"""

import typing as t
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from ansible.errors import AnsibleFilterError

Entry = dict[str, t.Any]


def _name(host: Mapping[str, t.Any]) -> str:
    """Return the name by which nodes know a registry: registry_host, else the name of the inventory host."""
    return str(host.get("registry_host", host["inventory_hostname"]))


def _upstream(url: str) -> str:
    """Return the host of an upstream as images name it, which for Docker Hub is not the one of its server."""
    for scheme in ("https://", "http://"):
        url = url.removeprefix(scheme)
    host = url.partition("/")[0]
    return "docker.io" if host == "registry-1.docker.io" else host


def _is_mirror(host: Mapping[str, t.Any]) -> bool:
    """Whether nodes can use a registry as a mirror: a cache that they reach by TLS and without an account."""
    return (
        "registry_cache_upstream" in host
        and host.get("registry_ingress_exposure", "none") != "none"
        and host.get("registry_ingress_tls", "none") != "none"
        and not host.get("registry_auth_users")
    )


def _selfmade(hosts: Sequence[Mapping[str, t.Any]], settings: Mapping[str, t.Any]) -> list[str]:
    """Return the hosts whose authority is to be read; to forget needs none, but pods must know what to take away."""
    wanted = settings["state"] == "present" or settings["apply_via"] == "daemonset"
    if not (wanted and settings["cluster_authorities"]) or settings["ca_certificates"] or settings["registries"]:
        return []
    return [str(host["inventory_hostname"]) for host in hosts if host.get("registry_ingress_tls") == "self_signed"]


def _kept(hosts: Sequence[Mapping[str, t.Any]], read: Mapping[str, Sequence[t.Any]]) -> dict[str, list[str]]:
    """Return the certificates that were read, by the name of the registry. One that has made none yet is left out."""
    names = {str(host["inventory_hostname"]): _name(host) for host in hosts}
    return {
        names[host]: [resources[0]["data"]["ca.crt"]] if "ca.crt" in resources[0]["data"] else []
        for host, resources in read.items()
        if resources
    }


def node_registries(
    hosts: Sequence[Mapping[str, t.Any]],
    settings: Mapping[str, t.Any],
    read: Mapping[str, Sequence[t.Any]] = MappingProxyType({}),
) -> dict[str, t.Any]:
    """Return what nodes shall trust: registries, mirrors, and hosts whose authority has to be read before.

    Raises:
        AnsibleFilterError: if something that is needed was not given.
    """
    try:
        certificates = {"ca_certificates": settings["ca_certificates"]}
        listed: dict[str, Entry] = {
            name: {"name": name, **certificates} for name in sorted({_name(one) for one in hosts})
        }
        for name, authority in _kept(hosts, read).items():
            listed[name]["ca_certificates"] = authority
        given = list(settings["mirrors"])
        taken = {mirror["upstream"] for mirror in given}
        caches = [host for host in hosts if _is_mirror(host)] if settings["cache_mirrors"] else []
        # Of two caches of one upstream, the last.
        cached = {_upstream(str(host["registry_cache_upstream"])): _name(host) for host in caches}
        own: list[Entry] = [
            {**certificates, "upstream": upstream, "name": name}
            for upstream, name in cached.items()
            if upstream not in taken
        ]
        taken |= {mirror["upstream"] for mirror in own}
        # A registry that this run has filled from a bundle holds each source below its name; nobody else is asked.
        led = [lead for host in hosts for lead in host.get("__registry_airgap_leads", [])]
        own += [{**certificates, **lead} for lead in led if lead["upstream"] not in taken]
        removal = {"state": "absent"} if settings["state"] == "absent" else {}
        return {
            "registries": [{**certificates, **one, **removal} for one in settings["registries"] or listed.values()],
            # Those of the inventory's own registries have the authority of these.
            "mirrors": [
                {**one, **removal} for one in [*given, *({**mirror, **listed[mirror["name"]]} for mirror in own)]
            ],
            "selfmade": _selfmade(hosts, settings),
        }
    except (KeyError, IndexError) as exc:
        raise AnsibleFilterError(f"node_registries: {exc.args[0]} is missing in what was given") from exc


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Callable[..., t.Any]]:
        """Return the filter by its name."""
        return {"node_registries": node_registries}
