# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of ``up``: everything the cluster needs, then the cluster."""

from __future__ import annotations

from lab import cluster, components, debian, flavour, golang, images, kubectl, network, node, packages, pulled, tools
from lab.beside import Beside
from lab.cluster import Recipe
from lab.engine import Engine
from lab.progress import Step
from lab.versions import CONTAINERD, CONTAINERD_BEFORE, KIND, Family, Kubernetes


def _toolchain() -> str:
    if not golang.on_path():
        packages.install_pip()
    return str(golang.toolchain())


def _family_step(family: Family) -> Step:
    about = "" if golang.is_built(family) else f", about {family.seconds} s on two cores"
    return Step(f"Go programs: {family.directory} {family.version}{about}", lambda: golang.build(family))


def is_cold(column: Kubernetes) -> bool:
    """Tell whether any of the built flavour's programs is still to be built."""
    return not all(golang.is_built(family) for family in components.families(column))


def _debian_images(engine: Engine) -> str:
    made = debian.build(engine)
    without_programs = [image for image in components.product_images() if not image.programs]
    return f"{made}; images: {images.build_all(engine, without_programs)}"


def build_steps(engine: Engine, column: Kubernetes) -> list[Step]:
    """Return the steps that build everything the cluster needs.

    What mostly waits for the network is done beside the Go builds, which compute.
    """
    families = components.families(column)
    cold = is_cold(column)
    if cold:
        # No part of the cluster, but cheap right behind the other one. Later, tests that need it pay for all of it.
        families.insert(families.index(CONTAINERD) + 1, CONTAINERD_BEFORE)
    base = Beside(lambda: _debian_images(engine))
    modules = Beside(lambda: golang.fetch(families))
    before = [Step("Go toolchain", _toolchain), Step("Go modules, beside what follows", modules.start)]
    after = [Step("Compiler cache, no longer needed", golang.forget_compiled)]
    return [
        *(before if cold else []),
        Step("Debian packages", lambda: packages.install({**packages.BUILD, **packages.NETWORK})),
        Step("Debian base image, beside what follows", base.start),
        *(_family_step(family) for family in families),
        *([Step("Go modules", modules.outcome), *after] if cold else []),
        Step("Tools in .lab/bin", lambda: tools.link(tools.built(column))),
        Step("Debian base image", base.outcome),
        Step("Component images", lambda: images.build_all(engine, components.preloaded(column))),
        Step(f"Node image {column.release}, all images in it", lambda: node.build(engine, column)),
    ]


def _kind() -> str:
    if tools.kind_on_path():
        return "present"
    _toolchain()
    return golang.build(KIND)


def pull_steps(engine: Engine, column: Kubernetes) -> list[Step]:
    """Return the steps that pull everything the cluster needs."""
    return [
        Step("Debian packages", lambda: packages.install(packages.NETWORK)),
        Step(f"kind {KIND.version}", _kind),
        Step("Upstream images", lambda: pulled.pull_all(engine, column)),
        Step("Programs out of the images", lambda: pulled.take_programs(engine, column)),
        Step("Tools in .lab/bin", lambda: tools.link({**tools.taken(column), **tools.common()})),
    ]


def prepare_steps(engine: Engine, chosen: str, column: Kubernetes) -> list[Step]:
    """Return the steps of the chosen flavour that come before the cluster."""
    return build_steps(engine, column) if chosen == "build" else pull_steps(engine, column)


def cluster_steps(engine: Engine, chosen: str, column: Kubernetes, bare: bool = False) -> list[Step]:
    """Return the steps from finished images to a finished cluster, bare without the product's images."""

    def recipe() -> Recipe:
        # Not before a step runs: earlier steps build what the key is made of.
        return flavour.recipe(chosen, column, bare)

    def addons() -> str:
        kubectl.apply(recipe().manifests)
        return "applied"

    by_flavour = {
        "build": [Step("Pod network", lambda: network.connect_nodes(engine))],
        "pull": [
            Step("Product images into the nodes", lambda: pulled.load_all(engine)),
            Step("Programs out of the node", lambda: pulled.take_node_programs(engine, column)),
        ],
    }
    return [
        Step("Remains of an earlier cluster", lambda: cluster.delete(engine)),
        Step("Two nodes by kind", lambda: cluster.create(engine, recipe())),
        Step("Add-ons", addons),
        *by_flavour[chosen],
        *([Step("Product images off the nodes", lambda: cluster.strip(engine))] if bare else []),
        Step("Routes from this machine", network.connect_host),
        Step("Nodes, DNS, storage and policies", cluster.await_ready),
        Step("Mark of a finished cluster", lambda: cluster.write_marker(recipe())),
    ]


def is_reusable(engine: Engine, chosen: str, column: Kubernetes, bare: bool = False) -> bool:
    """Tell whether a finished cluster of the same recipe runs and answers; link the tools for it."""
    if (chosen == "build" and is_cold(column)) or not cluster.is_running(engine):
        return False
    tools.link(tools.built(column) if chosen == "build" else {**tools.taken(column), **tools.common()})
    return cluster.export_kubeconfig(engine) and cluster.marker().get("key") == flavour.recipe(chosen, column, bare).key


def reuse_steps(engine: Engine, chosen: str) -> list[Step]:
    """Return the steps that make a running cluster usable from this checkout."""
    return [
        *([Step("Pod network", lambda: network.connect_nodes(engine))] if chosen == "build" else []),
        Step("Routes from this machine", network.connect_host),
        Step("Nodes, DNS, storage and policies", cluster.await_ready),
    ]
