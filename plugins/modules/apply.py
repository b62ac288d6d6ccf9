#!/usr/bin/python
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: apply
short_description: Apply a set of Kubernetes objects in one parallel wave
version_added: 0.1.0
author:
  - homeport.registry contributors
description:
  - Applies the objects in templates and definitions by server-side apply on parallel connections.
"""

EXAMPLES = r""""""

RETURN = r""""""

import os

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.homeport.registry.plugins.module_utils._apply_engine import (
    ARGUMENT_SPEC,
    Engine,
    unpack,
)
from ansible_collections.homeport.registry.plugins.module_utils._apply_errors import ApplyError
from ansible_collections.homeport.registry.plugins.module_utils._kube_auth import CLIENT_IMPORT_ERROR, AccessError


def main() -> None:
    """Run the engine on this host with objects that the controller has rendered."""
    spec = {
        **ARGUMENT_SPEC,
        # the action plugin asks for live objects first, because templates are rendered with them
        "_live_only": {"type": "bool", "default": False},
        # one text for all rendered objects is hidden as a whole, not word by word in every message
        "_packed": {"type": "str", "no_log": True},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    if CLIENT_IMPORT_ERROR is not None:
        module.fail_json(msg=missing_required_lib("kubernetes"), exception=CLIENT_IMPORT_ERROR)
    try:
        engine = Engine(module.params, os.environ, check_mode=module.check_mode, diff=module._diff)
        if module.params["_live_only"]:
            module.exit_json(changed=False, live=engine.read_live())
        module.exit_json(**engine.run(unpack(module.params["_packed"] or "[]")))
    except ApplyError as error:
        module.fail_json(**{**error.details, "msg": error.message})
    except AccessError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
