# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A collection beside pushes stops the writers of both nodes, and loses nothing."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.verify.cluster import eventually
from tests.verify.registry import Registry
from tests.verify.storm.collecting import Job, writable
from tests.verify.storm.conftest import MakeStorm
from tests.verify.storm.test_collections import NOTHING


def _writers(registry: Registry) -> dict[str, str]:
    """Return node by name of every writer that could write, which one that is ending could as well."""
    alive = "items[?status.phase=='Running' || status.phase=='Pending'].[metadata.name, spec.nodeName]"
    return dict(registry.find(alive, "pods", "-l", registry.selector("writer")))


def test_both_writers_stop_and_nothing_is_lost(
    registry: Registry, collect: Callable[[], Job], make_storm: MakeStorm
) -> None:
    """While something is deleted no node has a writer; then each has one again, and every image is whole."""
    # So often that some come into the two seconds without writers.
    pushing = make_storm("many-nodes", "--rate", "5")
    during: dict[str, str] | None = None
    with pushing:
        pushing.wait_for_more("acknowledged", 20)
        pushing.wait_for_more("deleting", 4)
        before = _writers(registry)
        job = collect()
        for step in job.steps(120):
            if step == "collect":
                during = _writers(registry)
        report = job.finish()
        eventually(lambda: writable(registry), "pushes go on")
        pushing.wait_for_more("acknowledged", 5)
    code, seen = pushing.verify()
    after = _writers(registry)
    told = {"before": before, "during": during, "after": after, "deleted": report["deleted"], "fence": report["fence"]}
    print(json.dumps({**told, **pushing.report, **seen}, indent=1))
    assert report["outcome"] == "succeeded", report
    assert report["deleted"]["blobs"] >= 3, report
    assert report["fence"]["writers"] == 2, report
    assert len(set(before.values())) == 2, before
    # Those of after it may be there by the time that somebody looks.
    assert during is not None
    assert not set(before) & set(during), "a writer of before the fence was there when blobs were deleted"
    assert len(set(after.values())) == 2, after
    assert not set(before) & set(after), "a writer was never stopped"
    assert (code, seen["broken"]) == (0, 0), seen
    assert [pushing.report[name] for name in NOTHING] == [0] * len(NOTHING), pushing.report
    assert pushing.report["refused"] >= 1, "no push came into the collection"
    assert pushing.report["pulls"] >= 20
