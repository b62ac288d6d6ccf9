# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the module and the action gc_run have in common. Private."""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Mapping

from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.homeport.registry.plugins.module_utils._kube_auth import AUTH_SPEC, AccessError, load_access
from ansible_collections.homeport.registry.plugins.module_utils._kube_collection import GOOD, Run, summary_of
from ansible_collections.homeport.registry.plugins.module_utils._kube_http import ApiClient, ApiError, Unreachable

ARGUMENT_SPEC: dict[str, dict[str, t.Any]] = {
    **AUTH_SPEC,
    "registry": {"type": "str", "default": "registry"},
    "namespace": {"type": "str", "default": "registry"},
    "timeout": {"type": "int", "default": 3900},
}


def collect(
    params: Mapping[str, t.Any], environ: Mapping[str, str], *, check_mode: bool, say: Callable[[str], None]
) -> dict[str, t.Any]:
    """Run a collection and return the result of the task; `say` hears every line while it works."""
    log: list[str] = []

    def hear(line: str) -> None:
        log.append(line)
        say(line)

    result: dict[str, t.Any] = {"changed": False, "log": log}
    try:
        client = ApiClient(load_access(params, environ), connections=1, read_only=False)
        run = Run(client, params["registry"], params["namespace"], hear)
        run.start(dry_run=check_mode)
        result["job"] = run.name
        run.follow(params["timeout"])
    except RegistryError as error:
        return {**result, "failed": True, "msg": str(error), **error.as_dict()}
    except (AccessError, ApiError, Unreachable) as error:
        return {**result, "failed": True, "msg": str(error)}
    report = t.cast("dict[str, t.Any]", run.report)
    result |= {"report": report, "outcome": report["outcome"], "summary": summary_of(report)}
    would = (report["eligible"] or {}).get("blobs") if check_mode else report["deleted"]["blobs"]
    result["changed"] = bool(would)
    if report["outcome"] not in GOOD:
        result |= {"failed": True, "msg": f"{report['outcome']}: {report['reason']} {report['remedy']}".strip()}
    return result
