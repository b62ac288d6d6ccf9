# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers stay numbers in what is sent, also on releases of ansible-core whose variables turn them into texts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.contract.collection import installed

ROLES = installed() / "roles"
NUMBERS = re.compile(r"(Seconds|Threshold|Limit|replicas|[pP]ort|containerPort|nodePort|runAsUser|runAsGroup|fsGroup)$")
# A probe's port may be the name of one.
NAMED = {"httpGet", "tcpSocket"}
CASES = {
    "registry_server": ("server.yml.j2", {}),
    "registry_gc": ("collector.yml.j2", {}),
    "registry_cache": ("cache.yml.j2", {"registry_cache_upstream": "https://registry.example.org"}),
}


def texts(value: Any, parent: str = "") -> Iterator[str]:
    """Yield the fields that should hold a number and hold a text."""
    if isinstance(value, dict):
        for key, item in value.items():
            named = key == "targetPort" or (key == "port" and parent in NAMED)
            if isinstance(item, str) and NUMBERS.search(key) and not named:
                yield f"{parent}.{key}: {item!r}"
            yield from texts(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item, parent)


@pytest.mark.parametrize("role", CASES)
def test_numbers_are_numbers(tmp_path: Path, role: str) -> None:
    template, variables = CASES[role]
    names = ("registry", "registry_auth", "registry_storage", role)
    folders = [ROLES / name / part for name in names for part in ("defaults", "vars")]
    files = [str(path) for folder in folders for path in folder.rglob("*.yml")]
    live = dict.fromkeys(("Lease/registry-exclusive", "Deployment/registry-writer"))
    given: dict[str, Any] = {
        "registry_auth_users": [{"name": "ci", "role": "writer"}],
        "live": live,
        "registry_host": "r.test",
    }
    rendered = "{{ lookup('ansible.builtin.template', source) }}"
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars_files": files,
        "tasks": [{"ansible.builtin.copy": {"content": rendered, "dest": str(tmp_path / "out.yml"), "mode": "0600"}}],
    }
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    given["ansible_python_interpreter"] = sys.executable
    given["role_path"] = str(ROLES / role)
    extra = {**given, **variables, "source": str(ROLES / role / "templates" / template)}
    environ = {**os.environ, "ANSIBLE_NOCOLOR": "1"}
    command = ["ansible-playbook", "-i", "localhost,", "-e", json.dumps(extra), "play.yml"]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    text = (tmp_path / "out.yml").read_text(encoding="utf-8")
    documents = [document for document in yaml.safe_load_all(text) if document]
    assert len(documents) > 3
    assert list(texts(documents)) == []
