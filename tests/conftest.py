# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures that every kind of test may use."""

from __future__ import annotations

import json
import socket
import sys
import types
import typing as t
from collections.abc import Callable

import pytest
import yaml
from ansible.module_utils import basic
from ansible.module_utils.common import warnings

Result = dict[str, t.Any]
# What Ansible itself adds to a result.
_COMMON_KEYS = {"changed", "failed", "msg", "invocation", "diff", "warnings", "deprecations", "exception"}
_FILE_KEYS = {"mode", "owner", "group", "uid", "gid", "size", "state", "secontext"}


@pytest.fixture
def run_module(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Return a function that runs a module's `main()` on JSON arguments and returns its JSON result.

    Argument parsing, censoring and output are Ansible's own. A successful result is compared with RETURN.
    """

    def run(module: types.ModuleType, /, *, check: bool = False, diff: bool = False, **options: t.Any) -> Result:
        arguments = options | {"_ansible_check_mode": check, "_ansible_diff": diff, "_ansible_remote_tmp": "/tmp"}
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
        # ansible-core 2.19 and newer refuse to run without a serialization profile.
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
        # Tests of controller plugins in the same process must not make this look like the controller.
        if internal := sys.modules.get("ansible.module_utils._internal"):
            monkeypatch.setattr(internal, "is_controller", False, raising=False)
        monkeypatch.setattr(warnings, "_global_warnings", type(warnings._global_warnings)())
        monkeypatch.setattr(sys, "argv", [str(module.__file__)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            module.main()
        result: Result = json.loads(capsys.readouterr().out)
        assert bool(stop.value.code) == bool(result.get("failed"))
        if not result.get("failed"):
            documented = set(yaml.safe_load(module.RETURN))
            undocumented = set(result) - documented - _COMMON_KEYS - (_FILE_KEYS if "path" in result else set())
            assert not undocumented, f"not in RETURN: {sorted(undocumented)}"
        return result

    return run


@pytest.fixture
def resolving(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that sets what each name resolves to."""

    def to(*places: tuple[str, int]) -> None:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in places]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_more: found)

    return to
