# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The positive control: what collects garbage beside pushes in the usual way loses images, and the storm sees it."""

from __future__ import annotations

import time
from typing import Any

import pytest

FAST = ("--rate", "8", "--pull-rate", "6", "--think", "0.1", "--patience", "20")
# A few are enough on most machines; one whose processors are busy loses as many images, later.
COLLECTIONS = 120


@pytest.mark.parametrize("line", ["3", "2.8"])
@pytest.mark.parametrize("cached", [False, True], ids=["delete-untagged", "cache-inmemory"])
def test_the_common_recipe_loses_images(start, storm, cached) -> None:
    """Acknowledged images are broken, by --delete-untagged or by a cache that does not know of the collection."""
    server = start(cached=cached)
    options = () if cached else ("--delete-untagged",)
    attempt, collections, seen = 0, 0, dict[str, Any](broken=0)
    while not seen["broken"] and collections < COLLECTIONS:
        attempt += 1
        pushing = storm(server, *FAST, "--seed", str(attempt))
        failed = pushing.count("pull failed")
        with pushing:
            # A broken image may be deleted again before the end, so one that failed is not enough.
            while pushing.count("pull failed") < failed + 3 and collections < COLLECTIONS:
                time.sleep(0.3)
                said = server.collect(*options)
                collections += 1
                assert "eligible for deletion" in said or "Path not found" in said, said
        code, seen = pushing.verify()
        assert code == (1 if seen["broken"] else 0)
    acknowledged = pushing.report["acknowledged"]
    print(f"{server.url}: {acknowledged} acknowledged, {seen['broken']} of {seen['checked']} broken, {collections=}")
    assert seen["broken"], f"nothing was lost in {collections} collections"
    assert len(seen["broken_images"]) == seen["broken"] <= seen["checked"]
