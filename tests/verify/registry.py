# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A registry on a cluster, as its operator sees it."""

from __future__ import annotations

import dataclasses
import typing as t

from testinfra.host import Host

from tests.verify.cluster import SOON, Cluster, eventually

Component = t.Literal["front", "writer", "cache"]


@dataclasses.dataclass(frozen=True)
class Account:
    """A name and a password."""

    name: str
    password: str

    def __str__(self) -> str:
        """Return what curl and skopeo take."""
        return f"{self.name}:{self.password}"

    def __repr__(self) -> str:
        """Keep the password out of assertion messages."""
        return f"Account({self.name!r})"


@dataclasses.dataclass(frozen=True)
class Registry:
    """A registry by its name and namespace."""

    cluster: Cluster
    name: str
    namespace: str

    @property
    def host(self) -> str:
        """Return host and port for clients, which would try 443 first if the port were not named."""
        return f"{self.name}.{self.namespace}.svc:80"

    @property
    def writer(self) -> str:
        """Return the name of the writer's Deployment and Service."""
        return f"{self.name}-writer"

    def kubectl(self, *args: str, **options: t.Any) -> str:
        """Run kubectl in the registry's namespace; the options are those of Cluster.kubectl."""
        return self.cluster.kubectl("-n", self.namespace, *args, **options)

    def find(self, expression: str, *args: str) -> t.Any:
        """Ask a JMESPath expression of what `kubectl get` prints in the registry's namespace."""
        return self.cluster.find(expression, *args, "-n", self.namespace)

    def selector(self, component: Component) -> str:
        """Return the label selector of a component's pods."""
        return f"app.kubernetes.io/instance={self.name},app.kubernetes.io/component={component}"

    def pods(self, component: Component) -> list[str]:
        """Return the names of a component's pods that are not being deleted."""
        alive = "items[?!(metadata.deletionTimestamp)].metadata.name"
        return sorted(self.find(alive, "pods", "-l", self.selector(component)))

    def pod(self, component: Component) -> str:
        """Return the name of one pod of a component. Raises IndexError where there is none."""
        return self.pods(component)[0]

    def address(self, component: Component) -> str:
        """Return the address of one pod of a component."""
        return str(self.find("status.podIP", "pod", self.pod(component)))

    def inside(self, component: Component, container: str) -> Host:
        """Return the testinfra host of a container of a component."""
        return self.cluster.inside(self.namespace, self.pod(component), container)

    def node(self, component: Component) -> Host:
        """Return the testinfra host of the node that runs a component."""
        return self.cluster.node_of(self.namespace, self.pod(component))

    def process(self, component: Component, container: str) -> int:
        """Return the process id, on that node, of a container of a component."""
        return self.cluster.process_of(self.namespace, self.pod(component), container)

    def scale_writer(self, replicas: int) -> None:
        """Set the number of writer pods and wait until that many are ready, or until none is left."""
        self.kubectl("scale", f"deployment/{self.writer}", f"--replicas={replicas}")
        if replicas:
            self.wait_ready(self.writer)
        else:
            # A pod that is still terminating may still write.
            eventually(lambda: not self.find("items[]", "pods", "-l", self.selector("writer")), "the writer is gone")

    def wait_ready(self, *deployments: str) -> None:
        """Wait until Deployments are rolled out; without names, until both are."""
        for deployment in deployments or (self.name, self.writer):
            self.kubectl("rollout", "status", f"deployment/{deployment}", f"--timeout={2 * SOON:g}s")

    def versions(self) -> dict[str, str]:
        """Return, by kind/name, what changes with every write to an object that a playbook could write."""
        kept = ("configmaps", "secrets", "services", "serviceaccounts", "persistentvolumeclaims", "networkpolicies")
        # Controllers write the status of these, so their generation counts: it moves with the specification.
        moving = ("deployments", "poddisruptionbudgets", "jobs", "cronjobs")
        found: list[list[str]] = [
            *self.find("items[].[kind, metadata.name, metadata.resourceVersion]", ",".join(kept)),
            *self.find("items[].[kind, metadata.name, to_string(metadata.generation)]", ",".join(moving)),
        ]
        return {f"{kind}/{name}": version for kind, name, version in found}
