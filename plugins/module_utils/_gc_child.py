# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The registry's own program as a child: it serves the store for reading, and it collects. Private."""

from __future__ import annotations

import collections
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import typing as t
from collections.abc import Callable, Iterator

from ansible_collections.homeport.registry.plugins.module_utils._gc_errors import GcError, InterruptedByError
from ansible_collections.homeport.registry.plugins.module_utils._gc_guard import Guard
from ansible_collections.homeport.registry.plugins.module_utils._gc_output import Collected, telling
from ansible_collections.homeport.registry.plugins.module_utils._gc_relay import Relay, has_proxy

_START_SECONDS = 60.0
_ENVIRONMENT = {"OTEL_TRACES_EXPORTER": "none"}
# It takes a buffer of 4 MiB for each blob, so at Go's default of 100 it collects memory for as long as it answers.
_READER_ENVIRONMENT = {"GOGC": "200"}
_LAST_LINES = 40
# A pipe of Linux holds 64 KiB; what is read at once, and how long to wait where less than half of it was there.
_PIECE = 64 * 1024
_GATHER_SECONDS = 0.02


def config(storage: t.Mapping[str, t.Any], port: int) -> dict[str, t.Any]:
    """Return the configuration: no account, loopback only, no write, no redirect, no cache, no purge."""
    return {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {
            **storage,
            "delete": {"enabled": True},
            "redirect": {"disable": True},
            "maintenance": {
                "readonly": {"enabled": True},
                "uploadpurging": {"enabled": False, "age": "168h", "interval": "24h", "dryrun": False},
            },
        },
        "http": {"addr": f"127.0.0.1:{port}", "relativeurls": True, "secret": "nothing is uploaded here"},
    }


def version_of(text: str) -> tuple[int, int]:
    """Return the version in the output of `--version`, (0, 0) when it names none."""
    found = re.findall(r"\bv?(\d+)\.(\d+)", text)
    return (int(found[-1][0]), int(found[-1][1])) if found else (0, 0)


