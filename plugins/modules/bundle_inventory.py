#!/usr/bin/python
# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Write what a registry has, to build the next delta on."""

from __future__ import annotations

DOCUMENTATION = r"""
module: bundle_inventory
short_description: Write what a registry has, to build the next delta on
version_added: 0.1.0
author:
  - homeport.registry contributors (!UNKNOWN)
description:
  - Reads what a registry holds and writes the digests into a file, which M(homeport.registry.bundle_build) takes as
    O(homeport.registry.bundle_build#module:inventory) on the connected side. The file holds no names and no addresses.
  - Every manifest and the end of every blob are read. What the registry lists and cannot serve is left out, so that the
    next delta brings it again.
options:
  dest:
    description: File to write, on the machine that runs the module.
    type: path
    required: true
  key:
    description:
      - Private key to sign the file with, as of C(ssh-keygen -t ed25519). The signature is written beside the file,
        with C(.sig) at the end of its name. C(ssh-keygen -Y verify -n homeport-inventory) verifies it.
    type: path
  key_passphrase:
    description: Passphrase of O(key). The library bcrypt is needed for it.
    type: str
extends_documentation_fragment:
  - homeport.registry._registry
  - homeport.registry._registry.reading
  - homeport.registry._attributes
  - homeport.registry._attributes.files
  - homeport.registry._attributes.actiongroup_registry
requirements:
  - cryptography >= 42.0, if O(key) is given
attributes:
  check_mode:
    support: full
    details:
      - Reads the registry and says whether the file would change.
  diff_mode:
    support: full
    details:
      - Shows how many digests there were and are.
  idempotent:
    support: full
  safe_file_operations:
    support: full
seealso:
  - module: homeport.registry.bundle_build
  - module: homeport.registry.bundle_push
  - module: homeport.registry.inventory_info
"""

EXAMPLES = r"""
- name: Write what is there, to carry it out
  homeport.registry.bundle_inventory:
    url: https://registry.example.com
    username: nodes
    password: "{{ vault_nodes_password }}"
    dest: /media/transfer/inventory.json
    key: /etc/homeport/site_ed25519
"""

RETURN = r"""
path:
  description: The file.
  returned: always
  type: str
  sample: /media/transfer/inventory.json
digests:
  description: Number of digests in it.
  returned: always
  type: int
  sample: 1203
repositories:
  description: Number of repositories that were read.
  returned: always
  type: int
  sample: 20
sha256:
  description: Sum of the file.
  returned: always
  type: str
  sample: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
problems:
  description: What the registry lists and cannot serve, as RV(homeport.registry.gc_verify#module:problems).
  returned: always
  type: list
  elements: dict
  sample: []
"""

import hashlib
import os
import tempfile

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.homeport.registry.plugins.module_utils import _bundle_sshsig as sshsig
from ansible_collections.homeport.registry.plugins.module_utils._bundle_inventory import NAMESPACE, take
from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.homeport.registry.plugins.module_utils._registry_options import (
    ACCOUNT_TOGETHER,
    CONNECTION_EXCLUSIVE,
    account_spec,
    connection_spec,
    reading_session,
)


def content_of(path: str) -> bytes | None:
    """Return what a file holds, nothing when there is none."""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        return None


def put(module: AnsibleModule, path: str, content: bytes) -> None:
    """Move a content into its place."""
    handle, temporary = tempfile.mkstemp(dir=module.tmpdir)
    with open(handle, "wb") as stream:
        stream.write(content)
    module.atomic_move(temporary, path)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **connection_spec(),
            **account_spec(),
            "dest": {"type": "path", "required": True},
            "key": {"type": "path", "no_log": False},
            "key_passphrase": {"type": "str", "no_log": True},
        },
        mutually_exclusive=CONNECTION_EXCLUSIVE,
        required_together=ACCOUNT_TOGETHER,
        required_by={"key_passphrase": "key"},
        supports_check_mode=True,
    )
    params = module.params
    dest, wanted = params["dest"], dict[str, bytes]()
    try:
        session = reading_session(params)
        content, result = take(session, params["repositories"], params["threads"])
        session.transport.close()
        wanted[dest] = content
        if params["key"]:
            with open(params["key"], "rb") as stream:
                secret = stream.read()
            wanted[f"{dest}.sig"] = sshsig.sign(content, secret, params["key_passphrase"], namespace=NAMESPACE).encode()
        before = content_of(dest)
        changed = [path for path, body in wanted.items() if content_of(path) != body]
        if changed and not module.check_mode:
            for path in changed:
                put(module, path, wanted[path])
    except RegistryError as exc:
        module.fail_json(msg=str(exc), **exc.as_dict())
    except OSError as exc:
        module.fail_json(
            msg=f"Could not write the inventory ({exc.filename or os.path.dirname(dest)}): {exc.strerror}."
        )
    count = before.count(b'"sha') if before else 0
    module.exit_json(
        changed=bool(changed),
        path=dest,
        sha256=hashlib.sha256(content).hexdigest(),
        diff={"before": {"digests": count}, "after": {"digests": result["digests"]}},
        **result,
    )


if __name__ == "__main__":
    main()
