# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collector is killed at every step and at random: writers come back, nothing is lost, the report says what was.

HOMEPORT_STORM_KILLS says how many random moments there are.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable

from tests.verify.cluster import eventually
from tests.verify.registry import Registry
from tests.verify.storm.collecting import Job, number, writable
from tests.verify.storm.conftest import MakeStorm
from tests.verify.storm.killing import STEPS, WAYS, at_random, at_step

KILLS = number("HOMEPORT_STORM_KILLS", 1, faults=30, faults_s3=10)
# Documented: another pod of the same Job takes over after its pause, however long the Lease still runs.
BACK = 150.0
# In short runs, the steps inside the fence, each killed in another way; else each step in each way.
SHORT = (("fence", "pod"), ("collect", "process"), ("release", "drain"))
NOTHING = ("failed_pulls", "refused_without_a_reason", "given_up", "crashed")
# After these a collection still has so much to do that a kill cannot come too late.
EARLY = STEPS[: STEPS.index("collect")]


def _points() -> list[tuple[str, str]]:
    every = [(step, way) for step in STEPS for way in WAYS]
    return every if number("HOMEPORT_STORM_EVERY_STEP", 0, faults=1) else list(SHORT)


def _wait_until_back(registry: Registry, job: Job, after: str) -> float:
    """Wait until the collection is over and the writers are back, and return how many seconds that took."""
    began = time.monotonic()
    eventually(lambda: job.ended() and writable(registry), f"pushes work after {after}", seconds=BACK)
    return round(time.monotonic() - began, 1)


def test_killed_collections_lose_nothing(registry: Registry, collect: Callable[[], Job], make_storm: MakeStorm) -> None:
    """SIGKILL, deletion without grace and eviction, at steps and at random moments."""
    pushing = make_storm("kills")
    generator = random.Random("kills")
    points = [*_points(), *[("", generator.choice(list(WAYS))) for _kill in range(KILLS)]]
    told = []
    with pushing:
        pushing.wait_for_more("acknowledged", 40)
        for step, way in points:
            pushing.wait_for_more("deleting", 2)
            job = collect()
            seen = at_step(job, step, way) if step else at_random(job, way, generator, 8)
            back = _wait_until_back(registry, job, f"{way} in {seen}")
            report = job.finish()
            pushing.wait_for_more("acknowledged", 1)
            earlier = [one["step"] for one in report["history"] if one["run"] == job.name]
            pods = job.pods()
            told.append(
                {
                    "wanted": step or "random",
                    "seen": seen,
                    "way": way,
                    "seconds": back,
                    "pods": len(pods),
                    "interrupted": bool(earlier or report["recovered"] or len(pods) > 1),
                    "outcome": report["outcome"],
                    "recovered": report["recovered"],
                    "earlier": earlier,
                }
            )
            assert report["outcome"] in ("succeeded", "nothing_to_do"), report
            assert not report["problems"], report["problems"]
    print(json.dumps(told, indent=1))
    code, seen_lost = pushing.verify()
    print(json.dumps({**pushing.report, **seen_lost}, indent=1))
    assert (code, seen_lost["broken"]) == (0, 0), seen_lost
    assert [pushing.report[name] for name in NOTHING] == [0] * len(NOTHING), pushing.report
    too_late = [one for one in told if not one["interrupted"]]
    assert not [one for one in too_late if one["wanted"] in EARLY], too_late
    assert len(too_late) < len(told) / 2, too_late
    assert [one for one in told if one["earlier"] or one["recovered"]], "no report says that its collection was killed"
