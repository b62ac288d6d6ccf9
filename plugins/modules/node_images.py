#!/usr/bin/python
# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Keep images on a node without a registry."""

from __future__ import annotations

DOCUMENTATION = r"""
module: node_images
short_description: Keep images on a node without a registry
version_added: 0.1.0
author:
  - homeport.registry contributors (!UNKNOWN)
description:
  - Runs on a cluster node. Imports images into its containerd, such as those that a registry itself is made of, so
    that it can start before there is any registry, and again after everything was restarted.
  - Images keep their digests, indexes without the other platforms too, and get two names, the given one and the one by
    digest, so that Pods find them by either.
  - Images are pinned, so that the kubelet's garbage collection leaves them alone. That needs containerd 1.6.29, 1.7.3
    or newer.
  - What is held is written on the images as a label. Images that were there already are pinned only, and stay when
    they are let go.
  - What is about to be imported is noted as labels of the namespace until it has its own, so that a run after one that
    was killed knows what that has brought.
  - Needs Python 3.9 or newer and C(ctr) on the node, and nothing else. Other runtimes are refused.
options:
  images:
    description:
      - The images.
      - With O(state=absent) an empty list means all images that are held.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name in full, with the host and a tag.
        type: str
        required: true
      digest:
        description: Digest of its manifest or index.
        type: str
        required: true
  archive:
    description:
      - File on the node with an OCI image layout as a tar, which names each image in full. Needed when an
        image is missing, except in check mode. Everything in it is imported.
    type: path
  state:
    description: Whether the images are kept. V(absent) removes those that were imported, and unpins the others.
    type: str
    choices: [present, absent]
    default: present
  purge:
    description:
      - With O(state=present), also lets go of what is held and not among O(images), such as what an older bundle has
        brought.
      - What a running container of this node is made of, and what O(needed) names, stays and is returned in RV(kept).
    type: bool
    default: false
  needed:
    description:
      - References that O(purge) leaves alone, as Pods name their images, since something that does not run here now may
        start here later.
    type: list
    elements: str
    default: []
  pin:
    description: Whether the kubelet's garbage collection leaves them alone.
    type: bool
    default: true
  runtime:
    description: Container runtime of the node. V(auto) asks who listens on the socket that the kubelet uses.
    type: str
    choices: [auto, containerd, crio, docker, podman, k3s, rke2, k0s, microk8s]
    default: auto
  runtime_endpoint:
    description: Path of the runtime's socket, for a runtime that V(auto) does not find.
    type: str
    default: ""
  timeout:
    description: Seconds for the import.
    type: float
    default: 600
extends_documentation_fragment:
  - homeport.registry._attributes
attributes:
  check_mode:
    support: full
    details:
      - Says in RV(missing) what would have to be imported, so that an archive is written and copied only where it is
        needed.
  diff_mode:
    support: none
  idempotent:
    support: full
seealso:
  - module: homeport.registry.node_trust
"""

EXAMPLES = r"""
- name: Keep the image of a registry on this node
  homeport.registry.node_images:
    images:
      - name: docker.io/library/registry:3.1.1
        digest: sha256:1be55279f18a2fe1a74edf2664cac61c1bea305b7b4642dab412e7affdcb3e33
    archive: /var/tmp/images.tar

- name: Keep the image of the next version instead
  homeport.registry.node_images:
    images:
      - name: docker.io/library/registry:3.1.2
        digest: sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a
    archive: /var/tmp/images.tar
    purge: true

- name: Let go of all images that were imported
  homeport.registry.node_images:
    state: absent
"""

RETURN = r"""
missing:
  description: Names of the images that were not there, or not complete.
  returned: always
  type: list
  elements: str
  sample: ["docker.io/library/registry:3.1.1"]
held:
  description: Names of the images that are held now, or would be.
  returned: always
  type: list
  elements: str
  sample: ["docker.io/library/registry:3.1.1"]
released:
  description: References that were let go of, or would be.
  returned: always
  type: list
  elements: str
  sample: ["docker.io/library/registry:3.1.0"]
kept:
  description: References that O(purge) has left alone, since something needs them.
  returned: always
  type: list
  elements: str
  sample: []
actions:
  description: What was done, or would be done in check mode, in order.
  returned: always
  type: list
  elements: str
  sample: ["import docker.io/library/registry:3.1.1"]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.homeport.registry.plugins.module_utils._node_images import Holding, Store, wanted_from
from ansible_collections.homeport.registry.plugins.module_utils._node_process import start_by
from ansible_collections.homeport.registry.plugins.module_utils._node_runtime import KINDS, find

SPEC = {
    "images": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {"name": {"type": "str", "required": True}, "digest": {"type": "str", "required": True}},
    },
    "archive": {"type": "path"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "purge": {"type": "bool", "default": False},
    "needed": {"type": "list", "elements": "str", "default": []},
    "pin": {"type": "bool", "default": True},
    "runtime": {"type": "str", "choices": ["auto", *KINDS], "default": "auto"},
    "runtime_endpoint": {"type": "str", "default": ""},
    "timeout": {"type": "float", "default": 600},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    start_by(module.run_command)
    params = module.params
    try:
        wanted = wanted_from(params["images"])
        store = Store(find(params["runtime"], params["runtime_endpoint"]), params["timeout"])
        holding = Holding(store, wanted, params["pin"], module.check_mode)
        if params["state"] == "present":
            holding.hold(params["archive"] or "")
            if params["purge"]:
                holding.purge(params["needed"])
        else:
            holding.release()
    except RegistryError as exc:
        module.fail_json(msg=str(exc), **exc.as_dict())
    module.exit_json(
        changed=bool(holding.actions),
        missing=[one.name for one in holding.missing],
        held=[one.name for one in wanted] if params["state"] == "present" else [],
        released=holding.released,
        kept=holding.kept,
        actions=holding.actions,
    )


if __name__ == "__main__":
    main()
