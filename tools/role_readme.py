# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the reference part of every role's README from its argument spec.

    python -m tools.role_readme           name the READMEs that are not up to date
    python -m tools.role_readme --write   bring them up to date

The reference stands between two marker lines; the text around it belongs to people.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tools.paths import ROOT

BEGIN = "<!-- reference: begin (make readme writes what follows) -->"
END = "<!-- reference: end -->"
HEAD = """\
<!--
SPDX-FileCopyrightText: homeport.registry contributors
SPDX-License-Identifier: GPL-3.0-or-later
-->
# homeport.registry.{role}

"""
_MARKUP = re.compile(r"\b(?:RV|[OVCEPMI])\(((?:\\.|[^\\)])*)\)")
_LINK = re.compile(r"\bL\(([^,)]*),\s*([^)]*)\)")


def _code(match: re.Match[str]) -> str:
    # Markup escapes with a backslash, and names a plugin's type after a hash sign.
    unescaped = re.sub(r"\\(.)", r"\1", match[1])
    return f"`{unescaped.split('#')[0]}`"


def plain(text: str) -> str:
    """Return documentation markup as Markdown on one line."""
    return " ".join(_MARKUP.sub(_code, _LINK.sub(r"[\1](\2)", text)).split())


def _paragraphs(description: str | list[str]) -> list[str]:
    lines = [description] if isinstance(description, str) else description
    return [plain(line) for line in lines]


def _default(option: Mapping[str, Any]) -> str:
    if option.get("required"):
        return "required"
    if "default" not in option:
        return ""
    value = option["default"]
    text = value if isinstance(value, str) and value else json.dumps(value)
    return f"`{text}`"


def _rows(options: Mapping[str, Mapping[str, Any]], prefix: str = "") -> Iterator[str]:
    for name, option in options.items():
        kind = option.get("type", "str")
        if "elements" in option:
            kind = f"{kind} of {option['elements']}"
        text = _paragraphs(option.get("description", []))
        if option.get("choices"):
            text.append("One of " + ", ".join(f"`{choice}`" for choice in option["choices"]) + ".")
        cells = [f"`{prefix}{name}`", kind, _default(option), " ".join(text)]
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
        inner = f"{prefix}{name}[]." if option.get("type") == "list" else f"{prefix}{name}."
        yield from _rows(option.get("options", {}), inner)


def reference(spec: Mapping[str, Any]) -> str:
    """Return the reference for an argument spec file's content, markers included."""
    parts = [BEGIN]
    for entry, point in spec["argument_specs"].items():
        if entry != "main":
            parts.append(f"## Entry point `{entry}`")
        parts.append("\n\n".join(_paragraphs(point.get("description", point["short_description"]))))
        if point.get("options"):
            head = ["| Variable | Type | Default | Meaning |", "| --- | --- | --- | --- |"]
            parts.append("\n".join([*head, *_rows(point["options"])]))
    return "\n\n".join([*parts, END])


def updated(role: Path) -> str:
    """Return the README that the role should have: its own text, with a fresh reference."""
    spec = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    fresh = reference(spec)
    readme = role / "README.md"
    text = readme.read_text(encoding="utf-8") if readme.exists() else HEAD.format(role=role.name)
    before, begin, rest = text.partition(BEGIN)
    if not begin:
        return f"{text.rstrip()}\n\n{fresh}\n"
    _old, _end, after = rest.partition(END)
    return before + fresh + after


def stale(roles: Path) -> dict[Path, str]:
    """Return, for every README under the folder of roles that is not up to date, the text it should have."""
    wanted = {role / "README.md": updated(role) for role in sorted(roles.iterdir()) if role.is_dir()}
    return {
        path: text for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text
    }


def main(argv: list[str]) -> int:
    """Run the command line; return the exit code."""
    if argv not in ([], ["--write"]):
        print(__doc__, file=sys.stderr)
        return 2
    found = stale(ROOT / "roles")
    for path, text in found.items():
        print(path.relative_to(ROOT))
        if argv:
            path.write_text(text, encoding="utf-8")
    return 1 if found and not argv else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
