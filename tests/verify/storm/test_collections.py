# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The promise itself. HOMEPORT_STORM_COLLECTIONS says how often; two show that it works, fifty are for a release."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.verify.cluster import eventually
from tests.verify.registry import Registry
from tests.verify.storm.collecting import Job, number, writable
from tests.verify.storm.conftest import MakeStorm

COLLECTIONS = number("HOMEPORT_STORM_COLLECTIONS", 2, faults=50, faults_s3=20)
NOTHING = ("failed_pulls", "refused_without_a_reason", "given_up", "crashed")


def test_collections_lose_no_image_and_fail_no_pull(
    registry: Registry, collect: Callable[[], Job], make_storm: MakeStorm
) -> None:
    """Whole images go, everything acknowledged stays, pulls never fail, pushes are told why and work later."""
    pushing = make_storm("collections", "--skopeo", "1")
    deleted = done = 0
    with pushing:
        pushing.wait_for_more("acknowledged", 40)
        while done < COLLECTIONS:
            # Without garbage there is no collection.
            pushing.wait_for_more("deleting", 3)
            report = collect().finish()
            assert report["outcome"] in ("succeeded", "nothing_to_do"), report
            assert not report["problems"], report["problems"]
            deleted += report["deleted"]["blobs"]
            done += report["outcome"] == "succeeded"
            eventually(lambda: writable(registry), "pushes go on")
        pushing.wait_for_more("acknowledged", 5)
    code, seen = pushing.verify()
    print(json.dumps({**pushing.report, **seen, "collections": done, "blobs_collected": deleted}, indent=1))
    assert (code, seen["broken"]) == (0, 0), seen
    assert [pushing.report[name] for name in NOTHING] == [0] * len(NOTHING), pushing.report
    assert pushing.report["refused"] >= 1, "no push came into a collection"
    assert pushing.report["retried"] >= 1
    assert pushing.report["pulls"] >= 20 * done
    assert deleted >= 3 * done
