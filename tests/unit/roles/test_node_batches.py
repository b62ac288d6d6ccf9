# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""In which batches nodes are changed: one that cannot be proven stops the rest."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

NODES = 5


@pytest.mark.parametrize(("options", "tried"), [([], 1), (["-e", '{"registry_nodes_serial": [2, 3]}'], 2)])
def test_a_batch_that_fails_is_the_last(tmp_path: Path, options: list[str], tried: int) -> None:
    # There is nothing to trust, so that each node that is tried fails before anybody logs in to it.
    nodes = {f"node{number}": {"ansible_connection": "local"} for number in range(NODES)}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"nodes": {"hosts": nodes}}))
    environ = {**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json", "ANSIBLE_NOCOLOR": "1"}
    command = ["ansible-playbook", "-i", "hosts.yml", "homeport.registry.nodes", *options]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    stats = json.loads(done.stdout)["stats"]
    assert sum(counts["failures"] for counts in stats.values()) == tried, done.stdout
