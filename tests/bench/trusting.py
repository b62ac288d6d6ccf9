# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make one node trust a registry again, when nothing has changed, beside ten copy tasks that change nothing either."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lab import layout
from tests.bench.clock import Say, interleave, summary, timed
from tests.bench.release import PLAYBOOK
from tests.lab.modules.authority import Authority
from tests.lab.modules.distribution import Distribution

OURS = "nodes"
FLOOR = "empty"
COPIES = "copies"
PIPED = "copies, pipelined"
NODE = layout.WORKER
HOST = "bench.registry.test"
TASKS = 10

TITLES = {
    FLOOR: "a playbook without tasks",
    OURS: "**`homeport.registry.nodes`**",
    COPIES: f"{TASKS} `copy` tasks",
    PIPED: f"{TASKS} `copy` tasks, pipelining on",
}


class TrustBench:
    """One node of the lab and a registry on this machine."""

    def __init__(self, folder: Path, say: Say) -> None:
        self.folder, self.say = folder, say
        folder.mkdir(parents=True, exist_ok=True)
        self.env = dict(os.environ)

    def run(self, rounds: int) -> dict[str, Any]:
        """Measure; leave the node as it was; return the results for JSON."""
        authority = Authority(self._fresh("authority"))
        server = Distribution(
            str(layout.BIN / "registry"),
            self._fresh("server") / "registry",
            store=self._fresh("store"),
            tls=authority.issue(HOST),
            listen="0.0.0.0",
        )
        server.start()
        try:
            self._write_inventory(f"{HOST}:{server.port}", authority)
            commands = {
                FLOOR: self._tasks("empty", 0),
                OURS: self._line("homeport.registry.nodes"),
                COPIES: self._tasks("copies", TASKS),
                PIPED: self._tasks("copies", TASKS),
            }
            for command in commands.values():
                self._timed(command, {})
            self.say(f"no change, {rounds} rounds")
            extra = {PIPED: {"ANSIBLE_PIPELINING": "1"}}
            contenders = {
                name: lambda _number, name=name: self._timed(commands[name], extra.get(name, {})) for name in commands
            }
            samples = interleave(rounds, contenders, self.say)
            return {"titles": TITLES, "no-op": {name: summary(found) for name, found in samples.items()}}
        finally:
            self._forget()
            server.stop()

    def _fresh(self, name: str) -> Path:
        path = self.folder / name
        subprocess.run(["rm", "-rf", str(path)], check=True)
        path.mkdir()
        return path

    def _timed(self, command: list[str], more: Mapping[str, str]) -> Any:
        return timed([command], {**self.env, **more}, self.folder / "last.log")

    def _line(self, book: str, *options: str) -> list[str]:
        return [PLAYBOOK, "--inventory", str(self.folder / "inventory.yml"), book, *options]

    def _write_inventory(self, name: str, authority: Authority) -> None:
        gateway = "{{range .IPAM.Config}}{{.Gateway}} {{end}}"
        inspect = ["docker", "network", "inspect", "kind", "--format", gateway]
        found = subprocess.run(inspect, env=self.env, check=True, capture_output=True, text=True).stdout.split()
        address = next(one for one in found if "." in one)
        variables = {
            "ansible_connection": "community.docker.docker",
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_become": False,
            "registry_node_trust_registries": [
                {"name": name, "address": address, "ca_certificates": [authority.ca_file.read_text(encoding="utf-8")]}
            ],
        }
        inventory = {"nodes": {"hosts": {NODE: variables}}}
        (self.folder / "inventory.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")

    def _tasks(self, name: str, count: int) -> list[str]:
        tasks = [
            {
                "name": f"Copy file {number}",
                "ansible.builtin.copy": {"content": f"{number}\n", "dest": f"/tmp/bench-{number}", "mode": "0644"},
            }
            for number in range(count)
        ]
        play = {"name": name, "hosts": "nodes", "gather_facts": False, "tasks": tasks}
        book = self.folder / f"{name}.yml"
        book.write_text(yaml.safe_dump([play]), encoding="utf-8")
        return self._line(str(book))

    def _forget(self) -> None:
        absent = json.dumps({"registry_node_trust_state": "absent"})
        subprocess.run(
            self._line("homeport.registry.nodes", "-e", absent), env=self.env, check=True, capture_output=True
        )
        files = [f"/tmp/bench-{number}" for number in range(TASKS)]
        subprocess.run(["docker", "exec", NODE, "rm", "-f", *files], env=self.env, check=True)


def aims(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a repeated run on a node should reach, and what it reached, as ratios of medians.

    The second one compares the tasks alone: what Ansible takes in the same rounds before the first task goes off both.
    """
    median = {name: found["median"] for name, found in results["no-op"].items()}
    ours, copies, floor = median[OURS], median[COPIES], median[FLOOR]
    aim = f"a repeated run is 10 times as fast as {TASKS} copy tasks"
    return [
        {"aim": aim, "wanted": 10.0, "ratio": copies / ours},
        {"aim": f"{aim}, tasks alone", "wanted": 10.0, "ratio": (copies - floor) / (ours - floor)},
    ]
