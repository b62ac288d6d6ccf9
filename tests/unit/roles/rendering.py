# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role's template becomes, by a real ansible-playbook with the defaults of the role."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.unit.contract.collection import installed

ROLES = installed() / "roles"


def render(folder: Path, role: str, template: str, variables: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the objects that the template renders to, with these variables beside the defaults."""
    names = ("registry", "registry_auth", "registry_storage", role)
    folders = [ROLES / name / part for name in names for part in ("defaults", "vars")]
    files = [str(path) for place in folders for path in place.rglob("*.yml")]
    given: dict[str, Any] = {
        "registry_auth_users": [{"name": "ci", "role": "writer"}],
        "live": dict.fromkeys(("Lease/registry-exclusive", "Deployment/registry-writer")),
        "registry_host": "r.test",
        "ansible_python_interpreter": sys.executable,
        "role_path": str(ROLES / role),
        "source": str(ROLES / role / "templates" / template),
        **variables,
    }
    rendered = "{{ lookup('ansible.builtin.template', source) }}"
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars_files": files,
        "tasks": [{"ansible.builtin.copy": {"content": rendered, "dest": str(folder / "out.yml"), "mode": "0600"}}],
    }
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    command = ["ansible-playbook", "-i", "localhost,", "-e", json.dumps(given), "play.yml"]
    environ = {**os.environ, "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    text = (folder / "out.yml").read_text(encoding="utf-8")
    return [document for document in yaml.safe_load_all(text) if document]
