# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors

"""Where the cluster of these tests is, and which of them share a process."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

from tools.paths import ROOT

# What these prepare for all their files takes long, or can be there only once on a machine.
TOGETHER = {"airgap", "bench_counts", "egress", "nodes"}
# These write to the nodes of the cluster.
ON_NODES = ("tests/lab/airgap", "tests/lab/controller/test_jobs.py")
CLUSTER_NODES = "cluster nodes"
# What takes minutes, longest first, so that nothing of it is left when the rest is done; xdist counts tests instead.
LONGEST = (
    CLUSTER_NODES,
    "tests/lab/nodes",
    "tests/lab/controller/test_config.py",
    "tests/lab/apply/test_playbook.py",
    "tests/lab/gc/test_relay.py",
    "tests/lab/gc/test_guard.py",
    "tests/lab/bundle_push/test_interruptions.py",
    "tests/lab/gc/test_transaction.py",
    "tests/lab/bundle/test_playbook.py",
    "tests/lab/controller/test_verify.py",
)


def group_of(nodeid: str) -> str:
    """Return what the tests have in common that are to be in one process, in order: their file, or more."""
    file = nodeid.partition("::")[0]
    folder = file.rpartition("/")[0]
    owner = folder if folder.rpartition("/")[2] in TOGETHER else file
    return CLUSTER_NODES if owner in ON_NODES else owner


class Groups(LoadScopeScheduling):
    """Hands out whole groups of tests, those that take longest first."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)

    def _assign_work_unit(self, node: t.Any) -> None:
        longest = next((group for group in LONGEST if group in self.workqueue), None)
        if longest:
            self.workqueue.move_to_end(longest, last=False)
        super()._assign_work_unit(node)


# Not by marks, which xdist 3.8 hands on in names of tests that pytest 9.2 does not let it change.
@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: t.Any) -> t.Any:
    """Return what hands the tests out."""
    return Groups(config, log)


@pytest.fixture(scope="session")
def kubeconfig() -> Path:
    """Return the kubeconfig of the lab."""
    path = Path(os.environ.get("KUBECONFIG") or ROOT / ".lab" / "kubeconfig")
    if not path.is_file():
        pytest.fail(f"no cluster: {path} does not exist; run python3 -m lab up")
    return path
