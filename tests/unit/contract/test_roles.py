# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A role's argument spec, defaults and README say the same."""

from __future__ import annotations

import re
from pathlib import Path

from tests.unit.contract.collection import installed, load, roles, spec_options
from tools import role_readme

# A role that makes nothing has nothing to remove.
LOOKS_ONLY = {"registry_verify", "registry_egress"}


def test_there_are_roles() -> None:
    assert roles()


def test_the_spec_names_every_default_in_the_same_order(role: Path) -> None:
    text = (role / "defaults" / "main.yml").read_text(encoding="utf-8")
    # A required variable, or one without a default, stands in the defaults as a comment.
    in_defaults = re.findall(r"^(?:# )?(registry_\w+):", text, re.MULTILINE)
    assert in_defaults == list(spec_options(role))


def test_the_spec_states_every_default_value(role: Path) -> None:
    defaults = load((role / "defaults" / "main.yml").read_text(encoding="utf-8")) or {}
    stated = {name: option["default"] for name, option in spec_options(role).items() if "default" in option}
    assert stated == defaults


def test_a_required_variable_has_no_default(role: Path) -> None:
    both = [name for name, option in spec_options(role).items() if option.get("required") and "default" in option]
    assert not both


def test_every_variable_starts_with_the_role(role: Path) -> None:
    assert all(name.startswith(f"{role.name}_") for name in spec_options(role))


def test_no_two_roles_own_a_variable() -> None:
    # `registry` shares its prefix with every other role, so prefixes alone do not keep them apart.
    owners: dict[str, str] = {}
    twice = []
    for role in roles():
        for name in spec_options(role):
            if owners.setdefault(name, role.name) != role.name:
                twice.append(f"{name}: {owners[name]} and {role.name}")
    assert not twice


def test_every_public_role_removes_too(role: Path) -> None:
    if role.name in LOOKS_ONLY:
        return
    state = spec_options(role).get(f"{role.name}_state", {})
    assert state.get("choices") == ["present", "absent"]


def test_internal_variables_are_marked(role: Path) -> None:
    names = [name for path in role.glob("vars/**/*.yml") for name in load(path.read_text(encoding="utf-8"))]
    assert all(name.startswith(f"__{role.name}_") for name in names)


def test_the_readmes_are_generated_from_the_specs() -> None:
    assert not [str(path) for path in role_readme.stale(installed() / "roles")], "bring them up to date: make readme"
