# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files the gates look at, and how they name them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import gates


@pytest.mark.parametrize("before", ["{cache}/tree-0a1/", "{cache}/tree-0a1/sanity/"])
def test_paths_of_an_installed_tree_become_project_paths(monkeypatch: pytest.MonkeyPatch, before: str) -> None:
    monkeypatch.setenv("HOMEPORT_CACHE", "/var/cache/homeport")
    prefix = before.format(cache="/var/cache/homeport")
    text = f"{prefix}ansible_collections/homeport/registry/plugins/x.py:1: bad\n{gates.ROOT}/tools/y.py:2: bad"
    assert gates.path_prefixes().sub("", text) == "plugins/x.py:1: bad\ntools/y.py:2: bad"


def test_shell_scripts_are_found_by_suffix_and_by_first_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bodies = {
        "a.sh": "x\n",
        "run": "#!/usr/bin/env bash\n",
        "start": "#!/bin/sh\n",
        "tool": "#!/usr/bin/python3\n",
        "text": "bash\n",
        "empty": "",
    }
    for name, body in bodies.items():
        (tmp_path / name).write_text(body)
    monkeypatch.setattr(gates, "ROOT", tmp_path)
    assert gates.shell_scripts(list(bodies)) == ["a.sh", "run", "start"]
