# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tests of the lab are in one process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.conftest import group_of
from tools.paths import ROOT
from tools.stages import LAB_WORKERS, stages

TEST = """
import os, time, pathlib, pytest

@pytest.mark.parametrize("number", range(4))
def test_it(number):
    # Long enough for the other process to take the next one if it may.
    time.sleep(0.1)
    with open(pathlib.Path(__file__).with_suffix(".log"), "a") as log:
        log.write(os.environ["PYTEST_XDIST_WORKER"] + "\\n")
"""


@pytest.mark.parametrize(
    ("nodeid", "group"),
    [
        ("tests/lab/gc/test_stores.py::test_a[x::y]", "tests/lab/gc/test_stores.py"),
        ("tests/lab/nodes/test_trust.py::test_a", "tests/lab/nodes"),
        ("tests/lab/nodes/test_lists.py::Class::test_a", "tests/lab/nodes"),
        ("tests/lab/airgap/test_killed.py::test_a[0]", "cluster nodes"),
        ("tests/lab/controller/test_jobs.py::test_a", "cluster nodes"),
        ("tests/lab/controller/test_gc.py::test_a", "tests/lab/controller/test_gc.py"),
    ],
)
def test_a_group_is_a_file_or_more(nodeid: str, group: str) -> None:
    assert group_of(nodeid) == group


def test_groups_stay_in_one_process(tmp_path: Path) -> None:
    """With the options of the stage, since the runner of tests and what spreads them have disagreed before."""
    lab = tmp_path / "tests" / "lab"
    files = [lab / "airgap" / "test_a.py", lab / "airgap" / "test_b.py", lab / "gc" / "test_c.py"]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(TEST)
    shutil.copy(ROOT / "tests" / "lab" / "conftest.py", lab)
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    command = stages()["lab-tests"].commands[0]
    assert command[1:6] == ["-m", "pytest", *LAB_WORKERS]
    options = [*command[3:7], "-p", "no:cacheprovider", "--import-mode=importlib"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environ["PYTHONPATH"] = str(ROOT)
    line = [sys.executable, "-m", "pytest", *options, "tests/lab"]
    done = subprocess.run(line, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    workers = [set(file.with_suffix(".log").read_text().split()) for file in files]
    assert [len(found) for found in workers] == [1, 1, 1]
    assert workers[0] == workers[1] != workers[2]
