# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors

"""Where the cluster of these tests is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tools.paths import ROOT


@pytest.fixture(scope="session")
def kubeconfig() -> Path:
    """Return the kubeconfig of the lab."""
    path = Path(os.environ.get("KUBECONFIG") or ROOT / ".lab" / "kubeconfig")
    if not path.is_file():
        pytest.fail(f"no cluster: {path} does not exist; run python3 -m lab up")
    return path
