# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The execution environment is one that ansible-builder can make a build context of."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from tests.unit.contract.collection import installed, load
from tools.paths import ROOT

SOURCE = ROOT / "execution-environment.yml"


def test_ansible_builder_writes_the_build_context(tmp_path: Path) -> None:
    tree = installed().parents[2]
    (tarball,) = tree.glob("homeport-registry-*.tar.gz")
    shutil.copy2(tarball, tmp_path)
    shutil.copy2(SOURCE, tmp_path)
    command = ["ansible-builder", "create", "--file", SOURCE.name, "--context", "context"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    build = tmp_path / "context" / "_build"
    (wanted,) = load((build / "requirements.yml").read_text("utf-8"))["collections"]
    # In the image the folder of the build lies at /build.
    assert (build / wanted["name"].removeprefix("/build/")).read_bytes() == tarball.read_bytes()
    assert "ansible-galaxy collection install" in (tmp_path / "context" / "Containerfile").read_text("utf-8")


def test_bounds_are_lower_bounds() -> None:
    dependencies = load(SOURCE.read_text("utf-8"))["dependencies"]
    bounds = [dependencies["ansible_core"]["package_pip"], dependencies["ansible_runner"]["package_pip"]]
    assert all(re.fullmatch(r"[\w-]+>=[\d.]+", bound) for bound in bounds)
    floor = load((ROOT / "meta" / "runtime.yml").read_text("utf-8"))["requires_ansible"].removesuffix(".0")
    assert bounds[0] == f"ansible-core{floor}"
    # What the plugins import is said once, by the collection.
    assert "python" not in dependencies
