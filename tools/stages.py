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
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from tools import lanes, report, tree
from tools.paths import ROOT, cache_dir
from tools.venv import BootstrapError, ensure_program

# The scenarios of molecule that "make test" runs, each named after a situation but for the default one. These wait for
# the cluster more than they compute, so two can go on at a time: each has namespaces and ports of its own. They begin
# in this order, by which both lanes end at about the same time.
BESIDE = ("nodes", "ingress", "access", "molecule", "node_port", "s3", "gateway", "cache", "gc")
# Never at the same time: those that write to the nodes, those that bring Traefik, and the one that brings cert-manager
# with the one that finds it there.
APART = (("nodes", "cache", "node_port"), ("ingress", "gateway"), ("ingress", "node_port"))
# The others need the cluster or the machine for themselves: a node is drained, or the cluster made anew.
ALONE = ("storm", "airgap")
SITUATIONS = tuple(name for name in (*BESIDE, *ALONE) if name != "molecule")
# What "make faults" runs, for hours.
FAULTS = ("faults", "faults_s3")
# Before that, pushes and installations of bundles are killed at so many points.
KILLED = ("tests/lab/airgap/test_killed.py", "tests/lab/bundle_push/test_interruptions.py")
KILLS = {"HOMEPORT_INSTALL_KILLS": "20", "HOMEPORT_KILLS": "20"}
LAB = (sys.executable, "-m", "lab")
# Programs that tests start, and the Debian packages that hold them.
KEYS = {"ssh-keygen": "openssh-client"}
UNIT_PROGRAMS = {"jq": "jq", **KEYS}
PYTEST = (sys.executable, "-m", "pytest")
# Two processes for two cores, and a third where tests mostly wait; tests/lab/conftest.py says which stay together.
WORKERS = ("-n", "2", "--dist")
LAB_WORKERS = ("-n", "3", "--dist")


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


def _faults() -> Stage:
    """Return the scenarios that break things, and before them what is killed without a scenario."""
    kills = [f"{name}={os.environ.get(name, number)}" for name, number in KILLS.items()]
    scenarios = _molecule(*FAULTS)
    killed = ["env", *kills, *PYTEST, *_words("PYTEST_ARGS"), "-k", "killed", *KILLED]
    return dataclasses.replace(scenarios, commands=[killed, *scenarios.commands], needs=[*KILLED, *scenarios.needs])


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
            [[*PYTEST, *LAB_WORKERS, "loadscope", *more, "tests/lab"]],
            ["tests/lab"],
            in_lab=True,
            counts_itself=True,
            programs=KEYS,
        ),
        "molecule": _molecule(os.environ.get("SCENARIO") or "default"),
        "faults": _faults(),
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


# Two stages that find the same program missing must not install it at the same time.
_INSTALLING = threading.Lock()


def run_stage(stage: Stage, env: Mapping[str, str], out: TextIO | None = None) -> report.Counts:
    """Run a stage and return its counts. A stage that fails without saying what failed counts one failure.

    What is printed goes to `out`, or to where this process prints.
    """
    missing = [name for name in stage.needs if not (ROOT / name).exists()]
    if missing:
        print(f"error: there is nothing to run: {', '.join(missing)} is missing", file=out or sys.stderr)
        return report.Counts(failed=1)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "counts"
        full = {**env, report.VARIABLE: str(path)}
        # pytest runs inside molecule too, so its reporter travels in the environment.
        full["PYTEST_ADDOPTS"] = f"{env.get('PYTEST_ADDOPTS', '')} -p tools.report".strip()
        code = 0
        try:
            with _INSTALLING:
                for program, package in stage.programs.items():
                    ensure_program(program, package)
            if stage.in_lab:
                full.update(lab_environment())
            for command in stage.commands:
                code = subprocess.run(command, cwd=ROOT, env=full, stdout=out, stderr=out).returncode
                if code:
                    break
        except (OSError, RuntimeError, BootstrapError) as error:
            print(f"error: {error}", file=out or sys.stderr)
            code = 1
        counts = report.read(path)
    if code and not counts.failed:
        return counts + report.Counts(failed=1)
    if not code and not stage.counts_itself:
        return counts + report.Counts(passed=1)
    return counts


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a stage counted, and the line that says so."""

    counts: report.Counts
    line: str


def run_named(name: str, stage: Stage, env: Mapping[str, str], out: TextIO | None = None) -> Outcome:
    """Run a stage, print its line where it prints, and return its outcome."""
    start = time.monotonic()
    counts = run_stage(stage, env, out)
    if counts.failed and not counts.failures:
        counts += report.Counts(failures=(f"{name}, before or between its tests: see there",))
    skipped = f", {counts.skipped} skipped" if counts.skipped else ""
    seconds = time.monotonic() - start
    line = f"{name:<10} {seconds:7.1f} s  {counts.passed} passed, {counts.failed} failed{skipped}"
    print(f"== {line}", file=out, flush=True)
    return Outcome(counts, line)


def plan(words: Sequence[str]) -> list[tuple[str, ...]]:
    """Return what is run one after the other: mostly a single stage, or several that go on beside each other.

    Scenarios that mostly wait go on beside each other unless HOMEPORT_LANES is 1.
    """
    beside = os.environ.get("HOMEPORT_LANES", "") != "1"
    found: list[tuple[str, ...]] = []
    for word in words:
        if word != "scenarios":
            found.append((word,))
            continue
        found += [BESIDE] if beside else [(name,) for name in BESIDE]
        found += [(name,) for name in ALONE]
    return found


def main(argv: list[str]) -> int:
    """Run the stages named on the command line; return the exit code."""
    known = stages()
    planned = plan(argv)
    names = [name for group in planned for name in group]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        group = f"scenarios: {', '.join(('molecule', *SITUATIONS))}"
        print(__doc__, f"Stages: {', '.join(known)}", group, sep="\n", file=sys.stderr)
        return 2
    try:
        env = tree.environment(tree.ensure())
    except subprocess.CalledProcessError as error:
        print(f"error: {' '.join(error.cmd)} ended with exit code {error.returncode}", file=sys.stderr)
        return 1
    outcomes: list[Outcome] = []
    for together in planned:
        if len(together) > 1:
            outcomes += lanes.run(
                together, lambda name, out: run_named(name, known[name], env, out), cache_dir() / "stages", APART
            )
            continue
        (name,) = together
        print(f"== {name}", flush=True)
        outcomes.append(run_named(name, known[name], env))
    total = sum((outcome.counts for outcome in outcomes), report.Counts())
    if len(names) > 1:
        print("\n".join(["", *(outcome.line for outcome in outcomes)]))
    # Repeated here: what a stage printed is thousands of lines up, or cut off by what shows the log.
    for failure in total.failures:
        print(f"failed: {failure}")
    if len(names) > 1:
        print(f"{total.passed} passed, {total.failed} failed")
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
