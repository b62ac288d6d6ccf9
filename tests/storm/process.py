# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The storm as a process beside a test, which goes on whatever happens to the test's own connections."""

from __future__ import annotations

import collections
import json
import os
import subprocess
import sys
import time
import typing as t
from pathlib import Path

from tests.storm.ledger import Event, read
from tests.storm.registry import Account

ROOT = Path(__file__).resolve().parents[2]


class Storm:
    """One ledger and what writes to it."""

    def __init__(self, url: str, folder: Path, pusher: Account, reader: Account, *options: str) -> None:
        """Keep what is to be run; see `python -m tests.storm --help` for more options."""
        self.folder = folder
        self.ledger = folder / "ledger.jsonl"
        self._stop = folder / "stop"
        self._common = ["--url", url, "--ledger", str(self.ledger)]
        if reader.name:
            self._common += ["--pull-user", reader.name]
        self._run = ["--until-file", str(self._stop), "--no-verify", "--quiet", *options]
        if pusher.name:
            self._run += ["--user", pusher.name]
        passwords = {"STORM_PASSWORD": pusher.password or "", "STORM_PULL_PASSWORD": reader.password or ""}
        self._environment = {**os.environ, **passwords}
        self._process: subprocess.Popen[str] | None = None
        self.report: dict[str, t.Any] = {}

    def _start(self, *words: str) -> subprocess.Popen[str]:
        line = [sys.executable, "-m", "tests.storm", *words, *self._common]
        return subprocess.Popen(
            line, cwd=ROOT, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Storm:
        """Start."""
        self._stop.unlink(missing_ok=True)
        self._process = self._start("run", *self._run)
        return self

    def __exit__(self, failure: type[BaseException] | None, *_details: object) -> None:
        """Let every client finish what it does, and read the report."""
        assert self._process is not None
        self._stop.touch()
        if failure is not None:
            self.kill()
        if self._process.returncode is not None and self._process.returncode < 0:
            return
        output, errors = self._process.communicate(timeout=600)
        assert self._process.returncode in (0, 1), errors
        self.report = json.loads(output)

    def kill(self) -> None:
        """Kill it, as a machine does that goes down."""
        assert self._process is not None
        self._process.kill()
        self._process.communicate()

    @property
    def running(self) -> bool:
        """Tell whether it has not ended by itself."""
        return self._process is not None and self._process.poll() is None

    def events(self) -> list[Event]:
        """Return what the ledger says so far."""
        return list(read(self.ledger)) if self.ledger.exists() else []

    def count(self, event: str) -> int:
        """Return how often an event has happened so far."""
        return collections.Counter(str(one["event"]) for one in self.events())[event]

    def wait_for_more(self, event: str, number: int, *, seconds: float = 120.0) -> None:
        """Wait until an event has happened so many more times. Raises AssertionError when it does not."""
        wanted = self.count(event) + number
        deadline = time.monotonic() + seconds
        while self.count(event) < wanted:
            assert self.running, "the storm has ended"
            assert time.monotonic() < deadline, f"not {number} times more in {seconds:g} s: {event}"
            time.sleep(0.2)

    def verify(self, *options: str) -> tuple[int, dict[str, t.Any]]:
        """Read everything that must be there; return the exit status and the report."""
        done = self._start("verify", *options)
        output, errors = done.communicate(timeout=600)
        assert done.returncode in (0, 1), errors
        return done.returncode, json.loads(output)
