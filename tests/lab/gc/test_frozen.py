# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A collector that stands still with its node, for longer than its Lease lasts, and is woken up."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from ansible_collections.homeport.registry.plugins.module_utils._fence_lease import seconds_since
from tests.lab.gc.program import Engine, Namespace
from tests.lab.gc.test_transaction import WHOLE, Filled, engine, filled, namespace

__all__ = ["engine", "filled", "namespace"]

LEASE = 8


def _bring_back(namespace: Namespace) -> None:
    """Do what a run of site does with a Lease that has run out: it leaves the Lease alone."""
    permit = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "depot-write-permit"}}
    namespace.kubectl("apply", "-f", "-", stdin=json.dumps(permit))
    namespace.kubectl("scale", "deployment/depot-writer", "--replicas=1")


def test_a_collector_that_wakes_up_too_late_deletes_nothing(
    engine: Engine, namespace: Namespace, filled: Filled
) -> None:
    """The API server would renew its Lease, which nobody took: but writers may be back, and somebody pushes by now."""
    run = engine.start(engine.pausing(), lease_seconds=LEASE)
    engine.wait_until_it_waits(run)
    with run.frozen():
        time.sleep(LEASE + 4)
        _bring_back(namespace)
    # Its program waits on, so that what is seen is not who of the two wakes up first.
    code, report, log = run.end(60)
    engine.go.touch()
    assert (code, report["outcome"], report["step"]) == (11, "failed", "collect"), log
    assert "stood still" in report["reason"], report
    assert filled.store.blob(filled.gone.digest).exists()
    assert namespace.fence() == WHOLE


def test_a_collector_that_wakes_up_in_time_goes_on(engine: Engine, namespace: Namespace, filled: Filled) -> None:
    """Nobody can have taken it for dead."""
    run = engine.start(engine.pausing(), lease_seconds=4 * LEASE)
    engine.wait_until_it_waits(run)
    with run.frozen():
        time.sleep(LEASE)
        engine.go.touch()
    code, report, log = run.end()
    assert (code, report["outcome"]) == (0, "succeeded"), log
    assert not filled.store.blob(filled.gone.digest).exists()
    assert filled.whole()
    assert namespace.fence() == WHOLE


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_a_collector_whose_node_has_another_time(
    engine: Engine, namespace: Namespace, filled: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    """Others see how old its Lease is by a clock that all of them share, the API server's."""
    (tmp_path / "off").mkdir()
    patch = f"import time\nreal = time.time\ntime.time = lambda: real() + {seconds}\n"
    (tmp_path / "off" / "sitecustomize.py").write_text(patch)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path / "off"), os.environ.get("PYTHONPATH", ""))))
    run = engine.start(engine.pausing(), lease_seconds=LEASE)
    engine.wait_until_it_waits(run)
    time.sleep(LEASE / 4)
    lease = namespace.get("lease", "depot-exclusive")
    assert abs(seconds_since(lease["spec"]["renewTime"], time.time())) < LEASE
    engine.go.touch()
    code, report, log = run.end()
    assert (code, report["outcome"]) == (0, "succeeded"), log
