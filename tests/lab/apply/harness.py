# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors

"""The ways in which tests reach a cluster: kubectl, the engine, and a real playbook."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.homeport.registry.plugins.module_utils._apply_engine import (
    ARGUMENT_SPEC,
    Engine,
    documents_from,
)
from ansible_collections.homeport.registry.plugins.module_utils._apply_errors import ApplyError

ROOT = Path(__file__).resolve().parents[3]
PLUGINS = Path(__file__).parent / "plugins"


class Kubectl:
    """An independent look at the cluster, and a way to disturb it."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self.program = str(ROOT / ".lab" / "bin" / "kubectl")
        self.kubeconfig = kubeconfig
        self.namespace = namespace

    def __call__(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """Run kubectl in the test's namespace and return what it printed."""
        command = [self.program, f"--kubeconfig={self.kubeconfig}", f"--namespace={self.namespace}", *arguments]
        done = subprocess.run(command, input=stdin, text=True, capture_output=True, check=False, timeout=120)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return an object, None when it does not exist."""
        text = self("get", kind, name, "--output=json", "--ignore-not-found", "--show-managed-fields")
        return json.loads(text) if text.strip() else None

    def apply(self, document: dict[str, Any], manager: str) -> None:
        """Apply an object as another field manager."""
        arguments = ("apply", "--server-side", f"--field-manager={manager}", "--force-conflicts", "--filename=-")
        self(*arguments, stdin=yaml.safe_dump(document))


class Applier:
    """Runs the engine as the action plugin does, with the options of a task."""

    def __init__(self, kubeconfig: Any, namespace: str) -> None:
        self.defaults = {"kubeconfig": kubeconfig, "namespace": namespace, "wait": False}

    def __call__(
        self, *definitions: Any, check_mode: bool = False, diff: bool = False, **options: Any
    ) -> dict[str, Any]:
        """Apply the definitions; raises ApplyError."""
        params = self.params(definitions=list(definitions), **options)
        engine = Engine(params, os.environ, check_mode=check_mode, diff=diff)
        return engine.run(documents_from(params["definitions"]))

    def params(self, **options: Any) -> dict[str, Any]:
        """Return the options of a task as the engine gets them, defaults included."""
        validated = ArgumentSpecValidator(ARGUMENT_SPEC).validate({**self.defaults, **options})
        assert not validated.error_messages
        params: dict[str, Any] = validated.validated_parameters
        return params

    def fails(self, *definitions: Any, **options: Any) -> ApplyError:
        """Return the error that applying the definitions raises."""
        with pytest.raises(ApplyError) as caught:
            self(*definitions, **options)
        return caught.value


class Playbook:
    """Runs one task in a real ``ansible-playbook``."""

    def __init__(self, directory: Path, kubeconfig: Path, namespace: str) -> None:
        self.directory = directory
        self.defaults = {"kubeconfig": str(kubeconfig), "namespace": namespace, "wait": False}
        (directory / "templates").mkdir()

    def template(self, name: str, text: str) -> str:
        """Write a template and return its name."""
        (self.directory / "templates" / name).write_text(text)
        return name

    def __call__(
        self,
        *flags: str,
        keywords: dict[str, Any] | None = None,
        play: dict[str, Any] | None = None,
        environ: dict[str, str] | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """Return the result of the task; its whole output is under ``output``."""
        arguments = {key: value for key, value in {**self.defaults, **options}.items() if value is not None}
        task = {"name": "Apply", "homeport.registry.apply": arguments, **(keywords or {})}
        plays = [{"name": "Test", "hosts": "localhost", "gather_facts": False, "tasks": [task], **(play or {})}]
        book = self.directory / "play.yml"
        book.write_text(yaml.safe_dump(plays, sort_keys=False))
        results = self.directory / "results.jsonl"
        results.unlink(missing_ok=True)
        inventory = self.directory / "hosts.yml"
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        # a connection of another name, so that the task is delegated to the module
        elsewhere = {**local, "ansible_connection": "elsewhere"}
        inventory.write_text(yaml.safe_dump({"all": {"hosts": {"localhost": local, "elsewhere": elsewhere}}}))
        playbook = Path(sys.executable).with_name("ansible-playbook")
        done = subprocess.run(
            [str(playbook), "-i", str(inventory), str(book), *flags],
            text=True,
            capture_output=True,
            check=False,
            timeout=300,
            cwd=self.directory,
            env={
                **os.environ,
                "ANSIBLE_CALLBACK_PLUGINS": str(PLUGINS / "callback"),
                "ANSIBLE_CONNECTION_PLUGINS": str(PLUGINS / "connection"),
                "ANSIBLE_CALLBACKS_ENABLED": "results_file",
                "HOMEPORT_RESULTS": str(results),
                **(environ or {}),
            },
        )
        assert results.is_file(), done.stdout + done.stderr
        result: dict[str, Any] = json.loads(results.read_text().splitlines()[-1])
        result["output"] = done.stdout + done.stderr
        return result
