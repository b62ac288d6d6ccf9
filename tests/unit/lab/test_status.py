# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The status says what there is, and is only ready for a cluster that can be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import cluster, daemon, engine, kubectl, layout, status
from lab.engine import OWN, Engine

NODE = {
    "metadata": {"name": "homeport-worker"},
    "status": {
        "conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": "True"}],
        "nodeInfo": {"kubeletVersion": "v1.36.3", "containerRuntimeVersion": "containerd://2.3.4"},
    },
}
MARK = {"key": "k", "flavour": "build", "kubernetes": "1.36"}


@pytest.fixture(autouse=True)
def lab(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A finished cluster of which this checkout has the kubeconfig, which is returned."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text("x")
    monkeypatch.setattr(layout, "KUBECONFIG", kubeconfig)
    monkeypatch.setattr(engine, "current", lambda: OWN)
    monkeypatch.setattr(Engine, "ask", lambda self, *words: "20.10")
    monkeypatch.setattr(cluster, "containers", lambda running: dict.fromkeys(layout.NODES, "running"))
    monkeypatch.setattr(cluster, "marker", lambda: MARK)
    monkeypatch.setattr(kubectl, "read", lambda *words: {"items": [NODE]})
    return kubeconfig


def test_a_finished_cluster_is_ready() -> None:
    found = status.report()
    assert found.ready
    assert "cluster     homeport, images by build, Kubernetes 1.36" in found.lines
    assert "node        homeport-worker: Ready, v1.36.3, containerd://2.3.4" in found.lines


def test_a_half_made_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "marker", dict)
    found = status.report()
    assert not found.ready
    assert "unfinished" in found.lines[-1]


def test_one_made_by_another_checkout_is_not_ready_here(lab: Path) -> None:
    lab.unlink()
    found = status.report()
    assert not found.ready
    assert "not known to this checkout" in found.lines[-1]


def test_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "containers", lambda running: {})
    found = status.report()
    assert (found.ready, found.lines[-1]) == (False, "cluster     none")


@pytest.mark.parametrize(("pid", "said"), [(None, "is not running"), (7, "does not answer")])
def test_no_engine(monkeypatch: pytest.MonkeyPatch, pid: int | None, said: str) -> None:
    monkeypatch.setattr(engine, "current", lambda: None)
    monkeypatch.setattr(daemon, "pid", lambda: pid)
    found = status.report()
    assert not found.ready
    assert said in found.lines[-2]
