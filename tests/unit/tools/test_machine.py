# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tools install and write on a machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools import pip_stand_in, venv
from tools.paths import cache_dir, content_key


def fake_programs(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """Put an apt-get of our own first, which writes its arguments down; return where."""
    log = folder / "log"
    program = folder / "apt-get"
    program.write_text(f'#!/bin/sh\necho "$@" >> {log}\n{script}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return log


def test_an_installable_package_takes_one_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = fake_programs(tmp_path, monkeypatch, "exit 0")
    venv.apt_install("shellcheck")
    (only,) = log.read_text().splitlines()
    assert only.startswith("install")
    assert only.endswith("shellcheck")


def test_lists_are_fetched_before_giving_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = fake_programs(tmp_path, monkeypatch, "exit 100")
    with pytest.raises(venv.BootstrapError, match="could not install 'shellcheck'"):
        venv.apt_install("shellcheck")
    assert [line.split()[0] for line in log.read_text().splitlines()] == ["install", "update", "install"]


def test_without_root_the_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = fake_programs(tmp_path, monkeypatch, "exit 0")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(venv.BootstrapError, match="as root: apt-get install python3-venv"):
        venv.apt_install("python3-venv")
    assert not log.exists()


def test_the_environment_depends_on_the_pins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = venv.venv_dir()
    assert before == venv.venv_dir()
    files = [tmp_path / "run.txt", tmp_path / "constraints.txt"]
    for file in files:
        file.write_text("ansible==1\n")
    monkeypatch.setattr(venv, "requirement_files", lambda: files)
    other = venv.venv_dir()
    files[1].write_text("ansible==2\n")
    assert len({before, other, venv.venv_dir()}) == 3


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"HOMEPORT_CACHE": "/own", "XDG_CACHE_HOME": "/xdg"}, "/own"),
        ({"XDG_CACHE_HOME": "/xdg"}, "/xdg/homeport"),
        ({"HOME": "/somebody"}, "/somebody/.cache/homeport"),
    ],
)
def test_the_cache_can_be_moved(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str) -> None:
    for name in ("HOMEPORT_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(cache_dir()) == expected


def test_a_content_key_sees_every_byte_and_name(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"12")
    second.write_bytes(b"3")
    keys = {content_key([first, second]), content_key([second, first]), content_key([first, second], "salt")}
    first.write_bytes(b"1")
    second.write_bytes(b"23")
    assert len(keys | {content_key([first, second])}) == 4


def test_the_stand_in_is_written_once_and_keeps_what_is_there(tmp_path: Path) -> None:
    path = pip_stand_in.ensure(tmp_path)
    assert path.name == pip_stand_in.wanted_name()
    assert path.read_text() == pip_stand_in.STAND_IN
    path.write_text("the real one")
    assert pip_stand_in.ensure(tmp_path).read_text() == "the real one"


def test_the_stand_in_runs_ensurepip_and_pip_without_the_options_pip_does_not_know(tmp_path: Path) -> None:
    stand_in = tmp_path / "get_pip_1.py"
    stand_in.write_text(pip_stand_in.STAND_IN)
    seen = tmp_path / "seen"
    fake = tmp_path / "python"
    fake.write_text(f'#!/bin/sh\necho "$@" GET_PIP=$GET_PIP >> {seen}\n')
    fake.chmod(0o755)
    run = f"import runpy, sys; sys.executable = {str(fake)!r}; runpy.run_path({str(stand_in)!r})"
    command = [sys.executable, "-c", run, "--disable-pip-version-check", "pip==24.2", "--no-setuptools", "--no-wheel"]
    subprocess.run(command, check=True, env={**os.environ, "GET_PIP": str(stand_in)})
    assert seen.read_text().splitlines() == [
        "-m ensurepip GET_PIP=",
        "-m pip install --quiet --disable-pip-version-check pip==24.2 GET_PIP=",
    ]
