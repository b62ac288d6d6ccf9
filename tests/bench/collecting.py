# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Collect garbage as a transaction against the plain collector, on copies of one store.

Our whole program runs on this machine with the registry program and the API server of the lab, where a namespace has a
writer to stop. What stopping and bringing back a writer takes is measured with a store of two images, in turns.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.bench.clock import Say
from tests.bench.store import write_store
from tests.lab.gc.program import Engine, Namespace
from tools.paths import ROOT

OURS, PLAIN, SMALL = "transaction", "plain", "fence alone"
REPOSITORIES, TAGS, LAYERS = 100, 10, 4
# One of five images was deleted.
EVERY = 5
_PAUSE = 0.02


@dataclasses.dataclass(frozen=True)
class Sample:
    """One collection: seconds in all, without pushes, and of the step that deletes; peak memory in bytes."""

    wall: float
    fenced: float
    collect: float
    memory: int


class CollectBench:
    """A store of 1,000 images with 6 blobs each, and two ways to collect its garbage."""

    def __init__(self, folder: Path, say: Say) -> None:
        self.folder = folder
        self.say = say
        self._kubeconfig = Path(os.environ["KUBECONFIG"])
        self._registry = ROOT / ".lab" / "bin" / "registry"

    def run(self, rounds: int) -> dict[str, Any]:
        """Measure; remove what was made; return the results for JSON."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        # The token of the collector's account stays out of the cache.
        with tempfile.TemporaryDirectory() as secret:
            namespace = Namespace(self._kubeconfig, f"bench-{uuid.uuid4().hex[:8]}", Path(secret) / "account")
            try:
                write_store(self.folder / "big", REPOSITORIES, TAGS, layers=LAYERS, deleted=EVERY)
                write_store(self.folder / "small", 1, 2, layers=LAYERS, deleted=2)
                namespace.make()
                return self._rounds(namespace, rounds)
            finally:
                namespace.kubectl("delete", "namespace", namespace.name, "--wait=false", "--ignore-not-found")
                shutil.rmtree(self.folder, ignore_errors=True)

    def _rounds(self, namespace: Namespace, rounds: int) -> dict[str, Any]:
        found: dict[str, list[Sample]] = {PLAIN: [], OURS: [], SMALL: []}
        self.say(f"collecting, {rounds} rounds")
        deleted = set[int]()
        for number in range(rounds):
            sample, count = self._plain(self._copy("big"))
            found[PLAIN].append(sample)
            deleted.add(count)
            sample, count = self._ours(namespace, self._copy("big"))
            found[OURS].append(sample)
            deleted.add(count)
            found[SMALL].append(self._ours(namespace, self._copy("small"))[0])
            walls = ", ".join(f"{name} {samples[-1].wall:.2f}" for name, samples in found.items())
            self.say(f"  round {number + 1} of {rounds}: {walls}")
        if len(deleted) != 1:
            raise RuntimeError(f"not everybody has deleted the same number of blobs: {deleted}")
        return {name: _summary(samples) for name, samples in found.items()} | {"deleted": deleted.pop()}

    def _copy(self, store: str) -> Path:
        """Return a new copy of a store, already on the disk: nobody pays for what another has left to be written."""
        copy = self.folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.folder / store, copy)
        os.sync()
        return copy

    def _plain(self, root: Path) -> tuple[Sample, int]:
        config = self.folder / "plain.yml"
        config.write_text(
            f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {root}}}}}\n",
            encoding="utf-8",
        )
        before = _blobs(root)
        began = time.perf_counter()
        with subprocess.Popen(
            [str(self._registry), "garbage-collect", "--quiet", str(config)],
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            peak = _Peak(process.pid)
            code = process.wait()
            wall = time.perf_counter() - began
        if code:
            raise RuntimeError(f"the plain collector ended with exit code {code}")
        return Sample(wall, wall, wall, peak.end()), before - _blobs(root)

    def _ours(self, namespace: Namespace, root: Path) -> tuple[Sample, int]:
        namespace.reset()
        namespace.kubectl("rollout", "status", "deployment/depot-writer", "--timeout=120s")
        before = _blobs(root)
        folder = self.folder / "engine"
        shutil.rmtree(folder, ignore_errors=True)
        engine = Engine(namespace, root, folder)
        try:
            began = time.perf_counter()
            run = engine.start()
            peak = _Peak(run.process.pid)
            code, report, log = run.end(seconds=600)
            wall = time.perf_counter() - began
        finally:
            engine.close()
        if code or report["outcome"] != "succeeded":
            raise RuntimeError(f"the collection did not succeed: {log}")
        steps = {step["name"]: step["seconds"] for step in report["steps"]}
        self.say(f"    {json.dumps(steps)}")
        return Sample(wall, report["fence"]["seconds"], steps["collect"], peak.end()), before - _blobs(root)


class _Peak:
    """Watches how much memory all processes of a session take together at most."""

    def __init__(self, session: int) -> None:
        self._session = session
        self._peak = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(_PAUSE):
            self._peak = max(self._peak, _resident(self._session))

    def end(self) -> int:
        """Return the peak in bytes."""
        self._over.set()
        self._thread.join()
        return self._peak


def _resident(session: int) -> int:
    """Return the resident bytes of all processes of a session."""
    pages = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # After the name in brackets come state, parent, group, session; resident pages are the 24th field of all.
            fields = stat.read_text().rpartition(")")[2].split()
        except (OSError, ValueError):
            continue
        if int(fields[3]) == session:
            pages += int(fields[21])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _blobs(root: Path) -> int:
    return sum(1 for _path in root.glob("docker/registry/v2/blobs/sha256/*/*/data"))


def _summary(samples: list[Sample]) -> dict[str, float]:
    def median(name: str) -> float:
        return round(statistics.median(getattr(sample, name) for sample in samples), 3)

    return {
        "runs": len(samples),
        "wall_min": round(min(sample.wall for sample in samples), 3),
        "wall": median("wall"),
        "fenced": median("fenced"),
        "collect": median("collect"),
        "memory_mib": round(max(sample.memory for sample in samples) / 1024 / 1024, 1),
    }


def aims(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a transaction may cost, and what it costs, as ratios of medians in the same rounds."""
    plain, ours, fence = results[PLAIN]["wall"], results[OURS], results[SMALL]["fenced"]
    return [
        {
            "aim": "1.3 times the plain collection and the fence, against the time without pushes",
            "wanted": 1,
            "ratio": (1.3 * plain + fence) / ours["fenced"],
        },
        {
            "aim": "1.3 times the plain collection and the fence, against the whole transaction",
            "wanted": 1,
            "ratio": (1.3 * plain + fence) / ours["wall"],
        },
    ]
