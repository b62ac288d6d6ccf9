# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything came out of the bundle, nobody was asked, and Pods are as they were."""

from __future__ import annotations

import json

from tests.verify.airgap.conftest import FOLDER, NODES, SECOND, report_of
from tests.verify.cluster import eventually

NAMESPACE, APP = "molecule-airgap", "docker.io/library/app:1"
SECURE = {"runAsUser": 65532, "runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def test_nobody_was_called():
    watch = json.loads((FOLDER / "egress.json").read_text())
    assert (watch["verdict"], watch["events"], watch["rc"]) == ("silent", [], 0)
    # The deliberate call was seen, and what was allowed was used.
    assert any(".invalid" in line for line in watch["control"])
    assert all(place["connections"] > 0 for place in watch["allowed"])


def test_the_registry_serves_every_image_with_its_digest(report):
    lock = json.loads((FOLDER / "bundles.lock.json").read_text())
    assert {one["name"]: one["served"] for one in report["images"]} == {
        one["name"]: one["digest"] for one in lock["images"]
    }
    assert report["bundle"]["signed_by"].startswith("SHA256:")
    assert "Bundle molecule 1" in (FOLDER / "registry.molecule.test.txt").read_text()


def test_another_registry_of_the_same_run_has_everything_too(cluster, report):
    second = report_of(SECOND)
    assert (second["registry"], second["bundle"]["sha256"]) == (f"{SECOND}:30744", report["bundle"]["sha256"])
    assert [one["served"] for one in second["images"]] == [one["served"] for one in report["images"]]
    assert second["nodes"] == {}
    noted = cluster.find('data."installed"', "configmap", "depot-bundle", "-n", f"{NAMESPACE}-second")
    assert json.loads(noted)["sha256"] == report["bundle"]["sha256"]


def test_every_node_has_pulled_the_whole_index_by_its_unmodified_name(report):
    (app,) = [one for one in report["images"] if one["name"] == APP]
    assert report["canary"] == APP
    assert set(report["nodes"]) == set(NODES)
    assert all(app["digest"] in image for image in report["nodes"].values())


def test_the_registry_runs_what_was_in_the_bundle(cluster, report):
    digests = {one["name"]: one["digest"] for one in report["images"]}
    found = cluster.find("items[].spec.[initContainers, containers][][].image", "pods", "-n", NAMESPACE)
    assert found
    assert {image for image in found if "@" not in image} == set()
    assert {image.partition("@")[2] for image in found} <= set(digests.values())


def test_an_unmodified_pod_starts_on_every_node(cluster):
    pods = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"on-{name}", "namespace": f"{NAMESPACE}-clients"},
            "spec": {
                "nodeName": name,
                "terminationGracePeriodSeconds": 0,
                "securityContext": SECURE,
                "tolerations": [{"operator": "Exists"}],
                "containers": [{"name": "app", "image": "app:1", "imagePullPolicy": "Always"}],
            },
        }
        for name in NODES
    ]
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"{NAMESPACE}-clients"}}
    cluster.apply(namespace, *pods)
    ready = ["-n", f"{NAMESPACE}-clients", "--for=condition=Ready", "--timeout=120s"]
    cluster.kubectl("wait", *ready, *(f"pod/on-{name}" for name in NODES), timeout=150)


def test_what_is_not_in_the_bundle_is_not_there_and_nobody_else_is_asked(node):
    done = node.run("timeout 30 crictl pull docker.io/library/other:1")
    assert done.rc not in (0, 124)
    assert "not found" in done.stderr
    assert "registry-1.docker.io" not in done.stderr


def test_the_registry_comes_back_after_all_its_pods_are_gone_and_the_runtime_was_restarted(cluster, node):
    restarted = node.run("systemctl restart containerd")
    assert restarted.rc == 0, restarted.stderr
    eventually(lambda: node.run("crictl version").rc == 0, "containerd answers", seconds=120)
    cluster.kubectl("delete", "pods", "--all", "-n", NAMESPACE, "--wait=true", "--timeout=150s")
    for deployment in ("depot", "depot-writer"):
        cluster.kubectl("rollout", "status", f"deployment/{deployment}", "-n", NAMESPACE, "--timeout=150s")
    # From the nodes' own store: nobody could have served them.
    reasons = cluster.find("items[?reason=='Pulling'].message", "events", "-n", NAMESPACE)
    assert [message for message in reasons if "library/app" not in message] == []
    # A pod that is ready is reached a moment later; the kubelet asks again too.
    pulled = node.run("for again in $(seq 30); do crictl pull %s && exit 0; sleep 1; done; exit 1", APP)
    assert pulled.rc == 0, pulled.stderr


def test_the_images_are_pinned(node):
    images = json.loads(node.check_output("crictl images --output json"))["images"]
    pinned = {name for one in images if one["pinned"] for name in one["repoTags"]}
    assert {f"docker.io/library/{name}" for name in ("registry:3", "nginx:1", "python:3")} <= pinned
