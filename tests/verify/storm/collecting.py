# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Collections of a registry on a cluster: started from the CronJob's template, followed by their report."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import subprocess
import time
import typing as t
from collections.abc import Generator

from tests.verify.cluster import SOON, eventually
from tests.verify.registry import Registry

Report = dict[str, t.Any]
# A collection of a few hundred images takes seconds, minutes on a busy machine; a killed one waits for another pod.
PATIENCE = 600.0
_NUMBERS = itertools.count(1)


def number(variable: str, short: int, **by_scenario: int) -> int:
    """Return how often something is done: as the variable says, else as this scenario does it, else few times."""
    return int(os.environ.get(variable) or by_scenario.get(os.environ.get("MOLECULE_SCENARIO_NAME", ""), short))


@dataclasses.dataclass(frozen=True)
class Job:
    """One collection."""

    registry: Registry
    name: str

    @classmethod
    def start(cls, registry: Registry) -> Job:
        """Start a collection now."""
        job = cls(registry, f"{registry.name}-gc-storm-{int(time.time())}-{next(_NUMBERS)}")
        registry.kubectl("create", "job", job.name, f"--from=cronjob/{registry.name}-gc")
        return job

    @property
    def report(self) -> Report | None:
        """Return what the report says of this collection, none while it says nothing."""
        held = self.registry.kubectl(
            "get", "configmap", f"{self.registry.name}-gc-report", "-o", "jsonpath={.data.report\\.json}", check=False
        )
        try:
            document = json.loads(held)
        except ValueError:
            return None
        return t.cast("Report", document) if document.get("run") == self.name else None

    def pods(self) -> list[dict[str, t.Any]]:
        """Return its pods, the newest last."""
        found = self.registry.find("items", "pods", "-l", f"batch.kubernetes.io/job-name={self.name}")
        return sorted(found, key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]))

    def ended(self) -> bool:
        """Tell whether the Job is over."""
        path = "status.conditions[?status=='True' && (type=='Complete' || type=='Failed')]"
        return bool(self.registry.find(path, "job", self.name))

    def finish(self, seconds: float = PATIENCE) -> Report:
        """Wait for its end and return its report."""
        eventually(self.ended, f"{self.name} ends", seconds=seconds)
        report = self.report
        assert report is not None, f"{self.name} has left no report: {self.log()}"
        return report

    def log(self) -> str:
        """Return what it has printed last."""
        words = ("logs", f"job/{self.name}", "--all-containers", "--tail=40")
        return self.registry.kubectl(*words, check=False)

    def steps(self, seconds: float = SOON) -> Generator[str, None, None]:
        """Yield each step as soon as the report says so, until the end or until so many seconds are over."""
        # By a selector, since the first report of all is not there yet.
        words = (
            "get",
            "configmaps",
            f"--field-selector=metadata.name={self.registry.name}-gc-report",
            "--watch",
            "--output-watch-events",
            "-o",
            "json",
        )
        line = ["timeout", f"{seconds:g}", *self.registry.cluster.command("-n", self.registry.namespace, *words)]
        decoder, text, last = json.JSONDecoder(), "", ""
        with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as watch:
            assert watch.stdout is not None
            try:
                while piece := os.read(watch.stdout.fileno(), 1 << 16):
                    text += piece.decode(errors="replace")
                    while True:
                        try:
                            event, end = decoder.raw_decode(text.lstrip())
                        except ValueError:
                            break
                        text = text.lstrip()[end:]
                        report = json.loads(event["object"]["data"]["report.json"])
                        if report["run"] != self.name:
                            continue
                        if report["step"] != last:
                            last = report["step"]
                            yield last
                        if report["outcome"] != "running":
                            return
            finally:
                # Not killed, or it would leave the watch behind.
                watch.terminate()


def writable(registry: Registry) -> bool:
    """Tell whether the writers are all there: nobody holds the Lease, the permit exists, the pods are ready."""
    held = registry.find(f"items[?metadata.name=='{registry.name}-exclusive'].spec.holderIdentity | [0]", "leases")
    permit = registry.find(f"items[?metadata.name=='{registry.name}-write-permit'] | [0]", "configmaps")
    writer = registry.find("[spec.replicas, status.readyReplicas]", "deployment", registry.writer)
    return not held and bool(permit) and bool(writer[0]) and writer[0] == writer[1]
