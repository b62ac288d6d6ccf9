#!/usr/bin/python
# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Manage the users of an htpasswd file or text for a container registry."""

from __future__ import annotations

DOCUMENTATION = r"""
module: htpasswd
short_description: Manage the users of an htpasswd file for a container registry
version_added: 0.1.0
author:
  - homeport.registry contributors (!UNKNOWN)
description:
  - Adds, updates and removes users of an htpasswd file with bcrypt hashes, the only kind that the registry accepts.
  - A hash that still verifies and has the wanted cost is kept, so that a second run changes nothing.
  - Other users, comments and blank lines stay byte for byte, unless O(exclusive) is set.
  - Refuses what would fail later or silently. That is user names with colons, control characters, outer white space
    or bytes that are not UTF-8, passwords of more than 72 bytes, users listed twice,
    and existing lines that stay although they are not bcrypt.
  - Works on a file (O(path)) or from text to text (O(content)).
    In templates of M(homeport.registry.apply) use the filter P(homeport.registry.htpasswd#filter) instead.
requirements:
  - libpass >= 1.9 (imported as passlib; never together with passlib 1.7, which is unmaintained and fails with bcrypt 5)
  - bcrypt >= 4.0.1
options:
  path:
    description:
      - The file to manage. It is created when it does not exist; its directory must exist.
      - A symbolic link is followed.
      - Exactly one of O(path) and O(content) is required.
    type: path
  content:
    description:
      - An existing htpasswd text, may be empty. The new text is returned in RV(content) and nothing is written.
      - It holds hashes and comes back in the result, so set C(no_log) on the task.
    type: str
  users:
    description:
      - Users that shall be able to log in, or not.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: User name, of 1 to 255 bytes of UTF-8.
        type: str
        required: true
      password:
        description:
          - Password, of 1 to 72 bytes of UTF-8. Required unless O(users[].state=absent).
          - bcrypt would ignore everything after the 72nd byte, so longer ones are refused.
        type: str
      state:
        description: Whether the user shall exist.
        type: str
        choices: [present, absent]
        default: present
  exclusive:
    description:
      - Leave nothing but the present users of O(users). Other users, comments and damaged lines are removed.
    type: bool
    default: false
  cost:
    description:
      - The bcrypt cost, from V(4) to V(17). Each step doubles the time of a hash. A hash of another cost is replaced.
      - The registry does not remember a verified password, so each of the about ten requests of a pull
        pays for a whole hash, and the cost limits the requests per second of the server.
      - These are the limits measured with Distribution 2.8 and 3.1 on two cores of an AMD EPYC.
      - Without passwords, 2030 requests per second (2.8).
      - Cost 5, 1.85 ms for a hash, 576 (2.8) and 931 (3.1) requests per second.
      - Cost 8, 14.6 ms for a hash, about 130 requests per second (estimated from the time of a hash).
      - Cost 10, 58.6 ms for a hash, 31 requests per second (both).
      - Cost 12, 234 ms for a hash, about 8 requests per second (estimated from the time of a hash).
      - V(5) is right for generated passwords of 128 bits and more, which gain nothing from a slow hash.
        Use V(8) to V(10) for passwords that people choose.
      - C(tests/bench/bcrypt_cost.py) in the repository prints the table for another machine.
    type: int
    default: 5
  mode:
    description:
      - Permissions of the file. It holds password hashes, so give it to no one but its reader.
    type: raw
    default: '0600'
extends_documentation_fragment:
  - ansible.builtin.files
  - homeport.registry._attributes
  - homeport.registry._attributes.files
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details:
      - Shows user names and what happens to them, never a hash.
  idempotent:
    support: full
  safe_file_operations:
    support: full
seealso:
  - plugin: homeport.registry.htpasswd
    plugin_type: filter
    description: The same from template to template.
  - name: Distribution, htpasswd
    description: The server's side.
    link: https://distribution.github.io/distribution/about/configuration/#htpasswd
"""

EXAMPLES = r"""
- name: Let two users in
  homeport.registry.htpasswd:
    path: /etc/registry/htpasswd
    users:
      - name: ci
        password: "{{ vault_ci_password }}"
      - name: nodes
        password: "{{ vault_nodes_password }}"

- name: Remove a user
  homeport.registry.htpasswd:
    path: /etc/registry/htpasswd
    users:
      - name: former-colleague
        state: absent

- name: Make the file exactly these users, readable by the server's group
  homeport.registry.htpasswd:
    path: /etc/registry/htpasswd
    exclusive: true
    cost: 8
    owner: root
    group: "65532"
    mode: "0640"
    users:
      - name: ci
        password: "{{ vault_ci_password }}"

- name: Work on a text
  homeport.registry.htpasswd:
    content: "{{ old_htpasswd | default('') }}"
    users:
      - name: ci
        password: "{{ vault_ci_password }}"
  register: new_htpasswd
  no_log: true
"""

