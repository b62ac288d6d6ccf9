# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Render an htpasswd text, keeping every hash that is still right."""

from __future__ import annotations

DOCUMENTATION = r"""
name: htpasswd
short_description: Render an htpasswd text, keeping every hash that is still right
version_added: 0.1.0
author:
  - homeport.registry contributors (!UNKNOWN)
description:
  - Returns the text in which exactly the given users can log in, with bcrypt hashes.
  - A line of the current text is kept when its hash verifies and has the wanted cost,
    so that the same users give the same text again.
  - Existing lines of other users, comments and damaged lines are dropped.
requirements:
  - libpass >= 1.9 (never together with passlib, which owns the same import name)
  - bcrypt >= 4.0.1
positional: _input, current_text, cost
options:
  _input:
    description:
      - The users, for instance from P(homeport.registry.credentials#filter). Keys other than these are ignored.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: User name of 1 to 255 bytes, without colons, control characters, or white space at its ends.
        type: str
        required: true
      password:
        description: Password of 1 to 72 bytes. Longer ones are refused because bcrypt would ignore the rest.
        type: str
        required: true
  current_text:
    description: The htpasswd text in use, empty when there is none.
    type: str
    default: ''
  cost:
    description:
      - Cost of the hash, from V(4) to V(17).
      - See O(homeport.registry.htpasswd#module:cost) for what it does to the speed of the registry.
    type: int
    default: 5
seealso:
  - module: homeport.registry.htpasswd
"""

EXAMPLES = r"""
- name: Render the text for a Secret, in a template of homeport.registry.apply
  ansible.builtin.debug:
    msg: "{{ users | homeport.registry.htpasswd(live | homeport.registry.secret_value('htpasswd')) }}"
  no_log: true
  vars:
    live:
    users:
      - name: ci
        password: not-a-real-password
"""

RETURN = r"""
_value:
  description: The htpasswd text, one line for each user.
  type: str
  sample: "ci:$2y$05$...\n"
"""

import typing as t
from collections.abc import Callable, Mapping, Sequence

from ansible.errors import AnsibleFilterError

from ansible_collections.homeport.registry.plugins.filter.credentials import plain
from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.homeport.registry.plugins.module_utils._htpasswd import DEFAULT_COST, User, plan


def htpasswd(users: Sequence[Mapping[str, t.Any]], current_text: str | None = "", cost: int = DEFAULT_COST) -> str:
    """Return the htpasswd text for exactly these users.

    Raises:
        AnsibleFilterError: on bad users or cost, or when libpass or bcrypt is missing.
    """
    wanted = [
        User(
            plain(user.get("name"), "a user's name"),
            plain(user.get("password"), f"the password of user {user['name']}"),
        )
        for user in users
    ]
    try:
        return plan(str(current_text or ""), wanted, cost=cost, exclusive=True).text
    except RegistryError as exc:
        raise AnsibleFilterError(str(exc)) from exc


class FilterModule:
    """Filter of homeport.registry."""

    def filters(self) -> dict[str, Callable[..., t.Any]]:
        """Return the filter under its name."""
        return {"htpasswd": htpasswd}
