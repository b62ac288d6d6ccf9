#!/usr/bin/python
# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Read what the last garbage collection found and did."""

from __future__ import annotations

DOCUMENTATION = r"""
module: gc_info
short_description: Read what the last garbage collection found and did
version_added: 0.1.0
author:
  - homeport.registry contributors (!UNKNOWN)
description:
  - Reads the report that the collector of role P(homeport.registry.registry_gc#role) leaves in the cluster, and says
    whether it is of a run that ended, that still works, or that nobody will finish any more.
  - That there is no report yet is an answer and not a failure.
options:
  registry:
    description: Name of the registry, C(registry_name) of the roles.
    type: str
    default: registry
  namespace:
    description: Namespace of the registry.
    type: str
    default: registry
  max_age:
    description: Seconds after which a report is old, see RV(old). V(0) is never.
    type: int
    default: 0
extends_documentation_fragment:
  - homeport.registry._kubernetes
  - homeport.registry._attributes
  - homeport.registry._attributes.reads
  - homeport.registry._attributes.actiongroup_k8s
seealso:
  - module: homeport.registry.gc_run
"""

EXAMPLES = r"""
- name: Read the last report
  homeport.registry.gc_info:
    namespace: registry
    max_age: 172800
  register: gc

- name: Be told when nothing was collected for two days, or when it went wrong
  ansible.builtin.assert:
    that:
      - gc.state == 'finished' and not gc.old
      - gc.outcome in ['succeeded', 'nothing_to_do']
    fail_msg: "{{ gc.summary | join(' ') }}"
"""

RETURN = r"""
state:
  description:
    - V(none) where there was no collection yet, V(running), V(finished), or V(abandoned) where a collection ended
      without a word and its Lease is not renewed any more. The next run, or playbook C(site), brings the writers back.
  returned: success
  type: str
  sample: finished
outcome:
  description:
    - V(succeeded), V(nothing_to_do), V(dry_run), V(refused) when nothing was deleted for a reason, V(failed),
      V(running), or V(none) without a report.
  returned: success
  type: str
  sample: succeeded
age:
  description: Seconds since the end of that collection, or its start where it has not ended. None without a report.
  returned: success
  type: int
  sample: 33120
old:
  description: Whether the report is older than O(max_age), or there is none.
  returned: success
  type: bool
  sample: false
summary:
  description: The report in a few lines.
  returned: success
  type: list
  elements: str
  sample:
    - "registry-gc-29384720: succeeded in step report"
    - "deleted: 212 blobs, 0 manifests, 4212.9 MB"
    - "verified (blobs): everything was found again"
report:
  description: The whole report, none where there is none.
  returned: success
  type: dict
  contains:
    version:
      description: Version of this format.
      type: int
    run:
      description: Name of the Job.
      type: str
    outcome:
      description: See RV(outcome).
      type: str
    step:
      description: The step that it came to, of V(lease), V(inventory), V(dry_run), V(ceiling), V(fence), V(collect),
        V(release), V(verify), V(report).
      type: str
    reason:
      description: Why it did not simply succeed, or empty.
      type: str
    remedy:
      description: What to do about it, or empty.
      type: str
    started:
      description: When it began, in UTC.
      type: str
    finished:
      description: When it ended, in UTC; none while it runs.
      type: str
    steps:
      description: Name, beginning and seconds of every step.
      type: list
      elements: dict
    before:
      description: What was in the store, as C(repositories), C(tags), C(manifests), C(reachable_blobs),
        C(reachable_bytes), and on a volume C(blobs) and C(bytes).
      type: dict
    after:
      description: The same afterwards.
      type: dict
    eligible:
      description: What would go, as C(blobs), C(manifests), C(links), C(share) in percent, C(bytes) on a volume, and
        how many contents each of C(repositories) would lose.
      type: dict
    deleted:
      description: What went, as C(blobs), C(manifests), C(links), and measured C(bytes) on a volume; and whether each
        deletion was C(asked) for right before, so that a collector that wakes up with its node deletes nothing.
      type: dict
    fence:
      description: Number of C(writers), and C(seconds) for which pushes waited. None when they did not.
      type: dict
    verification:
      description: Whether everything was found again (C(ok)), how much was read, and C(problems) if not.
      type: dict
    store:
      description: The mark by which the store is recognised (C(id)), and how many C(blobs) were left in it.
      type: dict
    problems:
      description: What is wrong in the store, as C(kind), C(where), C(text) and C(remedy).
      type: list
      elements: dict
    warnings:
      description: What else to know.
      type: list
      elements: str
    recovered:
      description: What a run before had left behind, none when nothing.
      type: dict
    history:
      description: Runs before this one, newest first.
      type: list
      elements: dict
"""

import os

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.homeport.registry.plugins.module_utils._kube_auth import (
    AUTH_SPEC,
    CLIENT_IMPORT_ERROR,
    AccessError,
    load_access,
)
from ansible_collections.homeport.registry.plugins.module_utils._kube_collection import read_report
from ansible_collections.homeport.registry.plugins.module_utils._kube_http import ApiClient, ApiError, Unreachable


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **AUTH_SPEC,
            "registry": {"type": "str", "default": "registry"},
            "namespace": {"type": "str", "default": "registry"},
            "max_age": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    if CLIENT_IMPORT_ERROR is not None:
        module.fail_json(msg=missing_required_lib("kubernetes"), exception=CLIENT_IMPORT_ERROR)
    params = module.params
    try:
        client = ApiClient(load_access(params, os.environ), connections=1, read_only=True)
        found = read_report(client, params["registry"], params["namespace"])
    except RegistryError as error:
        module.fail_json(msg=str(error), **error.as_dict())
    except (AccessError, ApiError, Unreachable) as error:
        module.fail_json(msg=str(error))
    age = found["age"]
    outcome = found["report"]["outcome"] if found["report"] else "none"
    old = age is None or bool(params["max_age"] and age > params["max_age"])
    module.exit_json(changed=False, outcome=outcome, old=old, **found)


if __name__ == "__main__":
    main()
