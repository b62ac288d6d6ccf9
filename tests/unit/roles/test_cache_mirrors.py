# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which mirrors the nodes get from the caches of an inventory."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.unit.contract.collection import installed

ROLE = installed() / "roles" / "registry_node_trust"
EXPOSED = {"registry_ingress_exposure": "ingress", "registry_ingress_tls": "self_signed"}
REGISTRIES: dict[str, dict[str, Any]] = {
    "registry.example.com": EXPOSED,
    "hub.example.com": {"registry_cache_upstream": "https://registry-1.docker.io", **EXPOSED},
    "quay": {
        "registry_cache_upstream": "https://quay.io/",
        "registry_host": "quay.example.com:8443",
        "registry_auth_users": [],
        **EXPOSED,
    },
    "open.example.com": {
        "registry_cache_upstream": "https://public.ecr.aws",
        "registry_ingress_exposure": "node_port",
        "registry_ingress_tls": "none",
    },
    "inside.example.com": {"registry_cache_upstream": "https://ghcr.io"},
    "closed.example.com": {"registry_cache_upstream": "https://gcr.io", "registry_ingress_exposure": "none"},
    "asks.example.com": {
        "registry_cache_upstream": "https://registry.k8s.io",
        "registry_auth_users": [{"name": "nodes", "role": "reader"}],
        **EXPOSED,
    },
}
HUB = {"upstream": "docker.io", "name": "hub.example.com", "ca_certificates": ["PEM"]}
QUAY = {"upstream": "quay.io", "name": "quay.example.com:8443", "ca_certificates": ["PEM"]}


def mirrors(folder: Path, **variables: Any) -> list[dict[str, Any]]:
    """Return the mirrors that a node gets."""
    inventory = {"registries": {"hosts": REGISTRIES}, "nodes": {"hosts": {"node": {"ansible_connection": "local"}}}}
    (folder / "hosts.yml").write_text(yaml.safe_dump(inventory))
    play = {
        "hosts": "nodes",
        "gather_facts": False,
        "vars_files": [str(ROLE / "defaults" / "main.yml"), str(ROLE / "vars" / "main.yml")],
        "tasks": [{"ansible.builtin.debug": {"msg": "{{ __registry_node_trust_mirrors | list }}"}}],
    }
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    (folder / "extra.json").write_text(json.dumps({"registry_node_trust_ca_certificates": ["PEM"], **variables}))
    environ = {**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json", "ANSIBLE_NOCOLOR": "1"}
    command = ["ansible-playbook", "-i", "hosts.yml", "-e", "@extra.json", "play.yml"]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["plays"][0]["tasks"][0]["hosts"]["node"]["msg"]
    return found


def test_caches_that_nodes_can_use_are_mirrors(tmp_path: Path) -> None:
    assert mirrors(tmp_path) == [HUB, QUAY]


def test_a_listed_mirror_goes_before_a_cache(tmp_path: Path) -> None:
    listed = {"upstream": "quay.io", "name": "other.example.com"}
    assert mirrors(tmp_path, registry_node_trust_mirrors=[listed]) == [listed, HUB]


def test_caches_leave_with_the_rest(tmp_path: Path) -> None:
    assert mirrors(tmp_path, registry_node_trust_state="absent") == [
        {**HUB, "state": "absent"},
        {**QUAY, "state": "absent"},
    ]


def test_caches_are_no_mirrors_where_that_is_not_wanted(tmp_path: Path) -> None:
    assert mirrors(tmp_path, registry_node_trust_cache_mirrors=False) == []
