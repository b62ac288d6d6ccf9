# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Settle the password of every registry user: given, kept, or newly generated."""

from __future__ import annotations

DOCUMENTATION = r"""
name: credentials
short_description: Settle the password of every registry user
version_added: 0.1.0
author:
  - homeport.registry contributors (!UNKNOWN)
description:
  - Gives every user a password. A password from the user's own entry wins, else the one kept in the live Secret,
    else a new one is generated.
  - Meant for templates of M(homeport.registry.apply), together with its O(homeport.registry.apply#module:live) objects,
    so that a password is generated once and then kept.
  - Every evaluation generates anew. Keep the result in one C(set) of one template;
    a variable of Ansible is evaluated again at each use, and two uses would give two different passwords.
  - In check mode a password that does not exist yet is generated and thrown away.
positional: _input, live_secret, length
options:
  _input:
    description:
      - The users.
      - A user with C(state) V(absent) is left out of the result.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: User name.
        type: str
        required: true
      role:
        description: What the user may do.
        type: str
        choices:
          reader: Pull only.
          writer: Pull, push and delete.
        default: reader
      password:
        description:
          - The password, in UTF-8 at most 72 bytes.
          - Leave it out to have one generated. The user's name must then be a valid key of a Kubernetes Secret,
            because that is where the password is kept.
        type: str
      state:
        description: Whether the user shall exist.
        type: str
        choices: [present, absent]
        default: present
  live_secret:
    description:
      - The Secret object that holds the passwords generated earlier, one key for each user,
        or nothing when it does not exist.
    type: dict
  length:
    description:
      - Number of characters of a generated password, from V(22) to V(72).
      - Letters and digits carry 5.95 bits each, so that even the shortest has more than 128 bits.
    type: int
    default: 32
"""

EXAMPLES = r"""
- name: Show which users get a generated password
  ansible.builtin.debug:
    msg: "{{ users | homeport.registry.credentials | rejectattr('generated', 'false') | map(attribute='name') }}"
  vars:
    users:
      - name: ci
        role: writer
      - name: nodes

- name: Keep the generated passwords in a Secret
  homeport.registry.apply:
    namespace: registry
    live:
      - api_version: v1
        kind: Secret
        name: registry-credentials
        namespace: registry
    # The template loops over: users | homeport.registry.credentials(live['Secret/registry-credentials'])
    templates:
      - credentials.yml.j2
"""

RETURN = r"""
_value:
  description: One dictionary for each present user, in the order given.
  type: list
  elements: dict
  sample:
    - name: ci
      role: writer
      password: not-a-real-password
      generated: false
  contains:
    name:
      description: User name.
      type: str
    role:
      description: V(reader) or V(writer).
      type: str
    password:
      description: The password.
      type: str
    generated:
      description:
        - Whether the password is one of ours, new or kept, and has to be stored in the Secret again.
      type: bool
"""

import re
import secrets
import string
import typing as t
from collections.abc import Callable, Mapping, Sequence

from ansible.errors import AnsibleFilterError

from ansible_collections.homeport.registry.plugins.filter.secret_value import secret_value
from ansible_collections.homeport.registry.plugins.module_utils._errors import HtpasswdError
from ansible_collections.homeport.registry.plugins.module_utils._htpasswd import (
    MAX_PASSWORD_BYTES,
    check_name,
    check_password,
)

ROLES = ("reader", "writer")
# 22 letters and digits are the first length above 128 bits.
MIN_LENGTH = 22
_ALPHABET = string.ascii_letters + string.digits
_SECRET_KEY = re.compile(r"(?!\.\.?\Z)(?!\.\.)[-._a-zA-Z0-9]{1,253}")


def credentials(
    users: Sequence[Mapping[str, t.Any]], live_secret: Mapping[str, t.Any] | None = None, length: int = 32
) -> list[dict[str, t.Any]]:
    """Return name, role, password and whether it is generated, for every present user.

    Raises:
        AnsibleFilterError: on a bad user, an impossible length or an unreadable Secret.
    """
    if not MIN_LENGTH <= length <= MAX_PASSWORD_BYTES:
        raise AnsibleFilterError(
            f"The length of generated passwords is {length}. Choose {MIN_LENGTH} to {MAX_PASSWORD_BYTES}."
        )
    result: list[dict[str, t.Any]] = []
    for user in users:
        name = plain(user.get("name"), "a user's name")
        if (user.get("state") or "present") == "absent":
            continue
        role = user.get("role") or ROLES[0]
        if role not in ROLES:
            raise AnsibleFilterError(f"User {name} has the role {role!r}. Choose one of: {', '.join(ROLES)}.")
        if any(name == other["name"] for other in result):
            raise AnsibleFilterError(f"User {name} is listed twice. List each user once.")
        given = user.get("password")
        try:
            check_name(name)
            if given is None:
                password = _kept(name, live_secret) or "".join(secrets.choice(_ALPHABET) for dummy in range(length))
            else:
                password = plain(given, f"the password of user {name}")
            check_password(name, password)
        except HtpasswdError as exc:
            raise AnsibleFilterError(str(exc)) from exc
        result.append({"name": name, "role": str(role), "password": password, "generated": given is None})
    return result


def plain(value: t.Any, what: str) -> str:
    """Return a text value as a plain string, decrypting a vaulted one.

    Raises:
        AnsibleFilterError: when the value is not text, for instance a password YAML reads as a number.
    """
    if isinstance(value, str) or getattr(value, "__ENCRYPTED__", False):
        return str(value)
    raise AnsibleFilterError(f"Expected text for {what}, found {type(value).__name__}. Put it in quotes.")


def _kept(name: str, live_secret: Mapping[str, t.Any] | None) -> str:
    if not _SECRET_KEY.fullmatch(name):
        raise AnsibleFilterError(
            f"The password of user {name} cannot be generated, because the name is no valid key of a Secret. "
            "Set a password for this user, or use a name of letters, digits, '-', '_' and '.'."
        )
    return secret_value(live_secret, name)


class FilterModule:
    """Filter of homeport.registry."""

    def filters(self) -> dict[str, Callable[..., t.Any]]:
        """Return the filter under its name."""
        return {"credentials": credentials}
