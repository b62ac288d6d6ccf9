# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The flavour that pulls: kind's node image and the upstream images, retagged to the lab's names."""

from __future__ import annotations

from lab import images, layout, tools
from lab.cluster import kind
from lab.content import key_of
from lab.engine import Engine
from lab.errors import LabError
from lab.images import Image
from lab.versions import PULLED, PULLED_BASE, Kubernetes

LOG = "pull"
PULL_SECONDS = 900
CLIENT = Image("homeport.lab/client:1", "client", arguments={"BASE": PULLED_BASE})
NODE_PROGRAMS = ("kube-apiserver", "etcd")


def key(column: Kubernetes) -> str:
    """Return the content key of everything that is pulled."""
    return key_of(column.node_image, *(f"{name}={source}" for name, source in sorted(PULLED.items())), CLIENT.key())


def is_present(engine: Engine, image: str) -> bool:
    """Tell whether the engine has ``image``."""
    return engine.ask("image", "inspect", "--format", "{{.Id}}", image) is not None


def can_pull(engine: Engine, column: Kubernetes, seconds: float) -> bool:
    """Tell whether image registries can be reached, asking for a small image at most once."""
    if is_present(engine, column.node_image) or is_present(engine, PULLED_BASE):
        return True
    return engine.ask("pull", "--quiet", PULLED_BASE, timeout=seconds) is not None


def pull_all(engine: Engine, column: Kubernetes) -> str:
    """Pull what the engine lacks, give the images the lab's names, build the test client."""
    wanted = [column.node_image, PULLED_BASE, *PULLED.values()]
    absent = [image for image in wanted if not is_present(engine, image)]
    for image in absent:
        engine.run("pull", "--quiet", image, log=LOG, timeout=PULL_SECONDS)
    for name, source in PULLED.items():
        engine.run("tag", source, name, log=LOG)
    images.build(engine, CLIENT)
    return f"{len(absent)} of {len(wanted)} pulled" if absent else "cached"


def load_all(engine: Engine) -> str:
    """Load the product's images into the nodes."""
    names = [*PULLED, CLIENT.name]
    kind(engine, "load", "docker-image", *names, "--name", layout.CLUSTER)
    return f"{len(names)} loaded"


def take_programs(engine: Engine, column: Kubernetes) -> str:
    """Take kubectl and the registry out of their images, for use on this machine."""
    sources = {
        "kubectl": (column.node_image, "/usr/bin/kubectl"),
        "registry": ("homeport.lab/registry:3", "/bin/registry"),
    }
    home = tools.taken_home(column)
    absent = [name for name in sources if not (home / name).exists()]
    for name in absent:
        image, inside = sources[name]
        container = engine.ask("create", image)
        if not container:
            raise LabError(f"no container can be made of {image}")
        try:
            tools.take(engine, container, inside, home / name)
        finally:
            engine.ask("rm", "--force", "--volumes", container)
    return "taken" if absent else "cached"


def take_node_programs(engine: Engine, column: Kubernetes) -> str:
    """Take the API server and etcd out of the images on the control plane, for tests that run them alone."""
    home = tools.taken_home(column)
    absent = [name for name in NODE_PROGRAMS if not (home / name).exists()]
    for name in absent:
        tools.take_from_node_image(engine, layout.CONTROL_PLANE, name, home / name)
    tools.link(tools.taken(column))
    return "taken" if absent else "cached"
