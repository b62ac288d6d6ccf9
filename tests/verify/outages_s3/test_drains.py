# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node with a front pod, a writer and the collector is emptied: all of them move, and pulls go on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import pytest

from tests.verify.cluster import eventually
from tests.verify.outages.draining import DRAINED_WITHIN, drained, node_of_engine, reach, running_on
from tests.verify.registry import Registry
from tests.verify.storm.collecting import Job, writable
from tests.verify.storm.conftest import MakeStorm

BACK = 180.0
# The gate of a pod that leaves serves for five seconds more. Where nodes learn later than that, as on a busy cluster,
# they send it a client or two all the same, to whom nobody listens.
LATE = 0.05


@pytest.mark.parametrize("step", ["fence", "collect"])
def test_the_node_of_the_collector_is_drained(
    registry: Registry, collect: Callable[[], Job], make_storm: MakeStorm, step: str
) -> None:
    """Pods move to the other node, where the collection is done; pulls go on, every push works later."""
    pushing = make_storm(f"drain-{step}", "--patience", "600")
    with pushing:
        pushing.wait_for_more("acknowledged", 20)
        pushing.wait_for_more("deleting", 3)
        job = collect()
        seen = reach(job, step)
        node = node_of_engine(job)
        with drained(registry, node) as drain:
            left = running_on(registry, node)
            # All of it on the other node, with this one still closed.
            eventually(lambda: job.ended() and writable(registry), "pushes work again", seconds=BACK, every=1)
            registry.wait_ready()
            emptied, back = drain.began + drain.seconds + 5, round(time.time() - drain.began, 1)
            pushing.wait_for_more("acknowledged", 2, seconds=300)
        report = job.finish()
        pushing.wait_for_more("acknowledged", 2, seconds=300)
    _code, lost = pushing.verify()
    earlier = [one for one in report["history"] if one["run"] == job.name]
    failed = [one for one in pushing.events() if one["event"] == "pull failed"]
    told = {"step": seen, "drained": drain.seconds, "back": back, "earlier": earlier, "outcome": report["outcome"]}
    print(json.dumps({**told, **pushing.report, **lost, "failed": failed}, indent=1))
    assert left == []
    assert drain.seconds < DRAINED_WITHIN, told
    assert report["outcome"] in ("succeeded", "nothing_to_do"), report
    assert not report["problems"], report["problems"]
    assert [one["outcome"] for one in earlier] == ["failed"], report
    assert "told to end" in earlier[0]["reason"], earlier
    assert [one for one in failed if not drain.began <= one["time"] <= emptied] == []
    assert len(failed) <= LATE * pushing.report["pulls"], failed
    assert (lost["broken"], pushing.report["given_up"], pushing.report["crashed"]) == (0, 0, 0), lost


@pytest.fixture
def stuck_readers(registry: Registry) -> Iterator[list[str]]:
    """Let every reader stand still until no front pod is ready; yield the pods."""
    pods, cluster, namespace = registry.pods("front"), registry.cluster, registry.namespace
    stopped = [(cluster.node_of(namespace, pod), cluster.process_of(namespace, pod, "registry")) for pod in pods]
    for node, process in stopped:
        node.run("kill -STOP %s", str(process))
    eventually(lambda: not registry.find("status.readyReplicas", "deployment", registry.name), "no front is ready")
    yield pods
    for node, process in stopped:
        # Where its pod has left, it is gone.
        node.run("kill -CONT %s", str(process))
    registry.wait_ready()


def test_pods_that_are_not_ready_keep_no_node_from_getting_empty(registry: Registry, stuck_readers: list[str]) -> None:
    """While the store is away no pod is ready: a budget that then lets none go would block every drain."""
    node = str(registry.find("spec.nodeName", "pod", stuck_readers[0]))
    with drained(registry, node) as drain:
        assert running_on(registry, node) == []
        # A process that stands still is ended with its pod's grace.
        assert drain.seconds < DRAINED_WITHIN
