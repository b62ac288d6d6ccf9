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


def test_two_go_on_beside_each_other_and_begin_in_their_order(tmp_path: Path) -> None:
    both = threading.Barrier(2)
    begun: list[str] = []

    def one(name: str, _out: TextIO) -> str:
        begun.append(name)
        # Passes only if another one is here at the same time.
        both.wait(SOON)
        return name.upper()

    results = lanes.run(["a", "b", "c", "d"], one, tmp_path)
    assert sorted(results) == ["A", "B", "C", "D"]
    assert sorted(begun[:2]) == ["a", "b"]


def test_those_kept_apart_are_never_beside_each_other_and_nobody_waits_without_need(tmp_path: Path) -> None:
    now, seen, lock = set[str](), set[frozenset[str]](), threading.Lock()
    begun, ended = ({name: threading.Event() for name in "abcd"} for _both in range(2))
    # What each waits for: "d" begins though "b" and "c", which were named before it, still wait for "a".
    until = {"a": ended["d"], "d": begun["a"], "b": begun["b"], "c": ended["b"]}

    def one(name: str, _out: TextIO) -> str:
        with lock:
            now.add(name)
            seen.add(frozenset(now))
        begun[name].set()
        met = until[name].wait(SOON)
        with lock:
            now.remove(name)
        ended[name].set()
        return name if met else f"{name} met nobody"

    results = lanes.run(["a", "b", "c", "d"], one, tmp_path, apart=[{"a", "b"}, {"a", "c"}])
    assert sorted(results) == ["a", "b", "c", "d"]
    assert not {frozenset("ab"), frozenset("ac")} & seen
    assert frozenset("ad") in seen


def test_what_is_printed_comes_whole_and_under_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = threading.Barrier(2)

    def one(name: str, out: TextIO) -> None:
        for number in range(3):
            both.wait(SOON)
            print(f"{name}{number}", file=out, flush=True)

    lanes.run(["a", "x"], one, tmp_path)
    printed = capsys.readouterr().out
    for name in "ax":
        assert f"== {name}, begun beside others; follow it in {tmp_path}/{name}.log\n" in printed
        assert f"== {name}\n{name}0\n{name}1\n{name}2\n" in printed


def test_what_went_wrong_is_raised_and_its_output_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both, begun, done = threading.Barrier(2), set[str](), list[str]()

    def one(name: str, out: TextIO) -> None:
        begun.add(name)
        both.wait(SOON)
        print(f"{name} says", file=out)
        if name == "a":
            raise ValueError(name)
        done.append(name)

    # What may not begin before "a" has ended never does, since "a" fails.
    with pytest.raises(ValueError, match="a"):
        lanes.run(["a", "x", "b"], one, tmp_path, apart=[{"a", "b"}])
    assert done == ["x"]
    assert begun == {"a", "x"}
    assert "== a\na says\n" in capsys.readouterr().out
