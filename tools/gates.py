# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every gate of "make lint": what is checked, by which command, on which content.

python -m tools.gates [--fresh] [--list] [NAME ...]
"""

from __future__ import annotations

import argparse
import platform
import re
import sys
from collections.abc import Sequence

from tools import pip_stand_in, report
from tools.paths import ROOT, cache_dir, content_key, project_files
from tools.runner import Gate, run_gates
from tools.tree import Tree, ensure, environment
from tools.venv import BootstrapError, ensure_program

PYTHON_VERSION = ".".join(platform.python_version_tuple()[:2])
CHECK = (sys.executable, "-m", "tools.checks")


def shell_scripts(files: Sequence[str]) -> list[str]:
    """Return the files that a shell runs, by suffix or first line."""

    def is_shell(name: str) -> bool:
        if name.endswith(".sh"):
            return True
        with open(ROOT / name, "rb") as file:
            first = file.readline(80)
        return first.startswith(b"#!") and first.split()[-1].split(b"/")[-1] in (b"sh", b"bash")

    return [name for name in files if is_shell(name)]


def all_gates(tree: Tree) -> list[Gate]:
    """Return the gates for this tree, slowest first so that they end together."""
    files = project_files()
    python = [name for name in files if name.endswith(".py")]
    checkout = content_key([ROOT / name for name in files], sys.prefix)
    artefact = f"{tree.key}-{content_key([], sys.prefix)}"
    mypy_paths = [str(tree.collection / "plugins"), "lab", "tools", "tests"]
    return [
        # Everything that knows no content but the tarball's is keyed by the tarball.
        Gate(
            "ansible-test sanity",
            [["ansible-test", "sanity", "--local", "--python", PYTHON_VERSION, "--color", "no"]],
            tree.sanity,
            key=artefact,
        ),
        Gate("ansible-lint", [["ansible-lint", "--offline", "--strict", "--nocolor"]], ROOT, key=checkout),
        Gate("mypy", [["mypy", *mypy_paths]], ROOT, {"MYPYPATH": str(tree.base)}, key=checkout),
        Gate("import as a package server does", [[*CHECK, "import", str(tree.tarball)]], ROOT, key=artefact),
        Gate(
            "documentation",
            [
                [
                    "antsibull-docs",
                    "lint-collection-docs",
                    "--plugin-docs",
                    "--validate-collection-refs",
                    "self",
                    str(tree.collection),
                ]
            ],
            ROOT,
            key=artefact,
        ),
        Gate("playbooks on the strict core", [[*CHECK, "syntax", str(tree.collection)]], ROOT, key=artefact),
        Gate("licences", [["reuse", "lint", "--lines"]], ROOT),
        Gate(
            "changelog",
            [
                ["antsibull-changelog", "lint"],
                ["antsibull-changelog", "lint-changelog-yaml", "changelogs/changelog.yaml"],
            ],
            ROOT,
        ),
        Gate("list of packaged files", [[*CHECK, "manifest", str(tree.tarball)]], ROOT),
        Gate("execution environment", [[*CHECK, "introspect", str(tree.collection)]], ROOT),
        Gate("shellcheck", [["shellcheck", "--external-sources", *shell_scripts(files)]], ROOT),
        Gate("yamllint", [["yamllint", "--strict", "."]], ROOT),
        Gate("ruff", [["ruff", "check", *python], ["ruff", "format", "--check", *python]], ROOT),
    ]


def path_prefixes() -> re.Pattern[str]:
    """Return what stands before the path of a project file in the checkout and in any installed tree."""
    # mypy repeats what it said of unchanged files, with the path of the tree that it saw them in.
    installed = re.escape(f"{cache_dir()}/tree-") + r"\w+/(?:sanity/)?ansible_collections/homeport/registry/"
    return re.compile(f"{installed}|{re.escape(str(ROOT))}/")


def main(argv: list[str] | None = None) -> int:
    """Run the gates named on the command line, or all; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.gates")
    parser.add_argument("names", nargs="*", metavar="NAME", help="first words of a gate's name; all gates without one")
    parser.add_argument("--fresh", action="store_true", help="run gates that have passed on the same content too")
    parser.add_argument("--list", action="store_true", help="only list the gates")
    options = parser.parse_args(argv)
    tree = ensure()
    gates = all_gates(tree)
    if options.list:
        print("\n".join(gate.name for gate in gates))
        return 0
    if options.names:
        gates = [gate for gate in gates if gate.name.startswith(tuple(options.names))]
        if not gates:
            parser.error("no gate has such a name; --list names them")
    try:
        ensure_program("shellcheck", "shellcheck")
    except BootstrapError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    pip_stand_in.ensure()
    outcomes = run_gates(
        gates,
        {**environment(tree), "ANSIBLE_HOME": str(cache_dir() / "ansible-home")},
        lambda text: print(text, end="", flush=True),
        options.fresh,
        path_prefixes(),
    )
    failed = [outcome for outcome in outcomes if not outcome.passed]
    report.add(len(outcomes) - len(failed), len(failed), failures=[outcome.name for outcome in failed])
    print(f"gates: {len(outcomes) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