class Program:
    """The program, its configuration file, and whatever it runs at the moment."""

    def __init__(self, binary: str, storage: t.Mapping[str, t.Any], scratch: str) -> None:
        """Write the configuration into the scratch folder; JSON is YAML too."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.binary = binary
        # Raises GcError when nothing may be deleted any more.
        self.check: Callable[[], None] = lambda: None
        self._leads_away = "filesystem" not in storage
        self.path = os.path.join(scratch, "registry.json")
        self.log = os.path.join(scratch, "registry.log")
        with open(self.path, "w", encoding="utf-8") as stream:
            json.dump(config(storage, self.port), stream)
        os.chmod(self.path, 0o600)
        self._reader: subprocess.Popen[bytes] | None = None
        self._collector: subprocess.Popen[bytes] | None = None
        # A signal may kill from within what holds it.
        self._lock = threading.RLock()
        self._killed = ""
        # Whether the last collector that could delete had to ask before it did.
        self.asks = False
        self.starting = False
        self.on_started: Callable[[], None] = lambda: None
        self._may_run = threading.Event()
        self._may_run.set()

    @property
    def url(self) -> str:
        """Return the address of the reader."""
        return f"http://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def _start(self) -> Iterator[None]:
        """Start a child in a with block: whoever handles signals waits until it is known, or it would go on unseen."""
        self.starting = True
        try:
            yield
        finally:
            self.starting = False
            self.on_started()

    def version(self) -> tuple[tuple[int, int], str]:
        """Return the version as numbers and as the program says it. Raises GcError when it does not run."""
        try:
            done = subprocess.run([self.binary, "--version"], capture_output=True, text=True, timeout=60, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            raise GcError(
                "ask the registry program for its version",
                where=self.binary,
                got=str(error),
                remedy="Check registry_gc_binary: the path of the program inside registry_image.",
            ) from None
        return version_of(done.stdout), done.stdout.split()[-1] if done.stdout.split() else "unknown"

    def serve(self) -> None:
        """Start the reader and wait until it answers. Raises GcError with the end of its log when it does not."""
        with open(self.log, "wb") as log, self._start():
            self._reader = subprocess.Popen(
                [self.binary, "serve", self.path],
                stdout=log,
                stderr=log,
                env={**_READER_ENVIRONMENT, **os.environ, **_ENVIRONMENT},
            )
        end = time.monotonic() + _START_SECONDS
        while not self._answers():
            code = self._reader.poll()
            if code is not None or time.monotonic() > end:
                got = f"it ended with status {code}" if code is not None else "it does not answer"
                raise GcError(
                    "start a reader on the store",
                    where=self.url,
                    got=f"{got}: {self._last_words()}",
                    remedy="Check the storage settings of the registry; this reader uses them as they are.",
                )
            time.sleep(0.05)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/v2/")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _last_words(self) -> str:
        with open(self.log, encoding="utf-8", errors="replace") as stream:
            return telling(stream.read(), 3)[-600:] or "it printed nothing"

    def collect(self, *flags: str) -> tuple[int, str, Collected]:
        """Run the collector and return exit status, the end of what was no known line, and what it said.

        Raises InterruptedByError when it was killed through `kill` before or while it ran, and GcError when what it
        asked before a deletion could not be answered.
        """
        command = [self.binary, "garbage-collect", self.path, *flags]
        if "--dry-run" in flags:
            return self._collect(command, {})
        if not self._leads_away:
            guard = Guard(self._may_go_on, lambda: self._signal(signal.SIGKILL))
            try:
                done = self._collect(guard.command(command), {}, guard)
            finally:
                guard.close()
                self.asks = guard.held
            if guard.fault and done[0]:
                raise GcError(
                    "answer the collector, which asks before each deletion",
                    where="the engine",
                    got=f"{guard.fault}, so the collector was ended",
                    remedy="It is safe to collect again. Report this as a fault, with the log of the Job.",
                )
            return done
        if has_proxy(os.environ):
            self.asks = False
            return self._collect(command, {})
        relay = Relay(self._may_go_on)
        try:
            return self._collect(command, relay.environment)
        finally:
            relay.close()
            self.asks = True

    def _collect(
        self, command: list[str], environment: dict[str, str], guard: Guard | None = None
    ) -> tuple[int, str, Collected]:
        found = Collected()
        last: collections.deque[str] = collections.deque(maxlen=_LAST_LINES)
        self._may_run.wait()
        with self._start(), self._lock:
            self._refuse_after_kill()
            self._collector = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, **_ENVIRONMENT, **environment},
                pass_fds=(guard.inherited,) if guard else (),
            )
            if guard:
                guard.start()
            # A pause that came in between found nothing to stop.
            if not self._may_run.is_set():
                self._collector.send_signal(signal.SIGSTOP)
        process = self._collector
        stderr = threading.Thread(target=_drain, args=(process.stderr, last), daemon=True)
        stderr.start()
        for line in _lines(t.cast("t.IO[bytes]", process.stdout)):
            if not found.feed(line) and not found.summary and line.strip():
                last.append(line)
        code = process.wait()
        stderr.join()
        with self._lock:
            self._collector = None
            self._refuse_after_kill()
        return code, "".join(last), found

    def _refuse_after_kill(self) -> None:
        if self._killed:
            raise InterruptedByError(
                "collect", where="the collector", got=self._killed, remedy="It is safe to collect again."
            )

    def _may_go_on(self) -> bool:
        """Wait while the collector is paused, and tell whether it may still delete."""
        self._may_run.wait()
        if self._killed:
            return False
        try:
            self.check()
        except GcError:
            return False
        return True

    def pause(self) -> None:
        """Stop the collector where it is, so that it deletes nothing until `go_on`."""
        self._may_run.clear()
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let a paused collector go on."""
        self._may_run.set()
        self._signal(signal.SIGCONT)

    def kill(self, reason: str) -> None:
        """End the collector at once and let no other start."""
        with self._lock:
            self._killed = self._killed or reason
        self._signal(signal.SIGKILL)
        self._may_run.set()

    def _signal(self, number: int) -> None:
        with self._lock:
            if self._collector is not None:
                self._collector.send_signal(number)

    def close(self) -> None:
        """End the reader."""
        if self._reader is not None and self._reader.poll() is None:
            self._reader.terminate()
            try:
                self._reader.wait(10)
            except subprocess.TimeoutExpired:
                self._reader.kill()
                self._reader.wait()


def _lines(stream: t.IO[bytes]) -> Iterator[str]:
    """Yield lines in pieces: who is woken for each of thousands takes the processor from who prints them."""
    rest = b""
    while piece := os.read(stream.fileno(), _PIECE):
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace") + "\n"
        if len(piece) < _PIECE // 2:
            time.sleep(_GATHER_SECONDS)
    if rest:
        yield rest.decode(errors="replace")


def _drain(stream: t.IO[bytes], into: collections.deque[str]) -> None:
    for line in _lines(stream):
        # Each deleted blob is logged; only other lines tell why something failed.
        if "Deleting " not in line:
            into.append(line)
