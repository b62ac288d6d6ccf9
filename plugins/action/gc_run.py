# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Show what a collection logs while it works, which a module cannot."""

from __future__ import annotations

import os
import typing as t

from ansible.module_utils.basic import missing_required_lib
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.homeport.registry.plugins.module_utils._kube_auth import CLIENT_IMPORT_ERROR
from ansible_collections.homeport.registry.plugins.module_utils._kube_collecting import ARGUMENT_SPEC, collect

display = Display()


class ActionModule(ActionBase):
    """The action behind ``homeport.registry.gc_run``."""

    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return the result of the task."""
        super().run(tmp, task_vars)
        become = getattr(self._connection, "become", None)
        if getattr(self._connection, "transport", "") != "local" or become is not None:
            return self._execute_module(module_name="homeport.registry.gc_run", task_vars=task_vars)
        _validation, params = self.validate_argument_spec(argument_spec=ARGUMENT_SPEC)
        if CLIENT_IMPORT_ERROR is not None:
            return {"failed": True, "msg": missing_required_lib("kubernetes"), "exception": CLIENT_IMPORT_ERROR}
        environ: dict[str, str] = {}
        self._compute_environment_string(environ)
        environ = {**os.environ, **{name: str(value) for name, value in environ.items()}}
        host = (task_vars or {}).get("inventory_hostname", "")

        def say(line: str) -> None:
            # The standard output belongs to the callback, which may be writing JSON there.
            display.display(f"[{host}] {line}", stderr=True)

        return collect(params, environ, check_mode=bool(self._task.check_mode), say=say)
