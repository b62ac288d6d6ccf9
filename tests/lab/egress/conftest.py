# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module as a process of its own, since it seals the process that it runs in."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from ansible_collections.homeport.registry.plugins.modules import egress_watch
from tools.venv import ensure_program

# Where the module keeps its temporary files: tests beside these have some of the same name in the usual place.
TEMPORARY = Path(tempfile.gettempdir(), f"egress-{os.getpid()}")
RUNNER = Path(__file__).parents[1] / "nodes" / "run_module.py"
Result = dict[str, t.Any]


def command(*before: str) -> list[str]:
    """Return the command that runs the module."""
    return [*before, sys.executable, str(RUNNER), "egress_watch"]


def environment() -> dict[str, str]:
    """Return the environment in which it finds the collection."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "TMPDIR": str(TEMPORARY)}


def arguments(*argv: str, **options: t.Any) -> bytes:
    """Return what the module reads."""
    return json.dumps({"argv": argv, **options, "_ansible_remote_tmp": "/tmp"}).encode()


@pytest.fixture(scope="session", autouse=True)
def _iproute2() -> Iterator[None]:
    ensure_program("ip", "iproute2")
    TEMPORARY.mkdir()
    yield
    shutil.rmtree(TEMPORARY)


@pytest.fixture
def watch() -> Callable[..., Result]:
    """Return a function that runs the module on a command and returns its result, compared with RETURN."""

    def watch(*argv: str, before: t.Sequence[str] = (), **options: t.Any) -> Result:
        done = subprocess.run(
            command(*before), input=arguments(*argv, **options), capture_output=True, env=environment(), check=False
        )
        assert done.stdout, done.stderr.decode()
        result: Result = json.loads(done.stdout)
        documented = set(yaml.safe_load(egress_watch.RETURN))
        if not result.get("failed"):
            assert set(result) - {"changed", "invocation"} == documented
        return result

    return watch


@pytest.fixture
def running() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Return a function that starts the module on a command and does not wait."""
    started = []

    def start(*argv: str, **options: t.Any) -> subprocess.Popen[bytes]:
        # What a shell has put in the background ignores SIGINT, and so would whatever it starts.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            process = subprocess.Popen(command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment())
        finally:
            signal.signal(signal.SIGINT, before)
        started.append(process)
        assert process.stdin
        process.stdin.write(arguments(*argv, **options))
        process.stdin.close()
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
