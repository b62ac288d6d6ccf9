# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node that does not answer for longer than pods wait for it, while the other one could do all the work."""

from __future__ import annotations

import json
import time
import typing as t
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.verify.cluster import eventually
from tests.verify.outages.draining import reach
from tests.verify.outages_s3.conftest import leaving_after
from tests.verify.playbooks import Playbooks
from tests.verify.registry import Registry
from tests.verify.storm.collecting import Job, writable
from tests.verify.storm.conftest import MakeStorm

LEASE = 30
PATIENCE = 20
# The cluster waits most of a minute until it takes a node for lost.
LOST_AFTER = 60 + PATIENCE
BACK = 300.0


@contextmanager
def away(engine: Callable[..., None], node: str) -> Iterator[float]:
    """Hold a node still while a with block runs; it gets the time at which that began."""
    engine("pause", node)
    try:
        yield time.time()
    finally:
        engine("unpause", node)


def _ready_on(registry: Registry, node: str) -> int:
    """Return how many writers are ready on a node."""
    pods = registry.find("items[]", "pods", "-l", registry.selector("writer"))
    ready = [
        pod
        for pod in pods
        if pod["spec"].get("nodeName") == node
        and any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", []))
    ]
    return len(ready)


def _put_a_writer_on(registry: Registry, node: str, other: str) -> None:
    """Let one writer move to a node, if none is there: after a drain all may be on the other one."""
    if _ready_on(registry, node):
        return
    registry.kubectl("cordon", other)
    try:
        registry.kubectl("delete", "pod", registry.pod("writer"))
        eventually(lambda: _ready_on(registry, node), f"a writer on {node}")
    finally:
        registry.kubectl("uncordon", other)


def _lost(registry: Registry, node: str) -> bool:
    """Tell whether the cluster has given the registry's pods on a node up."""
    pods = registry.find("items[]", "pods", "-l", f"app.kubernetes.io/instance={registry.name}")
    there = [pod for pod in pods if pod["spec"].get("nodeName") == node and pod["status"]["phase"] == "Running"]
    return bool(there) and all(pod["metadata"].get("deletionTimestamp") for pod in there)


def test_the_collector_is_out_of_reach(
    registry: Registry,
    playbooks: Playbooks,
    configure: Callable[..., None],
    collect: Callable[[], Job],
    make_storm: MakeStorm,
    engine: Callable[..., None],
    nodes: tuple[str, str],
) -> None:
    """Nobody takes its fence down while its Lease lasts; then `site` does, and what wakes up later deletes nothing."""
    leaves, stays = nodes
    settings: dict[str, t.Any] = {
        "registry_gc_node_selector": {"kubernetes.io/hostname": leaves},
        "registry_gc_lease_seconds": LEASE,
        "registry_gc_tolerations": leaving_after(PATIENCE),
        "registry_server_tolerations": leaving_after(PATIENCE),
    }
    configure(**settings)
    pushing = make_storm("collector-away", "--patience", "900")
    with pushing:
        pushing.wait_for_more("acknowledged", 20)
        pushing.wait_for_more("deleting", 4)
        job = collect()
        seen = reach(job, "collect")
        with away(engine, leaves) as began:
            eventually(lambda: _lost(registry, leaves), "the cluster gives its pods up", seconds=150, every=2)
            given_up = round(time.time() - began, 1)
            fenced = not registry.find("spec.replicas", "deployment", registry.writer)
            done = playbooks.attempt("site", **settings)
            healed = round(time.time() - began, 1)
            eventually(lambda: _ready_on(registry, stays), "a writer on the other node", seconds=60)
            pushing.wait_for_more("acknowledged", 3, seconds=120)
        eventually(lambda: job.ended() and writable(registry), "pushes work again", seconds=BACK, every=2)
        report = job.finish()
        pushing.wait_for_more("acknowledged", 3, seconds=300)
    code, lost = pushing.verify()
    earlier = [one for one in report["history"] if one["run"] == job.name]
    told = {"step": seen, "pods_given_up": given_up, "fenced": fenced, "healed": healed, "site": done.returncode}
    told |= {"earlier": earlier, "recovered": report["recovered"], "reason": report["reason"]}
    print(json.dumps({**told, "outcome": report["outcome"], **pushing.report, **lost}, indent=1))
    assert fenced, "the writers were back before anybody could know that the collector had stopped"
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    assert [(one["outcome"], one["deleted"]["blobs"]) for one in earlier] == [("failed", 0)], told
    assert (code, lost["broken"], pushing.report["given_up"], pushing.report["crashed"]) == (0, 0, 0, 0), lost
    assert report["outcome"] in ("succeeded", "nothing_to_do"), report


def test_a_writer_is_out_of_reach(
    registry: Registry,
    configure: Callable[..., None],
    collect: Callable[[], Job],
    make_storm: MakeStorm,
    engine: Callable[..., None],
    nodes: tuple[str, str],
) -> None:
    """It may still write, so nothing is deleted; the report names it, and the other node has writers again."""
    leaves, stays = nodes
    configure(registry_gc_node_selector={"kubernetes.io/hostname": stays}, registry_gc_fence_timeout=40)
    _put_a_writer_on(registry, leaves, stays)
    pushing = make_storm("writer-away", "--patience", "900")
    with pushing:
        pushing.wait_for_more("acknowledged", 20)
        pushing.wait_for_more("deleting", 4)
        with away(engine, leaves):
            job = collect()
            report = job.finish(180)
            # Clients and gates may still be waiting for what they had sent to the other node, each for a minute.
            eventually(lambda: _ready_on(registry, stays), "a writer on the other node", seconds=60)
        eventually(lambda: writable(registry), "all writers are back", seconds=BACK, every=2)
        pushing.wait_for_more("acknowledged", 3, seconds=300)
    code, lost = pushing.verify()
    told = {key: report[key] for key in ("outcome", "step", "reason", "deleted", "fence")}
    print(json.dumps({**told, **pushing.report, **lost}, indent=1))
    assert (report["outcome"], report["step"]) == ("failed", "fence"), report
    assert f"on node {leaves}" in report["reason"], report
    assert report["deleted"]["blobs"] == 0, report
    assert (code, lost["broken"], pushing.report["given_up"], pushing.report["crashed"]) == (0, 0, 0, 0), lost
