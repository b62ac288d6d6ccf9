#!/usr/bin/python
# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Collect garbage now, and follow it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gc_run
short_description: Collect garbage now, and follow it
version_added: 0.1.0
author:
  - homeport.registry contributors (!UNKNOWN)
description:
  - Starts a Job from the template of the CronJob that role P(homeport.registry.registry_gc#role) made, shows what it
    logs while it works, and returns its report.
  - Fails when the collection failed, or was refused, for example because a limit would be exceeded or another one is
    at work.
options:
  registry:
    description: Name of the registry, C(registry_name) of the roles.
    type: str
    default: registry
  namespace:
    description: Namespace of the registry.
    type: str
    default: registry
  timeout:
    description: Seconds to wait for the end of the Job, which has a deadline of its own.
    type: int
    default: 3900
extends_documentation_fragment:
  - homeport.registry._kubernetes
  - homeport.registry._attributes
  - homeport.registry._attributes.flow
  - homeport.registry._attributes.actiongroup_k8s
attributes:
  check_mode:
    support: full
    details:
      - A Job runs all the same, and only looks. It says what would go, and deletes nothing.
  diff_mode:
    support: none
  idempotent:
    support: full
    details:
      - A second run finds nothing to collect.
  action:
    support: full
    details:
      - With a local connection the log is shown while the task runs, on the standard error output of Ansible.
  async:
    support: none
seealso:
  - module: homeport.registry.gc_info
"""

EXAMPLES = r"""
- name: Collect now
  homeport.registry.gc_run:
    namespace: registry
  register: gc

- name: Show what became of it
  ansible.builtin.debug:
    msg: "{{ gc.summary }}"

- name: See what would go
  homeport.registry.gc_run:
    namespace: registry
  check_mode: true
"""

RETURN = r"""
job:
  description: Name of the Job.
  returned: when it was started
  type: str
  sample: registry-gc-20300102030405-1a2b
outcome:
  description: See M(homeport.registry.gc_info).
  returned: when there is a report
  type: str
  sample: succeeded
summary:
  description: The report in a few lines.
  returned: when there is a report
  type: list
  elements: str
  sample:
    - "registry-gc-20300102030405-1a2b: succeeded in step report"
    - "verified (blobs): everything was found again"
report:
  description: The whole report, see M(homeport.registry.gc_info).
  returned: when there is a report
  type: dict
log:
  description: What the collector logged.
  returned: always
  type: list
  elements: str
  sample: ["    0.3 s  lease: taken, it was free"]
"""

import os

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.homeport.registry.plugins.module_utils._kube_auth import CLIENT_IMPORT_ERROR
from ansible_collections.homeport.registry.plugins.module_utils._kube_collecting import ARGUMENT_SPEC, collect


def main() -> None:
    """Run the module, where the connection is not local; the action does the same in the controller."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    if CLIENT_IMPORT_ERROR is not None:
        module.fail_json(msg=missing_required_lib("kubernetes"), exception=CLIENT_IMPORT_ERROR)
    result = collect(module.params, os.environ, check_mode=module.check_mode, say=lambda line: None)
    if result.get("failed"):
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
