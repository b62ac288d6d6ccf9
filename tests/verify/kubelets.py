# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods on every node, whose images the kubelets pull."""

from __future__ import annotations

import base64
import json
import platform
import typing as t

from tests.verify import oci
from tests.verify.clients import Client
from tests.verify.cluster import Cluster
from tests.verify.nodes.program import program
from tests.verify.registry import Account

NODES = ("homeport-control-plane", "homeport-worker")
SECCOMP = {"type": "RuntimeDefault"}
CONTAINER = {"securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}


def push_program(client: Client, writer: Account) -> None:
    """Push the smallest image that runs as nodes/app:1."""
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    layout = oci.program_image(program(architecture), architecture)
    done = client.push(client.put(layout), "nodes/app:1", writer)
    assert done.rc == 0, done.stderr


def pull_secret(namespace: str, host: str, account: Account) -> dict[str, t.Any]:
    """Return a pull secret for images of a host."""
    auth = base64.b64encode(str(account).encode()).decode()
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "pull", "namespace": namespace},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": json.dumps({"auths": {host: {"auth": auth}}})},
    }


def run_everywhere(cluster: Cluster, namespace: str, host: str, account: Account) -> None:
    """Let an ordinary pod with that image, pulled anew, run to its end on every node, and remove them."""
    pods: list[dict[str, t.Any]] = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"on-{name}", "namespace": namespace},
            "spec": {
                "nodeName": name,
                "restartPolicy": "Never",
                "imagePullSecrets": [{"name": "pull"}],
                "securityContext": {"runAsUser": 65532, "runAsNonRoot": True, "seccompProfile": SECCOMP},
                "containers": [
                    {"name": "app", "image": f"{host}/nodes/app:1", "imagePullPolicy": "Always", **CONTAINER}
                ],
            },
        }
        for name in NODES
    ]
    cluster.apply(pull_secret(namespace, host, account), *pods)
    try:
        for name in NODES:
            done = (f"pod/on-{name}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=120s")
            cluster.kubectl("-n", namespace, "wait", *done)
    finally:
        cluster.kubectl("-n", namespace, "delete", "secret/pull", *(f"pod/on-{name}" for name in NODES))
