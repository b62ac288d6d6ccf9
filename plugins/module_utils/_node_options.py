# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The options of node_trust, what they mean, and its result. Private."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils._node_containerd import as_text
from ansible_collections.homeport.registry.plugins.module_utils._node_cri import Login
from ansible_collections.homeport.registry.plugins.module_utils._node_directory import check_name
from ansible_collections.homeport.registry.plugins.module_utils._node_errors import NodeError
from ansible_collections.homeport.registry.plugins.module_utils._node_pem import read_bundle
from ansible_collections.homeport.registry.plugins.module_utils._node_plan import Wish
from ansible_collections.homeport.registry.plugins.module_utils._node_record import PATH
from ansible_collections.homeport.registry.plugins.module_utils._node_runtime import KINDS
from ansible_collections.homeport.registry.plugins.module_utils._node_trust import Rollout, Settings

_STATE = {"type": "str", "choices": ["present", "absent"], "default": "present"}
_TEXTS = {"type": "list", "elements": "str", "default": []}
_TEXT = {"type": "str", "default": ""}
_NO = {"type": "bool", "default": False}
_PREFIX = re.compile(r"[a-z0-9]+(?:[._/-]{1,2}[a-z0-9]+)*")

SPEC: dict[str, t.Any] = {
    "registries": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "aliases": _TEXTS,
            "ca_certificates": _TEXTS,
            "address": _TEXT,
            "image": _TEXT,
            "username": _TEXT,
            "password": {"type": "str", "no_log": True},
            "plain_http": _NO,
            "insecure": _NO,
            "replace_foreign": _NO,
            "state": _STATE,
        },
    },
    "mirrors": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "upstream": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "prefix": _TEXT,
            "ca_certificates": _TEXTS,
            "address": _TEXT,
            "image": _TEXT,
            "fallback": {"type": "bool", "default": True},
            "plain_http": _NO,
            "replace_foreign": _NO,
            "state": _STATE,
        },
    },
    "runtime": {"type": "str", "choices": ["auto", *KINDS], "default": "auto"},
    "runtime_endpoint": _TEXT,
    "verify": {"type": "str", "choices": ["cri", "tls", "none"], "default": "cri"},
    "restart": {"type": "str", "choices": ["never", "plan", "now"], "default": "never"},
    "restart_command": _TEXTS,
    "revert_config_path": _NO,
    "registries_yaml": {"type": "str", "choices": ["listed", "always", "never"], "default": "listed"},
    "record": {"type": "path", "default": PATH},
    "timeout": {"type": "float", "default": 10},
    "pull_timeout": {"type": "float", "default": 120},
    "ready_timeout": {"type": "float", "default": 120},
}


def wishes_from(params: t.Mapping[str, t.Any]) -> list[Wish]:
    """Return what the options ask for.

    Raises:
        NodeError: when a name, an address, a certificate or an image cannot be used.
    """
    wishes = []
    for one in params["registries"]:
        name = check_name(one["name"], "the name of a registry")
        image = one["image"]
        if image and not image.startswith(f"{name}/"):
            raise _bad(name, f"the image {image} is of another registry", f"Begin it with {name}/.")
        if one["plain_http"] and one["insecure"]:
            raise _bad(name, "plain_http and insecure exclude each other", "Choose one of them, or neither.")
        wishes.append(
            Wish(
                name,
                one["state"] == "present",
                _authorities(one, name),
                aliases=tuple(check_name(alias, "an alias") for alias in one["aliases"]),
                address=_address(one["address"], name),
                plain_http=one["plain_http"],
                insecure=one["insecure"],
                replace_foreign=one["replace_foreign"],
                image=image,
                login=Login(one["username"], one["password"] or "") if one["username"] else None,
            )
        )
    for one in params["mirrors"]:
        upstream = check_name(one["upstream"], "the upstream of a mirror")
        name = check_name(one["name"], "the name of a mirror")
        if one["image"] and not one["image"].startswith(f"{upstream}/"):
            raise _bad(upstream, f"the image {one['image']} is of another registry", f"Begin it with {upstream}/.")
        if one["prefix"] and not _PREFIX.fullmatch(one["prefix"]):
            raise _bad(upstream, f"the prefix {one['prefix']} is no path in a registry", "Write it as in team/proxy.")
        wishes.append(
            Wish(
                name,
                one["state"] == "present",
                _authorities(one, name),
                mirror_of=upstream,
                prefix=one["prefix"],
                fallback=one["fallback"],
                address=_address(one["address"], name),
                plain_http=one["plain_http"],
                replace_foreign=one["replace_foreign"],
                image=one["image"],
            )
        )
    return wishes


def _authorities(one: t.Mapping[str, t.Any], name: str) -> list[t.Any]:
    # What is forgotten needs no certificates, and those of long ago may have expired.
    return read_bundle(one["ca_certificates"], name) if one["state"] == "present" else []


def _address(address: str, name: str) -> str:
    try:
        return str(ipaddress.ip_address(address)) if address else ""
    except ValueError as exc:
        raise _bad(name, f"the address {address} is no IP address", "Give an IPv4 or IPv6 address.") from exc


def _bad(name: str, got: str, remedy: str) -> NodeError:
    return NodeError("plan the registries", where=name, got=got, remedy=remedy)


def settings_from(params: t.Mapping[str, t.Any]) -> Settings:
    """Return the settings of a run."""
    return Settings(
        runtime=params["runtime"],
        endpoint=params["runtime_endpoint"],
        verify=params["verify"],
        restart=params["restart"],
        restart_command=tuple(params["restart_command"]),
        revert_config=params["revert_config_path"],
        registries_yaml=params["registries_yaml"],
        record=params["record"],
        timeout=params["timeout"],
        pull_timeout=params["pull_timeout"],
        ready_timeout=params["ready_timeout"],
    )


def result_of(rollout: Rollout) -> dict[str, t.Any]:
    """Return what RETURN describes."""
    runtime, restart = rollout.runtime, rollout.plan.restart
    registries = []
    for wish in rollout.wishes:
        presented = rollout.plan.presented.get(wish.folders[0])
        proof = rollout.proofs.get(wish.folders[0], {})
        registries.append(
            {
                "name": wish.folders[0],
                "state": "present" if wish.present else "absent",
                "files": [
                    path
                    for folder in wish.folders
                    for path, text in rollout.plan.files[folder].items()
                    if text is not None
                ],
                "authorities": [authority.as_dict() for authority in wish.authorities],
                "presented": presented.as_dict() if presented else None,
                "proof": {key: proof.get(key, "") for key in ("how", "by", "image", "at")},
            }
        )
    about = (
        {
            "service": restart.service.name,
            "reason": restart.reason,
            "file": restart.file,
            "done": not rollout.check and not rollout.waits_for_restart,
        }
        if restart
        else None
    )
    names = ("kind", "endpoint", "config", "config_path", "root", "reason")
    return {
        "changed": bool(rollout.changes or restart) and (rollout.check or not rollout.waits_for_restart),
        "registries": registries,
        "runtime": {"version": as_text(runtime.version), **{name: getattr(runtime, name) for name in names}},
        "restart": about,
        "actions": rollout.actions,
    }