RETURN = r"""
users:
  description: What happened to each user that is listed or was removed.
  returned: success
  type: list
  elements: dict
  sample:
    - name: ci
      action: updated
      reason: new password
  contains:
    name:
      description: User name.
      type: str
    action:
      description: V(added), V(updated), V(kept), V(removed), or V(absent) when there was nothing to remove.
      type: str
    reason:
      description: Why the hash was replaced, otherwise empty.
      type: str
actions:
  description: What was done, or would be done in check mode, one line for each change of a user.
  returned: success
  type: list
  elements: str
  sample:
    - update ci (new password)
path:
  description: The file, with symbolic links resolved. The result also holds its C(mode), C(owner), C(group) and so on.
  returned: when O(path) is set
  type: str
  sample: /etc/registry/htpasswd
content:
  description: The new htpasswd text.
  returned: when O(content) is set
  type: str
  sample: "ci:$2y$05$...\n"
"""

import os
import tempfile
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.homeport.registry.plugins.module_utils._errors import HtpasswdError, RegistryError
from ansible_collections.homeport.registry.plugins.module_utils._htpasswd import Plan, plan, users_from


def read(path: str) -> str:
    """Return the file as text, undecodable bytes as surrogate escapes, or an empty text when it does not exist."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return ""
    except OSError as exc:
        raise HtpasswdError(
            "read the file", where=path, got=str(exc.strerror), remedy="Name a regular file that this user may read."
        ) from exc


def write(module: AnsibleModule, path: str, text: str) -> None:
    """Put the text in place in one step; nobody else can read it before its final mode is set."""
    handle, temporary = tempfile.mkstemp(dir=module.tmpdir)
    module.add_cleanup_file(temporary)
    with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.write(text)
    # atomic_move gives a new file whatever the umask allows.
    umask = os.umask(0o077)
    try:
        module.atomic_move(temporary, path, unsafe_writes=module.params["unsafe_writes"])
    finally:
        os.umask(umask)


def check_directory(module: AnsibleModule, path: str) -> None:
    """Ask for the directory of the file; in check mode an earlier task may only have promised to create it."""
    folder = os.path.dirname(path)
    if os.path.isdir(folder):
        return
    error = HtpasswdError(
        "write the file", where=path, got="its directory does not exist", remedy=f"Create {folder} first."
    )
    if not module.check_mode:
        raise error
    module.warn(str(error))


def check_returnable(module: AnsibleModule, text: str) -> None:
    """Refuse a password that occurs in the text, because Ansible would mask it there and damage the result."""
    for user in module.params["users"]:
        if user["password"] and user["password"] in text:
            raise HtpasswdError(
                "return the new text",
                where=f"user {user['name']}",
                got="the password occurs in the text itself, and Ansible would mask it there",
                remedy="Choose a longer password that is not part of a user name.",
            )


def apply_to_file(module: AnsibleModule) -> tuple[Plan, bool]:
    """Bring the file to its new text and attributes; return the plan and whether anything changed."""
    module.params["path"] = path = os.path.realpath(module.params["path"])
    result = make_plan(module, read(path))
    attributes = module.load_file_common_arguments(module.params)
    missing = not os.path.exists(path)
    check_directory(module, path)
    # A file that is open to others is closed before new hashes get in.
    changed = not missing and module.set_fs_attributes_if_different(attributes, False)
    if result.changed or missing:
        changed = True
        if not module.check_mode:
            write(module, path, result.text)
            module.set_fs_attributes_if_different(attributes, True)
    return result, changed


def make_plan(module: AnsibleModule, text: str) -> Plan:
    """Return the plan for the wanted users on this text."""
    users = users_from(module.params["users"])
    return plan(text, users, cost=module.params["cost"], exclusive=module.params["exclusive"])


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path"},
            "content": {"type": "str"},
            "users": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "password": {"type": "str", "no_log": True},
                    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                },
                "required_if": [("state", "present", ["password"])],
            },
            "exclusive": {"type": "bool", "default": False},
            "cost": {"type": "int", "default": 5},
            "mode": {"type": "raw", "default": "0600"},
        },
        mutually_exclusive=[("path", "content")],
        required_one_of=[("path", "content")],
        add_file_common_args=True,
        supports_check_mode=True,
    )
    result: dict[str, t.Any] = {}
    try:
        if module.params["path"] is not None:
            done, changed = apply_to_file(module)
            result["path"] = module.params["path"]
        else:
            done = make_plan(module, module.params["content"])
            changed = done.changed
            check_returnable(module, done.text)
            result["content"] = done.text
    except RegistryError as exc:
        module.fail_json(msg=str(exc), **exc.as_dict())
    if module._diff:
        result["diff"] = done.diff()
    users = [{"name": step.name, "action": step.verb, "reason": step.reason} for step in done.steps]
    module.exit_json(changed=changed, users=users, actions=done.actions, **result)


if __name__ == "__main__":
    main()
