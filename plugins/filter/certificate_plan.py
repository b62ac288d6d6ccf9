# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Decide what an own authority has to issue: nothing, a certificate, or for the first time both."""

from __future__ import annotations

DOCUMENTATION = r"""
name: certificate_plan
short_description: Decide what an own certificate authority has to issue
version_added: 0.1.0
author:
  - homeport.registry contributors (!UNKNOWN)
description:
  - Looks at the Secrets of an authority and of the certificate that it has issued, and says which of them has to be
    made.
  - A certificate is made anew when it is missing, near its end, for other names, by another authority, or broken.
  - An authority is made only where there is neither an authority nor a certificate by one. One that is lost, broken or
    expired is an error, because every client would have to trust the new one.
positional: _input, authority, certificate, hosts
options:
  _input:
    description: Secrets of type C(kubernetes.io/tls) as the API server returns them. Others are ignored.
    type: list
    elements: dict
    required: true
  authority:
    description: Name of the authority's Secret.
    type: str
    required: true
  certificate:
    description:
      - Name of the certificate's Secret.
      - One without the annotation V(registry.homeport.dev/issuer=self_signed) is ignored.
    type: str
    required: true
  hosts:
    description: Host names and addresses that the certificate has to cover.
    type: list
    elements: str
    required: true
  days:
    description: Days that a new certificate lives, or fewer where its authority ends earlier.
    type: int
    default: 365
  renew_days:
    description: Days before its end at which a certificate is made anew.
    type: int
    default: 60
requirements:
  - cryptography >= 42.0
"""

EXAMPLES = r"""
- name: Show why a certificate would be made
  ansible.builtin.debug:
    msg: "{{ ([] | homeport.registry.certificate_plan('depot-ca', 'depot-tls', ['depot.example.com'])).reason }}"
  # => there is no authority yet
"""

RETURN = r"""
_value:
  description: The plan.
  type: dict
  contains:
    authority:
      description: Whether an authority is made, V(keep) or V(make).
      type: str
      sample: keep
    leaf:
      description: Whether a certificate is made, V(keep) or V(make).
      type: str
      sample: make
    days:
      description: Days that a new certificate may live.
      type: int
      sample: 365
    names:
      description: The subject alternative names of a new certificate.
      type: list
      elements: str
      sample: ["DNS:registry.example.com"]
    reason:
      description: Why something is made, empty when all is kept.
      type: str
      sample: the certificate ends on 2026-01-31 10:00 UTC
"""

import datetime as dt
import typing as t
from collections.abc import Callable, Mapping, Sequence

from ansible.errors import AnsibleFilterError

from ansible_collections.homeport.registry.plugins.filter.secret_value import secret_value

ISSUER = "registry.homeport.dev/issuer"


def certificate_plan(
    secrets: Sequence[Mapping[str, t.Any]],
    authority: str,
    certificate: str,
    hosts: Sequence[str],
    days: int = 365,
    renew_days: int = 60,
) -> dict[str, t.Any]:
    """Return what is to be made, for how many days, for which names, and why.

    Raises:
        AnsibleFilterError: when the authority is lost, broken or expired, or cryptography is missing.
    """
    # A template that uses one filter of a collection loads them all, so what this one needs is loaded when it runs.
    from ansible_collections.homeport.registry.plugins.module_utils import _certificate_plan as planning
    from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError

    found = {secret["metadata"]["name"]: secret for secret in secrets}
    issued = found.get(certificate)
    if issued is not None and (issued["metadata"].get("annotations") or {}).get(ISSUER) != "self_signed":
        issued = None
    try:
        plan = planning.decide(
            _pair(found.get(authority)),
            _pair(issued),
            planning.Wish(hosts, days, renew_days),
            dt.datetime.now(dt.timezone.utc),
            (f"Secret {authority}", f"Secret {certificate}"),
        )
    except RegistryError as exc:
        raise AnsibleFilterError(str(exc)) from None
    return {**plan._asdict(), "names": planning.alternative_names(hosts)}


def _pair(secret: Mapping[str, t.Any] | None) -> dict[str, str] | None:
    return None if secret is None else {key: secret_value(secret, key) for key in ("tls.crt", "tls.key")}


class FilterModule:
    """Filter of homeport.registry."""

    def filters(self) -> dict[str, Callable[..., t.Any]]:
        """Return the filter under its name."""
        return {"certificate_plan": certificate_plan}
