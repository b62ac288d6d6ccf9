# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a collection and the pushes beside it do while the cluster itself is away."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from tests.verify.cluster import eventually
from tests.verify.registry import Registry
from tests.verify.storm.collecting import Job, writable
from tests.verify.storm.conftest import MakeStorm

# Shorter than the Lease lasts, and longer: then the collector stops by itself, since somebody else may hold it.
PAUSES = (20, 150)
BACK = 240.0


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
        pushing.wait_for_more("acknowledged", 30)
        pushing.wait_for_more("deleting", 2)
        job = collect()
        steps = job.steps()
        for seen in steps:
            if seen == step:
                break
        api_server("STOP")
        try:
            time.sleep(seconds)
        finally:
            api_server("CONT")
        eventually(lambda: _back(registry, job), "pushes work again", seconds=BACK, every=2)
        report = job.finish()
        pushing.wait_for_more("acknowledged", 3)
    code, seen_lost = pushing.verify()
    told = {key: report[key] for key in ("outcome", "step", "reason", "recovered")}
    print(json.dumps({**told, **pushing.report, **seen_lost}, indent=1))
    assert report["outcome"] in ("succeeded", "nothing_to_do", "failed"), report
    assert report["outcome"] != "failed" or report["reason"], report
    assert (code, pushing.report["failed_pulls"], pushing.report["given_up"]) == (0, 0, 0), (pushing.report, seen_lost)


def _back(registry: Registry, job: Job) -> bool:
    try:
        return job.ended() and writable(registry)
    except AssertionError:
        # The API server may need a moment.
        return False


def test_the_node_is_stopped_and_comes_back(
    registry: Registry, collect: Callable[[], Job], make_storm: MakeStorm, engine: Callable[..., None]
) -> None:
    """A volume that one node holds is away with its node, pulls too; afterwards everything acknowledged is there."""
    node = str(registry.find("spec.nodeName", "pod", registry.pod("writer")))
    if "control-plane" in node:
        pytest.skip("the registry runs on the node of the API server, which test_the_api_server_holds_still stops")
    pushing = make_storm("node", "--patience", "600")
    with pushing:
        pushing.wait_for_more("acknowledged", 30)
        pushing.wait_for_more("deleting", 2)
        job = collect()
        for seen in job.steps():
            if seen in ("fence", "collect", "release"):
                break
        engine("pause", node)
        try:
            time.sleep(60)
        finally:
            engine("unpause", node)
        eventually(lambda: _back(registry, job), "pushes work again", seconds=2 * BACK, every=2)
        report = job.finish()
        pushing.wait_for_more("acknowledged", 3, seconds=300)
    code, lost = pushing.verify()
    print(json.dumps({"outcome": report["outcome"], **pushing.report, **lost}, indent=1))
    assert (code, lost["broken"], pushing.report["given_up"]) == (0, 0, 0), (pushing.report, lost)
