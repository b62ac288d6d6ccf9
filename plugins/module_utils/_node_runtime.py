# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Which container runtime a node uses, and where that looks for what it should trust. Private."""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils import _node_containerd as containerd
from ansible_collections.homeport.registry.plugins.module_utils import _node_process as process
from ansible_collections.homeport.registry.plugins.module_utils._node_errors import NodeError
from ansible_collections.homeport.registry.plugins.module_utils._node_files import read, stamp
from ansible_collections.homeport.registry.plugins.module_utils._node_managers import refuse_foreign_managers

KINDS = ("containerd", "crio", "docker", "podman", "k3s", "rke2", "k0s", "microk8s")
RANCHER_KINDS = ("k3s", "rke2")
CONTAINERD_KINDS = ("containerd", "k3s", "rke2", "k0s", "microk8s")

_SOCKETS = (
    "/run/containerd/containerd.sock",
    "/run/k3s/containerd/containerd.sock",
    "/run/k0s/containerd.sock",
    "/var/snap/microk8s/common/run/containerd.sock",
    "/run/crio/crio.sock",
    "/run/cri-dockerd.sock",
    "/run/docker.sock",
)
_PLACES = (
    ("/rancher/k3s/", "k3s"),
    ("/rancher/rke2/", "rke2"),
    ("microk8s", "microk8s"),
    ("k0s", "k0s"),
    ("crio", "crio"),
    ("docker", "docker"),
)
_ENDPOINT = re.compile(rb"^containerRuntimeEndpoint:\s*[\"']?([^\"'\s]+)", re.MULTILINE)
_CERTS = {"crio": "/etc/containers/certs.d", "podman": "/etc/containers/certs.d", "docker": "/etc/docker/certs.d"}


@dataclasses.dataclass(frozen=True)
class Runtime:
    """A container runtime as found on a node.

    `root` holds one directory per registry; empty where the runtime reads none yet, and `reason` says why.
    `sources` are the files that decide all this, each with what changes when it does.
    """

    kind: str
    version: tuple[int, ...]
    endpoint: str
    pid: int
    started: str
    program: str
    config: str
    config_path: str
    root: str
    reason: str
    sources: dict[str, str]

    @property
    def label(self) -> str:
        """Return the runtime as Kubernetes writes it, such as containerd://2.3.4."""
        return f"{self.kind}://{containerd.as_text(self.version)}"

    def still_true(self) -> bool:
        """Tell whether the same process runs with the same files."""
        if self.kind == "podman":
            return stamp(self.sources) == self.sources
        pid = process.listener_of(self.endpoint)
        return pid == self.pid and process.started(pid) == self.started and stamp(self.sources) == self.sources

    def dump(self) -> dict[str, t.Any]:
        """Return everything, for JSON."""
        return dataclasses.asdict(self)


def load(dumped: t.Mapping[str, t.Any]) -> Runtime:
    """Return what `Runtime.dump` gave."""
    return Runtime(**{**dumped, "version": tuple(dumped["version"])})


def find(kind: str, endpoint: str) -> Runtime:
    """Find the runtime of this node.

    Args:
        kind: one of KINDS, or auto.
        endpoint: path of its socket, or empty for the kubelet's and then the usual ones.

    Raises:
        NodeError: when there is none, or it is not in order.
    """
    refuse_foreign_managers()
    if kind == "podman":
        return _podman()
    kubelets = [] if endpoint else kubelet_endpoints()
    # Where a kubelet runs, only its own runtime counts.
    asked = [endpoint] if endpoint else kubelets or [*_SOCKETS]
    # Docker keeps a containerd of its own, which is not the one that pulls.
    if kind == "docker" and not endpoint:
        asked = ["/run/docker.sock", "/var/run/docker.sock"]
    for path in (one.removeprefix("unix://") for one in asked):
        pid = process.listener_of(path)
        if pid:
            return _from_socket(kind, path, pid)
    if kind == "auto" and not endpoint and not kubelets and process.find_program("podman"):
        return _podman()
    raise NodeError(
        "find the container runtime",
        where=", ".join(dict.fromkeys(asked)),
        got="nobody listens there",
        remedy="Start the runtime, or give its socket in runtime_endpoint.",
    )


def kubelet_endpoints() -> list[str]:
    """Return the runtime sockets that running kubelets use."""
    found = []
    for pid in process.processes("kubelet"):
        words = process.arguments_of(pid)
        endpoint = process.option(words, "--container-runtime-endpoint")
        config = process.option(words, "--config")
        content = read(config) if config and not endpoint else None
        if content:
            line = re.search(
                r"^containerRuntimeEndpoint:\s*[\"']?([^\"'\s]+)", content.data.decode("utf-8", "replace"), re.M
            )
            endpoint = line.group(1) if line else None
        if endpoint:
            found.append(endpoint)
    return found


def _from_socket(kind: str, endpoint: str, pid: int) -> Runtime:
    program, words = process.program_of(pid), process.arguments_of(pid)
    config = process.option(words, "-c", "--config") or containerd.DEFAULT_CONFIG
    if kind == "auto":
        clues = f"{config} {program}" if os.path.basename(program).startswith("containerd") else f"{endpoint} {program}"
        kind = next((name for clue, name in _PLACES if clue in clues), "containerd")
    if kind in CONTAINERD_KINDS:
        return _containerd(kind, endpoint, pid, program, os.path.abspath(config))
    version = _version([program, "--version"])
    return Runtime(
        kind, version, endpoint, pid, process.started(pid), program, "", "", _CERTS[kind], "", stamp([program])
    )


def _containerd(kind: str, endpoint: str, pid: int, program: str, config: str) -> Runtime:
    version = containerd.read_version(program)
    found = containerd.effective(program, config, version)
    content = read(config)
    text = content.data.decode("utf-8", "replace") if content else ""
    sources = [program, config, *(containerd.imports_of(text, config, found) if content else [])]
    return Runtime(
        kind,
        version,
        endpoint,
        pid,
        process.started(pid),
        program,
        config,
        found.config_path,
        found.root,
        found.reason,
        stamp(sources),
    )


def _podman() -> Runtime:
    program = process.find_program("podman")
    if not program:
        raise NodeError(
            "find podman", where="PATH", got="it is not installed", remedy="Install it, or choose another runtime."
        )
    version = _version([program, "--version"])
    return Runtime("podman", version, "", 0, "", program, "", "", _CERTS["podman"], "", stamp([program]))


def _version(command: t.Sequence[str]) -> tuple[int, ...]:
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", process.run(command).output)
    return tuple(int(part) for part in found.groups() if part) if found else ()
