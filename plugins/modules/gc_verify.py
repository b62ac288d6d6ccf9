#!/usr/bin/python
# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Prove that everything a container registry holds can be pulled."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gc_verify
short_description: Prove that everything a container registry holds can be pulled
version_added: 0.1.0
author:
  - homeport.registry contributors (!UNKNOWN)
description:
  - Reads what a registry holds, from outside and through its API, the way clients pull, and fails with a list of what
    cannot be pulled. Nothing is believed that was not read; asking for a size is no proof that a content is there.
  - With an inventory of before also finds every tag, manifest and layer that is gone since.
    What was added since is no problem.
  - Meant for after a garbage collection, a move of the storage or a restored backup; may be run at any time.
options:
  depth:
    description:
      - How much is read. The digest of every manifest is compared in any case, by tag and for each child of an index.
      - V(tags) reads no layers and configurations.
      - V(blobs) reads the last byte of each through every repository that has it, and compares its size.
      - V(full) also reads each of them whole, once, and compares its digest. This moves all bytes of the registry.
    type: str
    choices: [tags, blobs, full]
    default: blobs
  before:
    description:
      - An inventory of before, as RV(homeport.registry.inventory_info#module:inventory) or RV(inventory).
    type: dict
  before_file:
    description:
      - File of such an inventory as JSON, on the machine that runs the module.
    type: path
  allow_moved_tags:
    description:
      - Whether a tag may point to something else than before, because people push meanwhile.
    type: bool
    default: false
  allow_sparse_indexes:
    description:
      - Whether an index may lack some of its manifests, such as those of platforms that a bundle for an air gap has
        left out. One of each index has to be there. What was there before is missed all the same.
    type: bool
    default: false
  report_only:
    description:
      - Whether problems are only returned, so that C(failed_when) can judge them, and not a failure.
    type: bool
    default: false
extends_documentation_fragment:
  - homeport.registry._registry
  - homeport.registry._registry.reading
  - homeport.registry._attributes
  - homeport.registry._attributes.reads
  - homeport.registry._attributes.actiongroup_registry
seealso:
  - module: homeport.registry.inventory_info
notes:
  - Follows the registry where it sends readers to its object storage; the machine that runs the module has to reach it.
"""

EXAMPLES = r"""
- name: Keep what is there before something risky
  homeport.registry.inventory_info:
    url: https://registry.example.com
    username: nodes
    password: "{{ vault_nodes_password }}"
  register: before

- name: Prove afterwards that nothing is lost
  homeport.registry.gc_verify:
    url: https://registry.example.com
    username: nodes
    password: "{{ vault_nodes_password }}"
    before: "{{ before.inventory }}"

- name: Hash every byte of one team's images
  homeport.registry.gc_verify:
    url: https://registry.example.com
    repositories: [team/*]
    depth: full

- name: Compare with a kept inventory, and tolerate tags that were deleted on purpose
  homeport.registry.gc_verify:
    url: https://registry.example.com
    before_file: /var/lib/registry-inventory.json
    allow_moved_tags: true
    report_only: true
  register: proof
  failed_when: proof.problems | rejectattr('kind', 'equalto', 'tag-lost') | length > 0
"""

RETURN = r"""
verified:
  description: Whether there are no problems.
  returned: always
  type: bool
  sample: true
problems:
  description: What is wrong. Empty if nothing is.
  returned: always
  type: list
  elements: dict
  sample:
    - kind: blob-missing
      where: team/app@sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a
      text: "Could not read the blob (GET https://registry.example.com/v2/team/app/blobs/...): status 404."
      remedy: Push the image again.
  contains:
    kind:
      description:
        - Those of RV(homeport.registry.inventory_info#module:problems), V(blob-missing), V(blob-unreadable),
          V(size-mismatch), V(digest-mismatch), and compared with before V(tag-lost), V(tag-moved), V(manifest-lost),
          V(blob-lost).
      type: str
    where:
      description: Repository, with tag or digest; empty for the list of all repositories.
      type: str
    text:
      description: What was tried and what came back.
      type: str
    remedy:
      description: What to do.
      type: str
depth:
  description: How much was read.
  returned: always
  type: str
  sample: blobs
compared:
  description: Whether there was an inventory of before.
  returned: always
  type: bool
  sample: true
checked:
  description:
    - What was read. Manifests and blobs count once for each repository that has them; C(bytes) are those of blobs.
  returned: always
  type: dict
  sample: {repositories: 20, tags: 412, manifests: 500, blobs: 1203, bytes: 1203}
inventory:
  description: What is there now, for the next O(before).
  returned: always
  type: dict
  sample: {version: 1, repositories: {}, problems: []}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.homeport.registry.plugins.module_utils._registry_inventory import Inventory
from ansible_collections.homeport.registry.plugins.module_utils._registry_options import (
    ACCOUNT_TOGETHER,
    CONNECTION_EXCLUSIVE,
    account_spec,
    connection_spec,
    reading_session,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_stock import read_document, verify


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **connection_spec(),
            **account_spec(),
            "depth": {"type": "str", "choices": ["tags", "blobs", "full"], "default": "blobs"},
            "before": {"type": "dict"},
            "before_file": {"type": "path"},
            "allow_moved_tags": {"type": "bool", "default": False},
            "allow_sparse_indexes": {"type": "bool", "default": False},
            "report_only": {"type": "bool", "default": False},
        },
        mutually_exclusive=[*CONNECTION_EXCLUSIVE, ("before", "before_file")],
        required_together=ACCOUNT_TOGETHER,
        supports_check_mode=True,
    )
    params = module.params
    try:
        document = read_document(params["before_file"]) if params["before_file"] else params["before"]
        before = None if document is None else Inventory.from_document(document)
        session = reading_session(params)
        result = verify(
            session,
            params["repositories"],
            params["depth"],
            threads=params["threads"],
            before=before,
            allow_moved_tags=params["allow_moved_tags"],
            allow_sparse_indexes=params["allow_sparse_indexes"],
        )
        session.transport.close()
    except RegistryError as exc:
        module.fail_json(msg=str(exc), **exc.as_dict())
    problems = result["problems"]
    if problems and not params["report_only"]:
        told = "; ".join(f"{one['kind']} {one['where']}" for one in problems[:10])
        more = f" and {len(problems) - 10} more" if len(problems) > 10 else ""
        first = f"{problems[0]['text']} {problems[0]['remedy']}"
        module.fail_json(msg=f"{len(problems)} problems in {params['url']}: {told}{more}. The first: {first}", **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
