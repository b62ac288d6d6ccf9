# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A collector in a cluster, as its operator sees it."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import subprocess
import typing as t
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import jmespath

from tests.verify.cluster import eventually
from tests.verify.playbooks import Playbooks
from tests.verify.registry import Registry

Document = dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Done:
    """What playbook gc said: whether it worked, the report, what runs next is told, and everything that was printed."""

    rc: int
    report: Document
    told: Document
    output: str
    errors: str


@dataclasses.dataclass(frozen=True)
class Collector:
    """The collector of a registry."""

    registry: Registry
    playbooks: Playbooks

    @property
    def name(self) -> str:
        """Return the name of the CronJob."""
        return f"{self.registry.name}-gc"

    @property
    def lease(self) -> str:
        """Return the name of the Lease."""
        return f"{self.registry.name}-exclusive"

    @property
    def permit(self) -> str:
        """Return the name of the write permit."""
        return f"{self.registry.name}-write-permit"

    def configure(self, **variables: t.Any) -> None:
        """Apply the collector with these variables; the next run of site undoes them."""
        self.playbooks.run("site", "--tags=gc", **variables)

    def run(self, *options: str) -> Done:
        """Run playbook gc."""
        done = self.playbooks.attempt("gc", *options)
        said = json.loads(done.stdout)
        tasks = jmespath.search("plays[].tasks[]", said)
        found = jmespath.search("[?ends_with(task.name, ': Run the collector and follow it')].hosts.* | [0][0]", tasks)
        told = said["global_custom_stats"]["homeport_gc"]["registry.molecule.test"]
        return Done(done.returncode, (found or {}).get("report") or {}, told, done.stdout, done.stderr)

    def report(self) -> Document:
        """Return the report in the cluster, an empty one before the first run."""
        named = f"items[?metadata.name=='{self.name}-report'].data.\"report.json\" | [0]"
        return t.cast("Document", json.loads(self.registry.find(named, "configmaps") or "{}"))

    def start(self) -> str:
        """Start a Job as an operator may, and return its name."""
        job = f"{self.name}-{uuid.uuid4().hex[:6]}"
        self.registry.kubectl("create", "job", f"--from=cronjob/{self.name}", job)
        return job

    def finish(self, job: str) -> Document:
        """Wait until a Job has ended, and return the report that it logged."""

        def ended() -> bool:
            types = self.registry.find("status.conditions[?status=='True'].type", "job", job) or []
            return bool({"Complete", "Failed"} & set(types))

        eventually(ended, f"job {job} ends", seconds=180)
        log = self.registry.kubectl("logs", f"job/{job}", "-c", "engine")
        return t.cast("Document", json.loads(log.splitlines()[-1].removeprefix("report: ")))

    def wait_step(self, job: str, step: str) -> None:
        """Wait until the report says that a Job works on a step."""

        def there() -> bool:
            report = self.report()
            return bool(report.get("run") == job and report["step"] == step and report["outcome"] == "running")

        eventually(there, f"job {job} is at step {step}", seconds=120)

    def hold(self, holder: str, *, renewed_ago: int, seconds: int, **annotations: str) -> None:
        """Write the Lease as if this holder had renewed it some seconds ago."""
        renewed = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=renewed_ago)
        stamp = renewed.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": holder, "leaseDurationSeconds": seconds, "acquireTime": stamp, "renewTime": stamp}
        noted = {f"registry.homeport.dev/{key.replace('_', '-')}": value for key, value in annotations.items()}
        metadata = {"name": self.lease, "namespace": self.registry.namespace, "annotations": noted}
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        self.registry.cluster.apply(lease)

    def let_go(self) -> None:
        """Remove the Lease."""
        self.registry.kubectl("delete", "lease", self.lease, "--ignore-not-found")

    def writers(self) -> tuple[int, bool]:
        """Return how many writers are wanted, and whether the permit is there."""
        names = self.registry.find("items[].metadata.name", "configmaps")
        return self.registry.find("spec.replicas", "deployment", self.registry.writer), self.permit in names

    @contextmanager
    def lingering_writer(self) -> Iterator[str]:
        """Keep a pod that looks like a writer and never ends while a with block runs: no fence can stand."""
        name = "lingering"
        labels = dict(pair.split("=") for pair in self.registry.selector("writer").split(","))
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": self.registry.namespace,
                # The Deployment must not adopt it.
                "labels": {**labels, "app.kubernetes.io/name": "registry"},
                "ownerReferences": [self._owner()],
            },
            "spec": {
                # Nobody schedules it, so it stays as it is: what counts is that it is there.
                "schedulerName": "nobody",
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 65532,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [
                    {
                        "name": "registry",
                        "image": "nothing",
                        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    }
                ],
            },
        }
        self.registry.cluster.apply(pod)
        try:
            yield name
        finally:
            self.registry.kubectl("delete", "pod", name, "--ignore-not-found", "--grace-period=0", "--force")

    def _owner(self) -> Document:
        uid = self.registry.find("metadata.uid", "cronjob", self.name)
        kind = {"apiVersion": "batch/v1", "kind": "CronJob", "name": self.name}
        return {**kind, "uid": uid, "controller": True}


def ansible(playbooks: Playbooks, module: str, **arguments: t.Any) -> Document:
    """Run a module of the collection as a task does, and return its result."""
    line = ["ansible", "registry.molecule.test", "--connection=local", f"--module-name=homeport.registry.{module}"]
    line += [f"--inventory={path}" for path in playbooks.inventories]
    line += ["--args", json.dumps(arguments)]
    # Molecule asks for colours, which are no JSON.
    env = {**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(line, env=env, capture_output=True, text=True, check=False, timeout=300)
    return t.cast("Document", json.loads(done.stdout.partition("=>")[2]))
