# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the attributes of our modules mean. Private: not for use outside homeport.registry."""

from __future__ import annotations


class ModuleDocFragment:
    """Attribute descriptions; a module adds its own support levels."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Runs in check mode and reports what would change, without changing anything.
  diff_mode:
    description: Returns what changed, or would change in check mode, when asked for a diff.
  idempotent:
    description: A second run with the same options, and nothing else changing meanwhile, reports no change.
"""

    FILES = r"""
options: {}
attributes:
  safe_file_operations:
    description: Writes a temporary file and moves it into place, so that no reader sees half a file.
"""

    FLOW = r"""
options: {}
attributes:
  action:
    description: Has an action plugin of the same name, so that some of the work is done on the controller.
  async:
    description: Can be used with the C(async) keyword.
"""

    ACTIONGROUP_K8S = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/homeport.registry.k8s) in C(module_defaults) to set the cluster connection once.
    support: full
    membership:
      - homeport.registry.k8s
"""

    ACTIONGROUP_REGISTRY = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/homeport.registry.registry) in C(module_defaults) to set the registry connection once.
    support: full
    membership:
      - homeport.registry.registry
"""

    READS = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - Only reads.
  diff_mode:
    support: N/A
    details:
      - There is nothing to compare.
  idempotent:
    support: full
"""
