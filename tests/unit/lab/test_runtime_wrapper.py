# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The OCI runtime wrapper takes exactly one capability away."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from lab import layout

WRAPPER = layout.PACKAGE / "runtime-wrapper"


def run(folder: Path, *words: str) -> list[str]:
    """Run the wrapper before a runtime that writes down its arguments; return these."""
    runc = folder / "runc"
    runc.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {folder}/seen\n')
    runc.chmod(0o755)
    subprocess.run([WRAPPER, *words], check=True, env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"})
    return (folder / "seen").read_text().splitlines()


def test_a_container_loses_it(tmp_path: Path) -> None:
    sets = {"bounding": ["CAP_CHOWN", "CAP_SYS_RESOURCE"], "effective": ["CAP_SYS_RESOURCE"]}
    config = {"process": {"args": ["sleep", "CAP"], "capabilities": sets}, "mounts": [{"options": ["ro"]}]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    words = ["--root", "/r", "create", "--bundle", str(tmp_path), "an id"]
    assert run(tmp_path, *words) == words
    seen = json.loads((tmp_path / "config.json").read_text())
    assert seen["process"].pop("capabilities") == {"bounding": ["CAP_CHOWN"], "effective": []}
    assert seen == {"process": {"args": ["sleep", "CAP"]}, "mounts": [{"options": ["ro"]}]}


def test_a_process_started_later_loses_it(tmp_path: Path) -> None:
    file = tmp_path / "process"
    file.write_text(json.dumps({"capabilities": {"bounding": ["CAP_SYS_RESOURCE", "CAP_KILL"]}}))
    run(tmp_path, "exec", "--process", str(file), "id")
    assert json.loads(file.read_text()) == {"capabilities": {"bounding": ["CAP_KILL"]}}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["process", "runc", "seen"]


def test_other_commands_pass_unchanged(tmp_path: Path) -> None:
    assert run(tmp_path, "state", "id") == ["state", "id"]
