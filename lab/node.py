# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node image: the built node with every image of the lab already in its containerd."""

from __future__ import annotations

import subprocess
import time

from lab import components, debian, images, shell
from lab.content import key_of
from lab.engine import Engine
from lab.errors import LabError
from lab.images import KEY_LABEL, Image
from lab.versions import Kubernetes

LOADER = "homeport-lab-loader"
LOG = "node-preload"
START_SECONDS = 30


def name(column: Kubernetes) -> str:
    """Return the name of the finished node image."""
    return f"homeport.lab/node:{column.release}"


def base(column: Kubernetes) -> Image:
    """Return the node's image before anything is loaded into it."""
    pause = next(known for known in components.kubeadm_names(column) if "/pause:" in known)
    return components.node_image(column, pause)


def key(column: Kubernetes) -> str:
    """Return the content key of the finished node image."""
    loaded = [f"{image.name}={image.key()}" for image in components.preloaded(column)]
    return key_of(base(column).key(), debian.key(), *loaded)


def build(engine: Engine, column: Kubernetes) -> str:
    """Build the node image with its images unless the engine has it; say which it was."""
    if engine.label(name(column), KEY_LABEL) == key(column):
        return "cached"
    images.build(engine, base(column))
    engine.ask("rm", "--force", LOADER)
    try:
        _preload(engine, column)
    finally:
        engine.ask("rm", "--force", LOADER)
    # Every earlier node image is a gigabyte that nothing refers to any more.
    engine.ask("image", "prune", "--force", "--filter", f"label={KEY_LABEL}")
    return "built"


def _preload(engine: Engine, column: Kubernetes) -> None:
    """Load all images into a container of the base and keep it as the node image."""
    engine.run(
        *("run", "--detach", "--name", LOADER, "--privileged", "--network", "none"),
        *("--entrypoint", "/usr/local/bin/containerd", base(column).name),
        log=LOG,
    )
    _await_containerd(engine)
    _import(engine, components.preloaded_names(column))
    # containerd's database is only whole once it has ended by itself.
    engine.run("stop", "--time", "60", LOADER, log=LOG)
    engine.run(
        *("commit", "--change", f"LABEL {KEY_LABEL}={key(column)}"),
        *("--change", 'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]', LOADER, name(column)),
        log=LOG,
    )


def _await_containerd(engine: Engine) -> None:
    limit = time.monotonic() + START_SECONDS
    while engine.ask("exec", LOADER, "ctr", "version") is None:
        if time.monotonic() > limit:
            said = engine.ask("logs", "--tail", "20", LOADER) or ""
            raise LabError(f"containerd does not start in the node image\n{shell.tail(said)}")
        time.sleep(0.5)


def _import(engine: Engine, names: list[str]) -> None:
    """Pass the images from the engine to the containerd in the loader."""
    env = shell.environment(engine.environment())
    # The label is what makes containerd's Kubernetes side take an image for its own.
    load = ("ctr", "--namespace=k8s.io", "images", "import", "--label=io.cri-containerd.image=managed")
    path = shell.log_path(LOG)
    with path.open("ab") as log:
        saved = subprocess.Popen(["docker", "save", *names], stdout=subprocess.PIPE, stderr=log, env=env)
        loaded = subprocess.run(
            ["docker", "exec", "--interactive", LOADER, *load, "--no-unpack", "--digests", "-"],
            stdin=saved.stdout,
            stdout=log,
            stderr=log,
            env=env,
            check=False,
        )
        if saved.wait() or loaded.returncode:
            tail = shell.tail(path.read_text(errors="replace"))
            raise LabError(f"the images do not go into the node image\n  log: {path}\n{tail}")
