# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration playbook with the real modules of awx.awx, against what answers as a controller does."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import typing as t
from collections.abc import Iterator

import jmespath
import pytest

from tests.lab.controller.api import HIDDEN, Controller, serve
from tests.lab.controller.job import objects
from tools.paths import ROOT

TOKEN = "a-token-that-nobody-may-see"
AIRGAP = ("build", "install", "update", "verify")
SECRET = "apiVersion: v1\nkind: Config\nusers: [{name: x, user: {token: '{{ not a template }}'}}]\n"


class Runner:
    """Runs the playbook against the server."""

    def __init__(self, controller: Controller, url: str) -> None:
        self.controller = controller
        self.url = url

    def attempt(self, *options: str, **variables: t.Any) -> subprocess.CompletedProcess[str]:
        """Run the playbook and forget the requests of before."""
        self.controller.requests.clear()
        secrets = {"homeport_kubeconfig": {"__ansible_unsafe": SECRET}, "homeport_machine_key": "a-key-of-machines"}
        secrets |= {"homeport_bundle_key": "a-key-that-signs", "homeport_bundle_public_key": "ssh-ed25519 AAAA"}
        given = {"aap_hostname": self.url, "aap_token": TOKEN, "aap_validate_certs": False, **secrets, **variables}
        env = {
            **os.environ,
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_NOCOLOR": "1",
        }
        line = [
            "ansible-playbook",
            "-i",
            str(ROOT / "inventories" / "controller"),
            "homeport.registry.controller_config",
        ]
        return subprocess.run(
            [*line, "-e", json.dumps(given), *options],
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )

    def run(self, *options: str, **variables: t.Any) -> t.Any:
        """Run the playbook, which has to succeed, and return its report."""
        done = self.attempt(*options, **variables)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr
        assert TOKEN not in done.stdout + done.stderr
        assert "a-key-of-machines" not in done.stdout + done.stderr
        assert "not a template" not in done.stdout + done.stderr
        return json.loads(done.stdout)


def changed(report: t.Any) -> list[str]:
    """Return the names of the tasks that changed something or would have."""
    return jmespath.search("plays[].tasks[?hosts.*.changed | contains(@, `true`)].task.name[]", report) or []


@pytest.fixture
def runner() -> Iterator[Runner]:
    controller = Controller(TOKEN)
    server = serve(controller)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Runner(controller, f"http://127.0.0.1:{server.server_address[1]}")
    server.shutdown()
    thread.join()
    server.server_close()


# What takes long is to start a module for each object: these leave one template, and less of what it has to do with.
ONE: dict[str, t.Any] = {
    "controller_templates": [objects("controller_templates")["homeport_gc"]],
    "controller_hosts": [],
    "controller_groups": [],
}
FEW = ONE | {f"controller_{kind}": [] for kind in ("workflows", "schedules", "credentials", "credential_types")}


def test_the_life_of_a_configuration(runner: Runner) -> None:
    controller = runner.controller
    # What would be done, as far as it can be known.
    assert changed(runner.run("--check"))
    assert not controller.writes
    runner.run()
    kinds = {kind: {item.get("name") for item in items.values()} for kind, items in controller.kinds.items()}
    assert kinds["job_templates"] == {
        f"homeport_{name}"
        for name in ("site", "verify", "gc", "nodes", "remove", *(f"airgap_{step}" for step in AIRGAP))
    }
    assert all(kinds[kind] for kind in controller.kinds)
    assert len(controller.surveys) == 9
    assert the_graph(controller) == {
        ("plan", "success_nodes"): ["approve"],
        ("approve", "success_nodes"): ["collect"],
        ("collect", "always_nodes"): ["verify"],
    }
    # The controller keeps the braces of a secret as they are, and shows none of it.
    (credential,) = controller.search("credentials", {"name": "homeport_cluster"})
    assert credential["inputs"] == {"kubeconfig": HIDDEN}
    assert controller.kinds["credentials"][credential["id"]]["inputs"] == {"kubeconfig": SECRET}
    # A second run only reads, and in check mode only what differs would change.
    assert not changed(runner.run())
    assert not controller.writes
    (template,) = controller.search("job_templates", {"name": "homeport_gc"})
    controller.surveys[template["id"]]["description"] = "somebody else's words"
    assert [name.rpartition(": ")[2] for name in changed(runner.run("--check", **FEW))] == ["Keep the job templates"]
    assert not controller.writes
    # What the data does not name stays; the rest goes, once.
    controller.create("organizations", {"name": "somebody else's"})
    runner.run(registry_controller_state="absent", **ONE)
    left = {kind: [item["name"] for item in items.values()] for kind, items in controller.kinds.items() if items}
    assert left == {"organizations": ["somebody else's"], "credential_types": ["Machine"]}
    assert not changed(runner.run(registry_controller_state="absent", **FEW))
    assert not controller.writes


def the_graph(controller: Controller) -> dict[tuple[str, str], list[str]]:
    """Return what follows each node of the workflow, and when."""
    names = {number: item["identifier"] for number, item in controller.kinds["workflow_job_template_nodes"].items()}
    found = {tuple(path.split("/")): numbers for path, numbers in controller.links.items() if numbers}
    return {
        (names[int(number)], when): [names[other] for other in numbers]
        for (kind, number, when), numbers in found.items()
        if kind == "workflow_job_template_nodes"
    }


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"controller_hosts": [{"name": "x", "inventory": "y", "variable": {}}]}, "hosts: variable"),
        ({"homeport_kubeconfig": "{{ nowhere }}"}, "nowhere"),
        ({"aap_token": "wrong"}, "Invalid authentication credentials"),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_written(
    runner: Runner, variables: dict[str, t.Any], message: str
) -> None:
    done = runner.attempt(**variables)
    assert done.returncode != 0
    assert message in done.stdout + done.stderr
    assert not runner.controller.writes
