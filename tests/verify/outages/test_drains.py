# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node of volume, registry and collector is emptied for maintenance during a collection, and opened again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest

from tests.verify.cluster import eventually
from tests.verify.outages.draining import DRAINED_WITHIN, drained, node_of_engine, reach, running_on
from tests.verify.registry import Registry
from tests.verify.storm.collecting import Job, writable
from tests.verify.storm.conftest import MakeStorm

BACK = 150.0


@pytest.mark.parametrize("step", ["inventory", "fence", "collect"])
def test_the_node_of_the_volume_is_drained(
    registry: Registry, collect: Callable[[], Job], make_storm: MakeStorm, step: str
) -> None:
    """Nothing keeps the node from getting empty; opened again, the registry is back by itself, and nothing is lost."""
    pushing = make_storm(f"drain-{step}", "--patience", "600")
    with pushing:
        pushing.wait_for_more("acknowledged", 30)
        pushing.wait_for_more("deleting", 2)
        job = collect()
        seen = reach(job, step)
        node = node_of_engine(job)
        with drained(registry, node) as drain:
            left = running_on(registry, node)
            # It has nowhere to go: a volume of one node waits for its node.
            assert not registry.find("status.readyReplicas", "deployment", registry.name)
            time.sleep(10)
        eventually(lambda: job.ended() and writable(registry), "pushes work again", seconds=BACK, every=1)
        registry.wait_ready()
        back = time.time() + 5
        report = job.finish()
        pushing.wait_for_more("acknowledged", 3, seconds=300)
        time.sleep(10)
    code, lost = pushing.verify()
    earlier = [one for one in report["history"] if one["run"] == job.name]
    outside = [
        one for one in pushing.events() if one["event"] == "pull failed" and not drain.began <= one["time"] <= back
    ]
    told = {"step": seen, "drained": drain.seconds, "back": round(back - 5 - drain.began, 1), "earlier": earlier}
    print(json.dumps({**told, "outcome": report["outcome"], **pushing.report, **lost}, indent=1))
    assert left == []
    assert drain.seconds < DRAINED_WITHIN, told
    assert report["outcome"] in ("succeeded", "nothing_to_do"), report
    assert not report["problems"], report["problems"]
    assert [one["outcome"] for one in earlier] == ["failed"], report
    assert "told to end" in earlier[0]["reason"], earlier
    assert outside == []
    assert (code, lost["broken"], pushing.report["given_up"], pushing.report["crashed"]) == (0, 0, 0, 0), lost


def test_a_single_pod_keeps_no_node_from_getting_empty(registry: Registry) -> None:
    """A budget for one pod would make every drain of its node wait for ever: there is none."""
    assert registry.find("items[].metadata.name", "pdb") == []
    node = str(registry.find("spec.nodeName", "pod", registry.pod("writer")))
    with drained(registry, node) as drain:
        left = running_on(registry, node)
    registry.wait_ready()
    assert left == []
    assert drain.seconds < DRAINED_WITHIN
