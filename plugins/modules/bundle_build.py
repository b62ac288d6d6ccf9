#!/usr/bin/python
# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Build a bundle for an air gap from its lock."""

from __future__ import annotations

DOCUMENTATION = r"""
module: bundle_build
short_description: Build a signed bundle for an air gap from its lock
version_added: 0.1.0
author:
  - homeport.registry contributors (!UNKNOWN)
description:
  - Downloads what a lock of M(homeport.registry.bundle_lock) names into a cache, on from where an earlier run was
    interrupted, compares everything with its digest, and writes one tar, or several volumes of a given size.
  - Each volume is a tar of a valid OCI layout with the signed C(bundle.json) in front. Each can be verified and pushed
    alone. Manifests are stored byte for byte as their source serves them, so that every digest survives.
  - The same lock, options and key give the same bytes. Nothing in them tells when or where they were made. (Keys of
    the kind ECDSA sign differently each time; a bundle that is there keeps its signature.)
  - No half a bundle is ever seen. All volumes are written beside their places first.
options:
  lock:
    description: The lock. Paths of files in it begin at its folder.
    type: path
    required: true
  dest:
    description:
      - Folder for the volumes, which are called C(bundle-<name>-<version>.tar) or C(bundle-<name>-<version>.vol01.tar)
        and so on. It must exist.
      - Volumes there with the same name and version that are none of this build any more are removed.
    type: path
    required: true
  key:
    description:
      - Private key that signs, as C(ssh-keygen -t ed25519) makes it. RSA of at least 2048 bits and ECDSA work too.
      - Carry the public half to the receiver by another way than the bundle.
    type: path
    required: true
  key_passphrase:
    description: Passphrase of O(key). The library bcrypt is needed for it.
    type: str
  volume_size:
    description:
      - How large a volume may be, in bytes or as V(4480M), V(25G) and so on, by 1024. By default there is one volume.
      - Contents are never cut, so that no layer may be larger.
    type: str
  parent:
    description:
      - An earlier bundle, one of its volumes or its C(bundle.json). Layers that it has are left out, and the receiver
        must have pushed it before. Files and manifests are carried all the same.
      - It has to be signed with O(key) or by one of O(trusted_keys). The signature is in the volume, or in
        C(bundle.json.sig) beside C(bundle.json).
    type: path
  inventory:
    description:
      - File with the inventory of the receiving registry, as M(homeport.registry.bundle_inventory) writes it, or
        M(homeport.registry.inventory_info) returns it. Layers that the receiver has are left out.
      - Unlike with O(parent), lost media and deleted images do no harm.
    type: path
  trusted_keys:
    description:
      - Public keys beside the public half of O(key) that may have signed O(parent), each as in a C(.pub) file of
        OpenSSH.
    type: list
    elements: str
    default: []
  inventory_keys:
    description:
      - Public keys of the receiver that may have signed O(inventory), in the file with C(.sig) at the end of its name
        that M(homeport.registry.bundle_inventory) writes with a key. Without any, no signature is asked for.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - homeport.registry._bundle_building
  - homeport.registry._bundle_building.sources
  - homeport.registry._attributes
  - homeport.registry._attributes.files
requirements:
  - cryptography >= 42.0
attributes:
  check_mode:
    support: full
    details:
      - Returns the plan. Nothing is downloaded or written.
  diff_mode:
    support: full
    details:
      - Shows the volumes that are written or removed, with their bytes before and after.
  idempotent:
    support: full
    details:
      - Volumes that are there are read and compared. Only what differs is written.
  safe_file_operations:
    support: full
seealso:
  - module: homeport.registry.bundle_lock
  - module: homeport.registry.bundle_verify
  - module: homeport.registry.bundle_push
"""

EXAMPLES = r"""
- name: Build the bundle
  homeport.registry.bundle_build:
    lock: "{{ playbook_dir }}/bundle.lock.json"
    dest: /srv/bundles
    key: /etc/homeport/bundle_key
    key_passphrase: "{{ vault_bundle_key_passphrase }}"
  register: bundle

- name: Build volumes for single-layer DVDs, with what has changed since the last bundle
  homeport.registry.bundle_build:
    lock: "{{ playbook_dir }}/bundle.lock.json"
    dest: /srv/bundles
    key: /etc/homeport/bundle_key
    volume_size: 4480M
    parent: /srv/bundles/bundle-shop-2026.10.vol01.tar

- name: Build what the receiver does not have, and believe only what it has signed
  homeport.registry.bundle_build:
    lock: "{{ playbook_dir }}/bundle.lock.json"
    dest: /srv/bundles
    key: /etc/homeport/bundle_key
    inventory: /media/transfer/inventory.json
    inventory_keys:
      - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHx6DOuLa2VKOl7YK3bDLm+yLGLZkpJVyEmEXO3oOYJC site@example.com

- name: See what would be downloaded
  homeport.registry.bundle_build:
    lock: "{{ playbook_dir }}/bundle.lock.json"
    dest: /srv/bundles
    key: /etc/homeport/bundle_key
  check_mode: true
"""

