# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bundles, which all of these tests share, sites that they are brought to, and one that nobody disturbed."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.airgap.media import Media
from tests.lab.airgap.site import Site
from tests.lab.controller.job import Document, Job, events_of, what_is_left
from tools.venv import ensure_program

INSTALL = "homeport_airgap_install"


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Media:
    """Return the bundles."""
    ensure_program("skopeo", "skopeo")
    return Media(tmp_path_factory.mktemp("media"))


@pytest.fixture(scope="session")
def make_site(kubeconfig: Path, media: Media, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Site]]:
    """Return a function that makes a site; nodes have nothing of an earlier one."""
    made: list[Site] = []

    def forget() -> None:
        if made:
            made[-1].forget()
            made[-1].empty_nodes()

    def make() -> Site:
        forget()
        made.append(Site(kubeconfig, tmp_path_factory.mktemp("site"), media))
        made[-1].empty_nodes()
        return made[-1]

    yield make
    forget()


@dataclasses.dataclass(frozen=True)
class Undisturbed:
    """An installation that nobody has killed.

    site: what it has made. job: what it has left. state: what it has led to. times: of its events, in seconds.
    """

    site: Site
    job: Job
    state: dict[str, t.Any]
    times: list[float]

    def point(self, share: float) -> tuple[int, float]:
        """Return how many events a share of its time has, and how many seconds after the last of them it ends."""
        when = share * self.times[-1]
        events = sum(one <= when for one in self.times)
        return events, when - self.times[events - 1]


def times_of(events: list[Document]) -> list[float]:
    """Return when events were, in seconds from the first."""
    stamps = [datetime.datetime.fromisoformat(event["created"]) for event in events]
    return [(stamp - stamps[0]).total_seconds() for stamp in stamps]


@pytest.fixture(scope="session")
def undisturbed(make_site: Callable[[], Site], media: Media) -> Undisturbed:
    """Return what every installation has to lead to. Its site is gone as soon as there is another one."""
    site = make_site()
    folder, process = site.controller.begin(INSTALL, media.first.built)
    process.wait(timeout=900)
    job = what_is_left(folder)
    assert job.status == "successful", job.output[-4000:]
    return Undisturbed(site, job, site.state(), times_of(events_of(folder)))
