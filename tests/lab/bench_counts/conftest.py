# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors

"""A second run of the site playbook in a namespace of its own, with everything that it did."""

from __future__ import annotations

import json
import os
import secrets
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab.apply.relay import Relay, Seen
from tools.paths import ROOT

PLUGINS = Path(__file__).parent / "plugins" / "callback"
KUBECTL = str(ROOT / ".lab" / "bin" / "kubectl")


@dataclass(frozen=True)
class Run:
    """One run: tasks as started, results, API requests, modules run, and the objects before and after."""

    tasks: list[str]
    results: list[dict[str, Any]]
    requests: list[Seen]
    modules: int
    before: dict[str, dict[str, Any]]
    after: dict[str, dict[str, Any]]

    @property
    def applies(self) -> list[dict[str, Any]]:
        """Return the results of the apply tasks."""
        return [entry["result"] for entry in self.results if entry["action"] == "homeport.registry.apply"]


class Interpreter:
    """A Python for modules that counts how often one is run."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "modules"
        self.path = folder / "python"
        self.path.write_text(f'#!/bin/sh\necho module >> "{self._log}"\nexec "{sys.executable}" "$@"\n')
        self.path.chmod(self.path.stat().st_mode | stat.S_IXUSR)

    @property
    def count(self) -> int:
        """Return the number of runs so far."""
        return len(self._log.read_text().splitlines()) if self._log.exists() else 0


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> Interpreter:
    """Return the counting interpreter."""
    return Interpreter(tmp_path_factory.mktemp("interpreter"))


def play(arguments: list[str], log: Path) -> list[dict[str, Any]]:
    """Run ansible-playbook and return what the callback plugin wrote."""
    log.unlink(missing_ok=True)
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
        env={
            **os.environ,
            "ANSIBLE_CALLBACK_PLUGINS": str(PLUGINS),
            "ANSIBLE_CALLBACKS_ENABLED": "task_log",
            "HOMEPORT_TASK_LOG": str(log),
        },
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in log.read_text().splitlines()]


@pytest.fixture(scope="module")
def repeated(tmp_path_factory: pytest.TempPathFactory, kubeconfig: Path, interpreter: Interpreter) -> Iterator[Run]:
    """Yield the second run."""
    folder = tmp_path_factory.mktemp("site")
    namespace = f"bench-counts-{secrets.token_hex(4)}"
    kubectl = [KUBECTL, f"--kubeconfig={kubeconfig}"]
    relay = Relay(kubeconfig)
    relayed = folder / "kubeconfig"
    relayed.write_text(yaml.safe_dump(relay.kubeconfig()))
    variables = {
        "registry_namespace": namespace,
        "registry_kubeconfig": str(relayed),
        "registry_server_replicas": 1,
        "ansible_python_interpreter": str(interpreter.path),
    }
    inventory = str(ROOT / "inventories" / "lab")
    site = ["--inventory", inventory, "homeport.registry.site", "--extra-vars", json.dumps(variables)]

    def objects(paths: list[str]) -> dict[str, dict[str, Any]]:
        found = {}
        for path in paths:
            done = subprocess.run([*kubectl, "get", "--raw", path], capture_output=True, text=True, check=True)
            found[path] = json.loads(done.stdout)
        return found

    try:
        play(site, folder / "first.jsonl")
        paths = sorted({seen.path for seen in relay.seen if seen.method == "PATCH"})
        before = objects(paths)
        relay.seen.clear()
        modules = interpreter.count
        events = play(site, folder / "second.jsonl")
        requests = list(relay.seen)
        yield Run(
            [event["name"] for event in events if event["event"] == "start"],
            [event for event in events if event["event"] == "ok"],
            requests,
            interpreter.count - modules,
            before,
            objects(paths),
        )
    finally:
        relay.close()
        subprocess.run([*kubectl, "delete", "namespace", namespace, "--ignore-not-found", "--wait=false"], check=True)
