# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The changes of files, and the one change that forces a restart. Private."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils import _node_containerd as containerd
from ansible_collections.homeport.registry.plugins.module_utils._node_errors import NodeError
from ansible_collections.homeport.registry.plugins.module_utils._node_files import Content, load, read
from ansible_collections.homeport.registry.plugins.module_utils._node_managers import KUBESPRAY_CONFIG, is_kubespray
from ansible_collections.homeport.registry.plugins.module_utils._node_process import Service, service_of
from ansible_collections.homeport.registry.plugins.module_utils._node_record import Owned
from ansible_collections.homeport.registry.plugins.module_utils._node_runtime import Runtime

# With this line k0s keeps the file and reads drop-ins.
_K0S_MANAGED = "# k0s_managed=true"


@dataclasses.dataclass(frozen=True)
class Change:
    """A file before and after; None where there is none. `show` makes of a text what a diff may show of it."""

    path: str
    before: Content | None
    after: Content | None
    show: t.Callable[[str], str] | None = None

    @property
    def action(self) -> str:
        """Say what happens to it."""
        verb = "remove" if self.after is None else "change" if self.before else "create"
        return f"{verb} {self.path}"

    def diff(self) -> dict[str, str]:
        """Return both texts for a diff."""

        def text(content: Content | None) -> str:
            found = content.data.decode("utf-8", "replace") if content else ""
            return self.show(found) if self.show and found else found

        return {
            "before_header": self.path,
            "after_header": self.path,
            "before": text(self.before),
            "after": text(self.after),
        }


@dataclasses.dataclass(frozen=True)
class Restart:
    """A restart of the runtime that cannot be avoided, and the file that forces it.

    `change` is that of the runtime's own configuration, if that changes; `root` what it reads then, if that is known.
    """

    reason: str
    service: Service
    file: str
    change: Change | None
    root: str


def config_change(runtime: Runtime, root: str, restart_command: t.Sequence[str], allowed: bool) -> Restart:
    """Return the change that makes containerd read one directory.

    Args:
        runtime: as found.
        root: the directory.
        restart_command: how to restart a runtime that is no systemd service.
        allowed: whether the runtime may be restarted at all.

    Raises:
        NodeError: when somebody else has to act first.
    """
    before = read(runtime.config)
    text = before.data.decode("utf-8") if before else None
    if runtime.kind == "k0s" and _K0S_MANAGED not in (text or _K0S_MANAGED):
        raise NodeError(
            "let containerd read certs.d",
            where=runtime.config,
            got=f"{runtime.reason}; without the line '{_K0S_MANAGED}' k0s leaves the file to you and reads no drop-ins",
            remedy=f'Set config_path = "{root}" in it and restart k0s, or put that line back, after which k0s writes'
            " the file again and reads /etc/k0s/containerd.d.",
        )
    remedies = {
        "k3s": "Upgrade k3s: releases since January 2024 make certs.d.",
        "rke2": "Upgrade RKE2: releases since January 2024 make certs.d.",
        "k0s": f'Put config_path = "{root}" into a file of /etc/k0s/containerd.d; k0s reloads it.',
        "microk8s": "Upgrade MicroK8s to 1.23 or newer.",
    }
    if runtime.kind in remedies:
        raise NodeError(
            "let containerd read certs.d",
            where=runtime.config,
            got=f"{runtime.reason}; the file belongs to {runtime.kind}, which would write it again",
            remedy=remedies[runtime.kind],
        )
    if runtime.kind == "containerd" and is_kubespray():
        raise NodeError(
            "let containerd read certs.d",
            where=runtime.config,
            got=f"{runtime.reason}; kubespray has made this node, and writes the file again at each of its runs",
            remedy=KUBESPRAY_CONFIG,
        )
    found = containerd.effective(runtime.program, runtime.config, runtime.version)
    after = containerd.with_root(text, runtime.config, runtime.version, root)
    containerd.validate(runtime.program, runtime.config, after, found, root)
    if not allowed:
        raise NodeError(
            "go on without a restart of the runtime",
            where=runtime.config,
            got=runtime.reason,
            remedy="Allow one, through which containers go on running (registry_node_trust_restart: auto), or set"
            f' config_path = "{root}" yourself.',
        )
    content = dataclasses.replace(before or Content(b""), data=after.encode())
    change = Change(runtime.config, before, content)
    return Restart(runtime.reason, service_for(runtime, restart_command), runtime.config, change, root)


def config_revert(runtime: Runtime, owned: Owned, restart_command: t.Sequence[str]) -> Restart | None:
    """Return the change that puts the configuration back, None where it is not ours any more."""
    (path,) = owned.before
    current, before = read(path), load(owned.before[path])
    if current is None or current.sha256 != owned.digests[path] or current == before:
        return None
    change = Change(path, current, before)
    service = service_for(runtime, restart_command)
    return Restart("config_path goes back to what it was", service, path, change, "")


def service_for(runtime: Runtime, restart_command: t.Sequence[str]) -> Service:
    """Return how a runtime is restarted without harm to its containers.

    Raises:
        NodeError: when that is not known, or would end them.
    """
    service = service_of(runtime.pid, restart_command)
    if service is None:
        raise NodeError(
            "find out how the runtime is restarted",
            where=f"process {runtime.pid} ({runtime.program})",
            got="it is no systemd service",
            remedy="Give the command in restart_command.",
        )
    if service.kills_children:
        raise NodeError(
            "restart the runtime without harm",
            where=service.name,
            got="its unit would end the containers with it (KillMode is neither process nor mixed)",
            remedy="Set KillMode=process and Delegate=yes in the unit, run systemctl daemon-reload, and run again.",
        )
    return service
