# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks and playbooks of the whole project use options that exist, and playbooks hold roles only."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.contract.collection import (
    installed,
    load,
    module_of,
    module_options,
    task_files,
    tasks_in,
    wrong_arguments,
    yaml_blocks,
)
from tools.paths import ROOT, project_files

# ansible-lint checks the arguments of other modules, but not of these.
CHECKED = ("kubernetes.core.", "homeport.registry.")
PLAY_KEYS = {"name", "hosts", "connection", "gather_facts", "become", "vars", "roles"}
PLAY_KEYS |= {"serial", "any_errors_fatal", "max_fail_percentage", "check_mode"}
PLAYBOOKS = sorted((installed() / "playbooks").glob("*.yml"))
DOCUMENTS = [name for name in project_files() if name.endswith(".md")]


def faults_of(items: object) -> list[str]:
    found = []
    for task in tasks_in(items):
        name = module_of(task)
        if name and name.startswith(CHECKED):
            found += [f"{task.get('name')}: {fault}" for fault in wrong_arguments(module_options(name), task[name])]
    return found


def test_there_are_tasks_and_playbooks() -> None:
    assert any(name.startswith("roles/") for name in task_files())
    assert {"site", "remove"} <= {path.stem for path in PLAYBOOKS}


def test_every_argument_of_a_task_is_an_option(task_file: str) -> None:
    assert not faults_of(load((ROOT / task_file).read_text(encoding="utf-8")))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_yaml_in_a_document_is_valid(document: str) -> None:
    for first, value in yaml_blocks((ROOT / document).read_text(encoding="utf-8")):
        if isinstance(value, list):
            assert not faults_of(value), first


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=[path.stem for path in PLAYBOOKS])
def test_a_playbook_lists_roles_only(playbook: Path) -> None:
    plays = load(playbook.read_text(encoding="utf-8"))
    for play in plays:
        if "ansible.builtin.import_playbook" in play:
            continue
        assert play["roles"]
        assert set(play) <= PLAY_KEYS, set(play) - PLAY_KEYS
        assert all(role["role"].startswith("homeport.registry.") for role in play["roles"])


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=[path.stem for path in PLAYBOOKS])
def test_a_playbook_can_be_called_by_its_full_name(playbook: Path) -> None:
    assert playbook.stem.isidentifier()
