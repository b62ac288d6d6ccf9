# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways in which a collection ends before its time."""

from __future__ import annotations

import random
import subprocess
import time
import typing as t
from collections.abc import Callable

from tests.verify.cluster import eventually
from tests.verify.storm.collecting import Job

STEPS = ("lease", "inventory", "dry_run", "ceiling", "fence", "collect", "release", "verify", "report")


def _running(pod: dict[str, t.Any]) -> bool:
    return any("running" in one["state"] for one in pod.get("status", {}).get("containerStatuses", []))


def engine(job: Job) -> str:
    """Wait until the engine runs and return the name of its pod."""
    pods = eventually(lambda: [pod for pod in job.pods() if _running(pod)], "the engine runs")
    return str(pods[-1]["metadata"]["name"])


def killer(job: Job, pod: str) -> Callable[[], None]:
    """Return a function that kills the engine's process at once; who it is has been found out before."""
    cluster, namespace = job.registry.cluster, job.registry.namespace
    node, process = cluster.node_of(namespace, pod), cluster.process_of(namespace, pod, "engine")

    def kill() -> None:
        # It may have ended by itself meanwhile.
        node.run("kill -9 %s", str(process))

    return kill


def deleter(job: Job, pod: str) -> Callable[[], None]:
    """Return a function that deletes the pod without any grace."""
    return lambda: _quietly(job, "delete", "pod", pod, "--grace-period=0", "--force", "--wait=false")


def drainer(job: Job, pod: str) -> Callable[[], None]:
    """Return a function that evicts the pod as a drained node does, with the node closed for some seconds."""
    node = str(job.registry.find("spec.nodeName", "pod", pod))
    selector = f"--pod-selector=batch.kubernetes.io/job-name={job.name}"
    line = job.registry.cluster.command(
        "drain", node, selector, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=150s"
    )

    def drain() -> None:
        # The collector waits for writers that cannot come back to a closed node, so opening it must not wait for that.
        draining = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(5)
        finally:
            job.registry.kubectl("uncordon", node)
            draining.wait(timeout=180)

    return drain


def _quietly(job: Job, *words: str) -> None:
    job.registry.kubectl(*words, check=False)


WAYS: dict[str, Callable[[Job, str], Callable[[], None]]] = {"process": killer, "pod": deleter, "drain": drainer}


def at_step(job: Job, step: str, way: str) -> str:
    """Kill the engine as soon as the report names a step, or one after it; return the step that was seen."""
    steps = job.steps()
    wanted = STEPS[STEPS.index(step) :]
    end = None
    for seen in steps:
        if end is None:
            end = WAYS[way](job, engine(job))
        if seen in wanted:
            end()
            steps.close()
            return seen
    return ""


def at_random(job: Job, way: str, generator: random.Random, seconds: float) -> str:
    """Kill the engine at some moment of its life."""
    end = WAYS[way](job, engine(job))
    time.sleep(generator.uniform(0, seconds))
    end()
    report = job.report
    return str(report["step"]) if report else "before its first word"
