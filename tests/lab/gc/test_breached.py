# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fence that somebody takes down from outside, and fences that others have left behind."""

from __future__ import annotations

import json
import signal
import time

import pytest

from tests.lab.gc.program import Engine, Namespace
from tests.lab.gc.test_transaction import WHOLE, Filled, engine, filled, namespace

__all__ = ["engine", "filled", "namespace"]

PERMIT = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "depot-write-permit"}}


def _leave(namespace: Namespace) -> None:
    """Leave a fence behind, without a Lease."""
    namespace.kubectl("delete", "configmap", "depot-write-permit")
    namespace.kubectl("scale", "deployment/depot-writer", "--replicas=0")


def test_a_permit_that_comes_back_while_it_collects(engine: Engine, namespace: Namespace, filled: Filled) -> None:
    """Whoever brought it may start a writer next, so nothing more is deleted: before that, not when all is over."""
    run = engine.start(engine.pausing())
    engine.wait_until_it_waits(run)
    namespace.kubectl("apply", "-f", "-", stdin=json.dumps(PERMIT))
    began = time.monotonic()
    code, report, log = run.end(30)
    assert time.monotonic() - began < 15, log
    assert (code, report["outcome"], report["step"]) == (11, "failed", "collect"), log
    assert "somebody brought the write permit back" in report["reason"]
    assert filled.store.blob(filled.gone.digest).exists()
    assert namespace.fence() == WHOLE


@pytest.mark.parametrize("garbage", [True, False])
def test_a_fence_whose_lease_somebody_deleted(
    engine: Engine, namespace: Namespace, filled: Filled, garbage: bool
) -> None:
    """Nobody is known to have made it, and it is taken down all the same, also where there is nothing to collect."""
    if not garbage:
        assert engine.start().end()[0] == 0
        namespace.kubectl("delete", "lease", "depot-exclusive")
    _leave(namespace)
    code, report, log = engine.start(lease_seconds=8).end()
    assert (code, report["outcome"]) == (0, "succeeded" if garbage else "nothing_to_do"), log
    assert report["recovered"]["state"] == "free"
    assert namespace.fence() == WHOLE


def test_writers_that_somebody_had_stopped(engine: Engine, namespace: Namespace, filled: Filled) -> None:
    """They stay away, and the report says that nobody can push."""
    namespace.kubectl("scale", "deployment/depot-writer", "--replicas=0")
    code, report, log = engine.start().end()
    assert (code, report["outcome"]) == (0, "succeeded"), log
    assert namespace.fence() == (0, True, "")
    assert [text for text in report["warnings"] if "there are none now" in text], report["warnings"]


def test_a_run_that_dies_inside_its_fence_again_and_again(engine: Engine, namespace: Namespace, filled: Filled) -> None:
    """The Job ends after so many pods: the last has to bring the writers back, not to stop them."""
    for _pod in range(3):
        run = engine.start(engine.pausing())
        engine.wait_until_it_waits(run)
        run.stop(signal.SIGKILL)
        run.process.wait()
        engine.waiting.unlink()
    assert namespace.fence()[:2] == (0, False)
    code, report, log = engine.start(engine.pausing()).end(60)
    assert (code, report["outcome"], report["step"]) == (11, "failed", "lease"), log
    assert "collect, collect, collect" in report["reason"]
    assert namespace.fence() == WHOLE
    # Another Job begins anew.
    code, report, log = engine.start(job="another").end()
    assert (code, report["outcome"]) == (0, "succeeded"), log
