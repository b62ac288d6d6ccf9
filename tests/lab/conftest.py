# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors

"""Where the cluster of these tests is, and which of them share a process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tools.paths import ROOT

# What these prepare for all their files takes long, or can be there only once on a machine.
TOGETHER = {"airgap", "bench_counts", "egress", "nodes"}
# These write to the nodes of the cluster.
ON_NODES = ("tests/lab/airgap", "tests/lab/controller/test_jobs.py")


# First, because what reads the groups was registered after this file and is asked before it.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file, or of one of those folders, in one process and in order."""
    for item in items:
        folder = item.path.parent
        owner = str((folder if folder.name in TOGETHER else item.path).relative_to(ROOT))
        item.add_marker(pytest.mark.xdist_group("cluster nodes" if owner in ON_NODES else owner))


@pytest.fixture(scope="session")
def kubeconfig() -> Path:
    """Return the kubeconfig of the lab."""
    path = Path(os.environ.get("KUBECONFIG") or ROOT / ".lab" / "kubeconfig")
    if not path.is_file():
        pytest.fail(f"no cluster: {path} does not exist; run python3 -m lab up")
    return path
