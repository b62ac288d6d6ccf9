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
        found = jmespath.search(f"plays[].tasks[?task.name=='{task}'][].hosts.* | [] | [0]", self.report)
        assert found, f"no task {task!r} in {self.output}"
        return t.cast("dict[str, t.Any]", found)


class Playbooks:
    """Runs playbooks against one inventory."""

    def __init__(self, inventory: str) -> None:
        """Take the path of an inventory."""
        self.inventory = inventory

    def attempt(self, name: str, *options: str, **variables: t.Any) -> tuple[int, str]:
        """Run a playbook of the collection; return its exit code and what it printed."""
        env = {**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json", "ANSIBLE_NOCOLOR": "1"}
        line = ["ansible-playbook", f"homeport.registry.{name}", "-i", self.inventory, *options]
        if variables:
            line += ["-e", json.dumps(variables)]
        done = subprocess.run(line, env=env, capture_output=True, text=True, check=False, timeout=300)
        return done.returncode, done.stdout if done.stdout.lstrip().startswith("{") else done.stdout + done.stderr

    def run(self, name: str, *options: str, **variables: t.Any) -> Run:
        """Run a playbook of the collection with these variables. Raises AssertionError when it fails."""
        code, output = self.attempt(name, *options, **variables)
        assert code == 0, output
        return Run(json.loads(output), output)
