# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Read one key of a live Kubernetes Secret."""

from __future__ import annotations

DOCUMENTATION = r"""
name: secret_value
short_description: Read one key of a live Kubernetes Secret
version_added: 0.1.0
author:
  - homeport.registry contributors (!UNKNOWN)
description:
  - Decodes one value of a Secret object as the API server returns it.
  - Returns an empty string when there is no Secret or no such key,
    so that a template can tell "not there yet" from a value.
positional: _input, key
options:
  _input:
    description: The Secret object, or nothing when it does not exist.
    type: dict
    required: true
  key:
    description: Key inside the C(data) of the Secret.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Decode a value
  ansible.builtin.debug:
    msg: "{{ {'data': {'greeting': 'aGVsbG8='}} | homeport.registry.secret_value('greeting') }}"
  # => hello
"""

RETURN = r"""
_value:
  description: The decoded text, or an empty string.
  type: str
  sample: hello
"""

import base64
import binascii
import typing as t
from collections.abc import Callable, Mapping

from ansible.errors import AnsibleFilterError


def secret_value(live_secret: Mapping[str, t.Any] | None, key: str) -> str:
    """Return the decoded text of one key, or an empty string when it does not exist.

    Raises:
        AnsibleFilterError: when the value is not base64 of UTF-8 text.
    """
    data = (live_secret or {}).get("data") or {}
    if key not in data:
        return ""
    try:
        return base64.b64decode(str(data[key]), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as exc:
        name = ((live_secret or {}).get("metadata") or {}).get("name", "without a name")
        # The exception text may quote bytes of the secret, so it is not shown.
        raise AnsibleFilterError(
            f"Key {key} of Secret {name} is not base64 of UTF-8 text. "
            "Correct the value, or remove the key to have a new one made."
        ) from exc


class FilterModule:
    """Filter of homeport.registry."""

    def filters(self) -> dict[str, Callable[..., t.Any]]:
        """Return the filter under its name."""
        return {"secret_value": secret_value}
