# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gates that need more than one command's exit code.

python -m tools.checks syntax COLLECTION      every playbook parses without a warning
python -m tools.checks introspect COLLECTION  ansible-builder finds our requirements
python -m tools.checks import TARBALL         a package server's importer accepts the tarball
python -m tools.checks manifest TARBALL       the tarball holds the files that the committed list names
"""

from __future__ import annotations

import difflib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import yaml

from tools.tree import MANIFEST, manifest_of

IMPORTER_SETTINGS = """\
[galaxy-importer]
CHECK_REQUIRED_TAGS = True
CHECK_RUNTIME_YAML = True
CHECK_CHANGELOG = True
RUN_ANSIBLE_DOC = True
RUN_ANSIBLE_LINT = False
RUN_FLAKE8 = False
RUN_ANSIBLE_TEST = False
LOG_LEVEL_MAIN = WARNING
"""


def _run(command: list[str], env: dict[str, str] | None = None, cwd: str | None = None) -> tuple[int, str]:
    done = subprocess.run(
        command,
        env={**os.environ, **(env or {})},
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


def syntax(collection: Path) -> list[str]:
    """Return what a core of the future would say against the installed playbooks."""
    playbooks = sorted((collection / "playbooks").glob("*.yml"))
    inventory = collection / "inventories" / "example"
    # Facts as plain variables are deprecated; every warning counts here.
    env = {"ANSIBLE_INJECT_FACT_VARS": "false", "ANSIBLE_DEPRECATION_WARNINGS": "true", "ANSIBLE_NOCOLOR": "true"}
    faults = [] if playbooks else [f"no playbooks in {collection}"]
    for playbook in playbooks:
        name = f"homeport.registry.{playbook.stem}"
        code, output = _run(["ansible-playbook", "-i", str(inventory), "--syntax-check", name], env)
        if code or "WARNING]" in output:
            faults.append(f"{name}: exit code {code}\n{output}")
    return faults


def introspect(collection: Path) -> list[str]:
    """Return the requirements of ours that ansible-builder does not find."""
    root = collection.parent.parent.parent
    code, output = _run(["ansible-builder", "introspect", "--sanitize", str(root)])
    if code:
        return [output]
    found = yaml.safe_load(output.split("\n---", 1)[-1]) or {}
    listed = " ".join(str(line) for line in found.get("python", ()))
    wanted = (collection / "meta" / "ee-requirements.txt").read_text(encoding="utf-8").splitlines()
    return [
        f"ansible-builder does not list {line}:\n{output}"
        for line in wanted
        if line and not line.startswith("#") and line.split(">")[0] not in listed
    ]


def import_tarball(tarball: Path) -> list[str]:
    """Return what the importer of a package server reports above a notice."""
    with tempfile.TemporaryDirectory() as scratch:
        settings = Path(scratch) / "galaxy-importer.cfg"
        settings.write_text(IMPORTER_SETTINGS, encoding="utf-8")
        env = {"GALAXY_IMPORTER_CONFIG": str(settings)}
        code, output = _run([sys.executable, "-m", "galaxy_importer.main", str(tarball)], env, scratch)
    bad = code or "WARNING" in output or "ERROR" in output
    return [output] if bad else []


def manifest(tarball: Path) -> list[str]:
    """Return how the tarball's file list differs from the committed one."""
    committed = MANIFEST.read_text(encoding="utf-8").splitlines() if MANIFEST.exists() else []
    difference = list(difflib.unified_diff(committed, manifest_of(tarball), "committed", "built", lineterm="", n=0))
    return [*difference, "if that is meant, write the new list: make manifest\n"] if difference else []


CHECKS: dict[str, Callable[[Path], list[str]]] = {
    "syntax": syntax,
    "introspect": introspect,
    "import": import_tarball,
    "manifest": manifest,
}


def main(argv: list[str]) -> int:
    """Run one check; return the exit code."""
    if len(argv) != 2 or argv[0] not in CHECKS:
        print(__doc__, file=sys.stderr)
        return 2
    faults = CHECKS[argv[0]](Path(argv[1]).resolve())
    print("\n".join(faults), end="")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
