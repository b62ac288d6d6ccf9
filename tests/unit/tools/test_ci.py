# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What continuous integration runs cleans up, and reports what the tests reported."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tools.paths import ROOT


@pytest.mark.parametrize(("test_code", "clean_code"), [(0, 0), (2, 0), (0, 1), (3, 1)])
def test_the_exit_code_is_that_of_the_tests(tmp_path: Path, test_code: int, clean_code: int) -> None:
    log = tmp_path / "log"
    make = tmp_path / "make"
    make.write_text(f'#!/bin/sh\necho "$PWD $@" >> {log}\n[ "$1" = test ] && exit {test_code}\nexit {clean_code}\n')
    make.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run([ROOT / ".ci" / "run"], env=env, cwd=tmp_path, check=False)
    assert done.returncode == test_code
    assert log.read_text().splitlines() == [f"{ROOT} test", f"{ROOT} clean"]
