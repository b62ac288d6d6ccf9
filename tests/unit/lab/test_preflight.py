# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is missing is said before anything is changed, all of it at once."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from lab import preflight
from lab.errors import LabError
from lab.preflight import Machine, complaints

FIT = Machine("Linux", "x86_64", 0, free_disk=20, memory=8, cgroups=True)


def test_a_fit_machine_gets_no_complaint() -> None:
    assert complaints(FIT, preflight.COLD_GIB, root=True) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"system": "Darwin"}, "needs Linux, this is Darwin"),
        ({"architecture": "riscv64"}, "this is riscv64"),
        ({"user": 1000}, "run it as root"),
        ({"free_disk": 11.9}, "12 GiB of free disk needed.*11.9 GiB there.*HOMEPORT_CACHE"),
        ({"memory": 3.5}, "4 GiB of memory needed, 3.5 GiB there"),
        ({"cgroups": False}, "no cgroups are mounted"),
    ],
)
def test_each_lack_is_named(change: dict[str, Any], said: str) -> None:
    (complaint,) = complaints(dataclasses.replace(FIT, **change), preflight.COLD_GIB, root=True)
    assert re.search(said, complaint)


def test_all_lacks_come_in_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    poor = dataclasses.replace(FIT, user=1000, memory=1, free_disk=0.5)
    monkeypatch.setattr(preflight, "read_machine", lambda: poor)
    with pytest.raises(LabError) as caught:
        preflight.check(cold=True)
    assert str(caught.value).count("\n  - ") == 3


def test_a_warm_cache_needs_less_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "read_machine", lambda: dataclasses.replace(FIT, free_disk=5))
    monkeypatch.setattr(preflight, "raise_inotify", lambda: None)
    assert "5 GiB disk" in preflight.check(cold=False)
    with pytest.raises(LabError, match="12 GiB"):
        preflight.check(cold=True)


@pytest.mark.parametrize(("before", "after"), [("128\n", "1024\n"), ("8192\n", "8192\n")])
def test_the_inotify_limit_is_raised_and_never_lowered(tmp_path: Path, before: str, after: str) -> None:
    setting = tmp_path / "max_user_instances"
    setting.write_text(before)
    preflight.raise_inotify(setting)
    assert setting.read_text() == after


def test_an_inotify_limit_that_cannot_be_read_is_left(tmp_path: Path) -> None:
    preflight.raise_inotify(tmp_path / "absent")
    assert not (tmp_path / "absent").exists()
