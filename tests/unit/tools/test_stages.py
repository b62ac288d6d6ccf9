# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a stage counts is what happened."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools import report, stages
from tools.report import Counts
from tools.stages import Stage, run_stage

PASS = [sys.executable, "-c", ""]
FAIL = [sys.executable, "-c", "raise SystemExit(1)"]
COUNT = [
    sys.executable,
    "-c",
    "from tools import report; report.add(passed=5, failed={}, skipped=1); raise SystemExit({})",
]


def env() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(stages.ROOT), "PYTEST_ADDOPTS": ""}


def count(failed: int, code: int) -> list[str]:
    return [*COUNT[:2], COUNT[2].format(failed, code)]


def test_a_stage_that_counts_nothing_is_one_check() -> None:
    assert run_stage(Stage([PASS], []), env()) == Counts(passed=1)
    assert run_stage(Stage([FAIL], []), env()) == Counts(failed=1)
    assert run_stage(Stage([FAIL, PASS], []), env()) == Counts(failed=1)


def test_the_counts_of_the_programs_are_summed() -> None:
    twice = Stage([count(0, 0), count(0, 0)], [], counts_itself=True)
    assert run_stage(twice, env()) == Counts(passed=10, skipped=2)
    assert run_stage(Stage([count(2, 1)], [], counts_itself=True), env()) == Counts(passed=5, failed=2, skipped=1)


def test_a_failed_program_counts_even_where_it_counted_no_failure() -> None:
    assert run_stage(Stage([count(0, 1)], [], counts_itself=True), env()).failed == 1


def test_a_target_without_files_fails(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_stage(Stage([PASS], ["no/such/file"]), env()) == Counts(failed=1)
    assert "no/such/file is missing" in capfd.readouterr().err


def test_a_stage_in_the_lab_fails_where_the_lab_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "LAB", (sys.executable, "-c", "raise SystemExit(1)"))
    assert run_stage(Stage([PASS], [], in_lab=True), env()) == Counts(failed=1)


def test_the_environment_of_the_lab_reaches_the_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    says = "print('export KUBECONFIG=\\'/a b/kubeconfig\\''); print('export PATH=/tools:$PATH')"
    monkeypatch.setattr(stages, "LAB", (sys.executable, "-c", says))
    found = stages.lab_environment()
    assert found == {"KUBECONFIG": "/a b/kubeconfig", "PATH": f"/tools:{os.environ['PATH']}"}


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize(
    ("body", "expected", "failure"),
    [
        ("def test_a(): pass\ndef test_b(): assert 0, 'so'\n", Counts(1, 1), "test_it.py::test_b: AssertionError: so"),
        ("import pytest\ndef test_a(): pass\ndef test_b(): pytest.skip('why')\n", Counts(1, 0, 1), ""),
        (
            "import pytest\n@pytest.fixture\ndef bad(): 1 / 0\ndef test_a(bad): pass\n",
            Counts(0, 1),
            "test_it.py::test_a: ZeroDivisionError: division by zero",
        ),
        ("import nothing_of_this_name\n", Counts(0, 1), "test_it.py: ImportError while importing test module"),
    ],
)
def test_pytest_reports_what_it_saw(tmp_path: Path, workers: str, body: str, expected: Counts, failure: str) -> None:
    (tmp_path / "test_it.py").write_text(body)
    path = tmp_path / "counts"
    command = [sys.executable, "-m", "pytest", "-q", "-n", workers, "-p", "no:cacheprovider", str(tmp_path)]
    settings = {**env(), report.VARIABLE: str(path), "PYTEST_ADDOPTS": "-p tools.report"}
    subprocess.run(command, env=settings, cwd=tmp_path, stdout=subprocess.DEVNULL, check=False)
    found = report.read(path)
    assert Counts(found.passed, found.failed, found.skipped) == expected
    assert len(found.failures) == expected.failed
    assert all(line.startswith(failure) for line in found.failures), found.failures


