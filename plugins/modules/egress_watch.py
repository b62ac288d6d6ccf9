#!/usr/bin/python
# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Run a program in a sealed network, and say whom it called."""

from __future__ import annotations

DOCUMENTATION = r"""
module: egress_watch
short_description: Run a program in a sealed network, and say whom it called
version_added: 0.1.0
author:
  - homeport.registry contributors (!UNKNOWN)
description:
  - Runs a program, and everything that it starts, in a network namespace in which every address leads to a
    listener of
    this module. The only exceptions are the places in O(allow), to which connections are passed on.
  - Each attempt to reach anything else is an event that names the program, what it asked of the DNS, the TLS
    server name or
    HTTP host, address, port and protocol. Programs fail at once and do not wait, since somebody answers.
  - A deliberate call before and after the program must be seen, or else the result is a failure, since a watch
    that sees
    nothing proves nothing.
  - Nothing of this machine is changed. The namespaces have no names and are gone when the module ends, however
    it ends, and so
    is what the program has started.
  - Needs Linux, root, C(ip) of iproute2, and Python 3.9 or newer.
options:
  argv:
    description: The program and its arguments, without a shell.
    type: list
    elements: str
    required: true
  chdir:
    description: Directory in which it runs.
    type: path
  environment:
    description: Variables that are added to its environment.
    type: dict
    default: {}
  allow:
    description:
      - Places that it may reach, each a name or address with a port, such as the registry, the API server of
        the cluster and port 22 of the nodes.
      - This machine resolves the names, unless an address is given behind an equals sign, as in
        V(registry.example.com:443=192.0.2.10).
      - A place on C(127.0.0.1) is one of this machine.
    type: list
    elements: str
    default: []
  control:
    description:
      - A program that calls out for sure, instead of the built-in one, which asks for a name and connects to
        two of its ports.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds after which the program is ended. V(0) means never.
    type: float
    default: 0
extends_documentation_fragment:
  - homeport.registry._attributes
attributes:
  check_mode:
    support: none
    details:
      - The task is skipped.
  diff_mode:
    support: none
  idempotent:
    support: N/A
    details:
      - As for M(ansible.builtin.command), the program decides.
notes:
  - Connections by Unix sockets stay possible. What a daemon outside, such as Docker's, fetches for a program is
    not seen.
  - The program's own connections to C(127.0.0.1) are not events.
"""

EXAMPLES = r"""
- name: Prove that an installation needs nobody but the registry, the cluster and the nodes
  homeport.registry.egress_watch:
    argv: [ansible-playbook, -i, inventory.yml, homeport.registry.site]
    allow:
      - registry.example.com:443
      - kubernetes.example.com:6443
      - node1.example.com:22
  become: true

- name: See whom a program calls
  homeport.registry.egress_watch:
    argv: [skopeo, inspect, docker://docker.io/library/nginx]
  become: true
  register: watch
  failed_when: watch.verdict == 'vacuous'
"""

RETURN = r"""
verdict:
  description:
    - V(silent) when nobody was called who is not allowed, V(called_out) when somebody was, V(vacuous) when the
      deliberate call
      was not seen. The last two are failures, and so is an exit code other than 0.
  returned: when the network could be sealed
  type: str
  sample: silent
events:
  description: Each attempt to reach what is not allowed, those that differ only in time as one.
  returned: when the network could be sealed
  type: list
  elements: dict
  sample:
    - first_at: 1.2
      kind: tcp
      name: index.example.com
      address: 198.18.0.2
      port: 443
      server_name: index.example.com
      host: ''
      program: python3 -m pip
      count: 3
  contains:
    first_at:
      description: Seconds since the watch began.
      type: float
    kind:
      description: V(dns), V(tcp), V(udp), V(icmp), or the number of another protocol.
      type: str
    name:
      description: What was asked of the DNS; for a connection the name that led to its address.
      type: str
    address:
      description: Where it went. An address in 198.18.0.0/15 stands for a name.
      type: str
    port:
      description: The port there.
      type: int
    server_name:
      description: The name that a TLS client gave.
      type: str
    host:
      description: The host that an HTTP client gave.
      type: str
    program:
      description: The program, and the script of an interpreter, without arguments, which may hold secrets.
      type: str
    count:
      description: How often.
      type: int
lines:
  description: The events as sentences.
  returned: when the network could be sealed
  type: list
  elements: str
  sample: ["python3 -m pip asked the DNS for index.example.com"]
control:
  description: What was seen of the deliberate call before the program, as sentences.
  returned: when the network could be sealed
  type: list
  elements: str
  sample: ["python3 asked the DNS for control-1a2b3c4d.invalid, 4 times"]
allowed:
  description: The places that were allowed, with the connections to them and their bytes.
  returned: when the network could be sealed
  type: list
  elements: dict
  sample:
    - host: registry.example.com
      port: 443
      addresses: [192.0.2.10]
      connections: 12
      bytes_sent: 81920000
      bytes_received: 40960
rc:
  description: Exit code of the program; none when it was not run.
  returned: when the network could be sealed
  type: int
  sample: 0
stdout:
  description: What it wrote.
  returned: when the network could be sealed
  type: str
stderr:
  description: What it wrote as errors.
  returned: when the network could be sealed
  type: str
seconds:
  description: How long it ran.
  returned: when the network could be sealed
  type: float
  sample: 12.5
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.homeport.registry.plugins.module_utils._egress_watch import SPEC, watched
from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=False)
    try:
        result = watched(module.params, module.run_command)
    except RegistryError as exc:
        module.fail_json(msg=str(exc), **exc.as_dict())
    if result.pop("failed", False):
        module.fail_json(**result)
    module.exit_json(changed=True, **result)


if __name__ == "__main__":
    main()
