# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether images are pulled or built, and the recipe of the cluster that follows from it."""

from __future__ import annotations

from lab import layout, network, node, pulled
from lab.cluster import Recipe
from lab.content import files_under, key_of_files
from lab.engine import Engine
from lab.versions import Kubernetes

CHOICES = ("auto", "pull", "build")
PROBE_SECONDS = 20


def choose(wanted: str, engine: Engine, column: Kubernetes) -> str:
    """Return "pull" or "build".

    "auto" builds whenever the engine is the lab's own: nothing then says that
    this machine reaches an image registry, and to try would be an attempt to
    reach outside. With the machine's engine it asks once, for at most
    PROBE_SECONDS, for the smallest image it will need.
    """
    if wanted != "auto":
        return wanted
    if engine.kind == "own" or pulled.is_present(engine, node.name(column)):
        return "build"
    return "pull" if pulled.can_pull(engine, column, PROBE_SECONDS) else "build"


def recipe(flavour: str, column: Kubernetes, bare: bool = False) -> Recipe:
    """Return what the cluster is made of, bare without the product's images; the programs of "build" must be built."""
    config = layout.PACKAGE / "kind" / f"{flavour}.yaml"
    manifests = layout.PACKAGE / "manifests" / flavour
    if flavour == "build":
        image, contents = node.name(column), [node.key(column), network.cni_config("-")]
    else:
        image, contents = column.node_image, [pulled.key(column)]
    if bare:
        contents.append("bare")
    key = key_of_files([config, *files_under(manifests)], layout.PACKAGE, image, *contents)
    return Recipe(flavour, column.column, image, config, manifests, key)
