# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A program in the place of Distribution, where what matters is how it is run and read."""

from __future__ import annotations

import sys
import textwrap

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._gc_child import Program


@pytest.fixture
def program(tmp_path):
    """Return a function that runs Python text as the registry's program, on a volume unless another store is given."""

    def write(text, storage=None):
        binary = tmp_path / "registry"
        # -S, or Python would look into its folders of packages before the first line runs.
        binary.write_text(f"#!{sys.executable} -S\nimport os, sys\n{textwrap.dedent(text)}")
        binary.chmod(0o755)
        return Program(str(binary), storage or {"filesystem": {}}, str(tmp_path))

    return write
