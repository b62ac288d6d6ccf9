# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A collector whose node is drained: it has two minutes, and the writers that it sent away have nowhere to go."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from tests.lab.gc.program import Engine, Namespace
from tests.lab.gc.test_transaction import WHOLE, Filled, engine, filled, namespace

__all__ = ["engine", "filled", "namespace"]


def test_a_pod_that_was_told_to_end_before_it_listened(
    engine: Engine, namespace: Namespace, filled: Filled, leaving: str
) -> None:
    """It does not begin what stops pushes."""
    code, report, log = engine.start().end()
    assert report["pod"] == leaving
    assert (code, report["outcome"], report["step"], report["fence"]) == (12, "failed", "ceiling", None), log
    assert "told to end" in report["reason"]
    assert namespace.fence() == WHOLE
    assert filled.store.blob(filled.gone.digest).exists()


@pytest.fixture
def leaving(namespace: Namespace) -> Iterator[str]:
    """Let the pod that the program takes for its own be there and be deleted, and return its name."""
    name = "pod-0"
    overrides = '--overrides={"metadata":{"finalizers":["example.com/held"]},"spec":{"schedulerName":"nobody"}}'
    namespace.kubectl("run", name, "--image=nothing", "--restart=Never", overrides)
    namespace.kubectl("delete", "pod", name, "--wait=false")
    yield name
    namespace.kubectl("patch", "pod", name, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')


def test_writers_that_have_no_node_keep_nobody_waiting(
    engine: Engine, namespace: Namespace, filled: Filled, nowhere: None
) -> None:
    """They are wanted again, which is all that can be done, and the report does not say that pushes work."""
    run = engine.start(engine.pausing())
    engine.wait_until_it_waits(run)
    began = time.monotonic()
    run.stop(signal.SIGTERM)
    code, report, log = run.end()
    assert time.monotonic() - began < 40, log
    assert (code, report["outcome"], report["step"]) == (12, "failed", "collect"), log
    assert report["fence"] == {"writers": 1, "seconds": None}
    assert [text for text in report["warnings"] if "none was ready after 10 seconds" in text], report
    assert namespace.fence() == WHOLE
    assert filled.whole()


@pytest.fixture
def nowhere(namespace: Namespace) -> Iterator[None]:
    """Let no node take writers, as when the only one with the volume is closed."""
    patch = '{"spec":{"template":{"spec":{"nodeSelector":%s}}}}'
    words = ("patch", "deployment", "depot-writer", "--type=merge", "-p")
    namespace.kubectl(*words, patch % '{"example.com/nowhere":""}')
    yield
    namespace.kubectl(*words, patch % "null")
    namespace.kubectl("rollout", "status", "deployment/depot-writer", "--timeout=120s")
