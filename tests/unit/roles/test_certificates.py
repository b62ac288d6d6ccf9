# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tasks that make an authority and a certificate leave keys nowhere but in memory."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from ansible_collections.homeport.registry.plugins.filter.certificate_check import certificate_check

KEPT = ("__registry_ingress_authority", "__registry_ingress_certificate", "__registry_ingress_key")


def play(path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the tasks as the role does where nothing exists yet; the last task writes what they have made to a file."""
    role = {"name": "homeport.registry.registry_ingress", "public": True}
    made = {name: f"{{{{ {name} }}}}" for name in KEPT}
    tasks = [
        {"ansible.builtin.include_role": {**role, "tasks_from": "authority.yml"}},
        {"ansible.builtin.include_role": {**role, "tasks_from": "certificate.yml"}},
        {"ansible.builtin.debug": {"msg": made}},
    ]

    book = path / "play.yml"
    settings = {
        "ansible_connection": "local",
        "registry_host": "registry.example.com:30443",
        "registry_ingress_tls": "self_signed",
        "registry_ingress_exposure": "node_port",
        "__registry_ingress_found": {"resources": []},
        **variables,
    }
    hosts = {"hosts": "registry", "gather_facts": False, "vars": settings, "tasks": tasks}
    book.write_text(yaml.safe_dump([hosts]), encoding="utf-8")
    environment = {
        **os.environ,
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        # Nothing can be written there: whoever wants a temporary file fails.
        "ANSIBLE_REMOTE_TEMP": "/proc/nowhere",
    }
    command = ["ansible-playbook", "-vvv", "-i", "registry,", str(book)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=path)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    return play(tmp_path_factory.mktemp("play"))


def results(done: subprocess.CompletedProcess[str]) -> list[dict]:
    text = done.stdout[done.stdout.index("\n{") :]
    return [task["hosts"]["registry"] for task in json.loads(text)["plays"][0]["tasks"]]


def test_no_file_is_needed_and_nothing_counts_as_changed(done):
    assert done.returncode == 0, done.stdout + done.stderr
    assert not any(result["changed"] for result in results(done))


def test_what_is_made_is_what_clients_want(done):
    made = results(done)[-1]["msg"]
    authority, leaf = (made[f"__registry_ingress_{name}"]["certificate"] for name in ("authority", "certificate"))
    checked = certificate_check(leaf + authority, made["__registry_ingress_key"]["privatekey"], "registry.example.com")
    assert checked["authority"] == authority
    assert checked["names"] == ["registry.example.com", "registry.registry", "registry.registry.svc"]
    assert checked["days_left"] in (364, 365)
    usage = x509.load_pem_x509_certificate(authority.encode()).extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.key_cert_sign
    assert not usage.value.digital_signature


def test_results_of_the_tasks_are_hidden(done):
    *hidden, shown = results(done)
    assert len(hidden) >= 6
    key = shown["msg"]["__registry_ingress_key"]["privatekey"]
    assert key.startswith("-----BEGIN")
    assert key.splitlines()[1] not in json.dumps(hidden)
    assert "PRIVATE KEY" not in json.dumps(hidden)
    assert "PRIVATE KEY" not in done.stderr


def test_the_interpreter_of_a_local_connection_is_the_one_of_ansible(tmp_path):
    # Where Ansible runs there are the libraries; what discovery finds may lack them.
    assert play(tmp_path, ansible_python_interpreter="/nonexistent").returncode == 0
