#!/usr/bin/python
# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Make a node trust registries, and prove it by a pull."""

from __future__ import annotations

DOCUMENTATION = r"""
module: node_trust
short_description: Make a node trust registries, and prove it by a pull
version_added: 0.1.0
author:
  - homeport.registry contributors (!UNKNOWN)
description:
  - Runs on a cluster node. Puts the CA certificates of a registry where the node's container runtime looks on every
    pull, so that nothing has to be restarted, and lets the runtime pull as proof.
  - One run does everything. It looks at the registry from the node first (name, connection, certificate), keeps what
    was there before, writes each file in one step, proves, and puts every file back when anything fails.
  - What is owned and what was there before is recorded on the node, so that removal restores it exactly.
  - Only when containerd does not read C(certs.d) at all is its configuration changed, by one value in place, which
    needs one restart of containerd. That happens only with O(restart=now). So does a registry that
    C(registries.yaml) of k3s or RKE2 mentions.
  - Needs Python 3.9 or newer on the node and nothing else.
options:
  registries:
    description: The registries.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Host and port, exactly as image names begin.
        type: str
        required: true
      aliases:
        description: Other spellings in image names, such as the one with V(:443).
        type: list
        elements: str
        default: []
      ca_certificates:
        description:
          - CA certificates in PEM form, one or more in each text. They count in addition to the system's.
          - For a change of CA give the old and the new one until the server shows a certificate of the new one. A CA
            that the server still needs cannot be dropped.
        type: list
        elements: str
        default: []
      address:
        description:
          - IP address for a name that the node cannot resolve. It is kept in C(/etc/hosts), in a line marked as ours.
        type: str
        default: ""
      image:
        description:
          - Image that the runtime pulls as proof, named in full. Without it an image that does not exist is asked for,
            and the registry's own refusal is the proof.
        type: str
        default: ""
      username:
        description: Account for that pull.
        type: str
        default: ""
      password:
        description: Its password.
        type: str
      plain_http:
        description: The registry has no TLS. Whoever is on the way can replace images.
        type: bool
        default: false
      insecure:
        description: The certificate is not verified. Whoever is on the way can replace images.
        type: bool
        default: false
      replace_foreign:
        description: Replace a C(hosts.toml) that somebody else wrote. Removal puts it back.
        type: bool
        default: false
      state:
        description: Whether the node trusts the registry. V(absent) restores what was there before.
        type: str
        choices: [present, absent]
        default: present
  mirrors:
    description: Registries that serve the images of others. Docker has them for C(docker.io) only.
    type: list
    elements: dict
    default: []
    suboptions:
      upstream:
        description: Host and port as image names begin, such as V(docker.io). V(_default) is refused.
        type: str
        required: true
      name:
        description:
          - Host and port of the mirror. One that asks for an account is a warning, since containerd shows it the pull
            secrets that are meant for the upstream.
        type: str
        required: true
      prefix:
        description:
          - What stands before the names of the upstream's repositories in the mirror, such as C(docker.io) in a
            registry that keeps the images of several. Docker's own mirrors have none.
        type: str
        default: ""
      ca_certificates:
        description: As for registries.
        type: list
        elements: str
        default: []
      address:
        description: As for registries.
        type: str
        default: ""
      image:
        description: An image of the upstream that the runtime pulls as proof. Without it the mirror is only looked at.
        type: str
        default: ""
      fallback:
        description: Whether the upstream itself is asked when the mirror does not have an image.
        type: bool
        default: true
      plain_http:
        description: The mirror has no TLS. Whoever is on the way can replace images.
        type: bool
        default: false
      replace_foreign:
        description: As for registries.
        type: bool
        default: false
      state:
        description: Whether the mirror is used.
        type: str
        choices: [present, absent]
        default: present
  runtime:
    description: Container runtime of the node. V(auto) asks who listens on the socket that the kubelet uses.
    type: str
    choices: [auto, containerd, crio, docker, podman, k3s, rke2, k0s, microk8s]
    default: auto
  runtime_endpoint:
    description: Path of the runtime's socket, for a runtime that V(auto) does not find.
    type: str
    default: ""
  verify:
    description:
      - How trust is proven. V(cri) is a pull by the runtime whenever something differs from the last proof, V(tls) a
        look at the certificate by Python, V(none) nothing at all.
    type: str
    choices: [cri, tls, none]
    default: cri
  restart:
    description:
      - What to do when containerd does not read C(certs.d) yet. V(never) fails and says what to do, V(plan) changes
        nothing and returns what would be done, V(now) changes the configuration and restarts.
      - For C(registries.yaml) of k3s and RKE2, V(never) writes the entry and says that it waits for the next start.
    type: str
    choices: [never, plan, now]
    default: never
  restart_command:
    description: Command that restarts a runtime that is no systemd service, word by word.
    type: list
    elements: str
    default: []
  revert_config_path:
    description:
      - On removal also put back the configuration of containerd as it was before, which needs a restart. Otherwise
        the changed value stays, which is harmless.
    type: bool
    default: false
  registries_yaml:
    description:
      - For k3s and RKE2, which registries and mirrors are kept in their own C(registries.yaml), as single entries
        beside those of others. It is read only when they start, so a change there needs one restart, O(restart), or
        waits for the next one.
      - V(listed) are those that the file mentions, since k3s makes their directory in C(certs.d) itself. All others are
        kept in C(certs.d), which is read on every pull.
      - V(always) are all that need an entry, for releases of k3s and RKE2 before September 2024, which remove other
        directories at each start, and for those who want everything in one place.
      - With V(never) nothing new is written there, and a registry that the file mentions is refused until its entry was
        added by hand.
    type: str
    choices: [listed, always, never]
    default: listed
  record:
    description: File on the node that keeps what is owned and what was there before. Readable by root only.
    type: path
    default: /var/lib/homeport/node_trust.json
  timeout:
    description: Seconds for each look at a registry.
    type: float
    default: 10
  pull_timeout:
    description: Seconds for the pull that is the proof.
    type: float
    default: 120
  ready_timeout:
    description: Seconds for the restart of a runtime, and again until it answers.
    type: float
    default: 120
extends_documentation_fragment:
  - homeport.registry._attributes
attributes:
  check_mode:
    support: full
    details:
      - Looks at the registries from the node all the same, and pulls nothing.
  diff_mode:
    support: full
  idempotent:
    support: full
notes:
  - A second run whose proof still holds reads a few files, looks at the registry once, and starts no program.
seealso:
  - module: homeport.registry.health_info
"""