def test_failures_are_named_at_the_end(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    reports = "from tools import report; report.add(1, 1, failures=['test_x: why']); raise SystemExit(1)"
    failing = Stage([[sys.executable, "-c", reports]], [], counts_itself=True)
    silent = Stage([FAIL], [])
    monkeypatch.setattr(stages, "stages", lambda: {"first": failing, "second": Stage([PASS], []), "third": silent})
    monkeypatch.setattr(stages.tree, "ensure", lambda: None)
    monkeypatch.setattr(stages.tree, "environment", lambda _tree: env())
    assert stages.main(["first", "second", "third"]) == 1
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "failed: test_x: why",
        "failed: third, before or between its tests: see there",
        "2 passed, 2 failed",
    ]


def test_stages_beside_each_other_are_summed_up_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    # Each waits until the other has begun.
    waits = "import pathlib, sys, time; mine, other = map(pathlib.Path, sys.argv[1:]); mine.touch()\n"
    waits += "for _tenth in range(300):\n    if other.exists(): sys.exit(print('met'))\n    time.sleep(0.1)\n"
    waits += "sys.exit(1)"
    paths = [str(tmp_path / name) for name in ("left", "right")]
    known = {
        "left": Stage([[sys.executable, "-c", waits, *paths]], []),
        "right": Stage([[sys.executable, "-c", waits, *reversed(paths)]], []),
        "after": Stage([count(1, 1)], [], counts_itself=True),
        "alone": Stage([PASS], []),
    }
    monkeypatch.setenv("HOMEPORT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HOMEPORT_LANES", raising=False)
    monkeypatch.setattr(stages, "stages", lambda: known)
    monkeypatch.setattr(stages, "BESIDE", ("left", "right", "after"))
    monkeypatch.setattr(stages, "ALONE", ("alone",))
    monkeypatch.setattr(stages.tree, "ensure", lambda: None)
    monkeypatch.setattr(stages.tree, "environment", lambda _tree: env())
    assert stages.main(["scenarios"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines.count("met") == 2
    assert lines[-2:] == ["failed: after, before or between its tests: see there", "8 passed, 1 failed"]


def test_two_lanes_unless_one_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOMEPORT_LANES", raising=False)
    beside = stages.plan(["lint", "scenarios"])
    assert beside[:2] == [("lint",), stages.BESIDE]
    monkeypatch.setenv("HOMEPORT_LANES", "1")
    single = stages.plan(["lint", "scenarios"])
    assert {len(group) for group in single} == {1}
    flat = [[name for group in planned for name in group] for planned in (single, beside)]
    assert sorted(flat[0]) == sorted(flat[1]) == sorted(["lint", "molecule", *stages.SITUATIONS])


def test_what_is_kept_apart_is_run_beside_others() -> None:
    assert {name for group in stages.APART for name in group} <= {*stages.BESIDE}


def test_every_stage_that_a_target_runs_exists() -> None:
    makefile = (stages.ROOT / "Makefile").read_text(encoding="utf-8")
    lines = [line.split()[1:] for line in makefile.splitlines() if line.startswith("\t@$(STAGES)")]
    assert lines
    assert {name for line in lines for name in line} <= {*stages.stages(), "scenarios"}


def test_every_scenario_is_run() -> None:
    folders = {path.parent.name for path in (stages.ROOT / "molecule").glob("*/molecule.yml")}
    # The default one is the stage of that name, and the one for long nights has a target of its own.
    assert folders == {*stages.SITUATIONS, "default", *stages.FAULTS}


def test_faults_kill_more_often_than_the_tests_of_the_lab_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOMEPORT_KILLS", raising=False)
    monkeypatch.setenv("HOMEPORT_INSTALL_KILLS", "3")
    stage = stages.stages()["faults"]
    assert {"HOMEPORT_INSTALL_KILLS=3", "HOMEPORT_KILLS=20"} < set(stage.commands[0])
    for name in stages.KILLED:
        assert name in stage.commands[0]
        assert any(variable in (stages.ROOT / name).read_text(encoding="utf-8") for variable in stages.KILLS)
