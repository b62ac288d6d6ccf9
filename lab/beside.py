# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work that goes on in a thread beside the steps that follow."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from lab.errors import LabError


class Beside:
    """One thing to do beside others: a step starts it, a later one takes its outcome."""

    def __init__(self, act: Callable[[], str]) -> None:
        """Take what a step would do: a function that returns a word on how it went, or raises LabError."""
        self._act = act
        self._outcome: str | None = None
        self._error: Exception = LabError("was not begun")
        # Not a daemon: an interrupted or failed run waits until what it began has cleaned up after itself.
        self._thread = threading.Thread(target=self._run)

    def start(self) -> str:
        """Begin, and say so."""
        self._thread.start()
        return "begun"

    def outcome(self) -> str:
        """Wait for the end and return its word, or raise what it raised."""
        with contextlib.suppress(RuntimeError):
            self._thread.join()
        if self._outcome is None:
            raise self._error
        return self._outcome

    def _run(self) -> None:
        try:
            self._outcome = self._act()
        # Whatever it is, the step that waits for the outcome raises it.
        except Exception as error:
            self._error = error
