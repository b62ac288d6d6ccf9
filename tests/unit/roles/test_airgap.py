# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which bundle role registry_airgap takes: one inventory host for each case, in one run, and without a cluster."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest
import yaml

IMAGES = {
    "registry_image": "docker.io/r:3",
    "registry_gate_image": "docker.io/g:1",
    "registry_engine_image": "docker.io/p:3",
}
SUM = {name: letter * 64 for name, letter in (("1", "a"), ("2", "b"), ("2b", "c"), ("3", "d"), ("x", "e"))}


def digest(letter: str) -> str:
    return f"sha256:{letter * 64}"


def content(version: str, name: str = "shop", number: str = "", **images: str) -> dict[str, Any]:
    """Return what bundle_extract says of a bundle; `number` names its sum."""
    held = {**{image: digest("0") for image in IMAGES.values()}, **images}
    listed = [{"name": image, "digest": one, "platforms": []} for image, one in held.items()]
    return {
        "name": name,
        "version": version,
        "sha256": SUM[number or version],
        "images": [],
        "all_images": listed,
        "files": [],
    }


def installed(version: str, *before: str) -> dict[str, Any]:
    """Return a record of what is installed, and what was before."""
    history = [{"version": one, "sha256": SUM[one]} for one in before]
    return {
        "name": "shop",
        "version": version,
        "sha256": SUM[version],
        "images": {},
        "bootstrap": {},
        "history": history,
    }


def case(there: Any, bundle: Any, parent: str = "", *, update: bool = True, **more: Any) -> dict[str, Any]:
    """Return the variables of a case."""
    built_on = {"name": "shop", "version": parent, "sha256": SUM[parent]} if parent else None
    return {
        "__registry_airgap_installed": there,
        "__registry_airgap_content": bundle,
        "__registry_airgap_verified": {"parent": built_on},
        "registry_airgap_update": update,
        **more,
    }


