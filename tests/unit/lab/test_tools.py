# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The links in a checkout's .lab/bin lead to programs, whatever other checkouts have on PATH."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab import layout, tools


def program(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("name", ["docker", "skopeo"])
def test_a_link_never_leads_to_a_link_of_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    real = program(tmp_path / "usr" / "bin", name)
    other = tmp_path / "other" / ".lab" / "bin"
    other.mkdir(parents=True)
    (other / name).symlink_to(real)
    own = tmp_path / "own" / ".lab" / "bin"
    monkeypatch.setattr(layout, "BIN", own)
    monkeypatch.setattr(tools, "kind", lambda: real)
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, [own, other, real.parent])))
    for _again in range(2):
        tools.link({name: tools.common()[name]})
        assert (own / name).readlink() == real


def test_a_program_that_only_a_checkout_has_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = program(tmp_path / "other" / ".lab" / "bin", "skopeo")
    monkeypatch.setenv("PATH", str(other.parent))
    assert tools.outside("skopeo") is None
