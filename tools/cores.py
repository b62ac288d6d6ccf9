# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test the installed collection on the other releases of ansible-core that it promises to run on.

python -m tools.cores [RELEASE ...]    such as 2.16; all of requirements/cores.txt without one
"""

from __future__ import annotations

import os
import re
import subprocess
import sys

from tools import report
from tools.gates import path_prefixes
from tools.paths import ROOT, cache_dir, content_key, project_files
from tools.runner import Gate, run_gates
from tools.tree import Tree, ensure, environment
from tools.venv import make

# The other tests look at the project and its tools, which do not run on these cores.
UNIT_TESTS = ("apply", "certificates", "health", "htpasswd", "registry_client", "roles/test_numbers.py")


def wanted() -> list[tuple[str, str]]:
    """Return the releases to test and the Python of each."""
    text = (ROOT / "requirements" / "cores.txt").read_text(encoding="utf-8")
    return re.findall(r"^ansible-core==(\S+)  # (python3\.\d+)$", text, re.MULTILINE)


def works(python: str) -> bool:
    """Tell whether the Python can be started; a shim in PATH may stand for one that is not installed."""
    try:
        return subprocess.run([python, "-c", ""], stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def gates_of(release: str, python: str, tree: Tree) -> list[Gate]:
    """Return the gates for one release, on an environment made for it."""
    pins = dict(re.findall(r"^([\w-]+)(==.+)$", (ROOT / "requirements" / "run.txt").read_text("utf-8"), re.MULTILINE))
    libraries = [f"{name}{pin}" for name, pin in pins.items() if name != "ansible"]
    key = content_key([], release, python, *libraries)
    venv = make(cache_dir() / f"core-{release}-{key}", python, f"ansible-core=={release}", "pytest", *libraries)
    run = str(venv / "bin" / "python")
    # The gate is one check: its tests are not counted on their own.
    env = {report.VARIABLE: "", "PATH": f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}", "VIRTUAL_ENV": str(venv)}
    tests = [f"tests/unit/{name}" for name in UNIT_TESTS]
    sources = content_key([ROOT / name for name in project_files() if name.startswith("tests/")])
    sanity = ["ansible-test", "sanity", "--local", "--python", python.removeprefix("python"), "--color", "no"]
    return [
        Gate(f"{release} sanity", [[run, "-m", "tools.pip_stand_in"], sanity], tree.sanity, env, f"{tree.key}-{key}"),
        Gate(f"{release} unit", [[run, "-m", "pytest", "-q", *tests]], ROOT, env, f"{tree.key}-{key}-{sources}"),
        Gate(f"{release} playbooks", [[run, "-m", "tools.checks", "syntax", str(tree.collection)]], ROOT, env),
    ]


def main(argv: list[str]) -> int:
    """Test the releases that the arguments name, or all; return the exit code."""
    chosen = [(release, python) for release, python in wanted() if not argv or release.startswith(tuple(argv))]
    if not chosen:
        print(__doc__, file=sys.stderr)
        return 2
    tree = ensure()
    outcomes = []
    for release, python in chosen:
        if not works(python):
            print(f"  not tried: ansible-core {release} needs {python}, which is not in PATH")
            report.add(skipped=1)
            continue
        print(f"ansible-core {release} on {python}", flush=True)
        found = gates_of(release, python, tree)
        outcomes += run_gates(
            found, environment(tree), lambda text: print(text, end="", flush=True), noise=path_prefixes()
        )
    failed = [outcome for outcome in outcomes if not outcome.passed]
    report.add(len(outcomes) - len(failed), len(failed), failures=[outcome.name for outcome in failed])
    print(f"cores: {len(outcomes) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed or not outcomes else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
