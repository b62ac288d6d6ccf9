#!/usr/bin/python
# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Remove the tags of superseded bundles from a registry."""

from __future__ import annotations

DOCUMENTATION = r"""
module: bundle_prune
short_description: Remove the tags of superseded bundles from a registry
version_added: 0.1.0
author:
  - homeport.registry contributors (!UNKNOWN)
description:
  - Removes the tags that older versions of a bundle brought and that the current one does not, so that the next garbage
    collection can free their space. Check mode shows them.
  - A tag is removed only if a signed document of an older version names it and it still points to what that says. What
    a bundle in use brings stays, and so does a list of referrers that holds more than came with the older version.
  - Refuses to work while the current version is not whole in the registry.
options:
  bundle:
    description: The current version, as a volume or as its C(bundle.json) with C(bundle.json.sig) beside it.
    type: path
    required: true
  superseded:
    description: Older versions of the same bundle, in the same form.
    type: list
    elements: path
    required: true
  needed:
    description: Other bundles in use, in the same form, whose tags stay.
    type: list
    elements: path
    default: []
  trusted_keys:
    description:
      - Public keys that may have signed the bundles, each as in a C(.pub) file of OpenSSH.
    type: list
    elements: str
    default: []
  allow_unsigned:
    description:
      - Whether to believe the documents when no key is given in O(trusted_keys).
    type: bool
    default: false
  username:
    description:
      - User that may pull and delete. Without one the client has no password.
    type: str
  password:
    description:
      - Password of O(username).
    type: str
  threads:
    description:
      - Connections to use at once.
    type: int
    default: 4
extends_documentation_fragment:
  - homeport.registry._registry
  - homeport.registry._attributes
  - homeport.registry._attributes.actiongroup_registry
requirements:
  - cryptography >= 42.0, unless O(allow_unsigned) is set
attributes:
  check_mode:
    support: full
    details:
      - Returns what would be removed and what stays.
  diff_mode:
    support: full
    details:
      - Shows the tags that go.
  idempotent:
    support: full
seealso:
  - module: homeport.registry.bundle_push
  - module: homeport.registry.gc_run
notes:
  - Distribution removes tags from version 3 on, if C(storage.delete.enabled) is set. Version 2.8 cannot.
"""

EXAMPLES = r"""
- name: See what the version before leaves behind
  homeport.registry.bundle_prune:
    url: https://registry.example.com
    username: ci
    password: "{{ vault_ci_password }}"
    bundle: /srv/bundles/bundle-platform-3.tar
    superseded: [/srv/bundles/bundle-platform-2.tar]
    trusted_keys: "{{ release_keys }}"
  check_mode: true
"""

RETURN = r"""
removed:
  description: Tags that were removed, or would be, with the C(digest) they pointed to and the C(bundle) they are of.
  returned: success
  type: list
  elements: dict
  sample:
    - repository: docker.io/library/nginx
      tag: "1.26"
      digest: sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a
      bundle: platform 2
kept:
  description: Tags of the older versions that stay, with the C(reason).
  returned: success
  type: list
  elements: dict
  sample:
    - repository: docker.io/library/nginx
      tag: "1.27"
      digest: sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a
      bundle: platform 2
      reason: a bundle in use brings it too
"""

import dataclasses

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.homeport.registry.plugins.module_utils import _bundle_prune as prune
from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.homeport.registry.plugins.module_utils._registry_options import (
    ACCOUNT_TOGETHER,
    CONNECTION_EXCLUSIVE,
    connection_spec,
    context_from,
)
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_transport import Transport


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **connection_spec(),
            "bundle": {"type": "path", "required": True},
            "superseded": {"type": "list", "elements": "path", "required": True},
            "needed": {"type": "list", "elements": "path", "default": []},
            "trusted_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "allow_unsigned": {"type": "bool", "default": False},
            "username": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "threads": {"type": "int", "default": 4},
        },
        mutually_exclusive=CONNECTION_EXCLUSIVE,
        required_together=ACCOUNT_TOGETHER,
        supports_check_mode=True,
    )
    params = module.params

    def read(path: str) -> prune.Document:
        return prune.read_signed(path, params["trusted_keys"], allow_unsigned=params["allow_unsigned"])

    try:
        current = read(params["bundle"])
        needed, older = [[read(path) for path in params[name]] for name in ("needed", "superseded")]
        transport = Transport(context=context_from(params), timeout=params["timeout"], read_only=module.check_mode)
        session = Session(transport, params["url"], params["username"], params["password"])
        verdicts = prune.judge(session, current, needed, older, params["threads"])
        if not module.check_mode:
            prune.remove(session, verdicts, params["threads"])
        transport.close()
    except RegistryError as exc:
        module.fail_json(msg=str(exc), **exc.as_dict())
    plain = [dataclasses.asdict(one) for one in verdicts]
    removed = [{key: one[key] for key in one if key != "reason"} for one in plain if not one["reason"]]
    module.exit_json(
        changed=bool(removed),
        removed=removed,
        kept=[one for one in plain if one["reason"]],
        diff={"before": {f"{one['repository']}:{one['tag']}": one["digest"] for one in removed}, "after": {}},
    )


if __name__ == "__main__":
    main()
