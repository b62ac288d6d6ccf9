# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lanes go on beside each other, and what their stages print does not mix."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TextIO

import pytest

from tools import lanes

SOON = 30


def test_lanes_go_on_beside_each_other_and_a_lane_in_its_order(tmp_path: Path) -> None:
    both = threading.Barrier(2)
    seen: list[str] = []

    def one(name: str, _out: TextIO) -> str:
        # Passes only if the other lane is here at the same time.
        both.wait(SOON)
        seen.append(name)
        return name.upper()

    results = lanes.run([("a", "b"), ("x", "y")], one, tmp_path)
    assert sorted(results) == ["A", "B", "X", "Y"]
    assert seen.index("a") < seen.index("b")
    assert seen.index("x") < seen.index("y")


def test_what_is_printed_comes_whole_and_under_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = threading.Barrier(2)

    def one(name: str, out: TextIO) -> None:
        for number in range(3):
            both.wait(SOON)
            print(f"{name}{number}", file=out, flush=True)

    lanes.run([("a",), ("x",)], one, tmp_path)
    printed = capsys.readouterr().out
    for name in "ax":
        assert f"== {name}, begun beside others; follow it in {tmp_path}/{name}.log\n" in printed
        assert f"== {name}\n{name}0\n{name}1\n{name}2\n" in printed


def test_what_went_wrong_is_raised_and_its_output_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both, done = threading.Barrier(2), list[str]()

    def one(name: str, out: TextIO) -> None:
        # What has not begun when another lane fails never does.
        both.wait(SOON)
        print(f"{name} says", file=out)
        if name == "a":
            raise ValueError(name)
        done.append(name)

    with pytest.raises(ValueError, match="a"):
        lanes.run([("a", "b"), ("x",)], one, tmp_path)
    assert done == ["x"]
    assert "== a\na says\n" in capsys.readouterr().out
