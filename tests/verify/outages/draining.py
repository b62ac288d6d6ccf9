# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes that are emptied by `kubectl drain`, as before an upgrade, and opened again whatever happens."""

from __future__ import annotations

import dataclasses
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.verify.cluster import eventually
from tests.verify.registry import Registry
from tests.verify.storm.collecting import Job

# A server's pod may take 45 seconds to finish its requests, and nothing takes longer; the rest is for a busy machine.
DRAINED_WITHIN = 80.0
LIMIT = 100


@dataclasses.dataclass(frozen=True)
class Drained:
    """A drain that came to its end: when it began, and how many seconds it took."""

    began: float
    seconds: float


def running_on(registry: Registry, node: str) -> list[str]:
    """Return the names of the registry's pods on a node that have not ended."""
    pods = registry.find(
        "items[?status.phase!='Succeeded' && status.phase!='Failed'].[metadata.name, spec.nodeName]",
        *("pods", "-l", f"app.kubernetes.io/instance={registry.name}"),
    )
    return sorted(name for name, where in pods if where == node)


@contextmanager
def drained(registry: Registry, node: str) -> Iterator[Drained]:
    """Empty a node of registries and keep it closed while a with block runs.

    Raises AssertionError with kubectl's words when the drain does not end by itself.
    """
    words = ("drain", node, f"--pod-selector=app.kubernetes.io/instance={registry.name}", "--ignore-daemonsets")
    line = registry.cluster.command(*words, "--delete-emptydir-data", f"--timeout={LIMIT}s")
    began, clock = time.time(), time.monotonic()
    try:
        done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=LIMIT + 30)
        assert done.returncode == 0, done.stdout + done.stderr
        yield Drained(began, round(time.monotonic() - clock, 1))
    finally:
        registry.kubectl("uncordon", node)


def node_of_engine(job: Job) -> str:
    """Return the node that the collector's newest pod was put on."""
    pods = eventually(lambda: [pod for pod in job.pods() if pod["spec"].get("nodeName")], "the collector has a node")
    return str(pods[-1]["spec"]["nodeName"])


def reach(job: Job, step: str) -> str:
    """Wait until a collection is at a step, or one after it, and return the step."""
    last = ""
    for last in job.steps():
        if last == step:
            break
    return last
