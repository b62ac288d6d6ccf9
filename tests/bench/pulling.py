# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pull through the gate and from Distribution alone, both as pods of the same cluster on the same node."""

from __future__ import annotations

import base64
import json
import os
import shutil
import statistics
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from string import Template
from typing import Any

from tests.bench.client import Endpoint, push_image, rate, throughput
from tests.bench.clock import Say, timed
from tests.bench.machine import output
from tests.bench.release import Site

NAMESPACE = "bench-pull"
PLAIN = "bench-plain"
GATE = "gate"
ALONE = "alone"
IMAGE = "homeport.lab/registry:3"
READER = "nodes"
WRITER = "ci"
LAYER = 256 * 1024 * 1024
SMALL_LAYER = 1024
CLIENTS = 4
SMALL_SECONDS = 3.0
REPOSITORIES = ("bench/large", "bench/small")

# A row's name, its unit, and what it should reach: the ratio of gate to alone.
ROWS = {
    "large-1": ("256 MiB layer, one client", "MB/s", 1.2),
    "large-4": (f"256 MiB layer, {CLIENTS} clients at once", "MB/s", 1.2),
    "manifest-get": (f"GET of a manifest by tag, {CLIENTS} clients", "requests/s", 0.9),
    "manifest-head": (f"HEAD of a manifest by tag, {CLIENTS} clients", "requests/s", 0.9),
    "blob-get": (f"GET of a layer of 1 KiB, {CLIENTS} clients", "requests/s", 0.9),
    "blob-head": (f"HEAD of a layer, {CLIENTS} clients", "requests/s", 0.9),
}


class PullBench:
    """The registry of the site playbook with one front pod, and Distribution alone beside it."""

    def __init__(self, folder: Path, kubectl: str, say: Say) -> None:
        self.folder = folder
        self.kubectl = kubectl
        self.say = say
        shutil.rmtree(folder, ignore_errors=True)
        self.site = Site(folder / "site", NAMESPACE, registry_server_replicas=1)

    def run(self, rounds: int) -> dict[str, Any]:
        """Measure everything; remove what was made; return the results for JSON."""
        try:
            endpoints = self._start()
            paths = {name: self._push(name, *pair) for name, pair in endpoints.items()}
            readers = {name: reader for name, (reader, _writer) in endpoints.items()}
            self.say(f"pulling, {rounds} rounds")
            return self._measure(rounds, readers, paths)
        finally:
            self._clean()

    def _start(self) -> dict[str, tuple[Endpoint, Endpoint]]:
        self.say("bringing both registries up")
        self._clean()
        timed([self.site.command("same")], os.environ, self.folder / "last.log")
        (front,) = self._pods(NAMESPACE, "app.kubernetes.io/component=front")
        htpasswd = self._secret("registry-htpasswd")["htpasswd"]
        values = {
            "namespace": PLAIN,
            "image": IMAGE,
            "node": front["spec"]["nodeName"],
            "htpasswd": base64.b64encode(htpasswd.encode()).decode(),
        }
        template = Path(__file__).with_name("plain.yml").read_text(encoding="utf-8")
        self._run("apply", "--filename=-", text=Template(template).substitute(values))
        self._run("--namespace", PLAIN, "rollout", "status", "deployment", "--timeout=5m")
        (alone,) = self._pods(PLAIN, "app=registry")
        passwords = self._secret("registry-credentials")
        places = {GATE: (front["status"]["podIP"], 8080), ALONE: (alone["status"]["podIP"], 5000)}
        return {
            name: (Endpoint(*place, READER, passwords[READER]), Endpoint(*place, WRITER, passwords[WRITER]))
            for name, place in places.items()
        }

    def _push(self, name: str, reader: Endpoint, writer: Endpoint) -> tuple[str, str, str]:
        self.say(f"pushing to {name}")
        _manifest, large = push_image(writer, REPOSITORIES[0], LAYER)
        manifest, small = push_image(writer, REPOSITORIES[1], SMALL_LAYER)
        # What was just written is in memory; a first pull makes sure of it for both.
        throughput(reader, large, 1)
        return manifest, large, small

    def _measure(
        self, rounds: int, readers: Mapping[str, Endpoint], paths: Mapping[str, tuple[str, str, str]]
    ) -> dict[str, Any]:
        def small(method: str, which: int) -> Callable[[str], float]:
            return lambda name: rate(readers[name], method, paths[name][which], CLIENTS, SMALL_SECONDS)

        def large(clients: int) -> Callable[[str], float]:
            return lambda name: throughput(readers[name], paths[name][1], clients) / 1e6

        measures = {
            "large-1": large(1),
            "large-4": large(CLIENTS),
            "manifest-get": small("GET", 0),
            "manifest-head": small("HEAD", 0),
            "blob-get": small("GET", 2),
            "blob-head": small("HEAD", 2),
        }
        found: dict[str, dict[str, list[float]]] = {row: {name: [] for name in readers} for row in measures}
        for number in range(rounds):
            for row, measure in measures.items():
                for name in readers:
                    found[row][name].append(measure(name))
            latest = ", ".join(f"{row} {found[row][GATE][-1]:.0f}/{found[row][ALONE][-1]:.0f}" for row in measures)
            self.say(f"  round {number + 1} of {rounds}, gate/alone: {latest}")
        return {row: {name: _summary(values) for name, values in found[row].items()} for row in measures}

    def _run(self, *arguments: str, text: str | None = None) -> None:
        done = subprocess.run([self.kubectl, *arguments], input=text, text=True, capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")

    def _pods(self, namespace: str, selector: str) -> list[dict[str, Any]]:
        query = ["--namespace", namespace, "get", "pods", "--selector", selector, "--output=json"]
        pods = json.loads(output([self.kubectl, *query]))["items"]
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def _secret(self, name: str) -> dict[str, str]:
        query = ["--namespace", NAMESPACE, "get", "secret", name, "--output=json"]
        data = json.loads(output([self.kubectl, *query]))["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    def _clean(self) -> None:
        self._run("delete", "namespace", NAMESPACE, PLAIN, "--ignore-not-found", "--wait")


def _summary(values: list[float]) -> dict[str, float]:
    return {
        "runs": len(values),
        "max": round(max(values), 1),
        "median": round(statistics.median(values), 1),
        "min": round(min(values), 1),
    }


def aims(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what the gate should reach, and what it reached, as ratios of medians in the same rounds."""
    return [
        {
            "aim": f"{title}: gate against Distribution alone",
            "wanted": wanted,
            "ratio": results[row][GATE]["median"] / results[row][ALONE]["median"],
        }
        for row, (title, _unit, wanted) in ROWS.items()
    ]
