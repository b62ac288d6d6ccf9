# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps a cache from harming registries, nodes and other caches."""

from __future__ import annotations

import typing as t

import pytest

from tests.verify.cluster import Cluster
from tests.verify.playbooks import Playbooks
from tests.verify.registry import Registry

UID = "65532"
STORE = "/var/lib/registry"
CONTAINERS = ["registry", "reader", "gate"]


def storage(playbooks: Playbooks, host: str, **variables: t.Any) -> str:
    """Return what the storage role says to a claim, without changing anything."""
    done = playbooks.attempt("site", "--check", "--tags=storage", f"--limit={host}", **variables)
    assert done.returncode != 0, done.stdout
    return done.stdout + done.stderr


def test_cache_does_not_get_the_volume_of_a_registry(playbooks: Playbooks, registry: Registry) -> None:
    """The reason is what would happen to the images."""
    taken = {"registry_namespace": registry.namespace, "registry_storage_claim": f"{registry.name}-data"}
    said = storage(playbooks, "mirror.molecule.test", **taken)
    assert f"volume claim {registry.name}-data in namespace {registry.namespace} belongs to a registry" in said
    assert "A cache replaces private images" in said


def test_registry_does_not_get_the_volume_of_a_cache(playbooks: Playbooks, mirror: Registry) -> None:
    """The other way round as well."""
    taken = {"registry_namespace": mirror.namespace, "registry_storage_claim": f"{mirror.name}-data"}
    said = storage(playbooks, "registry.molecule.test", **taken)
    assert f"volume claim {mirror.name}-data in namespace {mirror.namespace} belongs to a cache" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("s|^upstream=.*|upstream=https://elsewhere.test|", "The volume holds what was fetched from http://upstream."),
        ("s|^marker=.*|marker=/tmp/no-marker|", "The volume holds the images of a registry"),
    ],
)
def test_pod_looks_at_the_volume_before_it_fetches(mirror: Registry, change: str, said: str) -> None:
    """Claims that somebody else made carry no label, so the start script looks at what is there."""
    inside = mirror.inside("cache", "registry")
    other = "sed -e %s -e 's|^why=.*|why=/tmp/other|' /etc/registry/config/start.sh > /tmp/start.sh"
    done = inside.run(f"{other} && /bin/sh /tmp/start.sh", change)
    assert done.rc == 1
    assert said in done.stderr


def test_gate_of_a_registry_does_not_open_the_volume_of_a_cache(mirror: Registry, registry: Registry) -> None:
    """A registry's front pod refuses what a cache has marked."""
    script = registry.find('data."start.sh"', "configmap", f"{registry.name}-gate")
    done = mirror.inside("cache", "registry").run("/bin/sh -c %s", script)
    assert done.rc == 1
    assert "The volume holds what a cache of http://upstream." in done.stderr


@pytest.mark.parametrize("container", CONTAINERS)
def test_container_is_confined(mirror: Registry, container: str) -> None:
    """Another user than root, no writable root file system, no token; one container alone writes to the volume."""
    inside = mirror.inside("cache", container)
    assert inside.run("id -u").stdout.strip() == UID
    assert "Read-only file system" in inside.run("touch /new").stderr
    assert not inside.file("/var/run/secrets/kubernetes.io").exists
    assert inside.run(f"touch {STORE}/new && rm {STORE}/new").succeeded == (container == "registry")
    status = mirror.node("cache").file(f"/proc/{mirror.process('cache', container)}/status").content_string
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == 0
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")


def test_cache_reaches_its_upstream_and_nothing_else(cluster: Cluster, mirror: Registry, registry: Registry) -> None:
    """Neither the API server nor another registry can be reached from the pod."""
    node, process = mirror.node("cache"), mirror.process("cache", "registry")

    def connects(address: str, port: int) -> bool:
        return bool(node.run(f"nsenter -t {process} -n timeout 4 bash -c '</dev/tcp/{address}/{port}'").rc == 0)

    upstream = f"{registry.namespace}-upstream"
    assert connects(str(cluster.find("items[0].status.podIP", "pods", "-n", upstream)), 5000)
    assert not connects(str(cluster.find("spec.clusterIP", "service", "kubernetes", "-n", "default")), 443)
    assert not connects(registry.address("front"), 8080)
