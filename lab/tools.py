# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs that people and tests call, collected in the checkout's ``.lab/bin``."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from lab import golang, layout, shell
from lab.engine import Engine
from lab.errors import LabError
from lab.versions import ETCD, KIND, KIND_MINIMUM, REGISTRY, Kubernetes, kubernetes_family


def built(column: Kubernetes) -> dict[str, Path]:
    """Return the programs of the built flavour by name."""
    kubernetes = kubernetes_family(column)
    found = {name: golang.program(kubernetes, name) for name in ("kubectl", "kube-apiserver")}
    found["etcd"] = golang.program(ETCD, "etcd")
    found["registry"] = golang.program(REGISTRY, "registry")
    return {**found, **common()}


def common() -> dict[str, Path]:
    """Return the programs that are the same in both flavours."""
    found = {"kind": kind()}
    for name in ("skopeo", "docker"):
        path = outside(name)
        if path:
            found[name] = path
    return found


def outside(name: str) -> Path | None:
    """Return the program of this name on PATH that is no link of a checkout's own: such a link could lead to itself."""
    for folder in os.get_exec_path():
        path = shutil.which(name, path=folder or os.curdir)
        if path and Path(folder).parts[-2:] != layout.BIN.parts[-2:]:
            return Path(path).absolute()
    return None


def kind_on_path() -> Path | None:
    """Return the kind on PATH if it is new enough for the lab's cluster configuration."""
    path = outside("kind")
    if not path:
        return None
    found = re.search(r"v(\d+)\.(\d+)", shell.attempt([str(path), "version"]).stdout)
    return path if found and (int(found[1]), int(found[2])) >= KIND_MINIMUM else None


def kind() -> Path:
    """Return the stock kind: the built one, else the one on PATH."""
    if golang.is_built(KIND):
        return golang.program(KIND, "kind")
    found = kind_on_path()
    if found is None:
        raise LabError("no kind on PATH and none built; run: python3 -m lab up")
    return found


def link(programs: dict[str, Path]) -> str:
    """Make ``.lab/bin`` hold links to ``programs``."""
    layout.BIN.mkdir(parents=True, exist_ok=True)
    for name, target in programs.items():
        place = layout.BIN / name
        if place.is_symlink() and place.readlink() == target:
            continue
        # Replaced in one move: someone may be about to run the old one.
        fresh = layout.BIN / f".{name}.new"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target)
        fresh.replace(place)
    return "linked"


def taken_home(column: Kubernetes) -> Path:
    """Return where programs taken out of pulled images are kept."""
    return layout.cache() / "taken" / re.sub(r"[^\w.]+", "-", column.node_image)


def taken(column: Kubernetes) -> dict[str, Path]:
    """Return the programs taken out of pulled images, as far as they have been."""
    home = taken_home(column)
    return {path.name: path for path in sorted(home.iterdir())} if home.is_dir() else {}


def take(engine: Engine, container: str, inside: str, place: Path) -> None:
    """Copy the file ``inside`` out of ``container`` to ``place``."""
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_name(f".{place.name}.partial")
    engine.run("cp", "--follow-link", f"{container}:{inside}", str(partial), log="tools")
    partial.chmod(0o755)
    partial.replace(place)


# The binary of a Kubernetes image sits in /usr/local/bin or, in kind's, in /usr/bin or at the root.
_FIND_IN_IMAGE = r"""
set -eu
image=$(ctr --namespace=k8s.io images list --quiet | grep "/$1:" | head -n 1)
# A fresh place each time: containerd frees the name of an old one only after a while.
root=$(mktemp -d)
ctr --namespace=k8s.io images mount "$image" "$root" > /dev/null
trap 'ctr --namespace=k8s.io images unmount --rm "$root" > /dev/null' EXIT
for place in usr/local/bin usr/bin bin .; do
    [ ! -f "$root/$place/$1" ] || { cat "$root/$place/$1"; exit 0; }
done
exit 1
"""


def take_from_node_image(engine: Engine, node: str, name: str, place: Path) -> None:
    """Copy the program ``name`` out of the image of that name in a node's containerd to ``place``."""
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_name(f".{place.name}.partial")
    log = shell.log_path("tools")
    with partial.open("wb") as out, log.open("ab") as errors:
        done = subprocess.run(
            ["docker", "exec", node, "sh", "-c", _FIND_IN_IMAGE, "sh", name],
            stdout=out,
            stderr=errors,
            env=shell.environment(engine.environment()),
            check=False,
        )
    if done.returncode:
        partial.unlink()
        raise LabError(f"{name} is not to be found in the image of that name on {node}\n  log: {log}")
    partial.chmod(0o755)
    partial.replace(place)
