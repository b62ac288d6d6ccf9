# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The targets of the Makefile that check or use the installed collection.

python -m tools.stages STAGE ...    run the stages in order and sum up
"""

from __future__ import annotations

import dataclasses
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools import report, tree
from tools.paths import ROOT
from tools.venv import BootstrapError, ensure_program

# The scenarios of molecule that "make test" runs after the default one, each named after a situation.
SITUATIONS = ("gc", "storm", "s3", "node_port", "ingress", "gateway", "nodes", "access", "cache", "airgap")
# What "make faults" runs, for hours.
FAULTS = ("faults", "faults_s3")
LAB = (sys.executable, "-m", "lab")
# Programs that tests start, and the Debian packages that hold them.
KEYS = {"ssh-keygen": "openssh-client"}
UNIT_PROGRAMS = {"jq": "jq", **KEYS}
PYTEST = (sys.executable, "-m", "pytest")
# Two processes for two cores; tests/lab/conftest.py says which tests of the lab stay together.
WORKERS = ("-n", "2", "--dist")


@dataclasses.dataclass(frozen=True)
class Stage:
    """A target: commands that must all succeed, and what must exist for them to mean anything.

    `counts_itself` says that the commands report their checks; otherwise the stage is one check.
    `programs` are taken from the Debian packages beside them where PATH does not have them.
    """

    commands: Sequence[Sequence[str]]
    needs: Sequence[str]
    in_lab: bool = False
    counts_itself: bool = False
    programs: Mapping[str, str] = dataclasses.field(default_factory=dict)


def _words(variable: str) -> list[str]:
    return shlex.split(os.environ.get(variable, ""))


def _molecule(*scenarios: str) -> Stage:
    commands = [["molecule", "test", "--scenario-name", name, *_words("MOLECULE_ARGS")] for name in scenarios]
    needs = [f"molecule/{name}/molecule.yml" for name in scenarios]
    return Stage(commands, needs, in_lab=True, programs=KEYS)


def stages() -> dict[str, Stage]:
    """Return the stages by name; LAB_ARGS, PYTEST_ARGS, MOLECULE_ARGS and BENCH_ARGS add to their command lines."""
    more = _words("PYTEST_ARGS")
    return {
        "lint": Stage([[sys.executable, "-m", "tools.gates"]], [".ansible-lint"], counts_itself=True),
        "unit": Stage(
            [[*PYTEST, *WORKERS, "loadfile", *more, "tests/unit"]],
            ["tests/unit"],
            counts_itself=True,
            programs=UNIT_PROGRAMS,
        ),
        "cores": Stage(
            [[sys.executable, "-m", "tools.cores"]],
            ["requirements/cores.txt"],
            counts_itself=True,
            programs=UNIT_PROGRAMS,
        ),
        "lab": Stage([[*LAB, "up", *_words("LAB_ARGS")]], ["lab/__main__.py"]),
        "lab-tests": Stage(
            [[*PYTEST, *WORKERS, "loadgroup", *more, "tests/lab"]],
            ["tests/lab"],
            in_lab=True,
            counts_itself=True,
            programs=KEYS,
        ),
        "molecule": _molecule(os.environ.get("SCENARIO") or "default"),
        "faults": _molecule(*FAULTS),
        **{name: _molecule(name) for name in SITUATIONS},
        "bench": Stage(
            [[sys.executable, "-m", "tests.bench", *_words("BENCH_ARGS")]], ["tests/bench/__main__.py"], in_lab=True
        ),
        "demo": Stage(
            [
                ["ansible-playbook", "-i", "inventories/lab", "homeport.registry.site"],
                ["tools/demo"],
            ],
            ["inventories/lab", "playbooks/site.yml", "tools/demo"],
            in_lab=True,
            programs={"skopeo": "skopeo"},
        ),
    }


def lab_environment() -> dict[str, str]:
    """Return what `lab env` prints as export lines. Raises RuntimeError where the lab is not up."""
    done = subprocess.run([*LAB, "env"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise RuntimeError("the lab gives no environment: is it up? See make lab-status")
    pairs = (shlex.split(line) for line in done.stdout.splitlines())
    exports = (words[1] for words in pairs if len(words) == 2 and words[0] == "export")
    return {name: os.path.expandvars(value) for name, _equals, value in (item.partition("=") for item in exports)}


def run_stage(stage: Stage, env: Mapping[str, str]) -> report.Counts:
    """Run a stage and return its counts. A stage that fails without saying what failed counts one failure."""
    missing = [name for name in stage.needs if not (ROOT / name).exists()]
    if missing:
        print(f"error: there is nothing to run: {', '.join(missing)} is missing", file=sys.stderr)
        return report.Counts(failed=1)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "counts"
        full = {**env, report.VARIABLE: str(path)}
        # pytest runs inside molecule too, so its reporter travels in the environment.
        full["PYTEST_ADDOPTS"] = f"{env.get('PYTEST_ADDOPTS', '')} -p tools.report".strip()
        code = 0
        try:
            for program, package in stage.programs.items():
                ensure_program(program, package)
            if stage.in_lab:
                full.update(lab_environment())
            for command in stage.commands:
                code = subprocess.run(command, cwd=ROOT, env=full).returncode
                if code:
                    break
        except (OSError, RuntimeError, BootstrapError) as error:
            print(f"error: {error}", file=sys.stderr)
            code = 1
        counts = report.read(path)
    if code and not counts.failed:
        return counts + report.Counts(failed=1)
    if not code and not stage.counts_itself:
        return counts + report.Counts(passed=1)
    return counts


def main(argv: list[str]) -> int:
    """Run the stages named on the command line; return the exit code."""
    known = stages()
    argv = [name for word in argv for name in (SITUATIONS if word == "situations" else (word,))]
    unknown = [name for name in argv if name not in known]
    if unknown or not argv:
        group = f"situations: {', '.join(SITUATIONS)}"
        print(__doc__, f"Stages: {', '.join(known)}", group, sep="\n", file=sys.stderr)
        return 2
    try:
        env = tree.environment(tree.ensure())
    except subprocess.CalledProcessError as error:
        print(f"error: {' '.join(error.cmd)} ended with exit code {error.returncode}", file=sys.stderr)
        return 1
    lines = []
    total = report.Counts()
    for name in argv:
        print(f"== {name}", flush=True)
        start = time.monotonic()
        counts = run_stage(known[name], env)
        if counts.failed and not counts.failures:
            counts += report.Counts(failures=(f"{name}, before or between its tests: see there",))
        total += counts
        skipped = f", {counts.skipped} skipped" if counts.skipped else ""
        seconds = time.monotonic() - start
        lines.append(f"{name:<10} {seconds:7.1f} s  {counts.passed} passed, {counts.failed} failed{skipped}")
        print(f"== {lines[-1]}", flush=True)
    if len(argv) > 1:
        print("\n".join(["", *lines]))
    # Repeated here: what a stage printed is thousands of lines up, or cut off by what shows the log.
    for failure in total.failures:
        print(f"failed: {failure}")
    if len(argv) > 1:
        print(f"{total.passed} passed, {total.failed} failed")
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
