# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the pods may do on their node."""

from __future__ import annotations

import json

import jmespath
import pytest

from tests.verify.registry import Component, Registry

CONTAINERS = [("front", "registry"), ("front", "gate"), ("writer", "registry")]
UID = "65532"
STORE = "/var/lib/registry"


def test_namespace_enforces_restricted(registry: Registry) -> None:
    """All pods run under the strictest level, and that level is really enforced."""
    labels = registry.find("metadata.labels", "namespace", registry.namespace)
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert registry.find("items[].status.phase", "pods") == ["Running"] * 3
    loose = {"containers": [{"name": "loose", "image": "loose"}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "loose"}, "spec": loose}
    refusal = registry.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod), check=False)
    assert 'violates PodSecurity "restricted' in refusal


@pytest.mark.parametrize(("component", "container"), CONTAINERS)
def test_container_is_confined(registry: Registry, component: Component, container: str) -> None:
    """Seen from inside: another user than root, no writable root file system, no token."""
    inside = registry.inside(component, container)
    assert inside.run("id -u").stdout.strip() == UID
    assert "Read-only file system" in inside.run("touch /new").stderr
    assert not inside.file("/var/run/secrets/kubernetes.io").exists
    assert inside.file(f"{STORE}/docker").is_directory
    written = inside.run(f"touch {STORE}/new && rm {STORE}/new")
    assert written.rc == 0 if component == "writer" else "Read-only file system" in written.stderr


@pytest.mark.parametrize(("component", "container"), CONTAINERS)
def test_process_is_confined(registry: Registry, component: Component, container: str) -> None:
    """Seen from the node: the kernel says what the process may do."""
    proc = f"/proc/{registry.process(component, container)}"
    node = registry.node(component)
    lines = node.file(f"{proc}/status").content_string.splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert set(status["Uid"].split()) == set(status["Gid"].split()) == {UID}
    assert int(status["CapBnd"], 16) == int(status["CapEff"], 16) == 0
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    mounts = [line.split() for line in node.file(f"{proc}/mountinfo").content_string.splitlines()]
    options = {fields[4]: fields[5].split(",") for fields in mounts}
    assert "ro" in options["/"]
    assert ("ro" in options[STORE]) == (component == "front")


def test_no_pod_gets_a_token(registry: Registry) -> None:
    """Neither the pods nor their account mount one, and nothing is told to them about Services."""
    pods = registry.find("items[].spec", "pods")
    assert jmespath.search("[].volumes[].projected.sources[].serviceAccountToken", pods) == []
    assert jmespath.search("[].automountServiceAccountToken", pods) == [False] * 3
    assert jmespath.search("[].enableServiceLinks", pods) == [False] * 3
    assert jmespath.search("[].serviceAccountName", pods) == [registry.name] * 3
    assert registry.find("automountServiceAccountToken", "serviceaccount", registry.name) is False


def test_pods_share_the_node_of_the_volume(registry: Registry) -> None:
    """ReadWriteOnce lets one node mount the volume, so all three pods are there."""
    assert registry.find("items[].spec.accessModes[]", "pvc") == ["ReadWriteOnce"]
    claims = registry.find("items[].spec.volumes[].persistentVolumeClaim.claimName", "pods")
    assert claims == [f"{registry.name}-data"] * 3
    assert len(set(registry.find("items[].spec.nodeName", "pods"))) == 1
