# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same trust by pods, for nodes that nobody logs in to; here for another name of the registry."""

from __future__ import annotations

import typing as t

import pytest
import testinfra
from testinfra.host import Host

from tests.verify.clients import Client
from tests.verify.cluster import Cluster
from tests.verify.kubelets import NODES, pull_secret, push_program
from tests.verify.nodes.conftest import PORT
from tests.verify.playbooks import Playbooks, Run
from tests.verify.registry import Account
from tests.verify.tls import PublicRegistry

NAME = f"daemonset.molecule.test:{PORT}"
PUBLIC = f"registry.molecule.test:{PORT}"
NAMESPACE = "molecule-nodes-clients-nodes"
FOLDER = f"/etc/containerd/certs.d/{NAME}"


@pytest.fixture(scope="module")
def options(registry: PublicRegistry) -> dict[str, t.Any]:
    """Return the variables of the playbook."""
    ca = registry.find('data."ca.crt"', "configmap", f"{registry.name}-ca")
    return {
        "registry_node_trust_registries": [{"name": NAME, "ca_certificates": [ca]}],
        "registry_node_trust_namespace": NAMESPACE,
        "registry_node_trust_canary_image": f"{NAME}/nodes/app:1",
        "registry_node_trust_canary_pull_secrets": ["pull"],
    }


@pytest.fixture(scope="module")
def installed(
    cluster: Cluster, client: Client, playbooks: Playbooks, writer: Account, reader: Account, options: dict[str, t.Any]
) -> Run:
    """Run the playbook for the first time; its canary needs an account."""
    push_program(client, writer)
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    cluster.apply(namespace, pull_secret(NAMESPACE, NAME, reader))
    for name in NODES:
        assert not host(name).file(FOLDER).exists
        # Pods cannot give a node a name; this stands for its DNS.
        host(name).check_output("echo '127.0.0.1 daemonset.molecule.test' >> /etc/hosts")
    return playbooks.run("nodes_daemonset", **options)


def host(name: str) -> Host:
    """Return a node."""
    return testinfra.get_host(f"docker://{name}")


def test_every_node_has_the_file_and_has_pulled(installed, cluster):
    for name in NODES:
        assert host(name).file(f"{FOLDER}/ca.crt").exists
    waited = installed.result("Wait until the kubelet of every node has the image from the registry")
    assert {pod["spec"]["nodeName"] for pod in waited["resources"]} == set(NODES)
    # The canaries are gone, the keepers stay, without any privilege but the owner's.
    pods = cluster.find("items[].spec.containers[].name", "pods", "-n", NAMESPACE)
    assert set(pods) <= {"node-trust", "canary"}
    assert cluster.find("items[].metadata.name", "daemonsets", "-n", NAMESPACE) == ["depot-node-trust"]


def test_a_second_run_changes_nothing(installed, playbooks, options):
    assert playbooks.run("nodes_daemonset", **options).changed == []


def test_a_lost_file_comes_back_by_itself(installed, cluster):
    host(NODES[0]).check_output("rm %s/ca.crt", FOLDER)
    cluster.kubectl("-n", NAMESPACE, "delete", "pods", "-l", "app.kubernetes.io/component=node-trust")
    cluster.kubectl("-n", NAMESPACE, "rollout", "status", "daemonset/depot-node-trust", "--timeout=60s")
    assert host(NODES[0]).file(f"{FOLDER}/ca.crt").exists


def test_what_belongs_to_others_is_left_and_said(installed, playbooks, options, cluster):
    theirs = "/etc/containerd/certs.d/theirs.molecule.test"
    (known,) = options["registry_node_trust_registries"]
    both = {**options, "registry_node_trust_registries": [{**known, "aliases": ["theirs.molecule.test"]}]}
    try:
        # Pods are renewed one node after the other, so whichever comes first meets it.
        for name in NODES:
            host(name).check_output("mkdir -p %s && touch %s/hosts.toml", theirs, theirs)
        done = playbooks.attempt("nodes_daemonset", **{**both, "registry_wait_timeout": 20})
        assert done.returncode != 0
        assert all(host(name).file(theirs).listdir() == ["hosts.toml"] for name in NODES)
        said = cluster.kubectl("-n", NAMESPACE, "logs", "-l", "app.kubernetes.io/component=node-trust", "--tail=5")
        assert "theirs.molecule.test belongs to somebody else" in said
    finally:
        for name in NODES:
            host(name).check_output("rm -r %s", theirs)


def test_a_node_that_cannot_pull_is_named(installed, playbooks, options):
    (known,) = options["registry_node_trust_registries"]
    changed = {
        "registry_node_trust_registries": [{**known, "aliases": ["other.molecule.test"]}],
        "registry_node_trust_canary_image": f"{NAME}/nodes/nothing:1",
        "registry_wait_timeout": 20,
    }
    done = playbooks.attempt("nodes_daemonset", callback="default", **{**options, **changed})
    assert done.returncode != 0
    # Molecule has Ansible print failures to the other stream.
    said = done.stdout + done.stderr
    assert f"Not every node could pull {NAME}/nodes/nothing:1" in said
    assert all(f"{name}: " in said for name in NODES)


def test_removal_takes_everything_away(installed, playbooks, options, cluster):
    (known,) = options["registry_node_trust_registries"]
    gone = {
        **options,
        "registry_node_trust_registries": [{**known, "aliases": ["other.molecule.test"]}],
        "registry_node_trust_state": "absent",
    }
    assert playbooks.run("nodes_daemonset", **gone).changed != []
    for name in NODES:
        assert host(name).file("/etc/containerd/certs.d/_default").exists
        assert not [
            entry
            for entry in host(name).file("/etc/containerd/certs.d").listdir()
            if "molecule.test" in entry and entry != PUBLIC
        ]
        host(name).check_output("cp /etc/hosts /tmp/hosts && grep -v daemonset.molecule.test /tmp/hosts > /etc/hosts")
    assert cluster.kubectl("get", "namespace", NAMESPACE, "--ignore-not-found") == ""
    assert playbooks.run("nodes_daemonset", **gone).changed == []
