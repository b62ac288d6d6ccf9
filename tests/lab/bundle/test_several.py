# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several registries that are installed from one bundle: what is refused for one is done for none."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.unit.bundle.writer import Key, Writer
from tools.paths import ROOT

IMAGES = {f"registry_{name}image": f"docker.io/library/{name or 'registry_'}one:1" for name in ("", "gate_", "engine_")}
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def namespaces(kubeconfig: Path) -> Iterator[list[str]]:
    """Namespaces of the two registries, which are gone afterwards."""
    word = secrets.token_hex(4)
    names = [f"several-{word}-{number}" for number in (1, 2)]
    yield names
    line = [str(ROOT / ".lab/bin/kubectl"), f"--kubeconfig={kubeconfig}", "delete", "namespace", "--ignore-not-found"]
    subprocess.run([*line, "--wait=false", *names], check=True, timeout=60)


@pytest.fixture
def install(kubeconfig: Path, namespaces: list[str], tmp_path: Path) -> Run:
    """Return a function that installs both, the second with some variables of its own."""
    key, writer = Key(), Writer()
    for number, name in enumerate(IMAGES.values()):
        writer.image(name, writer.manifest(b"layer %d" % number))
    common = {
        **IMAGES,
        "ansible_connection": "local",
        "registry_kubeconfig": str(kubeconfig),
        "registry_auth_anonymous_pull": True,
        "registry_auth_users": [{"name": "ci", "role": "writer"}],
        "registry_airgap_bundle": [str(path) for path in writer.write(tmp_path / "bundle", key)],
        "registry_airgap_trusted_keys": [key.public],
        "registry_airgap_platforms": ["linux/amd64"],
    }

    def install(**second: t.Any) -> subprocess.CompletedProcess[str]:
        hosts = [{"registry_namespace": name, "registry_host": f"{name}.example.com"} for name in namespaces]
        hosts[1] |= second
        groups = {
            "registries": {"hosts": dict(zip(("one", "two"), hosts, strict=True))},
            "nodes": {"hosts": {"node": {}}},
        }
        (tmp_path / "hosts.yml").write_text(yaml.safe_dump({**groups, "all": {"vars": common}}))
        line = ["ansible-playbook", "-i", str(tmp_path / "hosts.yml"), "homeport.registry.airgap_install"]
        # Nodes are not what this is about; that there are some is.
        return subprocess.run(
            [*line, "--limit", "registries"],
            env={**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json", "ANSIBLE_NOCOLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    return install


def failed(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Return the message of each host's failed task."""
    tasks = [task for play in json.loads(done.stdout)["plays"] for task in play["tasks"]]
    return {
        host: result.get("msg", str(result))
        for task in tasks
        for host, result in task["hosts"].items()
        if result.get("failed")
    }


def there(kubeconfig: Path) -> set[str]:
    """Return the namespaces of the cluster."""
    line = [str(ROOT / ".lab/bin/kubectl"), f"--kubeconfig={kubeconfig}", "get", "namespaces", "-o", "name"]
    shown = subprocess.run(line, capture_output=True, text=True, check=True, timeout=60)
    return {name.partition("/")[2] for name in shown.stdout.split()}


def test_two_that_nodes_would_be_led_to_are_refused(install: Run, namespaces: list[str], kubeconfig: Path) -> None:
    done = install()
    assert done.returncode != 0
    messages = failed(done)
    assert set(messages) == {"one", "two"}
    assert "Nodes would be led to" in messages["one"]
    assert there(kubeconfig) & set(namespaces) == set()


def test_one_that_fails_in_site_ends_it_for_the_other(install: Run, namespaces: list[str], kubeconfig: Path) -> None:
    """Before that nobody looks at the labels of the namespace."""
    done = install(registry_airgap_mirrors=False, registry_namespace_labels="nonsense")
    assert done.returncode != 0
    assert set(failed(done)) == {"two"}
    assert there(kubeconfig) & set(namespaces) == set()