# What is there, what comes, and words of what the role says; no words where it is taken.
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "first": (case({}, content("1"), update=False), ""),
    "again": (case(installed("1"), content("1"), update=False), ""),
    "other": (case(installed("1"), content("2"), update=False), "Run playbook homeport.registry.airgap_update, which"),
    "alone": (case({}, content("2"), "1", update=False), "nothing says that registry.example.com holds that"),
    "nothing": (
        case({}, content("2")),
        "(ConfigMap registry-bundle). Run playbook homeport.registry.airgap_install first",
    ),
    "next": (case(installed("1"), content("2")), ""),
    "delta": (case(installed("1"), content("2"), "1"), ""),
    "same_delta": (case(installed("2"), content("2"), "1"), ""),
    "skipped": (case(installed("1"), content("3"), "2"), "This delta builds on shop 2 (bbbbbbbbbbbb), and"),
    "skipped_back": (
        case(installed("3"), content("2"), "1", registry_airgap_allow_older=True),
        "This delta builds on shop 1 (aaaaaaaaaaaa), and registry.example.com holds shop 3",
    ),
    "older": (
        case(installed("2"), content("1")),
        "which is older. Nothing was changed. Set registry_airgap_allow_older",
    ),
    "asked": (case(installed("2"), content("1"), registry_airgap_allow_older=True), ""),
    # Not by their letters.
    "tenth": (case({**installed("2"), "version": "9"}, {**content("3"), "version": "10"}), ""),
    "dates": (case({**installed("2"), "version": "2026-02"}, {**content("3"), "version": "2026-10"}), ""),
    "unordered": (case({**installed("2"), "version": "blue"}, {**content("3"), "version": "amber"}), ""),
    "unordered_back": (
        case({**installed("2", "1"), "version": "blue"}, {**content("1"), "version": "amber"}),
        "which is older. Nothing was changed.",
    ),
    "forth_again": (case(installed("1", "2"), content("2")), ""),
    "rebuilt": (case(installed("2"), content("2", number="2b")), "another build of the same version (cccccccccccc)"),
    "rebuilt_asked": (case(installed("2"), content("2", number="2b"), registry_airgap_allow_older=True), ""),
    "stranger": (
        case(installed("1"), content("2", name="bar")),
        "this is bar 2 (bbbbbbbbbbbb), which is no later version",
    ),
    "lacking": (
        case({}, content("1"), update=False, registry_gate_image="docker.io/other:2@" + digest("0")),
        "The bundle has no docker.io/other:2, which the registry runs",
    ),
    "other_digest": (
        case({}, content("1"), update=False, registry_gate_image="docker.io/g:1@" + digest("9")),
        "The bundle has another digest than docker.io/g:1@sha256:999",
    ),
    "canary": (
        case({}, content("1"), update=False, registry_airgap_canary_image="docker.io/none:1"),
        "which the bundle has not",
    ),
    "platforms": (
        case(
            {},
            {
                **content("1"),
                "all_images": [{**one, "platforms": ["linux/amd64"]} for one in content("1")["all_images"]],
            },
            update=False,
        ),
        "Name the platforms of the nodes in registry_airgap_platforms",
    ),
}
# Several registries of one run, and whether nodes would be led to each.
SEVERAL: dict[str, tuple[bool | None, str]] = {
    "leading": (True, "Nodes would be led to registry.example.com and to by_default for the same images"),
    "by_default": (None, "Nodes would be led to registry.example.com and to leading for the same images"),
    "besides": (False, ""),
}
# What is refused before the bundle is looked at.
EARLY: dict[str, tuple[dict[str, Any], str]] = {
    "no_bundle": (
        {"registry_airgap_bundle": []},
        "Name the files of the bundle in registry_airgap_bundle, for all hosts",
    ),
    "no_keys": ({"registry_airgap_trusted_keys": []}, "Give the public keys that may have signed the bundle in"),
    "no_anonymous": ({"registry_auth_anonymous_pull": False}, "Nodes show a mirror no password: set registry_auth"),
    "folder": (
        {"registry_airgap_virtualenv": "/tmp"},
        "registry_airgap_virtualenv (/tmp) is a folder, and has to be free",
    ),
    "not_there": ({"registry_airgap_bundle": ["/nowhere.tar"]}, "/nowhere.tar"),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the message of each host's failed task, by host."""
    folder = tmp_path_factory.mktemp("airgap")
    common = {
        "registry_kubeconfig": str(folder / "nowhere"),
        "registry_host": "registry.example.com",
        "registry_auth_anonymous_pull": True,
        "registry_airgap_bundle": ["/nowhere.tar"],
        "registry_airgap_trusted_keys": ["ssh-ed25519 AAAA"],
        "ansible_connection": "local",
        **IMAGES,
    }
    hosts = {name: {**common, **variables} for name, (variables, _words) in (CASES | EARLY).items()}
    groups: dict[str, dict[str, Any]] = {
        "early": {"hosts": {name: hosts[name] for name in EARLY}},
        "cases": {"hosts": {name: {**hosts[name], "registry_airgap_mirrors": False} for name in CASES}},
        "several": {"hosts": {}},
        "sole": {"hosts": {"sole": {**hosts["first"]}}},
        "nodes": {"hosts": {"node": {}}},
    }
    for name, (leads, _words) in SEVERAL.items():
        said = {} if leads is None else {"registry_airgap_mirrors": leads}
        groups["several"]["hosts"][name] = {**hosts["first"], **said}
    (folder / "hosts.yml").write_text(yaml.safe_dump(groups))
    role = {"name": "homeport.registry.registry_airgap", "tasks_from": "compare.yml"}
    plain = {"gather_facts": False, "ignore_errors": True}
    plays = [
        *(
            {**plain, "hosts": group, "tasks": [{"name": "Compare", "ansible.builtin.include_role": role}]}
            for group in ("cases", "several", "sole")
        ),
        {**plain, "hosts": "early", "roles": ["homeport.registry.registry_airgap"]},
    ]
    (folder / "play.yml").write_text(yaml.safe_dump(plays))
    environ = {**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json", "ANSIBLE_NOCOLOR": "1"}
    command = ["ansible-playbook", "-i", "hosts.yml", "--forks", "4", "play.yml"]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    found: dict[str, str] = {}
    for play in json.loads(done.stdout)["plays"]:
        for task in play["tasks"]:
            for host, result in task["hosts"].items():
                if result.get("failed"):
                    found.setdefault(host, result.get("msg", str(result)))
    return found


@pytest.mark.parametrize("name", CASES)
def test_a_bundle_is_taken_or_refused_in_words(results: dict[str, str], name: str) -> None:
    _variables, words = CASES[name]
    if words:
        assert words in results.get(name, "it was taken")
    else:
        assert name not in results


def test_nodes_are_led_to_one_registry_of_a_run(results: dict[str, str]) -> None:
    assert {"besides", "sole"} & set(results) == set()
    for name, (_leads, words) in SEVERAL.items():
        assert words in results.get(name, "")


@pytest.mark.parametrize("name", EARLY)
def test_what_is_missing_is_asked_for(results: dict[str, str], name: str) -> None:
    assert EARLY[name][1] in results.get(name, "nothing was missed")
