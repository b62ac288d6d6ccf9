# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""When writers may come back: what the role makes of a Lease and of what others have left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.roles.rendering import render

LEASE, WRITER = "Lease/registry-exclusive", "Deployment/registry-writer"
FOUND = "registry.homeport.dev/writers-found"


def _server(
    folder: Path, *, lease: dict[str, Any] | None = None, writer: dict[str, Any] | None = None, time: str = ""
) -> dict[str, dict[str, Any]]:
    """Return what the server role would apply, by kind and name."""
    given = {"live": {LEASE: lease, WRITER: writer}, "live_time": time}
    found = render(folder, "registry_server", "server.yml.j2", given)
    return {f"{one['kind']}/{one['metadata']['name']}": one for one in found}


def _writer(replicas: int, version: str, annotations: dict[str, str]) -> dict[str, Any]:
    metadata = {"name": "registry-writer", "resourceVersion": version, "annotations": annotations}
    return {"metadata": metadata, "spec": {"replicas": replicas}}


def test_a_run_that_ended_before_it_set_the_number_is_made_good_by_the_next(tmp_path: Path) -> None:
    """The number is set where the object of the writer was marked by this run; a mark that stays marks nothing."""
    first = _server(tmp_path, writer=_writer(0, "17", {}))[WRITER]["metadata"]["annotations"]
    second = _server(tmp_path, writer=_writer(0, "18", first))[WRITER]["metadata"]["annotations"]
    assert first[FOUND] != second[FOUND]
    whole = _server(tmp_path, writer=_writer(1, "19", second))[WRITER]["metadata"]["annotations"]
    assert FOUND not in whole


@pytest.mark.parametrize(
    ("renewed", "time", "state"),
    [
        ("2026-01-01T12:00:00.000000Z", "2026-01-01T12:00:59Z", "held"),
        ("2026-01-01T12:00:00.000000Z", "2026-01-01T12:01:01Z", "abandoned"),
    ],
)
def test_the_time_is_that_of_the_api_server(tmp_path: Path, renewed: str, time: str, state: str) -> None:
    """The clock of this machine tells nothing: ahead of others it would let writers in beside a deletion."""
    lease = {"spec": {"holderIdentity": "job", "renewTime": renewed, "leaseDurationSeconds": 60}}
    found = _server(tmp_path, lease=lease, writer=_writer(0, "17", {}), time=time)
    assert ("ConfigMap/registry-write-permit" in found) is (state == "abandoned")
    assert (FOUND in found[WRITER]["metadata"]["annotations"]) is (state == "abandoned")
