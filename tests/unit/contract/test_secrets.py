# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What gives access is hidden: in options, in variables and in task results."""

from __future__ import annotations

import importlib
import typing as t
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from ansible.module_utils.basic import AnsibleModule

from tests.unit.contract.collection import SECRET_NAME, load, module_of, roles, spec_options, tasks_in

# These print what their author wrote, never a variable as a whole.
SAY_ONLY_WHAT_THEY_ARE_TOLD = {
    "ansible.builtin.assert",
    "ansible.builtin.fail",
    "ansible.builtin.import_role",
    "ansible.builtin.import_tasks",
    "ansible.builtin.include_role",
    "ansible.builtin.include_tasks",
}


# Nodes do not know the variables of registries, which have the default.
SWITCH = "{{ registry_secure_logging | bool }}"
ON_NODES = "{{ registry_secure_logging | default(true) | bool }}"


class Captured(Exception):
    """Carries the argument spec out of a module's main()."""


def open_secrets(options: Mapping[str, Mapping[str, t.Any]], prefix: str = "") -> Iterator[str]:
    """Yield the options that are named like a secret and do not say no_log; a path is a place, not a secret."""
    for name, option in options.items():
        if SECRET_NAME.search(name) and option.get("type") != "path" and option.get("no_log") is not True:
            yield f"{prefix}{name}"
        yield from open_secrets(option.get("options") or {}, f"{prefix}{name}.")


def secret_variables() -> set[str]:
    """Return the role variables that are secret or hold something secret."""

    def holds(option: Mapping[str, t.Any]) -> bool:
        return bool(option.get("no_log")) or any(map(holds, (option.get("options") or {}).values()))

    return {name for role in roles() for name, option in spec_options(role).items() if holds(option)}


def argument_spec(module: str, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Mapping[str, t.Any]]:
    def capture(_self: AnsibleModule, argument_spec: Mapping[str, t.Any], *_more: object, **_options: object) -> None:
        raise Captured(argument_spec)

    code = importlib.import_module(f"ansible_collections.homeport.registry.plugins.modules.{module.rpartition('.')[2]}")
    monkeypatch.setattr(AnsibleModule, "__init__", capture)
    with pytest.raises(Captured) as caught:
        code.main()
    spec: Mapping[str, Mapping[str, t.Any]] = caught.value.args[0]
    return spec


def test_a_module_hides_its_secret_options(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not list(open_secrets(argument_spec(module, monkeypatch)))


def test_a_role_hides_its_secret_variables(role: Path) -> None:
    assert not list(open_secrets(spec_options(role)))


def test_the_collection_has_secrets_to_hide() -> None:
    assert "registry_auth_users" in secret_variables()


def test_tasks_that_handle_secrets_hide_their_results(role: Path) -> None:
    switches = {SWITCH, ON_NODES}
    secrets = secret_variables()
    loud = []
    for file in sorted((role / "tasks").rglob("*.yml")):
        for task in tasks_in(load(file.read_text(encoding="utf-8"))):
            name = module_of(task)
            if name in SAY_ONLY_WHAT_THEY_ARE_TOLD:
                continue
            arguments = task.get(name or "")
            named = arguments if isinstance(arguments, dict) else {}
            text = str({key: value for key, value in task.items() if key != "name"})
            handles = any(secret in text for secret in secrets) or any(map(SECRET_NAME.search, named))
            if handles and task.get("no_log") not in switches:
                loud.append(f"{file.name}: {task.get('name')}")
    assert not loud, f"these need no_log: {SWITCH}"


def test_no_task_hides_its_results_for_good(role: Path) -> None:
    # A bare `no_log: true` leaves whoever must find a fault blind.
    hidden = [
        task["name"]
        for file in sorted((role / "tasks").rglob("*.yml"))
        for task in tasks_in(load(file.read_text(encoding="utf-8")))
        if task.get("no_log") not in (None, SWITCH, ON_NODES)
    ]
    assert not hidden
