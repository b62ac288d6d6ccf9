# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our side of the comparison: the site playbook in a namespace of its own, and the objects that it applies."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.lab.apply.relay import Relay
from tools.paths import ROOT

PLAYBOOK = str(Path(sys.executable).with_name("ansible-playbook"))
RECORD_LABEL = "registry.homeport.dev/record"


class Site:
    """The playbook `site` with the inventory of the lab, in another namespace."""

    def __init__(self, folder: Path, namespace: str, **variables: Any) -> None:
        self.folder = folder
        self.namespace = namespace
        self.variables = variables
        self.inventory = folder / "inventory"
        if not self.inventory.exists():
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copytree(ROOT / "inventories" / "lab", self.inventory)

    def command(self, label: str, kubeconfig: str | None = None) -> list[str]:
        """Return the command line; `label` ends up on the namespace."""
        variables = {
            "registry_namespace": self.namespace,
            "registry_namespace_labels": {"bench": label},
            "registry_kubeconfig": kubeconfig or os.environ["KUBECONFIG"],
            **self.variables,
        }
        start = [PLAYBOOK, "--inventory", str(self.inventory)]
        return [*start, "homeport.registry.site", "--extra-vars", json.dumps(variables)]

    def empty(self) -> list[str]:
        """Return the command line of a playbook without a task."""
        book = self.folder / "empty.yml"
        play = {"name": "Nothing", "hosts": "registries", "gather_facts": False, "connection": "local", "tasks": []}
        book.write_text(yaml.safe_dump([play]), encoding="utf-8")
        return self.playbook(str(book))

    def playbook(self, *arguments: str) -> list[str]:
        """Return the start of a command line with the same inventory."""
        return [PLAYBOOK, "--inventory", str(self.inventory), *arguments]


def _run(command: Sequence[str], env: dict[str, str]) -> None:
    done = subprocess.run(
        command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        words = (done.stdout + done.stderr)[-3000:]
        raise RuntimeError(f"{' '.join(command)} ended with exit code {done.returncode}:\n{words}")


def through_relay(command: Sequence[str], env: dict[str, str], relay: Relay, folder: Path) -> list[Any]:
    """Run a command whose KUBECONFIG leads through the relay; return the requests that it sent."""
    path = relay_kubeconfig(relay, folder)
    before = len(relay.seen)
    _run(command, {**env, "KUBECONFIG": str(path), "K8S_AUTH_KUBECONFIG": str(path)})
    return relay.seen[before:]


def relay_kubeconfig(relay: Relay, folder: Path) -> Path:
    """Write a kubeconfig that leads through the relay."""
    path = folder / "relay.kubeconfig"
    path.write_text(yaml.safe_dump(relay.kubeconfig()), encoding="utf-8")
    return path


def applied_objects(seen: Sequence[Any]) -> list[dict[str, Any]]:
    """Return what was applied in an order that works for one after the other.

    The inventory records are left out: they are the tool's own notes.
    """
    objects = [json.loads(json.dumps(request.body)) for request in seen if request.method == "PATCH"]
    objects = [item for item in objects if RECORD_LABEL not in item["metadata"].get("labels", {})]
    return sorted(objects, key=lambda item: (item["kind"] != "Namespace", item["kind"] == "Deployment"))
