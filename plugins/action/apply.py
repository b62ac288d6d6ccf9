# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Apply objects from the controller; render here and run the module where the connection is not local."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.basic import missing_required_lib
from ansible.plugins.action import ActionBase

from ansible_collections.homeport.registry.plugins.module_utils._apply_engine import (
    ARGUMENT_SPEC,
    Engine,
    documents_from,
    pack,
)
from ansible_collections.homeport.registry.plugins.module_utils._apply_errors import ApplyError
from ansible_collections.homeport.registry.plugins.module_utils._apply_objects import plain

# imported here, in the main process, the client library is there for every worker that is forked later
from ansible_collections.homeport.registry.plugins.module_utils._kube_auth import CLIENT_IMPORT_ERROR, AccessError
from ansible_collections.homeport.registry.plugins.plugin_utils._apply_templates import Renderer


class ActionModule(ActionBase):
    """The action behind ``homeport.registry.apply``."""

    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the result of the task; every foreseen failure is a result with ``failed`` and ``msg``."""
        super().run(tmp, task_vars)
        variables = task_vars or {}
        try:
            params = self._params()
            if params["refuse"]:
                return {"failed": True, "changed": False, "msg": "\n".join(params["refuse"])}
            work = self._run_here if self._is_local() else self._run_there
            return work(params, variables)
        except ApplyError as error:
            return {"failed": True, "changed": False, **error.details, "msg": error.message}
        except AccessError as error:
            return {"failed": True, "changed": False, "msg": str(error)}

    def _params(self) -> dict[str, Any]:
        for name in ("definitions", "templates"):
            # the list type would split a lone text at its commas
            if isinstance(self._task.args.get(name), (str, dict)):
                self._task.args[name] = [self._task.args[name]]
        _validation, params = self.validate_argument_spec(argument_spec=ARGUMENT_SPEC)
        return {name: plain(params[name]) for name in ARGUMENT_SPEC}

    def _is_local(self) -> bool:
        become = getattr(self._connection, "become", None)
        # with become the credentials and files of another user are meant
        return getattr(self._connection, "transport", "") == "local" and become is None

    def _run_here(self, params: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        if CLIENT_IMPORT_ERROR is not None:
            return {"failed": True, "msg": missing_required_lib("kubernetes"), "exception": CLIENT_IMPORT_ERROR}
        params["kubeconfig"] = self._find_kubeconfig(params["kubeconfig"])
        environ: dict[str, str] = {}
        self._compute_environment_string(environ)
        environ = {**os.environ, **{name: str(value) for name, value in environ.items()}}
        engine = Engine(params, environ, check_mode=self._task.check_mode, diff=bool(self._task.diff))
        live = engine.read_live()
        variables = {**variables, "live_time": engine.server_time()}
        return engine.run(self._documents(params, variables, live))

    def _run_there(self, params: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        if isinstance(params["kubeconfig"], dict):
            params["kubeconfig"] = json.dumps(params["kubeconfig"])
        ours = ("templates", "definitions", "refuse")
        arguments = {name: value for name, value in params.items() if value is not None and name not in ours}
        live: dict[str, Any] = {}
        if params["live"]:
            answer = self._execute({**arguments, "_live_only": True}, variables)
            if answer.get("failed"):
                return answer
            live = answer["live"]
            variables = {**variables, "live_time": str(answer["live_time"])}
        documents = self._documents(params, variables, live)
        arguments.pop("live", None)
        arguments["_packed"] = pack(documents)
        return self._execute(arguments, variables)

    def _execute(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self._execute_module(
            module_name="homeport.registry.apply", module_args=arguments, task_vars=variables
        )
        return answer

    def _documents(self, params: dict[str, Any], variables: dict[str, Any], live: dict[str, Any]) -> Any:
        rendered = Renderer(self, variables, live).render(params["templates"] or [])
        return rendered + documents_from(params["definitions"])

    def _find_kubeconfig(self, value: Any) -> Any:
        if not isinstance(value, str) or value.lstrip().startswith("{"):
            return value
        return os.pathsep.join(self._find_file(path) for path in value.split(os.pathsep))

    def _find_file(self, path: str) -> str:
        """Return the real path of a kubeconfig in the play's files, decrypted if it is a vault."""
        try:
            found: str = self._loader.get_real_file(self._find_needle("files", os.path.expanduser(path)))
        except AnsibleError:
            # the client library says best what is wrong with a path
            return path
        return found
