# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gate never passes by itself, and a failure is never remembered."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from tools.runner import Gate, run_gate, run_gates

PASS = [sys.executable, "-c", "print('fine')"]
FAIL = [sys.executable, "-c", "import sys; print('wrong'); sys.exit(3)"]


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("HOMEPORT_CACHE", str(tmp_path))
    return tmp_path


def test_a_gate_passes_when_all_its_commands_do(tmp_path: Path) -> None:
    outcome = run_gate(Gate("two", [PASS, PASS], tmp_path), os.environ)
    assert outcome.passed
    assert outcome.output == ""


@pytest.mark.parametrize("commands", [[FAIL], [PASS, FAIL], [FAIL, PASS]])
def test_one_failed_command_fails_the_gate_and_shows_its_words(tmp_path: Path, commands: list[list[str]]) -> None:
    outcome = run_gate(Gate("bad", commands, tmp_path), os.environ)
    assert not outcome.passed
    assert "wrong" in outcome.output


def test_a_program_that_is_not_there_fails_the_gate(tmp_path: Path) -> None:
    outcome = run_gate(Gate("absent", [["no-such-program"]], tmp_path), os.environ)
    assert not outcome.passed
    assert "no-such-program" in outcome.output


def test_a_pass_is_remembered_for_the_same_key_only(tmp_path: Path) -> None:
    assert not run_gate(Gate("slow", [PASS], tmp_path, key="a"), os.environ).remembered
    # Had this gate run again, it would have failed.
    assert run_gate(Gate("slow", [FAIL], tmp_path, key="a"), os.environ).remembered
    assert not run_gate(Gate("slow", [FAIL], tmp_path, key="b"), os.environ).passed
    assert not run_gate(Gate("slow", [FAIL], tmp_path, key="a"), os.environ, fresh=True).passed


def test_a_failure_is_not_remembered(tmp_path: Path) -> None:
    assert not run_gate(Gate("slow", [FAIL], tmp_path, key="a"), os.environ).passed
    again = run_gate(Gate("slow", [PASS], tmp_path, key="a"), os.environ)
    assert again.passed
    assert not again.remembered


def test_a_gate_sees_its_own_environment(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import os, sys; sys.exit(os.environ['COLOUR'] != 'blue')"]
    assert run_gate(Gate("env", [command], tmp_path, {"COLOUR": "blue"}), os.environ).passed
    assert not run_gate(Gate("env", [command], tmp_path, {"COLOUR": "red"}), os.environ).passed


def test_every_gate_is_reported_and_paths_are_shortened(tmp_path: Path) -> None:
    said: list[str] = []
    speak = [sys.executable, "-c", "import sys; print('/long/way/file.py:1: bad'); sys.exit(1)"]
    gates = [Gate("first", [PASS], tmp_path), Gate("second", [speak], tmp_path)]
    outcomes = run_gates(gates, os.environ, said.append, noise=re.compile("/long/way/"))
    assert [(outcome.name, outcome.passed) for outcome in outcomes] == [("first", True), ("second", False)]
    assert any("FAILED" in text and "second" in text and "\nfile.py:1: bad" in text for text in said)
    assert any("ok" in text and "first" in text for text in said)
