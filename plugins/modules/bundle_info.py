#!/usr/bin/python
# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Tell what a bundle for an air gap holds and costs."""

from __future__ import annotations

DOCUMENTATION = r"""
module: bundle_info
short_description: Tell what a bundle for an air gap holds and costs
version_added: 0.1.0
author:
  - homeport.registry contributors (!UNKNOWN)
description:
  - Says from a lock alone, before anything is downloaded, or from a bundle, how large everything is, what images share,
    how many volumes there will be, what a receiver does not have yet, and how long it takes to carry it there.
  - Verifies nothing. M(homeport.registry.bundle_verify) does.
options:
  lock:
    description:
      - A lock of M(homeport.registry.bundle_lock).
      - Exactly one of O(lock) and O(bundle) is required.
    type: path
  bundle:
    description:
      - A bundle, any one of its volumes or its C(bundle.json).
    type: path
  volume_size:
    description:
      - With O(lock), how large a volume may be, as M(homeport.registry.bundle_build) takes it.
    type: str
  parent:
    description:
      - An earlier bundle, one of its volumes or its C(bundle.json), that the receiver has.
    type: path
  inventory:
    description:
      - File with the inventory of the receiving registry, as M(homeport.registry.bundle_inventory) writes it, or
        M(homeport.registry.inventory_info) returns it.
    type: path
  bandwidth:
    description:
      - Megabits a second (10^6) of the way to the receiver, for RV(minutes).
    type: float
extends_documentation_fragment:
  - homeport.registry._attributes
  - homeport.registry._attributes.reads
seealso:
  - module: homeport.registry.bundle_build
  - module: homeport.registry.bundle_verify
"""

EXAMPLES = r"""
- name: See what would have to be carried
  homeport.registry.bundle_info:
    lock: "{{ playbook_dir }}/bundle.lock.json"
    volume_size: 4480M
    parent: /srv/bundles/bundle-shop-2026.10.vol01.tar
    bandwidth: 20
  register: bundle

- name: Show it
  ansible.builtin.debug:
    msg: "{{ bundle.summary }}"

- name: Look at a bundle that has arrived
  homeport.registry.bundle_info:
    bundle: /media/dvd/bundle-shop-2026.11.vol01.tar
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
parent:
  description: The bundle that this one builds on, with C(name), C(version) and C(sha256), or nothing.
  returned: success
  type: dict
images:
  description: The images, sorted by name.
  returned: success
  type: list
  elements: dict
  sample:
    - name: docker.io/library/nginx:1.27
      digest: sha256:a8b39bd9cf0f83869a2162827a0caf6137ddf759d50a171451b335cecc87d236
      platforms: [linux/amd64]
      bootstrap: false
      bytes: 72351744
      unique_bytes: 44040192
      shared_bytes: 28311552
      new_bytes: 44040192
      volumes: [1]
  contains:
    name:
      description: Name with the source host.
      type: str
    digest:
      description: Digest of its top manifest.
      type: str
    platforms:
      description: The platforms that are kept.
      type: list
      elements: str
    bootstrap:
      description: Whether it has to run before there is a registry.
      type: bool
    bytes:
      description: Size of all that it needs, with what belongs to it.
      type: int
    unique_bytes:
      description: Size of what no other image of the bundle needs.
      type: int
    shared_bytes:
      description: The rest of C(bytes).
      type: int
    new_bytes:
      description: Size of what the receiver does not have.
      type: int
    volumes:
      description: Numbers of the volumes that hold something of it.
      type: list
      elements: int
volumes:
  description: The volumes, with C(number), C(file) (its name) and C(bytes).
  returned: success
  type: list
  elements: dict
  sample:
    - number: 1
      file: bundle-shop-2026.11.tar
      bytes: 402653184
totals:
  description: Everything together; each content counts once, except in C(image_bytes_one_by_one).
  returned: success
  type: dict
  sample:
    images: 20
    contents: 140
    image_bytes: 386000000
    image_bytes_one_by_one: 800000000
    new_image_bytes: 8000000
    files: 41
    collection_bytes: 1200000
    wheel_bytes: 24000000
    file_bytes: 3000
    volume_bytes: 411203000
minutes:
  description:
    - How long it takes at O(bandwidth). C(carry) is for all volumes, C(push) for what the receiver does not have.
  returned: when O(bandwidth) is set
  type: dict
  sample: {carry: 2.7, push: 0.1}
summary:
  description: The same in lines for people, the images with the most new bytes first.
  returned: success
  type: list
  elements: str
  sample:
    - "shop 2026.11: 20 images, 41 files"
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.homeport.registry.plugins.module_utils import _bundle_format as fmt
from ansible_collections.homeport.registry.plugins.module_utils._bundle_describe import describe
from ansible_collections.homeport.registry.plugins.module_utils._bundle_errors import BundleError
from ansible_collections.homeport.registry.plugins.module_utils._bundle_known import read_document, read_known
from ansible_collections.homeport.registry.plugins.module_utils._bundle_lock import parse_lock
from ansible_collections.homeport.registry.plugins.module_utils._bundle_tools import bytes_of, read_file
from ansible_collections.homeport.registry.plugins.module_utils._bundle_volumes import assign
from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "lock": {"type": "path"},
            "bundle": {"type": "path"},
            "volume_size": {"type": "str"},
            "parent": {"type": "path"},
            "inventory": {"type": "path"},
            "bandwidth": {"type": "float"},
        },
        mutually_exclusive=[("lock", "bundle"), ("bundle", "volume_size")],
        required_one_of=[("lock", "bundle")],
        supports_check_mode=True,
    )
    params = module.params
    try:
        if params["bandwidth"] is not None and params["bandwidth"] <= 0:
            raise BundleError(
                "use bandwidth",
                where=str(params["bandwidth"]),
                got="it is not above zero",
                remedy="Give megabits a second.",
            )
        known = read_known(params)
        if params["lock"]:
            lock = parse_lock(read_file(params["lock"]), params["lock"])
            bundle = assign(lock.bundle(), bytes_of(params["volume_size"]), known.digests)
        else:
            bundle = fmt.parse(read_document(params["bundle"]), params["bundle"])
        result = describe(bundle, known.digests, params["bandwidth"])
    except RegistryError as exc:
        module.fail_json(msg=str(exc), **exc.as_dict())
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
