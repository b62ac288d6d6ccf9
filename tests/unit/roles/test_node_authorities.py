# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which authorities nodes trust of registries that have made their own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.contract.collection import installed

ROLE = installed() / "roles" / "registry_node_trust"
OWN = {"registry_ingress_exposure": "node_port", "registry_ingress_tls": "self_signed"}
REGISTRIES: dict[str, dict[str, Any]] = {
    "own.example.com": OWN,
    "other": {"registry_host": "other.example.com:30443", **OWN},
    "public.example.com": {**OWN, "registry_ingress_tls": "cert_manager"},
    "inside.example.com": {},
    "hub.example.com": {"registry_cache_upstream": "https://registry-1.docker.io", **OWN},
}
SELFMADE = ["hub.example.com", "other", "own.example.com"]


def kept(host: str, certificate: str) -> dict[str, Any]:
    """Return what was read of a registry."""
    return {"__registry_node_trust_host": host, "resources": [{"data": {"ca.crt": certificate, "about": "x"}}]}


# Of one nothing was there yet.
READ = {
    "results": [
        kept("other", "OTHER"),
        kept("hub.example.com", "HUB"),
        {"__registry_node_trust_host": "own.example.com", "resources": []},
    ]
}
SHOWN = ("selfmade", "registries", "mirrors")


def shown(folder: Path, **variables: Any) -> dict[str, Any]:
    """Return whose authority a node asks for, and what it trusts: registries and mirrors."""
    inventory = {"registries": {"hosts": REGISTRIES}, "nodes": {"hosts": {"node": {"ansible_connection": "local"}}}}
    (folder / "hosts.yml").write_text(yaml.safe_dump(inventory))
    parts = {part: "{{ __registry_node_trust_PART | list }}".replace("PART", part) for part in SHOWN}
    play = {
        "hosts": "nodes",
        "gather_facts": False,
        "vars_files": [str(ROLE / "defaults" / "main.yml"), str(ROLE / "vars" / "main.yml")],
        "tasks": [{"ansible.builtin.debug": {"msg": parts}}],
    }
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    (folder / "extra.json").write_text(json.dumps(variables))
    environ = {**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json", "ANSIBLE_NOCOLOR": "1"}
    command = ["ansible-playbook", "-i", "hosts.yml", "-e", "@extra.json", "play.yml"]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["plays"][0]["tasks"][0]["hosts"]["node"]["msg"]
    return found


def authorities(entries: list[dict[str, Any]]) -> dict[str, list[str]]:
    return {entry["name"]: entry["ca_certificates"] for entry in entries}


def test_each_registry_has_its_own_authority(tmp_path: Path) -> None:
    found = shown(tmp_path, __registry_node_trust_read=READ)
    assert sorted(found["selfmade"]) == SELFMADE
    assert authorities(found["registries"]) == {
        "hub.example.com": ["HUB"],
        "inside.example.com": [],
        "other.example.com:30443": ["OTHER"],
        "own.example.com": [],
        "public.example.com": [],
    }
    assert [(mirror["upstream"], mirror["ca_certificates"]) for mirror in found["mirrors"]] == [("docker.io", ["HUB"])]


@pytest.mark.parametrize(
    "variables",
    [
        {"registry_node_trust_ca_certificates": ["GIVEN"]},
        {"registry_node_trust_registries": [{"name": "elsewhere.example.com"}]},
        {"registry_node_trust_cluster_authorities": False},
        {"registry_node_trust_state": "absent"},
    ],
)
def test_nobody_is_asked_where_it_does_not_matter(tmp_path: Path, variables: dict[str, Any]) -> None:
    found = shown(tmp_path, __registry_node_trust_read={"skipped": True, "results": []}, **variables)
    assert found["selfmade"] == []
    given = variables.get("registry_node_trust_ca_certificates", [])
    assert all(trusted == given for trusted in authorities(found["registries"]).values())


def test_pods_know_what_to_take_away(tmp_path: Path) -> None:
    variables = {"registry_node_trust_state": "absent", "registry_node_trust_apply_via": "daemonset"}
    found = shown(tmp_path, inventory_hostname="own.example.com", **variables)
    assert found["selfmade"] == ["own.example.com"]
