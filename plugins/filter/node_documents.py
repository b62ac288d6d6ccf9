# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Write trust in registries as documents of managed platforms."""

from __future__ import annotations

DOCUMENTATION = r"""
name: node_documents
short_description: Write trust in registries as documents of managed platforms
version_added: 0.1.0
author:
  - homeport.registry contributors (!UNKNOWN)
description:
  - Returns what M(homeport.registry.node_trust) would do as documents of a platform whose nodes nobody logs in to.
  - Names, certificates and mirrors are checked as the module checks them; nothing is looked at over the network.
positional: _input, platforms, mirrors, gke_ca
options:
  _input:
    description: The registries, with the suboptions of O(homeport.registry.node_trust#module:registries).
    type: list
    elements: dict
    required: true
  platforms:
    description: Platforms, or one as a text; V(files) is the content of C(certs.d), for whoever puts it on nodes.
    type: list
    elements: str
    choices: [talos, openshift, eks, bottlerocket, aks, k0s, microk8s, files, gke]
    required: true
  mirrors:
    description: The mirrors, with the suboptions of O(homeport.registry.node_trust#module:mirrors).
    type: list
    elements: dict
    default: []
  gke_ca:
    description: For GKE the name of the CA in Secret Manager.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Write the documents for Talos
  ansible.builtin.debug:
    msg: "{{ [{'name': 'registry.example.com', 'ca_certificates': [ca]}] | homeport.registry.node_documents('talos') }}"
  vars:
    ca: "{{ lookup('ansible.builtin.file', 'ca.crt') }}"
"""

RETURN = r"""
_value:
  description: Texts by file name.
  type: dict
  sample:
    talos.yaml: "---\napiVersion: v1alpha1\n"
"""

import typing as t
from collections.abc import Callable, Mapping, Sequence

from ansible.errors import AnsibleFilterError


def node_documents(
    registries: Sequence[Mapping[str, t.Any]],
    platforms: str | Sequence[str],
    mirrors: Sequence[Mapping[str, t.Any]] = (),
    gke_ca: str = "",
) -> dict[str, str]:
    """Return the documents of some platforms by file name.

    Raises:
        AnsibleFilterError: for wrong input, and for what the platform cannot do.
    """
    # A template that uses one filter of a collection loads them all, so what this one needs is loaded when it runs.
    from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

    from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError
    from ansible_collections.homeport.registry.plugins.module_utils._node_options import SPEC, wishes_from
    from ansible_collections.homeport.registry.plugins.plugin_utils._node_documents import PLATFORMS, render

    names = [platforms] if isinstance(platforms, str) else list(platforms)
    for name in names:
        if name not in PLATFORMS:
            raise AnsibleFilterError(f"node_documents: {name} is not one of {', '.join(PLATFORMS)}")
    given = {"registries": [dict(one) for one in registries], "mirrors": [dict(one) for one in mirrors]}
    checked = ArgumentSpecValidator({name: SPEC[name] for name in given}).validate(given)
    if checked.error_messages:
        raise AnsibleFilterError(f"node_documents: {' '.join(checked.error_messages)}")
    try:
        wishes = wishes_from(checked.validated_parameters)
        return {file: text for name in names for file, text in render(wishes, name, gke_ca).items()}
    except RegistryError as exc:
        raise AnsibleFilterError(f"node_documents: {exc}") from exc


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Callable[..., t.Any]]:
        """Return the filter by its name."""
        return {"node_documents": node_documents}
