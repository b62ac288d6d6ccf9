# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Write every started task and every result as one line of JSON."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: task_log
type: aggregate
short_description: Write tasks and results to the file in HOMEPORT_TASK_LOG
description: Only for tests.
"""


class CallbackModule(CallbackBase):
    """What a run does, as data."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "task_log"
    CALLBACK_NEEDS_ENABLED = True

    def _write(self, **entry: Any) -> None:
        with open(os.environ["HOMEPORT_TASK_LOG"], "a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry, default=str) + "\n")

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._write(event="start", name=task.get_name(), action=task.action)

    def v2_runner_on_ok(self, result: Any) -> None:
        self._write(event="ok", action=result._task.action, result=result._result)
