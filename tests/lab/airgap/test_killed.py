# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whole installations that are killed, with everything that they have started here, and done again.

HOMEPORT_INSTALL_KILLS says at how many points.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError
from tests.lab.airgap.conftest import INSTALL, Undisturbed
from tests.lab.airgap.media import HOST, Media
from tests.lab.airgap.site import CTR, Site
from tests.lab.controller.job import events_of, noted

KILLS = int(os.environ.get("HOMEPORT_INSTALL_KILLS", "2"))


def nothing_is_half_there(site: Site, whole: Undisturbed) -> int:
    """Compare what can be seen with what there will be; return how many tags the registry shows, -1 if none answers."""
    for node in site.nodes:
        checked = site.on(node, f"{CTR} images check | grep -F {HOST}/ || true")
        # Of what a node has pulled it keeps no more than what it has unpacked.
        assert [row for row in checked.splitlines() if not (" complete " in row or row.split()[-1] == "true")] == []
    try:
        served = site.served()
    except RegistryError:
        return -1
    expected = whole.state["served"]
    assert [name for name, tags in served.items() if not tags.items() <= expected[name].items()] == []
    return sum(len(tags) for tags in served.values())


@pytest.mark.parametrize("number", range(KILLS))
def test_an_installation_that_is_killed(
    make_site: Callable[[], Site], media: Media, undisturbed: Undisturbed, number: int
) -> None:
    """The same job again ends where one that nobody has killed does."""
    # One in each part of the time, so that few points are spread as well as many.
    share = (number + random.Random(number).random()) / KILLS
    events, more = undisturbed.point(share)
    site = make_site()
    folder, process = site.controller.begin(INSTALL, media.first.built)
    while len(noted(folder)) < events and process.poll() is None:
        time.sleep(0.02)
    time.sleep(more)
    assert process.poll() is None, "it had ended before"
    process.kill()
    process.wait()
    seen = events_of(folder)
    tags = nothing_is_half_there(site, undisturbed)
    began = time.monotonic()
    again = site.controller.launch(INSTALL, media.first.built)
    told = {
        "share": round(share, 3),
        "task": next((one["event_data"]["task"] for one in reversed(seen) if one["event_data"].get("task")), ""),
        "tags": tags,
        "again": round(time.monotonic() - began, 1),
    }
    print(json.dumps(told))
    assert again.status == "successful", again.output[-4000:]
    assert again.artifacts[INSTALL]["registry.example.com"]["after"]["version"] == "1"
    assert site.state() == undisturbed.state
