# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes into the images and the cluster, and that its parts fit together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import components, debian, flavour, golang, images, layout, network, node, pulled, versions
from lab.content import key_of
from lab.errors import LabError
from lab.images import Image
from lab.versions import ETCD, PULLED, Family

COLUMN = versions.kubernetes("1.36")
KUBEADM = [
    *(f"registry.k8s.io/kube-{part}:v1.36.3" for part in ("apiserver", "controller-manager", "scheduler", "proxy")),
    "registry.k8s.io/coredns/coredns:v1.14.2",
    "registry.k8s.io/pause:3.10.2",
    "registry.k8s.io/etcd:3.6.8-0",
]


@pytest.fixture(autouse=True)
def kubeadm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(components, "kubeadm_names", lambda column: KUBEADM)


def documents(path: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def manifests(name: str) -> list[dict[str, Any]]:
    return [entry for path in sorted((layout.PACKAGE / "manifests" / name).glob("*.yaml")) for entry in documents(path)]


STORAGE = images.SOURCES / "node/files/kind/manifests/default-storage.yaml"


def test_every_image_kubeadm_wants_is_built_from_its_program() -> None:
    for image in components.system_images(COLUMN):
        ((family, program),) = image.programs
        assert f"/{program}:" in image.name
        assert isinstance(family, Family)
        assert program in family.programs
        assert (images.SOURCES / image.directory / "Dockerfile").is_file()


def test_an_image_nobody_knows_is_an_error() -> None:
    with pytest.raises(LabError, match="new-thing:1, which the lab does not know"):
        components.system_image("registry.k8s.io/new-thing:1", COLUMN)


def test_built_images_copy_only_what_they_are_given() -> None:
    for image in (*components.preloaded(COLUMN), node.base(COLUMN)):
        text = (images.SOURCES / image.directory / "Dockerfile").read_text()
        given = {name for _, name in image.programs} | {"${PROGRAM}"} | {f"{image.folder}/"}
        own = {path.name for path in (images.SOURCES / image.directory).iterdir()}
        for line in text.splitlines():
            if line.startswith("COPY "):
                source = line.split()[1]
                assert source in given or source.rstrip("/") in own, f"{image.directory}: {line}"


def test_both_flavours_bring_the_same_product_images() -> None:
    assert {image.name for image in components.product_images()} == {*PULLED, pulled.CLIENT.name}


def test_the_key_of_an_image_follows_all_its_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image("x:1", "program", ((ETCD, "etcd"),), {"PROGRAM": "etcd"})
    first = image.key()
    assert Image("y:2", "program", ((ETCD, "etcd"),), {"PROGRAM": "etcd"}).key() == first
    assert Image("x:1", "program", ((ETCD, "etcd"),), {"PROGRAM": "other"}).key() != first
    assert Image("x:1", "coredns", ((ETCD, "etcd"),), {"PROGRAM": "etcd"}).key() != first
    with monkeypatch.context() as changed:
        changed.setattr(golang, "family_key", lambda family: "other")
        assert image.key() != first
    with monkeypatch.context() as changed:
        changed.setattr(debian, "key", lambda: "other")
        assert image.key() != first


def test_the_node_image_is_made_anew_when_any_image_in_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    first = node.key(COLUMN)
    for changed in components.preloaded(COLUMN):
        with monkeypatch.context() as patch:
            real = Image.key
            patch.setattr(
                Image, "key", lambda self, name=changed.name, real=real: "new" if self.name == name else real(self)
            )
            assert node.key(COLUMN) != first, changed.name


def test_pods_of_the_lab_use_only_images_that_are_on_the_nodes() -> None:
    present = components.preloaded_names(COLUMN)
    found = []
    for document in (*manifests("build"), *documents(STORAGE)):
        if document["kind"] in ("Deployment", "DaemonSet"):
            found += document["spec"]["template"]["spec"]["containers"]
        if "helperPod.yaml" in document.get("data", {}):
            found += yaml.safe_load(document["data"]["helperPod.yaml"])["spec"]["containers"]
    assert len(found) == 3
    for container in found:
        assert container["image"] in present
        assert container["imagePullPolicy"] == "IfNotPresent"


@pytest.mark.parametrize("where", ["build", "pull"])
def test_the_one_default_storage_class_is_local_path(where: str) -> None:
    found = documents(STORAGE) if where == "build" else manifests("pull")
    classes = {
        document["metadata"]["name"]: document["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"]
        for document in found
        if document["kind"] == "StorageClass"
    }
    assert [name for name, default in classes.items() if default == "true"] == ["local-path"]


@pytest.mark.parametrize("name", flavour.CHOICES[1:])
def test_both_clusters_have_the_addresses_the_routes_are_for(name: str) -> None:
    (config,) = documents(layout.PACKAGE / "kind" / f"{name}.yaml")
    assert config["networking"]["serviceSubnet"] == network.SERVICE_SUBNET
    assert config["networking"].get("disableDefaultCNI", False) is (name == "build")
    assert [entry["role"] for entry in config["nodes"]] == ["control-plane", "worker"]
    for patch in config["kubeadmConfigPatches"]:
        assert yaml.safe_load(patch)["kind"]


def test_policies_are_enforced_for_the_same_services() -> None:
    (daemons,) = (document for document in manifests("build") if document["kind"] == "DaemonSet")
    command = daemons["spec"]["template"]["spec"]["containers"][0]["command"]
    assert f"--service-cluster-ip-range={network.SERVICE_SUBNET}" in command
    assert "--run-firewall=true" in command


def test_cluster_dns_forwards_nowhere() -> None:
    (config,) = (document for document in manifests("build") if document["kind"] == "ConfigMap")
    assert "kubernetes cluster.local" in config["data"]["Corefile"]
    assert "forward" not in config["data"]["Corefile"]


def test_a_missing_image_is_refused_on_the_node() -> None:
    text = (images.SOURCES / "node/files/etc/containerd/certs.d/_default/hosts.toml").read_text()
    hosts = [line for line in text.splitlines() if "://" in line]
    assert len(hosts) == 2
    assert all("http://127.0.0.1:1" in line for line in hosts)


def test_the_recipe_follows_configuration_manifests_and_images(monkeypatch: pytest.MonkeyPatch) -> None:
    first = flavour.recipe("build", COLUMN).key
    assert flavour.recipe("build", COLUMN).key == first
    assert flavour.recipe("pull", COLUMN).key != first
    assert flavour.recipe("build", COLUMN, bare=True).key != first
    with monkeypatch.context() as changed:
        changed.setattr(node, "key", lambda column: key_of("other"))
        assert flavour.recipe("build", COLUMN).key != first
    with monkeypatch.context() as changed:
        changed.setattr(network, "cni_config", lambda pods: "{}")
        assert flavour.recipe("build", COLUMN).key != first


def test_debian_comes_from_the_archives_this_machine_uses() -> None:
    targets = """Packages http://mirror.example/debian bookworm main
DEP-11 http://mirror.example/debian bookworm main
Packages http://mirror.example/debian bookworm-updates main
Packages http://mirror.example/security bookworm-security main
Packages http://vendor.example/apt stable main
"""
    assert debian.archive_lines(targets, "bookworm") == [
        "deb http://mirror.example/debian bookworm main",
        "deb http://mirror.example/security bookworm-security main",
        "deb http://mirror.example/debian bookworm-updates main",
    ]


def test_a_machine_of_another_suite_lends_no_archive() -> None:
    assert debian.archive_lines("Packages http://mirror.example/ubuntu noble main\n", "bookworm") == []
    assert debian.archive_lines("Packages http://m.example/security bookworm-security main\n", "bookworm") == []
