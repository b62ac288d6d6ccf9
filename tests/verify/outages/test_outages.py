# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a collection and the pushes beside it do while the cluster itself is away."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from tests.storm.process import Storm
from tests.verify.cluster import eventually
from tests.verify.outages.draining import reach
from tests.verify.playbooks import Playbooks
from tests.verify.registry import Registry
from tests.verify.storm.collecting import Job, Report, writable
from tests.verify.storm.conftest import MakeStorm

# Shorter than the Lease lasts, and longer: then the collector stops by itself, since somebody else may hold it.
PAUSES = (20, 150)
BACK = 480.0


def _collection_at(step: str, pushing: Storm, collect: Callable[[], Job]) -> tuple[Job, str]:
    """Start a collection under a storm, and return it when it is at a step, or one after it, with that step."""
    pushing.wait_for_more("acknowledged", 30)
    pushing.wait_for_more("deleting", 2)
    job = collect()
    return job, reach(job, step)


def _until_back(registry: Registry, job: Job, pushing: Storm) -> Report:
    """Wait until a collection is over and pushes work again, and return its report."""

    def back() -> bool:
        try:
            return job.ended() and writable(registry)
        except AssertionError:
            # The API server may need a moment.
            return False

    eventually(back, "pushes work again", seconds=BACK, every=2)
    report = job.finish()
    pushing.wait_for_more("acknowledged", 3, seconds=300)
    return report


@pytest.mark.parametrize("seconds", PAUSES)
@pytest.mark.parametrize("step", ["inventory", "fence", "collect"])
def test_the_api_server_holds_still(
    registry: Registry,
    collect: Callable[[], Job],
    make_storm: MakeStorm,
    api_server: Callable[[str], None],
    step: str,
    seconds: int,
) -> None:
    """Pulls never fail, nothing is lost, and pushes work again when the API server does."""
    pushing = make_storm(f"api-{step}-{seconds}")
    with pushing:
        job, _seen = _collection_at(step, pushing, collect)
        api_server("STOP")
        try:
            time.sleep(seconds)
        finally:
            api_server("CONT")
        report = _until_back(registry, job, pushing)
    code, seen_lost = pushing.verify()
    told = {key: report[key] for key in ("outcome", "step", "reason", "recovered")}
    print(json.dumps({**told, **pushing.report, **seen_lost}, indent=1))
    assert report["outcome"] in ("succeeded", "nothing_to_do", "failed"), report
    assert report["outcome"] != "failed" or report["reason"], report
    assert (code, pushing.report["failed_pulls"], pushing.report["given_up"]) == (0, 0, 0), (pushing.report, seen_lost)


def test_the_node_is_stopped_and_comes_back(
    registry: Registry, collect: Callable[[], Job], make_storm: MakeStorm, engine: Callable[..., None]
) -> None:
    """A volume that one node holds is away with its node, pulls too; afterwards everything acknowledged is there."""
    node = str(registry.find("spec.nodeName", "pod", registry.pod("writer")))
    if "control-plane" in node:
        pytest.skip("the registry runs on the node of the API server, which test_the_api_server_holds_still stops")
    pushing = make_storm("node", "--patience", "600")
    with pushing:
        job, _seen = _collection_at("fence", pushing, collect)
        engine("pause", node)
        try:
            time.sleep(60)
        finally:
            engine("unpause", node)
        report = _until_back(registry, job, pushing)
    code, lost = pushing.verify()
    print(json.dumps({"outcome": report["outcome"], **pushing.report, **lost}, indent=1))
    assert (code, lost["broken"], pushing.report["given_up"]) == (0, 0, 0), (pushing.report, lost)


def test_the_node_is_away_for_longer_than_its_pods_wait(
    registry: Registry,
    playbooks: Playbooks,
    collect: Callable[[], Job],
    make_storm: MakeStorm,
    engine: Callable[..., None],
) -> None:
    """The cluster gives all pods up and has no other place for them; when the node is back, they are, by themselves."""
    node = str(registry.find("spec.nodeName", "pod", registry.pod("writer")))
    if "control-plane" in node:
        pytest.skip("the registry runs on the node of the API server")
    leaving = [
        {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 15}
        for key in ("unreachable", "not-ready")
    ]
    playbooks.run("site", registry_server_tolerations=leaving, registry_gc_lease_seconds=30)
    pushing = make_storm("node-lost", "--patience", "900")
    with pushing:
        job, seen = _collection_at("fence", pushing, collect)
        engine("pause", node)
        try:
            eventually(lambda: _given_up(registry), "the cluster gives the pods up", seconds=150, every=2)
            time.sleep(15)
            fence = registry.find("spec.replicas", "deployment", registry.writer)
        finally:
            engine("unpause", node)
        report = _until_back(registry, job, pushing)
    playbooks.run("site")
    code, lost = pushing.verify()
    earlier = [one for one in report["history"] if one["run"] == job.name]
    told = {"step": seen, "writers": fence, "earlier": earlier, "recovered": report["recovered"]}
    print(json.dumps({**told, "outcome": report["outcome"], **pushing.report, **lost}, indent=1))
    assert report["outcome"] in ("succeeded", "nothing_to_do"), report
    assert (code, lost["broken"], pushing.report["given_up"]) == (0, 0, 0), (pushing.report, lost)


def _given_up(registry: Registry) -> bool:
    pods = registry.find("items[?status.phase=='Running']", "pods", "-l", f"app.kubernetes.io/instance={registry.name}")
    return bool(pods) and all(pod["metadata"].get("deletionTimestamp") for pod in pods)
