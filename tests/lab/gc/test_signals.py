# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Signals that come at a bad moment."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.lab.gc.program import Engine, Namespace
from tests.lab.gc.test_transaction import WHOLE, Filled, engine, filled, namespace

__all__ = ["engine", "filled", "namespace"]

# Python runs this before the program: a signal comes between the start of the collector and what notes that it runs.
EARLY = """
import os, signal, subprocess

class Popen(subprocess.Popen):
    def __init__(self, command, *arguments, **options):
        super().__init__(command, *arguments, **options)
        if "garbage-collect" in command and "--dry-run" not in command:
            signal.raise_signal({number})

subprocess.Popen = Popen
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 12), (signal.SIGALRM, 11)])
def test_a_signal_while_the_collector_starts(
    engine: Engine,
    namespace: Namespace,
    filled: Filled,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    status: int,
) -> None:
    """It is not left to delete on its own, and nothing waits for itself: the writers come back."""
    (tmp_path / "early").mkdir()
    (tmp_path / "early" / "sitecustomize.py").write_text(EARLY.format(number=int(number)))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path / "early"), os.environ.get("PYTHONPATH", ""))))
    code, report, log = engine.start(engine.pausing()).end(40)
    engine.go.touch()
    assert (code, report["outcome"], report["step"]) == (status, "failed", "collect"), log
    assert namespace.fence() == WHOLE
    time.sleep(1)
    assert filled.store.blob(filled.gone.digest).exists()
