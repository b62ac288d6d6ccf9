# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Jobs as a controller starts them: ansible-runner in a folder of its own, with what templates and credentials say."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import typing as t
from pathlib import Path

import yaml
from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tests.unit.contract.collection import load
from tools.paths import ROOT

DATA = ROOT / "inventories" / "controller" / "group_vars" / "all"
Document = dict[str, t.Any]


def objects(kind: str) -> dict[str, Document]:
    """Return the objects of a kind by name, such as `controller_templates`."""
    return {item["name"]: item for item in load((DATA / f"{kind}.yml").read_text("utf-8"))[kind]}


@dataclasses.dataclass(frozen=True)
class Job:
    """What is left of a job.

    folder: all that a controller would keep of it. report: tasks that changed something. artifacts: for the next job.
    """

    folder: Path
    status: str
    output: str
    changed: list[str]
    artifacts: Document

    def text(self) -> str:
        """Return everything that was kept: the output, the events, and facts."""
        return "\n".join(
            path.read_text("utf-8", "replace") for path in sorted(self.folder.rglob("*")) if path.is_file()
        )


class Credential:
    """What a credential of one of our types gives to a job, rendered as the controller renders it."""

    def __init__(self, kind: str, **inputs: str) -> None:
        """Take the name of the type and the values of its fields."""
        self.injectors = objects("controller_credential_types")[kind]["injectors"]
        self.inputs = inputs

    def inject(self, folder: Path) -> tuple[dict[str, str], Document]:
        """Write the files into the folder and return environment and extra variables."""
        names: dict[str, str] = {}
        for number, (key, text) in enumerate(self.injectors.get("file", {}).items()):
            path = folder / f"credential-{number}"
            path.write_text(self._render(text), encoding="utf-8")
            path.chmod(0o600)
            names[key.partition(".")[2]] = str(path)
        more = {"tower": {"filename": names}}
        env = {name: self._render(text, **more) for name, text in self.injectors.get("env", {}).items()}
        return env, self._nested(self.injectors.get("extra_vars", {}), more)

    def _render(self, text: str, **more: t.Any) -> str:
        return ImmutableSandboxedEnvironment(undefined=StrictUndefined).from_string(text).render(**self.inputs, **more)

    def _nested(self, node: t.Any, more: Document) -> t.Any:
        if isinstance(node, dict):
            return {key: self._nested(value, more) for key, value in node.items()}
        if isinstance(node, list):
            return [self._nested(value, more) for value in node]
        return self._render(node, **more)


class Controller:
    """Starts jobs from our templates, with one inventory and some credentials."""

    def __init__(self, scratch: Path, hosts: Document, *credentials: Credential) -> None:
        """Take a folder for everything, the variables of each host of group registries, and the credentials."""
        self.scratch = scratch
        self.hosts = hosts
        self.credentials = credentials
        # Variables of the inventory itself, and its other groups.
        self.variables: Document = {}
        self.groups: Document = {}
        self.count = 0

    def launch(
        self, template: str, artifacts: Document | None = None, survey: Document | None = None, check: bool = False
    ) -> Job:
        """Run a template with these answers, and what the job before has left, and return what is left of it."""
        folder, playbook = self._prepare(template, artifacts, survey, check)
        with self._start(folder, playbook) as process:
            try:
                process.wait(timeout=900)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return what_is_left(folder)

    def begin(self, template: str, artifacts: Document | None = None) -> tuple[Path, subprocess.Popen[bytes]]:
        """Begin a job; return its folder and the process with whose end by SIGKILL all others of it end too."""
        folder, playbook = self._prepare(template, artifacts)
        return folder, self._start(folder, playbook, "unshare", "--pid", "--mount-proc", "--kill-child")

    def _prepare(
        self, template: str, artifacts: Document | None = None, survey: Document | None = None, check: bool = False
    ) -> tuple[Path, str]:
        """Write what a job gets into a folder of its own; return that and the playbook."""
        self.count += 1
        folder = self.scratch / f"{self.count}-{template}"
        for name in ("env", "inventory", "project"):
            (folder / name).mkdir(parents=True)
        shutil.copytree(ROOT / "playbooks", folder / "project" / "playbooks")
        inventory = {"all": {"vars": self.variables}, "registries": {"hosts": self.hosts}, **self.groups}
        (folder / "inventory" / "hosts.yml").write_text(yaml.safe_dump(inventory), encoding="utf-8")
        spec = objects("controller_templates")[template]
        questions = spec["survey_spec"]["spec"]
        answers = {one["variable"]: one["default"] for one in questions if "default" in one} | (survey or {})
        assert set(answers) <= {one["variable"] for one in questions}
        environment: Document = {}
        command = ["--check"] if check else []
        for number, credential in enumerate(self.credentials):
            env, variables = credential.inject(folder / "env")
            environment |= env
            if variables:
                path = folder / "env" / f"variables-{number}.json"
                # As the controller does, so that braces in a password are no template.
                path.write_text(json.dumps(unsafe(variables)), encoding="utf-8")
                command += ["-e", f"@{path}"]
        # What a controller tells every job about itself.
        extra = {"awx_job_id": self.count, "awx_inventory_name": "test"} | answers | (artifacts or {})
        (folder / "env" / "envvars").write_text(json.dumps(environment), encoding="utf-8")
        (folder / "env" / "extravars").write_text(json.dumps(extra), encoding="utf-8")
        (folder / "env" / "cmdline").write_text(" ".join(command), encoding="utf-8")
        return folder, spec["playbook"]

    def _start(self, folder: Path, playbook: str, *around: str) -> subprocess.Popen[bytes]:
        home = folder / "home"
        home.mkdir()
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "ANSIBLE_COLLECTIONS_PATH": os.environ["HOMEPORT_TREE"],
        }
        line = ["ansible-runner", "run", str(folder), "--playbook", playbook, "--ident", "job", "--quiet"]
        return subprocess.Popen(
            [*around, *line], env=env, cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )


def noted(folder: Path) -> list[Path]:
    """Return the files in which ansible-runner has noted the events of a job in this folder so far, in no order."""
    # Others are still being written.
    return [path for path in (folder / "artifacts/job/job_events").glob("*.json") if "partial" not in path.name]


def events_of(folder: Path) -> list[Document]:
    """Return these events in order."""
    paths = sorted(noted(folder), key=lambda path: int(path.name.partition("-")[0]))
    return [json.loads(path.read_text("utf-8")) for path in paths]


def what_is_left(folder: Path) -> Job:
    """Return what a job that has ended has left."""
    kept, events = folder / "artifacts" / "job", events_of(folder)
    stats = [event["event_data"] for event in events if event["event"] == "playbook_on_stats"]
    changed = [
        event["event_data"]["task"]
        for event in events
        if event["event"] == "runner_on_ok" and event["event_data"]["res"].get("changed")
    ]
    artifacts = stats[0].get("artifact_data", {}) if stats else {}
    output = (kept / "stdout").read_text("utf-8")
    return Job(kept, (kept / "status").read_text("utf-8"), output, changed, artifacts)


def unsafe(value: t.Any) -> t.Any:
    """Return a value whose texts Ansible does not take for templates."""
    if isinstance(value, dict):
        return {key: unsafe(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [unsafe(inner) for inner in value]
    return {"__ansible_unsafe": value} if isinstance(value, str) and "{" in value else value
