# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Check a certificate chain and its key the way clients will."""

from __future__ import annotations

DOCUMENTATION = r"""
name: certificate_check
short_description: Check a certificate chain and its key the way clients will
version_added: 0.1.0
author:
  - homeport.registry contributors (!UNKNOWN)
description:
  - Refuses a certificate that some client would refuse, and says why and what to do about it.
  - The private key must be that of the first certificate, each certificate must be signed by the next one, none may
    have expired or be signed with MD5 or SHA-1, and a subject alternative name must cover the host.
  - No message holds a part of the private key.
positional: _input, private_key, host
options:
  _input:
    description: One or more certificates as PEM, that of the host first, then each its issuer. A root may be left out.
    type: str
    required: true
  private_key:
    description: The private key of the first certificate as PEM, without a passphrase.
    type: str
    required: true
  host:
    description: The host name or IP address that clients use. A port is ignored.
    type: str
    required: true
  warn_days:
    description: Warn when a certificate has fewer days left.
    type: int
    default: 21
  name:
    description: What messages call the certificate, for instance the variable it comes from.
    type: str
    default: the certificate
requirements:
  - cryptography >= 42.0
"""

EXAMPLES = r"""
- name: Show how long a certificate lasts
  ansible.builtin.debug:
    msg: "{{ (chain | homeport.registry.certificate_check(key, 'registry.example.com')).days_left }}"
  no_log: true
  vars:
    chain: "{{ lookup('ansible.builtin.file', 'registry.pem') }}"
    key: "{{ lookup('ansible.builtin.file', 'registry.key') }}"
"""

RETURN = r"""
_value:
  description: What is known of the certificate.
  type: dict
  contains:
    chain:
      description: The chain as PEM, without comments between the certificates.
      type: str
    authority:
      description: The root certificate as PEM if the chain ends with one, else an empty text.
      type: str
    names:
      description: The DNS names and addresses that the certificate covers.
      type: list
      elements: str
      sample: [registry.example.com]
    days_left:
      description: Whole days until the first certificate of the chain expires.
      type: int
      sample: 61
"""

import datetime as dt
import typing as t
from collections.abc import Callable

from ansible.errors import AnsibleFilterError
from ansible.utils.display import Display

_REMEDY = (
    "Give a PEM text with the certificate of the host first, then each its issuer, "
    "together with the key of the first one."
)


def certificate_check(
    chain: t.Any, private_key: t.Any, host: str, warn_days: int = 21, name: str = "the certificate"
) -> dict[str, t.Any]:
    """Return chain, authority, names and days left of a certificate that clients accept.

    Raises:
        AnsibleFilterError: when a client would refuse it, or cryptography is missing.
    """
    # A template that uses one filter of a collection loads them all, so what this one needs is loaded when it runs.
    from ansible_collections.homeport.registry.plugins.filter.credentials import plain
    from ansible_collections.homeport.registry.plugins.module_utils import _certificates as certificates
    from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError

    place = certificates.Place(name, _REMEDY)
    server = host.partition(":")[0]
    try:
        pair = certificates.load(plain(chain, name), plain(private_key, f"the private key of {name}"), place)
        certificates.check_chain(pair.chain, place)
        days_left = certificates.check_times(pair.chain, dt.datetime.now(dt.timezone.utc), place)
        certificates.check_host(pair.leaf, server, place)
    except RegistryError as exc:
        raise AnsibleFilterError(str(exc)) from None
    if days_left < warn_days:
        Display().warning(f"{name} expires in {days_left} days; renew it before clients refuse it")
    last = pair.chain[-1]
    return {
        "chain": certificates.pem(pair.chain),
        "authority": certificates.pem([last]) if certificates.issued_by(last, last) else "",
        "names": certificates.names(pair.leaf),
        "days_left": days_left,
    }


class FilterModule:
    """Filter of homeport.registry."""

    def filters(self) -> dict[str, Callable[..., t.Any]]:
        """Return the filter under its name."""
        return {"certificate_check": certificate_check}
