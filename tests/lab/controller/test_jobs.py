# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The job templates on a real cluster, started as a controller does: with an inventory, answers and credentials."""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.homeport.registry.plugins.module_utils import _registry_client as client
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_tls import make_context
from ansible_collections.homeport.registry.plugins.module_utils._registry_transport import Transport
from tests.lab.controller.job import Controller, Credential, Job
from tests.lab.inventory.images import Pusher
from tools.paths import ROOT

# Jobs have no environment of ours.
DOCKER = f"--host={os.environ['DOCKER_HOST']}" if "DOCKER_HOST" in os.environ else ""
WRITER, READER = "writer-{{ nowhere }}-word", "reader-of-the-registry-word"


class Depot:
    """One registry in a namespace of its own, and what the controller knows of it."""

    def __init__(self, kubeconfig: Path, scratch: Path) -> None:
        self._kubectl = [str(ROOT / ".lab" / "bin" / "kubectl"), f"--kubeconfig={kubeconfig}"]
        self.namespace = f"controller-{secrets.token_hex(4)}"
        nodes = self.get("nodes")["items"]
        address = next(one["address"] for one in nodes[0]["status"]["addresses"] if one["type"] == "InternalIP")
        self.host = f"{address}:{secrets.choice(range(31000, 32700))}"
        images = {"registry_image": "registry:3", "registry_gate_image": "gate:1", "registry_engine_image": "engine:3"}
        variables: dict[str, t.Any] = {name: f"homeport.lab/{image}" for name, image in images.items()}
        variables |= {"registry_name": "depot", "registry_namespace": self.namespace, "registry_host": self.host}
        text = kubeconfig.read_text("utf-8")
        users = Credential(
            "homeport_registry_users",
            writer_name="ci",
            writer_password=WRITER,
            reader_name="nodes",
            reader_password=READER,
        )
        self.cluster = Credential("homeport_kubeconfig", kubeconfig=text)
        self.controller = Controller(scratch, {"registry.example.com": variables}, self.cluster, users)
        self.hidden = {WRITER, READER, *(line.split()[-1] for line in text.splitlines() if "-key-data" in line)}

    def get(self, *what: str) -> t.Any:
        """Return objects as the cluster shows them."""
        done = subprocess.run(
            [*self._kubectl, "get", *what, "-o", "json"], capture_output=True, text=True, check=True, timeout=60
        )
        return json.loads(done.stdout)

    def learn_secrets(self) -> None:
        """Remember what the cluster keeps secret of this registry; certificates are public."""
        for secret in self.get("secrets", "-n", self.namespace)["items"]:
            for key, value in (secret.get("data") or {}).items():
                if not key.endswith(".crt"):
                    self.hidden |= {value, *base64.b64decode(value).decode().split()}
        self.hidden = {word for word in self.hidden if len(word) > 11 and not word.startswith("-----")}

    def machines(self) -> dict[str, t.Any]:
        """Return the nodes as an inventory group, which says nothing of what they are to trust."""
        # In the lab they are containers in which everything is root.
        how = {"ansible_connection": "community.docker.docker", "ansible_become": False}
        how |= {"ansible_python_interpreter": "/usr/bin/python3", "ansible_docker_extra_args": DOCKER}
        hosts = [node["metadata"]["name"] for node in self.get("nodes")["items"]]
        return {"hosts": {key: {} for key in hosts}, "vars": how}

    def session(self, ca: str) -> Session:
        """Return a session of the account that pushes."""
        return Session(Transport(context=make_context(ca_text=ca)), f"https://{self.host}", "ci", WRITER)

    def forget(self) -> None:
        """Remove what is left."""
        subprocess.run(
            [*self._kubectl, "delete", "namespace", self.namespace, "--ignore-not-found", "--wait=false"], check=True
        )


@pytest.fixture
def depot(kubeconfig: Path, tmp_path: Path) -> Iterator[Depot]:
    found = Depot(kubeconfig, tmp_path)
    yield found
    found.forget()


