# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The installation goes on from bundle to bundle, and to no other than the next."""

from __future__ import annotations

import json
import typing as t

import pytest

from tests.verify.airgap.conftest import FIRST, FOLDER, NODES, SECOND, WITHOUT_SECOND, report_of
from tests.verify.playbooks import Run

NAMESPACE = "molecule-airgap"
OTHER = {"new": ["newcomer:1"], "changed": ["app:1", "python:3"], "removed": ["leaver:1"]}


def bundle(folder: str) -> dict[str, t.Any]:
    """Return the variables that name one of the bundles."""
    return {"registry_airgap_bundle": [str(FOLDER / folder)]}


def digests(folder: str) -> dict[str, str]:
    """Return the images of a bundle with their digests."""
    lock = json.loads((FOLDER / f"{folder}.lock.json").read_text())
    return {one["name"]: one["digest"] for one in lock["images"]}


PINNED = {f"docker.io/library/{name}" for name in ("registry:3", "nginx:1", "python:3")}


def pins(node: t.Any) -> set[str]:
    """Return the names of the images that the kubelet leaves alone on a node."""
    images = json.loads(node.check_output("crictl images --output json"))["images"]
    return {name for one in images if one["pinned"] for name in one["repoTags"]}


def state_of(cluster: t.Any, nodes: t.Iterable[t.Any]) -> tuple[t.Any, ...]:
    """Return what an update changes: objects of the registry, images that are kept and mirrors of the nodes."""
    objects = cluster.find(
        "items[].[kind, metadata.name, spec, data]", "deployments,cronjobs,configmaps", "-n", NAMESPACE
    )
    images = [node.check_output("ctr -n k8s.io images ls | awk '/pinned/ {print $1, $3}' | sort") for node in nodes]
    mirrors = [node.check_output("cat /etc/containerd/certs.d/*/hosts.toml") for node in nodes]
    return objects, images, mirrors


@pytest.fixture(scope="module")
def refused(airgap, cluster, nodes) -> str:
    """Return what a delta is answered whose parent was left out."""
    before = state_of(cluster, nodes)
    done = airgap.attempt("airgap_update", WITHOUT_SECOND, callback="ansible.builtin.default", **bundle("skipped"))
    assert done.returncode != 0
    assert state_of(cluster, nodes) == before
    return " ".join((done.stdout + done.stderr).split())


@pytest.fixture(scope="module")
def new_node(refused, nodes) -> str:
    """Return a node that has nothing of ours any more, as if it had just joined."""
    wiped = nodes[1]
    wiped.check_output(f"crictl rmi {' '.join(PINNED)}")
    wiped.check_output("rm -r /etc/containerd/certs.d/docker.io /etc/containerd/certs.d/registry.molecule.test:30743")
    wiped.check_output("rm -r /var/lib/homeport")
    # The file itself belongs to the container.
    wiped.check_output("grep -v homeport.registry /etc/hosts >/tmp/hosts; cat /tmp/hosts >/etc/hosts; rm /tmp/hosts")
    assert PINNED & pins(wiped) == set()
    return NODES[1]


@pytest.fixture(scope="module")
def updated(airgap, refused, new_node) -> Run:
    """Return the run that brought the next bundle, which is a delta, and everything to the node that is new."""
    run: Run = airgap.run("airgap_update", **bundle("update"))
    return run


@pytest.fixture(scope="module")
def news(updated) -> dict[str, t.Any]:
    """Return the report of that run."""
    return report_of(FIRST)


def test_a_delta_is_refused_where_its_parent_is_not(refused):
    assert "This delta builds on molecule 2" in refused
    assert "holds molecule 1 (" in refused
    assert "Give the nodes what has to run" not in refused


def test_the_report_tells_before_and_after(news):
    assert (news["action"], news["before"]["version"], news["bundle"]["version"]) == ("update", "1", "2")
    assert news["difference"] == {
        kind: [f"docker.io/library/{name}" for name in names] for kind, names in OTHER.items()
    }
    assert {one["name"]: one["served"] for one in news["images"]} == digests("update")
    assert {one["name"]: one["served"] for one in report_of(SECOND)["images"]} == digests("update")
    text = (FOLDER / f"{FIRST}.txt").read_text()
    assert "before: molecule 1, document" in text
    assert "removed docker.io/library/leaver:1" in text


def test_what_runs_next_is_told(updated, news):
    stats = updated.report["global_custom_stats"]["homeport_airgap_update"]
    assert set(stats) == {FIRST, SECOND}
    assert (stats[SECOND]["before"], stats[SECOND]["after"]) == (stats[FIRST]["before"], stats[FIRST]["after"])
    told = stats[FIRST]
    assert told["after"] == {key: news["bundle"][key] for key in ("name", "version", "sha256")}
    assert (told["before"], told["changed"], told["nodes"]) == (news["before"], True, sorted(NODES))


def test_every_node_has_pulled_something_new(news):
    assert news["canary"] in [f"docker.io/library/{name}" for name in ("app:1", "newcomer:1")]
    assert set(news["nodes"]) == set(NODES)
    assert all(digests("update")[news["canary"]] in image for image in news["nodes"].values())


def test_a_node_that_is_new_got_everything(news, nodes):
    """A delta does not bring again what nodes start from; the registry has it."""
    assert pins(nodes[1]) >= PINNED
    for folder in ("docker.io", "registry.molecule.test:30743"):
        assert nodes[1].file(f"/etc/containerd/certs.d/{folder}").exists
    assert news["canary"].rpartition(":")[0] in news["nodes"][NODES[1]]


def test_nodes_hold_what_is_new_and_nothing_old(news, node):
    old, new = digests("bundles"), digests("update")
    images = {line.split()[0]: line for line in node.check_output("ctr -n k8s.io images ls").splitlines()}
    name = "docker.io/library/python:3"
    assert old[name] != new[name]
    assert "io.cri-containerd.pinned=pinned" in images[f"docker.io/library/python@{new[name]}"]
    assert new[name] in images[name]
    assert f"docker.io/library/python@{old[name]}" not in images
    # The node that is new had nothing to let go of.
    assert news["released"] == {NODES[0]: [f"docker.io/library/python@{old[name]}"], NODES[1]: []}


def test_the_cluster_runs_what_is_new(cluster, news):
    found = cluster.find("items[].spec.jobTemplate.spec.template.spec.containers[].image", "cronjobs", "-n", NAMESPACE)
    assert {image.partition("@")[2] for image in found} == {digests("update")["docker.io/library/python:3"]}


def test_a_second_run_changes_nothing(airgap, cluster, nodes, updated):
    before = state_of(cluster, nodes)
    again = airgap.run("airgap_update", WITHOUT_SECOND, **bundle("update"))
    assert again.changed == []
    assert state_of(cluster, nodes) == before
