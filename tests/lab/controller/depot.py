# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""One registry on the cluster of the lab, and what a controller knows of it."""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import typing as t
from pathlib import Path

from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_tls import make_context
from ansible_collections.homeport.registry.plugins.module_utils._registry_transport import Transport
from tests.lab.controller.job import Controller, Credential, Job
from tools.paths import ROOT

# Jobs have no environment of ours.
DOCKER = f"--host={os.environ['DOCKER_HOST']}" if "DOCKER_HOST" in os.environ else ""
WRITER, READER = "writer-{{ nowhere }}-word", "reader-of-the-registry-word"


class Depot:
    """One registry in a namespace of its own, and what the controller knows of it."""

    def __init__(self, kubeconfig: Path, scratch: Path, **more: t.Any) -> None:
        """Take a folder for the jobs, and more variables of the registry."""
        self._kubectl = [str(ROOT / ".lab" / "bin" / "kubectl"), f"--kubeconfig={kubeconfig}"]
        self.namespace = f"controller-{secrets.token_hex(4)}"
        nodes = self.get("nodes")["items"]
        address = next(one["address"] for one in nodes[0]["status"]["addresses"] if one["type"] == "InternalIP")
        self.host = f"{address}:{secrets.choice(range(31000, 32700))}"
        images = {"registry_image": "registry:3", "registry_gate_image": "gate:1", "registry_engine_image": "engine:3"}
        variables: dict[str, t.Any] = {name: f"homeport.lab/{image}" for name, image in images.items()}
        variables |= {
            "registry_name": "depot",
            "registry_namespace": self.namespace,
            "registry_host": self.host,
            **more,
        }
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

    def session(self, ca: str, *, account: bool = True) -> Session:
        """Return a session of the account that pushes, or of nobody."""
        who = ("ci", WRITER) if account else ()
        return Session(Transport(context=make_context(ca_text=ca)), f"https://{self.host}", *who)

    def forget(self) -> None:
        """Remove what is left."""
        subprocess.run(
            [*self._kubectl, "delete", "namespace", self.namespace, "--ignore-not-found", "--wait=false"], check=True
        )


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
