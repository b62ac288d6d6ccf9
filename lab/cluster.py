# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kind cluster: what is there, make it, remove it."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from lab import kubectl, layout, shell
from lab.engine import Engine
from lab.errors import LabError
from lab.versions import PULLED

KIND_LABEL = f"io.x-k8s.kind.cluster={layout.CLUSTER}"
MARKER = ("configmap", "homeport-lab", "--namespace=kube-system")
LOG = "kind"
READY_SECONDS = 180


@dataclass(frozen=True)
class Recipe:
    """What a cluster is made of: the key tells whether a running one still fits."""

    flavour: str
    column: str
    image: str
    config: Path
    manifests: Path
    key: str


def containers(engine: Engine) -> dict[str, str]:
    """Return the state ("running", "exited"...) of each of the cluster's containers."""
    template = "{{.Names}} {{.State}}"
    listing = engine.ask("ps", "--all", "--filter", f"label={KIND_LABEL}", "--format", template) or ""
    return dict(line.split(" ", 1) for line in listing.splitlines())


def is_running(engine: Engine) -> bool:
    """Tell whether exactly the containers of both nodes run."""
    return containers(engine) == dict.fromkeys(layout.NODES, "running")


def marker() -> dict[str, str]:
    """Return what the running cluster says it was made of; empty when it is unfinished or silent."""
    found = kubectl.read(*MARKER) or {}
    data: dict[str, str] = found.get("data", {})
    return data


def strip(engine: Engine) -> str:
    """Take the product's images off both nodes, as behind an air gap, where each must come out of a bundle."""
    for node in layout.NODES:
        engine.run("exec", node, "crictl", "rmi", *PULLED, log=LOG)
    return f"{len(PULLED)} removed"


def write_marker(recipe: Recipe) -> str:
    """Leave the mark of a finished cluster in it."""
    data = {"key": recipe.key, "flavour": recipe.flavour, "kubernetes": recipe.column}
    meta = {"name": MARKER[1], "namespace": "kube-system"}
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}
    kubectl.run("apply", "--filename", "-", stdin=json.dumps(document))
    return "done"


def kind(engine: Engine, *arguments: str, timeout: float = 600) -> None:
    """Run kind with its output in the log; raise LabError when it fails."""
    shell.logged([str(layout.BIN / "kind"), *arguments], LOG, env=engine.environment(), timeout=timeout)


def export_kubeconfig(engine: Engine) -> bool:
    """Write this checkout's kubeconfig for the running cluster; tell whether the cluster had one to give."""
    layout.STATE.mkdir(exist_ok=True)
    fresh = layout.KUBECONFIG.with_name(f".{layout.KUBECONFIG.name}.new")
    fresh.unlink(missing_ok=True)
    try:
        kind(engine, "export", "kubeconfig", "--name", layout.CLUSTER, "--kubeconfig", str(fresh))
    except LabError:
        # Killed before kubeadm wrote its credentials: half-made, and so to be made anew.
        return False
    # In one move: kind writes in place, and somebody who uses the cluster may be reading.
    fresh.replace(layout.KUBECONFIG)
    return True


def create(engine: Engine, recipe: Recipe) -> str:
    """Make the cluster with kind; leave the nodes' last words in the log when that fails."""
    layout.STATE.mkdir(exist_ok=True)
    layout.KUBECONFIG.unlink(missing_ok=True)
    forget_shared()
    try:
        kind(
            engine,
            *("create", "cluster", "--name", layout.CLUSTER, "--image", recipe.image, "--retain"),
            *("--config", str(recipe.config), "--kubeconfig", str(layout.KUBECONFIG)),
        )
    except LabError:
        _keep_last_words(engine)
        raise
    return "created"


def _keep_last_words(engine: Engine) -> None:
    with shell.log_path(LOG).open("a") as log:
        for name in containers(engine):
            for words in (
                ("logs", "--tail", "50", name),
                ("exec", name, "journalctl", "--no-pager", "--lines", "100", "--unit", "kubelet"),
                ("exec", name, "crictl", "ps", "--all"),
            ):
                done = shell.attempt(["docker", *words], env=engine.environment())
                log.write(f"\n== {name}: {' '.join(words)}\n{done.stdout}{done.stderr}")


def forget_shared() -> None:
    """Remove what the nodes of an earlier cluster shared."""
    shutil.rmtree(layout.SHARED, ignore_errors=True)


def delete(engine: Engine) -> str:
    """Remove the cluster's containers with their volumes, whole or half-made; say whether there were any."""
    found = containers(engine)
    layout.KUBECONFIG.unlink(missing_ok=True)
    if not found:
        return "none"
    engine.run("rm", "--force", "--volumes", *found, log=LOG, timeout=120)
    return "removed"


def await_ready() -> str:
    """Wait until nodes, DNS, storage and policies work."""
    begun = time.monotonic()
    kubectl.run("wait", "--for=condition=Ready", "nodes", "--all", f"--timeout={READY_SECONDS}s")
    for namespace in ("kube-system", "local-path-storage"):
        kubectl.run("rollout", "status", "deployment,daemonset", "-n", namespace, f"--timeout={READY_SECONDS}s")
    return f"ready after {time.monotonic() - begun:.0f} s"
