# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's playbooks, run the way a user runs them."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import typing as t

import jmespath


@dataclasses.dataclass(frozen=True)
class Run:
    """What one run of a playbook said."""

    report: dict[str, t.Any]
    output: str

    @property
    def changed(self) -> list[str]:
        """Return the names of the tasks that changed something or, in check mode, would have."""
        return jmespath.search("plays[].tasks[?hosts.*.changed | contains(@, `true`)].task.name[]", self.report) or []

    def result(self, task: str) -> dict[str, t.Any]:
        """Return the first host's result of a task."""
        found = jmespath.search(f"plays[].tasks[?ends_with(task.name, ': {task}')][].hosts.* | [] | [0]", self.report)
        assert found, f"no task {task!r} in {self.output}"
        return t.cast("dict[str, t.Any]", found)


class Playbooks:
    """Runs playbooks against an inventory."""

    def __init__(self, *inventories: str) -> None:
        """Take the paths of what the inventory is made of."""
        self.inventories = inventories

    def attempt(
        self, name: str, *options: str, callback: str = "ansible.posix.json", **variables: t.Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a playbook of the collection with these variables and let the callback print."""
        shown = {"ANSIBLE_STDOUT_CALLBACK": callback, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_SHOW_CUSTOM_STATS": "1"}
        env = {**os.environ, **shown}
        line = self.line(name, *options, **variables)
        return subprocess.run(line, env=env, capture_output=True, text=True, check=False, timeout=300)

    def line(self, name: str, *options: str, **variables: t.Any) -> list[str]:
        """Return the command that runs a playbook of the collection with these variables."""
        inventories = (f"--inventory={path}" for path in self.inventories)
        extra = ["-e", json.dumps(variables)] if variables else []
        return ["ansible-playbook", f"homeport.registry.{name}", *inventories, *options, *extra]

    def run(self, name: str, *options: str, **variables: t.Any) -> Run:
        """Run a playbook of the collection with these variables. Raises AssertionError when it fails."""
        done = self.attempt(name, *options, **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        return Run(json.loads(done.stdout), done.stdout)
