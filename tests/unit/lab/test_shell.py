# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands leave their whole output in a log; a failure shows where, and its tail."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import shell
from lab.errors import LabError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOMEPORT_CACHE", str(tmp_path))
    return tmp_path


def test_a_failure_shows_the_log_and_only_its_own_tail() -> None:
    shell.logged(["echo", "earlier"], "work")
    with pytest.raises(LabError) as caught:
        shell.logged(["sh", "-c", "seq 40; echo broken >&2; exit 7"], "work")
    said = str(caught.value)
    assert said.startswith("failed (7): sh -c")
    assert f"log: {shell.log_path('work')}" in said
    assert said.endswith("    40\n    broken")
    with pytest.raises(LabError) as short:
        shell.logged(["sh", "-c", "echo short; exit 1"], "work")
    assert "broken" not in str(short.value)
    assert "    16\n" not in said
    text = shell.log_path("work").read_text()
    assert "earlier" in text
    assert "\n16\n" in text


def test_a_missing_command_and_an_endless_one_are_errors() -> None:
    with pytest.raises(LabError, match="no-such-command: command not found"):
        shell.logged(["no-such-command"], "work")
    with pytest.raises(LabError, match=r"no end after 0 s"):
        shell.logged(["sleep", "5"], "work", timeout=0.1)
    assert shell.attempt(["no-such-command"]).returncode == 127
    assert shell.attempt(["sleep", "5"], timeout=0.1).returncode == 124


def test_input_and_environment_arrive() -> None:
    shell.logged(["sh", "-c", 'read line; echo "$line $WHO"'], "work", stdin="hello\n", env={"WHO": "you"})
    assert "\nhello you\n" in shell.log_path("work").read_text()


def test_output_is_returned_or_its_error_shown() -> None:
    assert shell.output(["echo", "yes"]) == "yes\n"
    with pytest.raises(LabError, match="failed \\(1\\)"):
        shell.output(["false"])


def test_a_new_run_forgets_old_logs_but_not_the_running_engines(cache: Path) -> None:
    for name in ("kind", "engine"):
        shell.log_path(name).write_text("old")
    shell.forget_logs()
    assert [path.name for path in (cache / "lab" / "logs").iterdir()] == ["engine.log"]
