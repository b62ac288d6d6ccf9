# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Who else manages a node and would write its files again. Private."""

from __future__ import annotations

import os

from ansible_collections.homeport.registry.plugins.module_utils._node_errors import NodeError
from ansible_collections.homeport.registry.plugins.module_utils._node_files import read

# kubespray starts the kubelet with this file; kubeadm by itself has neither of both names.
_KUBESPRAY, _KUBESPRAY_SAYS = "/etc/kubernetes/kubelet.env", b"--config=/etc/kubernetes/kubelet-config.yaml"

# What makes kubespray leave room in containerd's configuration for everybody.
KUBESPRAY_CONFIG = (
    "Set containerd_use_config_path: true in kubespray's inventory and run kubespray (releases with containerd 2 need"
    " no setting for it), then run again."
)


def is_kubespray() -> bool:
    """Tell whether kubespray has made this node."""
    content = read(_KUBESPRAY)
    return content is not None and _KUBESPRAY_SAYS in content.data


def kubespray_hosts(name: str) -> str:
    """Return what to do about the hosts.toml that kubespray writes for a registry: it knows no CA certificates."""
    return (
        "kubespray writes it from containerd_registries_mirrors, again at each of its runs, and can name no CA there."
        f" Take {name} out of that list in kubespray's inventory, delete the file, and run again: what is not in the"
        " list kubespray leaves alone."
    )


def refuse_foreign_managers() -> None:
    """Refuse nodes whose files another system owns and would write again.

    Raises:
        NodeError: naming the owner and its own way.
    """
    owners = {
        "/etc/machine-config-daemon/currentconfig": (
            "OpenShift's machine config operator",
            "additionalTrustedCA and ImageDigestMirrorSet",
        ),
        os.path.join("/", "home", "kubernetes", "kube-env"): ("GKE", "the containerd configuration of the node pool"),
    }
    for path, (owner, way) in owners.items():
        if os.path.exists(path):
            raise NodeError(
                "change this node",
                where=path,
                got=f"its files belong to {owner}",
                remedy=f"Use {way}: registry_node_trust_apply_via: render writes the documents.",
            )
