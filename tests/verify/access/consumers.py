# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Namespaces whose pods pull from the registry."""

from __future__ import annotations

import base64
import dataclasses
import json
import typing as t

from tests.verify.cluster import Cluster, eventually
from tests.verify.registry import Registry

HOST = "registry.molecule.test"
LABEL = "homeport.test/pulls-from"
BUILDER = "builder"
THEIRS = "pull-secret-of-others"


@dataclasses.dataclass(frozen=True)
class Consumer:
    """A namespace with two ServiceAccounts; one has a pull secret that is not ours."""

    cluster: Cluster
    registry: Registry
    name: str

    @property
    def namespace(self) -> str:
        """Return its name in the cluster."""
        return f"{self.registry.namespace}-{self.name}"

    def make(self) -> None:
        """Make it, or make it as it was."""
        labels = {LABEL: self.registry.namespace}
        meta = {"name": BUILDER, "namespace": self.namespace}
        self.cluster.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace, "labels": labels}},
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta, "imagePullSecrets": [{"name": THEIRS}]},
        )
        eventually(lambda: self._accounts() == {"default", BUILDER}, f"namespace {self.namespace} has its accounts")

    def _accounts(self) -> set[str]:
        return set(self.cluster.find("items[].metadata.name", "serviceaccounts", "-n", self.namespace))

    def select(self, selected: bool) -> None:
        """Put it into the selection or take it out."""
        value = self.registry.namespace if selected else "nobody"
        self.cluster.kubectl("label", "--overwrite", "namespace", self.namespace, f"{LABEL}={value}")

    def entries(self, account: str) -> list[str]:
        """Return the pull secrets of a ServiceAccount."""
        found = self.cluster.find("imagePullSecrets[].name", "serviceaccount", account, "-n", self.namespace)
        return t.cast("list[str]", found or [])

    def secrets(self) -> list[dict[str, t.Any]]:
        """Return the metadata of its pull secrets."""
        kind = "items[?type=='kubernetes.io/dockerconfigjson'].metadata"
        return t.cast("list[dict[str, t.Any]]", self.cluster.find(kind, "secrets", "-n", self.namespace))

    def docker_config(self, account: str) -> dict[str, t.Any]:
        """Return what the pull secret of an account of the registry holds."""
        name = f"{self.registry.name}-pull-{account}"
        data = self.cluster.find('data.".dockerconfigjson"', "secret", name, "-n", self.namespace)
        found: dict[str, t.Any] = json.loads(base64.b64decode(data))
        return found

    def run_pod(self, name: str, image: str, account: str = "default") -> list[str]:
        """Make a pod and return the pull secrets that it was given."""
        container = {"name": "main", "image": image, "imagePullPolicy": "Always"}
        spec = {"serviceAccountName": account, "terminationGracePeriodSeconds": 0, "containers": [container]}
        meta = {"name": name, "namespace": self.namespace}
        self.cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
        found = self.cluster.find("spec.imagePullSecrets[].name", "pod", name, "-n", self.namespace)
        return t.cast("list[str]", found or [])

    def wait_stuck(self, pod: str) -> None:
        """Wait until a pod's image could not be pulled."""
        reason = "status.containerStatuses[].state.waiting.reason | [0]"
        eventually(
            lambda: self.cluster.find(reason, "pod", pod, "-n", self.namespace) in ("ErrImagePull", "ImagePullBackOff"),
            f"the image of pod {pod} cannot be pulled",
        )
