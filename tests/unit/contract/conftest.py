# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parametrisation by what the collection holds, so that nothing new escapes a contract."""

from __future__ import annotations

import pytest

from tests.unit.contract import collection


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test once for each role, module or file of tasks that its arguments name."""
    if "role" in metafunc.fixturenames:
        found = collection.roles()
        metafunc.parametrize("role", found, ids=[path.name for path in found])
    if "module" in metafunc.fixturenames:
        metafunc.parametrize("module", sorted(collection.documentation()["module"]))
    if "task_file" in metafunc.fixturenames:
        metafunc.parametrize("task_file", collection.task_files())