RETURN = r"""
name:
  description: Name of the bundle.
  returned: success
  type: str
  sample: shop
version:
  description: Version of the bundle.
  returned: success
  type: str
  sample: "2026.11"
sha256:
  description: Sum of C(bundle.json), which stands for everything in the bundle.
  returned: success
  type: str
  sample: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
signed_by:
  description: Fingerprint of the key.
  returned: success
  type: str
  sample: SHA256:uQb0TFpcVJ4zKLB7RdPrhX2Cq3hXWbkG1Ft9mEoUmVs
volumes:
  description: The volumes, in order.
  returned: success
  type: list
  elements: dict
  sample:
    - number: 1
      file: /srv/bundles/bundle-shop-2026.11.tar
      bytes: 402653184
      sha256: 5df6e0e2761359d30a8275058e299fcc0381534545f55cf43e41983f5d4c9456
      changed: true
  contains:
    number:
      description: Its number, from 1 on.
      type: int
    file:
      description: Its file.
      type: str
    bytes:
      description: Size of the file.
      type: int
    sha256:
      description: Sum of the file. Empty in check mode for one that would be written.
      type: str
    changed:
      description: Whether it was written, or would be.
      type: bool
bytes:
  description: Size of all volumes.
  returned: success
  type: int
  sample: 402653184
left_out_bytes:
  description: Size of the layers that the receiver has already.
  returned: success
  type: int
  sample: 0
download:
  description: Number and bytes of the contents of images that were downloaded, or would be.
  returned: success
  type: dict
  sample: {contents: 12, bytes: 201326592}
removed:
  description: Volumes of an earlier build of the same name and version that were removed, or would be.
  returned: success
  type: list
  elements: str
  sample: []
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.homeport.registry.plugins.module_utils import _bundle_sshsig as sshsig
from ansible_collections.homeport.registry.plugins.module_utils._bundle_build import Build, Key, absent_of
from ansible_collections.homeport.registry.plugins.module_utils._bundle_cache import Cache
from ansible_collections.homeport.registry.plugins.module_utils._bundle_known import read_known
from ansible_collections.homeport.registry.plugins.module_utils._bundle_lock import parse_lock
from ansible_collections.homeport.registry.plugins.module_utils._bundle_sources import Sources, sources_spec
from ansible_collections.homeport.registry.plugins.module_utils._bundle_tools import (
    building_spec,
    bytes_of,
    read_file,
    tools_from,
)
from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError


def plan(module: AnsibleModule) -> Build:
    """Return the build that the parameters ask for."""
    params = module.params
    lock = parse_lock(read_file(params["lock"]), params["lock"])
    key = Key(read_file(params["key"]), params["key_passphrase"])
    cache = Cache(params["cache"], writable=not module.check_mode)
    size = bytes_of(params["volume_size"])
    known = read_known(params, sshsig.public_key(*key).line)
    return Build(lock, params["lock"], params["dest"], key, known, size, cache)


def build_it(module: AnsibleModule) -> dict[str, t.Any]:
    """Build, and return the result."""
    params = module.params
    build = plan(module)
    todo = [volume.number for volume in build.todo]
    absent = absent_of(build, params["threads"])
    diff = {
        "before": {
            path: os.path.getsize(path)
            for path in [*(volume.path for volume in build.todo), *build.stale]
            if os.path.isfile(path)
        },
        "after": {volume.path: volume.size for volume in build.todo},
    }
    contents, came = len(absent), sum(build.bundle.blobs[digest].size for digest in absent)
    if todo:
        build.check_space(absent)
    if not module.check_mode:
        if todo:
            sources = Sources.of(params)
            try:
                contents, came = build.fetch(absent, sources, tools_from(module), params["threads"])
            finally:
                sources.close()
        build.write()
    bundle = build.bundle
    return {
        "changed": bool(todo or build.stale),
        "name": bundle.name,
        "version": bundle.version,
        "sha256": build.sha256,
        "signed_by": build.signer,
        "volumes": [
            {
                "number": volume.number,
                "file": volume.path,
                "bytes": volume.size,
                "sha256": volume.sha256,
                "changed": volume.number in todo,
            }
            for volume in build.volumes
        ],
        "bytes": sum(volume.size for volume in build.volumes),
        "left_out_bytes": sum(blob.size for blob in bundle.blobs.values() if not blob.volume),
        "download": {"contents": contents, "bytes": came},
        "removed": build.stale,
        **({"diff": diff} if module._diff else {}),
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "lock": {"type": "path", "required": True},
            "dest": {"type": "path", "required": True},
            "key": {"type": "path", "required": True, "no_log": False},
            "key_passphrase": {"type": "str", "no_log": True},
            "volume_size": {"type": "str"},
            "parent": {"type": "path"},
            "inventory": {"type": "path"},
            "trusted_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "inventory_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
            **building_spec(),
            **sources_spec(),
        },
        supports_check_mode=True,
    )
    try:
        result = build_it(module)
    except RegistryError as exc:
        module.fail_json(msg=str(exc), **exc.as_dict())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