EXAMPLES = r"""
- name: Trust a registry with a CA of its own
  homeport.registry.node_trust:
    registries:
      - name: registry.example.com:5000
        ca_certificates:
          - "{{ lookup('ansible.builtin.file', 'ca.crt') }}"

- name: Prove it by an image that needs an account
  homeport.registry.node_trust:
    registries:
      - name: registry.example.com:5000
        ca_certificates: ["{{ lookup('ansible.builtin.file', 'ca.crt') }}"]
        image: registry.example.com:5000/team/app:1
        username: nodes
        password: "{{ vault_nodes_password }}"

- name: Fetch the images of another registry through a cache
  homeport.registry.node_trust:
    mirrors:
      - upstream: docker.io
        name: cache.example.com

- name: Forget a registry
  homeport.registry.node_trust:
    registries:
      - name: registry.example.com:5000
        state: absent
"""

RETURN = r"""
registries:
  description: What is true of each registry and mirror on this node.
  returned: always
  type: list
  elements: dict
  sample:
    - name: registry.example.com:5000
      state: present
      files: [/etc/containerd/certs.d/registry.example.com:5000/ca.crt]
      authorities:
        - subject: CN=Example CA
          sha256: 3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b8550
          days_left: 3200
      presented:
        address: 192.0.2.10
        protocol: TLSv1.3
        subject: CN=registry.example.com
        issuer: CN=Example CA
        names: [registry.example.com]
        not_after: Apr  5 00:00:00 2027 GMT
        sha256: 5f1d0c0a9e3b7a423b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca
      proof:
        how: answered
        by: crictl
        image: registry.example.com:5000/homeport/health:node-trust
        at: '2026-11-25T11:00:00Z'
  contains:
    name:
      description: Directory of the registry; for a mirror the upstream.
      type: str
    state:
      description: V(present) or V(absent).
      type: str
    files:
      description: Files on the node.
      type: list
      elements: str
    authorities:
      description: The CA certificates with the days that they are still valid.
      type: list
      elements: dict
    presented:
      description: What the server showed to this node; none when nobody looked.
      type: dict
    proof:
      description:
        - C(how) is V(pulled), V(answered) (the registry itself said that there is no such image or no such account),
          V(looked) (by Python only), V(waits) (for the next start of k3s or RKE2) or V(none).
      type: dict
runtime:
  description: The container runtime and where it looks.
  returned: always
  type: dict
  sample:
    kind: containerd
    version: 2.3.4
    endpoint: /run/containerd/containerd.sock
    config: /etc/containerd/config.toml
    config_path: /etc/containerd/certs.d
    root: /etc/containerd/certs.d
    reason: ''
  contains:
    kind:
      description: Which one.
      type: str
    version:
      description: Its version.
      type: str
    endpoint:
      description: Its socket.
      type: str
    config:
      description: Its configuration file; empty where none matters.
      type: str
    config_path:
      description: What containerd's configuration says, drop-ins included.
      type: str
    root:
      description: Directory that is read on every pull; empty where none is.
      type: str
    reason:
      description: Why none is, or empty.
      type: str
restart:
  description: The restart that is needed or was done; none in most cases.
  returned: always
  type: dict
  sample:
    service: containerd.service
    reason: config_path is not set, so certs.d is not read at all
    file: /etc/containerd/config.toml
    done: false
  contains:
    service:
      description: What is restarted.
      type: str
    reason:
      description: Why.
      type: str
    file:
      description: The file that changes.
      type: str
    done:
      description: Whether it happened. With O(restart=plan) nothing at all was done then.
      type: bool
actions:
  description: What was done, or would be done in check mode, in order.
  returned: always
  type: list
  elements: str
  sample:
    - create /etc/containerd/certs.d/registry.example.com:5000/ca.crt
    - 'prove registry.example.com:5000 by a pull: answered'
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.homeport.registry.plugins.module_utils._node_options import (
    SPEC,
    result_of,
    settings_from,
    wishes_from,
)
from ansible_collections.homeport.registry.plugins.module_utils._node_process import start_by
from ansible_collections.homeport.registry.plugins.module_utils._node_trust import Rollout


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    start_by(module.run_command)
    warnings: list[str] = []
    try:
        rollout = Rollout(wishes_from(module.params), settings_from(module.params), check=module.check_mode)
        warnings = rollout.warnings
        rollout.run()
    except RegistryError as exc:
        for warning in warnings:
            module.warn(warning)
        module.fail_json(msg=str(exc), **exc.as_dict())
    for warning in warnings:
        module.warn(warning)
    result = result_of(rollout)
    if module._diff:
        result["diff"] = [change.diff() for change in rollout.changes]
    module.exit_json(**result)


if __name__ == "__main__":
    main()
