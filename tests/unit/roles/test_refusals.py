# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role refuses before it sends anything: one inventory host for each fault, in one run of ansible-playbook."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import Any

import pytest
import yaml

from tests.unit.contract.collection import roles, spec_options

MAIN = ("registry_namespace", "registry_storage", "registry_auth", "registry_server", "registry_cache")
ACCOUNTS = [{"name": "ci", "role": "writer"}]
# The name of a case: what is set, the role that refuses it, and words of what it says.
REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "name": ({"registry_name": "My_Registry"}, "registry", "registry_name (My_Registry) must be a DNS label"),
    "namespace": ({"registry_namespace": "a/b"}, "registry", "registry_namespace (a/b) must be a DNS label"),
    "scheme": ({"registry_host": "https://r.example"}, "registry", "registry_host (https://r.example) must be a host"),
    "misspelt": ({"registry_storage_sise": "5Gi"}, "registry", "knows registry_storage_sise. Correct the spelling"),
    "namespace_with_data": (
        {"registry_state": "absent", "registry_namespace_delete": True},
        "registry_namespace",
        "Set registry_storage_delete_data to true as well",
    ),
    "one_pod": ({"registry_storage_access_mode": "ReadWriteOncePod"}, "registry_storage", "Use ReadWriteOnce"),
    "size": ({"registry_storage_size": "lots"}, "registry_storage", "registry_storage_size (lots) is not a Kubernetes"),
    "platform": (
        {"registry_server_index_platforms": ["amd64"]},
        "registry_server",
        "registry_server_index_platforms (amd64) are platforms as in linux/amd64",
    ),
    "nobody": ({"registry_auth_users": []}, "registry_auth", "needs at least one account"),
    "twice": ({"registry_auth_users": ACCOUNTS * 2}, "registry_auth", "has a name twice (ci, ci)"),
    "cost": ({"registry_auth_bcrypt_cost": 31}, "registry_auth", "registry_auth_bcrypt_cost (31) goes from 4 to 17"),
    "short": ({"registry_auth_password_length": 8}, "registry_auth", "registry_auth_password_length (8) goes from 22"),
    "colon": ({"registry_auth_users": [{"name": "a b", "role": "reader"}]}, "registry_auth", "Give a b a password of"),
    "pushers": (
        {"registry_auth_pull_accounts": ["ci"]},
        "registry_auth",
        "Every pod of the namespaces could use a writer's",
    ),
    "nobodys": (
        {"registry_auth_pull_namespaces": ["shop"]},
        "registry_auth",
        "pull_accounts names no account for them",
    ),
    "unnameable": (
        {
            "registry_auth_users": [*ACCOUNTS, {"name": "The_Nodes", "role": "reader"}],
            "registry_auth_pull_accounts": ["The_Nodes"],
        },
        "registry_auth",
        "Choose another account than The_Nodes",
    ),
    "cache": ({"registry_server_config": {"storage": {"cache": {}}}}, "registry_server", "may not set storage.cache"),
    "proxy": ({"registry_server_config": {"proxy": {}}}, "registry_server", "may not set storage.cache"),
    "debug": ({"registry_server_config": {"http": {"debug": {}}}}, "registry_server", "may not set storage.cache"),
    "days": ({"registry_server_upload_purge_age": "7d"}, "registry_server", "registry_server_upload_purge_age (7d)"),
    "at_once": ({"registry_server_upload_purge_interval": "0s"}, "registry_server", "are Go durations above zero"),
    "sparse": (
        {"registry_gc_untagged": "delete", "registry_server_index_platforms": ["linux/amd64"]},
        "registry_gc",
        "nobody looks for its other platforms",
    ),
    "kept_days": ({"registry_cache_ttl": "30d"}, "registry_cache", "registry_cache_ttl (30d) is a Go duration"),
    "replicas": ({"registry_server_replicas": 0}, "registry_server", "registry_server_replicas is 0: at least one"),
    "untrusted": (
        {"registry_node_trust_registry": []},
        "registry_node_trust",
        "does not know registry_node_trust_registry. Correct the spelling",
    ),
    "unwritten": (
        {"registry_node_trust_apply_via": "render"},
        "registry_node_trust",
        "registry_node_trust_documents_to",
    ),
    "unwritable": (
        {
            "registry_node_trust_apply_via": "daemonset",
            "registry_node_trust_registries": [{"name": "r.example", "address": "192.0.2.1"}],
        },
        "registry_node_trust",
        "The address 192.0.2.1 would belong into /etc/hosts",
    ),
    "path": ({"registry_cache_upstream": "https://r.example/v2/"}, "registry_cache", "without a path or a slash"),
    "hub": (
        {"registry_cache_upstream": "https://docker.io"},
        "registry_cache",
        "Docker Hub is https://registry-1.docker.io",
    ),
    "sharing": (
        {"registry_cache_upstream_secret_name": "there", "registry_auth_users": []},
        "registry_cache",
        "everybody who reaches the cache could pull every image that this account may pull",
    ),
    "halves": ({"registry_cache_upstream_username": "me"}, "registry_cache", "needs registry_cache_upstream_password"),
    "both": (
        {"registry_cache_upstream_username": "me", "registry_cache_upstream_secret_name": "there"},
        "registry_cache",
        "or registry_cache_upstream_secret_name, not both",
    ),
    "anonymous": (
        {"registry_auth_anonymous_pull": True},
        "registry_cache",
        "A cache without registry_auth_users asks nobody",
    ),
    "descriptors": (
        {"registry_cache_config": {"storage": {"cache": {}}}},
        "registry_cache",
        "clients get empty layers",
    ),
}
# Nothing is wrong with these: they get as far as the cluster, which is not there.
ACCEPTED: dict[str, dict[str, Any]] = {
    "shared": {"registry_of_somebody_else": 1, "registry_allow_unknown_variables": True},
    "durations": {"registry_server_upload_purge_age": "1h30m", "registry_cache_ttl": "0s"},
    "quoted": {"registry_server_replicas": "2", "registry_auth_bcrypt_cost": "5"},
    "everything_goes": {
        "registry_state": "absent",
        "registry_namespace_delete": True,
        "registry_storage_delete_data": True,
        "registry_storage_size": "whatever it was",
    },
    "logging": {"registry_server_config": {"log": {"level": "debug"}, "http": {"http2": {"disabled": True}}}},
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Return the message of each host's last failed task by host and role."""
    folder = tmp_path_factory.mktemp("refusals")
    common = {
        "registry_kubeconfig": str(folder / "nowhere"),
        "registry_host": "registry.example.com",
        "registry_auth_users": ACCOUNTS,
        "registry_cache_upstream": "https://upstream.example.com",
        "ansible_connection": "local",
    }
    settings = {**{name: case[0] for name, case in REFUSED.items()}, **ACCEPTED}
    inventory = {"registries": {"hosts": {name: {**common, **chosen} for name, chosen in settings.items()}}}
    (folder / "hosts.yml").write_text(yaml.safe_dump(inventory))
    # What every role checks, the first one does; what is accepted goes through all that need nothing else.
    refusing = {name: MAIN[0] if case[1] == "registry" else case[1] for name, case in REFUSED.items()}
    plays = [
        {
            "hosts": [name for name, one in refusing.items() if one == role] + list(ACCEPTED if role in MAIN else ()),
            "gather_facts": False,
            "ignore_errors": True,
            "roles": [f"homeport.registry.{role}"],
        }
        for role in dict.fromkeys([*MAIN, *refusing.values()])
    ]
    (folder / "play.yml").write_text(yaml.safe_dump(plays))
    environ = {**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json", "ANSIBLE_NOCOLOR": "1"}
    command = ["ansible-playbook", "-i", "hosts.yml", "--forks", "4", "play.yml"]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    found: dict[str, dict[str, str]] = {name: {} for name in settings}
    for play in json.loads(done.stdout)["plays"]:
        for task in play["tasks"]:
            role = task["task"]["name"].partition(" : ")[0].rpartition(".")[2]
            for host, result in task["hosts"].items():
                if result.get("failed"):
                    found[host].setdefault(role, result["msg"])
    return found


@pytest.mark.parametrize("case", REFUSED)
def test_a_fault_is_refused_in_words(results: dict[str, dict[str, str]], case: str) -> None:
    _settings, role, words = REFUSED[case]
    assert words in results[case][role]


@pytest.mark.parametrize("case", ACCEPTED)
def test_what_is_right_gets_as_far_as_the_cluster(results: dict[str, dict[str, str]], case: str) -> None:
    assert set(results[case]) == set(MAIN)
    assert all("nowhere" in message for message in results[case].values()), results[case]


def test_the_known_variables_are_those_of_the_specifications() -> None:
    """The role finds the names by their indent, so a specification that is laid out otherwise would hide its own."""
    for role in roles():
        text = (role / "meta" / "argument_specs.yml").read_text(encoding="utf-8")
        assert re.findall(r"(?m)^      (registry_[a-z0-9_]+):", text) == list(spec_options(role)), role.name
