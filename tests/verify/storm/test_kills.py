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

KILLS = number("HOMEPORT_STORM_KILLS", 1, 30)
# Documented: another pod of the same Job takes over after its pause, however long the Lease still runs.
BACK = 150.0
# In short runs, the steps inside the fence, each killed in another way; else each step in each way.
SHORT = (("fence", "pod"), ("collect", "process"), ("release", "drain"))
NOTHING = ("failed_pulls", "given_up", "crashed")


def _points() -> list[tuple[str, str]]:
    every = [(step, way) for step in STEPS for way in WAYS]
    return every if number("HOMEPORT_STORM_EVERY_STEP", 0, 1) else list(SHORT)


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
            told.append(
                {
                    "wanted": step or "random",
                    "seen": seen,
                    "way": way,
                    "seconds": back,
                    "pods": len(job.pods()),
                    "outcome": report["outcome"],
                    "recovered": report["recovered"],
                    "earlier": [one["step"] for one in report["history"] if one["run"] == job.name],
                }
            )
            assert report["outcome"] in ("succeeded", "nothing_to_do"), report
            assert not report["problems"], report["problems"]
    print(json.dumps(told, indent=1))
    code, seen_lost = pushing.verify()
    print(json.dumps({**pushing.report, **seen_lost}, indent=1))
    assert (code, seen_lost["broken"]) == (0, 0), seen_lost
    assert [pushing.report[name] for name in NOTHING] == [0] * len(NOTHING), pushing.report
    interrupted = [one for one in told if one["earlier"] or one["recovered"]]
    assert interrupted, "no collection was interrupted, or no report says so"
