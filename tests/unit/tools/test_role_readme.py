# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reference of a role says what its spec says and leaves people's text alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.role_readme import BEGIN, END, plain, stale, updated

SPEC = """\
argument_specs:
  main:
    short_description: A harbour
    description: [First., "Second, with V(code)."]
    options:
      port_name:
        type: str
        required: true
        description: Its name.
      port_quays:
        type: list
        elements: dict
        default: []
        description: [Where ships lie.]
        options:
          depth:
            type: int
            choices: [4, 8]
            description: Metres, a|b.
"""


@pytest.fixture
def role(tmp_path: Path) -> Path:
    folder = tmp_path / "port"
    (folder / "meta").mkdir(parents=True)
    (folder / "meta" / "argument_specs.yml").write_text(SPEC)
    return folder


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("O(name) is V(a\\)b), see M(homeport.registry.apply)", "`name` is `a)b`, see `homeport.registry.apply`"),
        ("P(homeport.registry.htpasswd#filter)", "`homeport.registry.htpasswd`"),
        ("L(the guide, https://example.com/x)", "[the guide](https://example.com/x)"),
        ("two\nlines, RV(x) and E(Y)", "two lines, `x` and `Y`"),
        ("HTTP(S) stays", "HTTP(S) stays"),
    ],
)
def test_markup_becomes_markdown(markup: str, expected: str) -> None:
    assert plain(markup) == expected


def test_a_new_readme_holds_the_reference(role: Path) -> None:
    text = updated(role)
    assert "First.\n\nSecond, with `code`." in text
    assert "| `port_name` | str | required | Its name. |" in text
    assert "| `port_quays` | list of dict | `[]` | Where ships lie. |" in text
    assert "| `port_quays[].depth` | int |  | Metres, a\\|b. One of `4`, `8`. |" in text


def test_only_the_reference_is_rewritten(role: Path) -> None:
    readme = role / "README.md"
    readme.write_text(f"mine\n\n{BEGIN}\nold\n{END}\n\nmine too\n")
    assert stale(role.parent) == {readme: updated(role)}
    readme.write_text(updated(role))
    text = readme.read_text()
    assert text.startswith("mine\n")
    assert text.endswith("\nmine too\n")
    assert "old" not in text
    assert not stale(role.parent)
