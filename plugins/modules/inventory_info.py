#!/usr/bin/python
# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Tell what a container registry holds."""

from __future__ import annotations

DOCUMENTATION = r"""
module: inventory_info
short_description: Tell what a container registry holds
version_added: 0.1.0
author:
  - homeport.registry contributors (!UNKNOWN)
description:
  - Reads all tags and manifests of a registry through its API and returns repositories, tags, digests, media types,
    children, what belongs to what, and bytes, shared and unique.
  - Every manifest is read and compared with its digest, by tag and for each child of an index. Layers are not read;
    M(homeport.registry.gc_verify) does that.
  - What is wrong with a content is returned in RV(problems) and is not a failure, unless O(fail_on_problems) is set.
  - Says so when a list of repositories or tags cannot be trusted. Distribution 3.0 and 3.1 leave names out of lists
    when they store on S3; what is left out in the known ways is found and included.
options:
  fail_on_problems:
    description: Whether to fail when RV(problems) is not empty. The result holds everything all the same.
    type: bool
    default: false
extends_documentation_fragment:
  - homeport.registry._registry
  - homeport.registry._registry.reading
  - homeport.registry._attributes
  - homeport.registry._attributes.reads
  - homeport.registry._attributes.actiongroup_registry
seealso:
  - module: homeport.registry.gc_verify
  - module: homeport.registry.health_info
notes:
  - With C(htpasswd) the registry checks the password for every request, so that the bcrypt cost of the account decides
    how long this takes. A registry with 2000 tags is asked about 2200 times.
"""

EXAMPLES = r"""
- name: Look at everything that a registry holds
  homeport.registry.inventory_info:
    url: https://registry.example.com
    username: nodes
    password: "{{ vault_nodes_password }}"
  register: registry

- name: Show the three largest repositories
  ansible.builtin.debug:
    msg: "{{ (registry.repositories | sort(attribute='bytes', reverse=true))[:3] | map(attribute='name') }}"

- name: Keep the inventory, to compare with later
  ansible.builtin.copy:
    content: "{{ registry.inventory | to_json }}"
    dest: /var/lib/registry-inventory.json
    mode: "0640"

- name: Look at the images of one team, and fail if one cannot be read
  homeport.registry.inventory_info:
    url: https://registry.example.com
    repositories: [team/*]
    fail_on_problems: true
"""

RETURN = r"""
repositories:
  description: Repositories, sorted by name. Bytes count manifests, configurations and layers, each content once.
  returned: always
  type: list
  elements: dict
  sample:
    - name: team/app
      manifests: 3
      bytes: 52871234
      unique_bytes: 1024
      shared_bytes: 52870210
      tags:
        - name: v1
          digest: sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
          media_type: application/vnd.oci.image.index.v1+json
          children:
            - digest: sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a
              media_type: application/vnd.oci.image.manifest.v1+json
              size: 482
          subject:
          referrers: []
          bytes: 52871234
          unique_bytes: 512
  contains:
    name:
      description: Name of the repository.
      type: str
    tags:
      description: Tags, sorted by name.
      type: list
      elements: dict
      contains:
        name:
          description: The tag.
          type: str
        digest:
          description: What it points to.
          type: str
        media_type:
          description: Media type of that manifest or index.
          type: str
        children:
          description: Manifests of an index, in order, with C(digest), C(media_type) and C(size).
          type: list
          elements: dict
        subject:
          description:
            - Digest of the manifest that this one belongs to, from its C(subject) or, for a tag such as
              V(sha256-<hex>) or V(sha256-<hex>.sig), from its name. None for an ordinary image.
          type: str
        referrers:
          description: What belongs to this manifest, with C(digest), C(media_type) and C(tag), which may be empty.
          type: list
          elements: dict
        bytes:
          description: Size of everything that the tag needs.
          type: int
        unique_bytes:
          description: Size of what no other tag of the inventory needs.
          type: int
    manifests:
      description: Number of manifests and indexes that the tags reach.
      type: int
    bytes:
      description: Size of everything that its tags need.
      type: int
    unique_bytes:
      description: Size of what no other repository of the inventory needs.
      type: int
    shared_bytes:
      description: The rest of C(bytes).
      type: int
totals:
  description: The whole inventory, each content counted once.
  returned: always
  type: dict
  sample: {repositories: 20, tags: 412, manifests: 500, blobs: 1203, bytes: 8123456789}
problems:
  description: What is wrong, sorted by place. Empty if nothing is.
  returned: always
  type: list
  elements: dict
  sample:
    - kind: manifest-missing
      where: team/app:v1
      text: "Could not read the manifest team/app:v1 (GET https://registry.example.com/v2/...): status 404."
      remedy: Push the image again, or delete what points to it.
  contains:
    kind:
      description:
        - One of V(listing-untrusted), V(repository-missing), V(repository-unreadable), V(manifest-missing),
          V(manifest-unreadable), V(manifest-invalid), V(digest-mismatch).
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
inventory:
  description: Everything as one document, in a stable order, for O(homeport.registry.gc_verify#module:before).
  returned: always
  type: dict
  sample: {version: 1, repositories: {}, problems: []}
requests:
  description: How many HTTP requests were sent.
  returned: always
  type: int
  sample: 2201
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.homeport.registry.plugins.module_utils._registry_options import (
    ACCOUNT_TOGETHER,
    CONNECTION_EXCLUSIVE,
    account_spec,
    connection_spec,
    reading_session,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_stock import describe, take_stock


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **connection_spec(),
            **account_spec(),
            "fail_on_problems": {"type": "bool", "default": False},
        },
        mutually_exclusive=CONNECTION_EXCLUSIVE,
        required_together=ACCOUNT_TOGETHER,
        supports_check_mode=True,
    )
    params = module.params
    statuses: list[int] = []
    try:
        session = reading_session(params, lambda exchange: statuses.append(exchange.status))
        result = describe(take_stock(session, params["repositories"], params["threads"]))
        session.transport.close()
    except RegistryError as exc:
        module.fail_json(msg=str(exc), **exc.as_dict())
    result["requests"] = len(statuses)
    problems = result["problems"]
    if problems and params["fail_on_problems"]:
        first = f"{problems[0]['text']} {problems[0]['remedy']}"
        module.fail_json(msg=f"{len(problems)} problems in {params['url']}. The first: {first}", **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
