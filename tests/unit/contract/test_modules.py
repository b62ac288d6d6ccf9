# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module's documentation, action groups, return values and requirements are what they say."""

from __future__ import annotations

import re
import typing as t

import pytest
from packaging.version import Version

from tests.unit.contract.collection import (
    NAME,
    documentation,
    installed,
    load,
    module_of,
    module_options,
    tasks_in,
    wrong_arguments,
)
from tools.paths import ROOT, project_files

# A module with all of these options belongs to the group: whoever sets the connection once reaches it.
GROUPS = {
    "k8s": {"kubeconfig", "context", "host", "api_key"},
    "registry": {"url", "ca_cert", "validate_certs"},
}


def runtime() -> dict[str, t.Any]:
    found: dict[str, t.Any] = load((installed() / "meta" / "runtime.yml").read_text(encoding="utf-8"))
    return found


def test_there_are_no_other_groups() -> None:
    assert set(runtime()["action_groups"]) == set(GROUPS)


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_holds_exactly_the_modules_with_its_options(group: str) -> None:
    with_options = [
        name.rpartition(".")[2]
        for name, body in documentation()["module"].items()
        if GROUPS[group] <= set(body["doc"]["options"])
    ]
    assert sorted(runtime()["action_groups"][group]) == sorted(with_options)


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_holds_exactly_the_modules_that_document_it(group: str) -> None:
    documented = [
        name.rpartition(".")[2]
        for name, body in documentation()["module"].items()
        if f"{NAME}.{group}" in body["doc"]["attributes"].get("action_group", {}).get("membership", [])
    ]
    assert sorted(runtime()["action_groups"][group]) == sorted(documented)


def test_every_module_states_its_attributes(module: str) -> None:
    attributes = documentation()["module"][module]["doc"]["attributes"]
    assert {"check_mode", "diff_mode", "idempotent"} <= set(attributes)


def test_the_examples_of_a_module_are_valid_tasks(module: str) -> None:
    tasks = list(tasks_in(load(documentation()["module"][module]["examples"])))
    assert any(module_of(task) == module for task in tasks)
    for task in tasks:
        name = module_of(task)
        assert name, task
        assert not wrong_arguments(module_options(name), task[name]), task["name"]


@pytest.mark.parametrize("kind", ["filter", "lookup", "test"])
def test_the_examples_of_a_plugin_are_valid_tasks(kind: str) -> None:
    for name, body in documentation().get(kind, {}).items():
        items = load(body["examples"])
        assert items, name
        # Examples of filters are tasks or plain variables.
        for task in tasks_in(items) if isinstance(items, list) else []:
            used = module_of(task)
            assert used, f"{name}: {task}"
            assert not wrong_arguments(module_options(used), task[used]), f"{name}: {task}"


def test_every_return_value_is_asserted_somewhere(module: str) -> None:
    tests = "\n".join(
        (ROOT / name).read_text(encoding="utf-8")
        for name in project_files()
        if name.startswith("tests/") and name.endswith((".py", ".yml")) and "/contract/" not in name
    )
    never = [
        key
        for key in documentation()["module"][module]["return"]
        if not re.search(rf"""["']{key}["']|\.{key}\b""", tests)
    ]
    assert not never


def test_requirements_have_one_floor_each(module: str) -> None:
    packaged = (installed() / "meta" / "ee-requirements.txt").read_text(encoding="utf-8")
    floors = dict(re.findall(r"^([\w-]+)>=([\d.]+)$", packaged, re.MULTILINE))
    for line in documentation()["module"][module]["doc"].get("requirements", []):
        found = re.match(r"([\w-]+) *>= *([\d.]+)", line)
        if found and found[1] != "python":
            floor = floors.get(found[1], "0")
            assert Version(found[2]) == Version(floor), f"{line}: meta/ee-requirements.txt says {floor}"
