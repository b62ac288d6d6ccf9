# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What these tests know beside the common fixtures: what was written on the way, and the nodes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import testinfra
from testinfra.host import Host

from tests.verify.cluster import Cluster
from tests.verify.fixtures import ROOT
from tests.verify.playbooks import Playbooks

NODES = ("homeport-control-plane", "homeport-worker")
FIRST, SECOND = "registry.molecule.test", "second.molecule.test"
# For what the second registry would not show anything new about.
WITHOUT_SECOND = f"--limit=all:!{SECOND}"
FOLDER = Path(os.environ.get("MOLECULE_EPHEMERAL_DIRECTORY", "."))


def report_of(host: str) -> dict[str, t.Any]:
    """Return the last report of a registry."""
    found: dict[str, t.Any] = json.loads((FOLDER / f"{host}.json").read_text())
    return found


@pytest.fixture(scope="session")
def report() -> dict[str, t.Any]:
    """Return the report of the installation."""
    return report_of(FIRST)


@pytest.fixture(params=NODES)
def node(request: pytest.FixtureRequest, cluster: Cluster) -> Host:
    """Return each node, which in the lab is a container."""
    return testinfra.get_host(f"docker://{request.param}")


@pytest.fixture(scope="module")
def nodes(cluster: Cluster) -> list[Host]:
    """Return all nodes."""
    return [testinfra.get_host(f"docker://{name}") for name in NODES]


class Sealed(Playbooks):
    """Runs playbooks where nobody but the cluster and its registry can be reached."""

    def __init__(self, cluster: Cluster, *inventories: str) -> None:
        """Take the cluster, and the paths of what the inventory is made of."""
        super().__init__(*inventories)
        expression = "items[].status.addresses[] | [?type=='InternalIP'].address | [0]"
        self.address = f"{cluster.find(expression, 'nodes')}:30743"
        server = cluster.kubectl("config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}")
        places = ("registry.molecule.test:30743", "second.molecule.test:30744")
        self.allow = [server.partition("://")[2], *(f"{place}={self.address.partition(':')[0]}" for place in places)]

    def attempt(
        self, name: str, *options: str, callback: str = "ansible.posix.json", **variables: t.Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a playbook with these variables; nobody may be called."""
        line = self.line(name, *options, **variables)
        # molecule asks for colors, and for failures beside the output.
        environment = {
            "ANSIBLE_STDOUT_CALLBACK": callback,
            "ANSIBLE_FORCE_COLOR": "0",
            "ANSIBLE_DISPLAY_FAILED_STDERR": "0",
            "ANSIBLE_SHOW_CUSTOM_STATS": "1",
        }
        arguments = json.dumps({"argv": line, "allow": self.allow, "environment": environment})
        program = os.path.join(os.path.dirname(sys.executable), "ansible")
        done = subprocess.run(
            [program, "localhost", "-m", "homeport.registry.egress_watch", "-a", arguments],
            env={**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json", "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
        assert done.stdout.startswith("{"), done.stdout + done.stderr
        result = json.loads(done.stdout)["plays"][0]["tasks"][0]["hosts"]["localhost"]
        assert (result.get("verdict"), result.get("events")) == ("silent", []), result
        return subprocess.CompletedProcess(line, result["rc"], result["stdout"], result["stderr"])


@pytest.fixture(scope="session")
def airgap(cluster: Cluster) -> Sealed:
    """Return a runner of the collection's playbooks with the inventory of this situation."""
    return Sealed(cluster, *(str(ROOT / "molecule" / folder / "inventory") for folder in ("resources", "airgap")))
