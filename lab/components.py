# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the built flavour consists of: Go families, the cluster's images, and the product's."""

from __future__ import annotations

from lab import debian, golang, shell
from lab.errors import LabError
from lab.images import Image
from lab.versions import (
    CONTAINERD,
    COREDNS,
    CRICTL,
    ETCD,
    KIND,
    KUBE_ROUTER,
    LOCAL_PATH,
    PAUSE,
    REGISTRY,
    Family,
    Kubernetes,
    kubernetes_family,
)

KUBE_ROUTER_IMAGE = "homeport.lab/kube-router:2"
LOCAL_PATH_IMAGE = "homeport.lab/local-path-provisioner:0"


def families(column: Kubernetes) -> list[Family]:
    """Return all Go families, those that others wait for first."""
    system = [CONTAINERD, CRICTL, COREDNS, PAUSE, LOCAL_PATH, KUBE_ROUTER]
    return [REGISTRY, ETCD, kubernetes_family(column), KIND, *system]


def product_images() -> list[Image]:
    """Return the images that the collection and its tests use."""
    return [
        Image("homeport.lab/registry:3", "registry", ((REGISTRY, "registry"),)),
        Image("homeport.lab/gate:1", "gate"),
        Image("homeport.lab/engine:3", "engine"),
        Image("homeport.lab/client:1", "client"),
    ]


def addon_images() -> list[Image]:
    """Return the images of the storage provisioner and of the policy enforcer."""
    return [
        Image(
            LOCAL_PATH_IMAGE,
            "program",
            ((LOCAL_PATH, "local-path-provisioner"),),
            {"PROGRAM": "local-path-provisioner"},
        ),
        Image(KUBE_ROUTER_IMAGE, "network", ((KUBE_ROUTER, "kube-router"),), {"PROGRAM": "kube-router"}),
    ]


def kubeadm_names(column: Kubernetes) -> list[str]:
    """Return the image names that this release's kubeadm will ask the node for."""
    kubeadm = golang.program(kubernetes_family(column), "kubeadm")
    return shell.output([str(kubeadm), "config", "images", "list", "--kubernetes-version", column.release]).split()


def system_image(name: str, column: Kubernetes) -> Image:
    """Return how to build the image that kubeadm knows as ``name``."""
    program = name.rpartition("/")[2].partition(":")[0]
    named = {"PROGRAM": program}
    kubernetes = kubernetes_family(column)
    if program == "kube-proxy":
        return Image(name, "network", ((kubernetes, program),), named)
    if program in kubernetes.programs:
        return Image(name, "program", ((kubernetes, program),), named)
    own = {"etcd": ("program", ETCD, named), "coredns": ("coredns", COREDNS, {}), "pause": ("pause", PAUSE, {})}
    if program not in own:
        raise LabError(f"kubeadm {column.release} wants {name}, which the lab does not know how to build")
    directory, family, arguments = own[program]
    return Image(name, directory, ((family, program),), arguments)


def system_images(column: Kubernetes) -> list[Image]:
    """Return all images that kubeadm will ask the node for."""
    return [system_image(name, column) for name in kubeadm_names(column)]


def node_image(column: Kubernetes, pause: str) -> Image:
    """Return the node's image before the other images are loaded into it."""
    kubernetes = kubernetes_family(column)
    programs = [(kubernetes, name) for name in ("kubeadm", "kubectl", "kubelet")]
    programs += [(CONTAINERD, name) for name in CONTAINERD.programs] + [(CRICTL, "crictl")]
    arguments = {"KUBERNETES_RELEASE": column.release, "PAUSE_IMAGE": pause}
    return Image(f"homeport.lab/node-base:{column.release}", "node", tuple(programs), arguments, "programs")


def preloaded(column: Kubernetes) -> list[Image]:
    """Return the images every node has from its first second."""
    return [*system_images(column), *addon_images(), *product_images()]


def preloaded_names(column: Kubernetes) -> list[str]:
    """Return the names of the preloaded images, the bare Debian base (the storage helper) included."""
    return [*(image.name for image in preloaded(column)), debian.NAME]
