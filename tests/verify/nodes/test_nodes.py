# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is true of each node."""

from __future__ import annotations

import json

import pytest
import testinfra
from testinfra.host import Host

from tests.verify.cluster import Cluster
from tests.verify.kubelets import NODES, push_program, run_everywhere
from tests.verify.nodes.conftest import PORT
from tests.verify.playbooks import Playbooks

NAME = f"registry.molecule.test:{PORT}"
FOLDER = f"/etc/containerd/certs.d/{NAME}"
PODS = "molecule-nodes-clients"


@pytest.fixture(params=NODES)
def node(request: pytest.FixtureRequest, cluster: Cluster) -> Host:
    """Return each node, which in the lab is a container."""
    return testinfra.get_host(f"docker://{request.param}")


def test_one_file_came_and_nothing_was_restarted(node):
    assert node.file(FOLDER).listdir() == ["ca.crt"]
    # Its name also finds a child that it has just forked, or a `containerd config dump` of another playbook.
    told = "systemctl show --property ExecMainStartTimestamp --value --timestamp=unix containerd"
    started = int(node.check_output(told).removeprefix("@"))
    assert started < node.file(f"{FOLDER}/ca.crt").mtime.timestamp()
    assert "conf" not in node.check_output("find /etc/containerd -newer %s -name '*.toml'", f"{FOLDER}/ca.crt")


def test_a_pull_by_the_runtime_was_the_proof(node):
    record = json.loads(node.file("/var/lib/homeport/node_trust.json").content_string)
    assert record["owned"][NAME]["proof"]["how"] == "answered"
    assert record["owned"][NAME]["proof"]["by"] == "crictl"
    assert node.file("/var/lib/homeport/node_trust.json").mode == 0o600
    # What is not there is "not found" or asks for a password; it never is a question of trust.
    refused = node.run("crictl pull %s/any/thing:1", NAME)
    assert refused.rc != 0
    assert "x509" not in refused.stderr
    assert "401" in refused.stderr or "authorization failed" in refused.stderr


def test_an_ordinary_pod_starts_on_every_node(cluster, client, writer, reader):
    push_program(client, writer)
    run_everywhere(cluster, PODS, NAME, reader)


def test_a_second_run_changes_nothing(playbooks: Playbooks):
    again = playbooks.run("nodes")
    assert again.changed == []
    told = again.report["global_custom_stats"]["homeport_nodes"]
    assert set(told) == set(NODES)
    assert all(found["ok"] and not found["changed"] for found in told.values())


def test_drift_is_shown_and_repaired(playbooks: Playbooks, cluster: Cluster):
    worker = testinfra.get_host(f"docker://{NODES[1]}")
    before = worker.file(f"{FOLDER}/ca.crt").content
    worker.check_output("truncate -s 0 %s/ca.crt", FOLDER)
    shown = playbooks.run("nodes", "--check", "--diff")
    assert shown.changed == ["homeport.registry.registry_node_trust : Trust the registries"]
    assert worker.file(f"{FOLDER}/ca.crt").size == 0
    playbooks.run("nodes")
    assert worker.file(f"{FOLDER}/ca.crt").content == before
    assert playbooks.run("nodes", "--check").changed == []


def test_a_node_that_cannot_be_proven_stops_the_rollout(playbooks: Playbooks, cluster: Cluster):
    first, second = (testinfra.get_host(f"docker://{name}") for name in NODES)
    first.check_output("mkdir /etc/containerd/certs.d/_backup")
    second.check_output("truncate -s 0 %s/ca.crt", FOLDER)
    try:
        done = playbooks.attempt("nodes")
        assert done.returncode != 0
        told = json.loads(done.stdout)["global_custom_stats"]["homeport_nodes"]
        assert list(told) == [NODES[0]]
        assert not told[NODES[0]]["ok"]
        assert "Spegel" in told[NODES[0]]["reason"]
        assert second.file(f"{FOLDER}/ca.crt").size == 0
    finally:
        first.check_output("rmdir /etc/containerd/certs.d/_backup")
    playbooks.run("nodes")
    assert second.file(f"{FOLDER}/ca.crt").size > 0
