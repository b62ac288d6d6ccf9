# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documents show as an inventory is one: it parses, and every variable is a role's, with a value it takes."""

from __future__ import annotations

import re
import textwrap
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.contract.collection import documentation, installed, load, roles, wrong_arguments

IN_A_GUIDE = re.compile(r"^\.\. code-block:: yaml[^\n]*\n(?: +:[^\n]*\n)*\n(?P<text>(?: +[^\n]*\n|\n)+)", re.MULTILINE)
# More lines than this are no choice that can be taken in at a glance.
LINES = 7
CHOICES = {
    "registry_ingress": ("registry_ingress_exposure", "registry_ingress_tls"),
    "registry_node_trust": ("registry_node_trust_restart", "registry_node_trust_registries_yaml"),
}
# A choice that is not made, or that nobody should copy.
NOT_SHOWN = {"registry_ingress_exposure": {"none"}, "registry_ingress_tls": {"none"}}


def pages() -> list[Path]:
    """Return the documents that show inventories."""
    found = [
        installed() / "README.md",
        installed() / "docs" / "use_cases.md",
        *(role / "README.md" for role in roles()),
    ]
    return [*found, *sorted((installed() / "docs" / "docsite" / "rst").glob("*.rst"))]


def blocks(page: Path) -> list[tuple[str, t.Any]]:
    """Return the YAML texts of a document with their values."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".rst":
        found = [textwrap.dedent(match["text"]) for match in IN_A_GUIDE.finditer(text)]
    else:
        found = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [(one, load(one)) for one in found]


def options() -> dict[str, dict[str, t.Any]]:
    """Return the options of all roles."""
    found: dict[str, dict[str, t.Any]] = {}
    for body in documentation()["role"].values():
        for entry in body["entry_points"].values():
            found.update(entry.get("options", {}))
    return found


def variables(document: t.Any) -> Iterator[tuple[str, t.Any]]:
    """Return every registry_ variable of a document, at whatever depth of an inventory or a play it is."""
    for item in document if isinstance(document, list) else [document]:
        if isinstance(item, dict):
            for name, value in item.items():
                if str(name).startswith("registry_"):
                    yield name, value
                else:
                    yield from variables(value)


@pytest.mark.parametrize("page", pages(), ids=lambda page: f"{page.parent.name}/{page.name}")
def test_every_variable_of_an_example_is_documented(page: Path) -> None:
    known = options()
    faults = []
    for _text, content in blocks(page):
        for name, value in variables(content):
            faults += wrong_arguments({name: known[name]}, {name: value}) if name in known else [f"{name} is no option"]
    assert not faults, f"{page}: {faults}"


@pytest.mark.parametrize(("owner", "name"), [(owner, name) for owner, names in CHOICES.items() for name in names])
def test_each_choice_is_shown_in_few_lines(owner: str, name: str) -> None:
    (path,) = (one for one in roles() if one.name == owner)
    short = [content for text, content in blocks(path / "README.md") if text.count("\n") <= LINES]
    shown = {value for content in short for key, value in variables(content) if key == name}
    wanted = set(options()[name]["choices"]) - NOT_SHOWN.get(name, set()) - {options()[name].get("default")}
    assert wanted <= shown