def kept_no_secret(depot: Depot, *jobs: Job) -> None:
    """Check that nothing that is secret is in what the controller keeps."""
    depot.learn_secrets()
    assert len(depot.hidden) > 6
    for job in jobs:
        text = job.text()
        assert not [word[:4] for word in depot.hidden if word in text], job.folder.parent.parent.name


def ours(job: Job, name: str) -> t.Any:
    """Return an artifact of our one registry."""
    assert job.status == "successful", job.output[-4000:]
    return job.artifacts[name]["registry.example.com"]


def test_the_life_of_a_registry(depot: Depot) -> None:
    launch = depot.controller.launch
    answers = {
        "registry_storage_size": "1Gi",
        "registry_server_replicas": 1,
        "registry_ingress_exposure": "node_port",
        "registry_ingress_tls": "self_signed",
        "registry_wait_timeout": 240,
    }
    site = launch("homeport_site", survey=answers)
    made = ours(site, "homeport_site")
    assert made["url"] == f"https://{depot.host}"
    assert made["changed"]
    assert {"namespace", "storage", "auth", "ingress", "server", "gc"} == set(made["changed_by"])
    again = launch("homeport_site", survey=answers)
    assert not again.changed
    assert ours(again, "homeport_site") == {**made, "changed": False, "changed_by": []}

    session = depot.session(made["ca"])
    pusher = Pusher(session)
    pusher.image("team/app", "kept", b"kept" * 1000)
    gone = pusher.image("team/app", "gone", b"gone" * 1000)
    client.delete_manifest(session, "team/app", gone.digest)
    # Of the inventory only what differs from the defaults is known to the jobs that follow.
    depot.controller.hosts["registry.example.com"] |= {
        name: answers[name] for name in ("registry_ingress_exposure", "registry_ingress_tls")
    }

    # As the workflow does it: each job gets what the one before has left.
    plan = launch("homeport_gc", site.artifacts, {"registry_gc_dry_run": "true"})
    planned = ours(plan, "homeport_gc")
    assert planned["outcome"] == "dry_run"
    assert planned["eligible"]["blobs"] == 2
    assert not plan.changed
    collect = launch("homeport_gc", plan.artifacts)
    collected = ours(collect, "homeport_gc")
    assert collected["outcome"] == "succeeded"
    assert collected["changed"]
    assert collected["deleted"]["blobs"] == 2
    assert collected["verified"]
    verify = launch("homeport_verify", collect.artifacts, {"registry_verify_round_trip": "true"})
    proven = ours(verify, "homeport_verify")
    assert proven["ok"]
    assert proven["healthy"]
    assert proven["verified"]
    assert proven["checked"]["tags"] == 1
    assert proven["certificate_days_left"] > 300
    assert not verify.changed

    # Nodes join, and what the cluster says of the authority is what they trust.
    depot.controller.groups["nodes"] = depot.machines()
    nodes = launch("homeport_nodes", verify.artifacts)
    assert nodes.status == "successful", nodes.output
    trust = nodes.artifacts["homeport_nodes"]
    assert set(trust) == set(depot.controller.groups["nodes"]["hosts"])
    for found in trust.values():
        assert (found["ok"], found["changed"], found["restarted"]) == (True, True, False)
        assert found["registries"] == {depot.host: "answered"}
    kept_no_secret(depot, site, again, plan, collect, verify, nodes)

    everything = {"registry_storage_delete_data": "true", "registry_namespace_delete": "true"}
    remove = launch("homeport_remove", survey={**everything, "registry_ingress_delete_ca": "true"})
    removed = ours(remove, "homeport_remove")
    assert removed["changed"]
    assert not removed["data_kept"]
    assert all(found["ok"] and found["changed"] for found in remove.artifacts["homeport_nodes"].values())
    assert not [word[:4] for word in depot.hidden if word in remove.text()]
