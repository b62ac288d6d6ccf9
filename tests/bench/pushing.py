# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Push a bundle against skopeo and a plain copy of the same bytes, each time to a fresh Distribution on loopback.

20 images of 5 layers: 2 that all share, 1 that each five share, 2 of their own, all of random bytes.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.bench.clock import Say
from tests.lab.modules.distribution import Distribution
from tests.unit.bundle.writer import Key, Writer
from tools.paths import ROOT
from tools.venv import ensure_program

OURS, START, SKOPEO, COPY = "bundle_push", "start", "skopeo", "cp"
IMAGES, THREADS = 20, 4
MIB = 1 << 20
# Of the images, and of the one layer that memory is measured with.
LAYER = int(os.environ.get("HOMEPORT_BENCH_LAYER_MIB", "8")) * MIB
LARGE = int(os.environ.get("HOMEPORT_BENCH_LARGE_MIB", "2048")) * MIB
TITLES = {
    OURS: f"`bundle_push`, {THREADS} connections, every byte verified before",
    START: "of it, what a module that does nothing takes",
    SKOPEO: f"`skopeo copy` from an unpacked layout, {THREADS} at once",
    COPY: "`cp -r` of the layout",
}
# The module as Ansible would start it on the machine that it runs on.
_PROGRAM = """
import re, sys
from ansible.module_utils import basic
basic._ANSIBLE_ARGS = sys.stdin.buffer.read()
basic._ANSIBLE_PROFILE = "legacy"
from ansible_collections.homeport.registry.plugins.modules.bundle_push import main
try:
    main()
finally:
    with open("/proc/self/status") as status:
        print(re.search(r"VmHWM:\\s+(\\d+)", status.read())[1], file=sys.stderr)
"""
# What is not ours: the start of Python, and of the code that every module begins with.
_NOTHING = """
import sys
from ansible.module_utils import basic
basic._ANSIBLE_ARGS = sys.stdin.buffer.read()
basic._ANSIBLE_PROFILE = "legacy"
basic.AnsibleModule(argument_spec={}).exit_json()
"""


class PushBench:
    """One bundle, and who brings it into a registry."""

    def __init__(self, folder: Path, say: Say) -> None:
        self.folder = folder
        self.say = say
        self.key = Key()
        self.number = 0
        ensure_program(SKOPEO, SKOPEO)

    def run(self, rounds: int) -> dict[str, Any]:
        """Measure; remove what was made; return the results for JSON."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        try:
            self.say(f"writing a bundle of {IMAGES} images with layers of {LAYER // MIB} MiB")
            writer, bundle = self._bundle()
            layout = self.folder / "layout"
            with tarfile.open(bundle) as tar:
                tar.extractall(layout, filter="data")
            samples: dict[str, list[dict[str, float]]] = {name: [] for name in TITLES}
            for number in range(rounds):
                samples[OURS].append(self._on_fresh(lambda url: self._ours(url, bundle)))
                samples[START].append(self._start())
                samples[SKOPEO].append(self._on_fresh(lambda url: self._skopeo(url, layout, writer)))
                samples[COPY].append(self._copy(layout))
                latest = ", ".join(f"{name} {found[-1]['wall']:.2f}" for name, found in samples.items())
                self.say(f"  round {number + 1} of {rounds}, seconds: {latest}")
            shutil.rmtree(layout)
            self.say(f"pushing one layer of {LARGE // MIB} MiB")
            return {
                "layer_mib": LAYER // MIB,
                "bytes": sum(writer.sizes.values()),
                "rounds": rounds,
                "rows": {name: _summary(found) for name, found in samples.items()},
                "large": {"mib": LARGE // MIB, **self._large()},
            }
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _bundle(self) -> tuple[Writer, Path]:
        writer = Writer(name="bench")
        layers = self.folder / "layers"
        layers.mkdir()

        def layer(name: str) -> Path:
            path = layers / name
            if not path.exists():
                path.write_bytes(os.urandom(LAYER))
            return path

        for number in range(IMAGES):
            shared = [layer("base-0"), layer("base-1"), layer(f"five-{number // 5}")]
            own = [layer(f"own-{number}-{part}") for part in (0, 1)]
            writer.image(f"docker.io/bench/image{number}:1", writer.manifest(*shared, *own))
        (path,) = writer.write(self.folder / "bundle", self.key)
        shutil.rmtree(layers)
        return writer, path

    def _on_fresh(self, measure: Callable[[str], dict[str, float]]) -> dict[str, float]:
        """Measure a push and a second one of the same, on a registry that has nothing before."""
        self.number += 1
        place = self.folder / f"run-{self.number}"
        place.mkdir()
        server = Distribution(str(ROOT / ".lab/bin/registry"), place / "registry", store=place / "store")
        server.start()
        try:
            before = server.cpu()
            first = measure(server.url)
            taken = server.cpu() - before
            again = measure(server.url)
            more = {f"again_{key}": again[key] for key in ("inside", "sent") if key in again}
            return {**first, **more, "server_cpu": taken, "again": again["wall"]}
        finally:
            server.stop()
            shutil.rmtree(place)

    def _ours(self, url: str, bundle: Path) -> dict[str, float]:
        scratch = self.folder / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        arguments = {
            "url": url,
            "bundle": [str(bundle)],
            "trusted_keys": [self.key.public],
            "threads": THREADS,
            "state_dir": str(scratch / "state"),
        }
        with _Watch(scratch) as watch, _Timer() as timer:
            done = _module(_PROGRAM, arguments, scratch)
        totals = json.loads(done.stdout)["totals"]
        return {
            **timer.found,
            "inside": totals["seconds"],
            "sent": totals["wire"],
            "memory_mib": int(done.stderr.split()[-1]) / 1024,
            "disk": watch.peak,
        }

    def _start(self) -> dict[str, float]:
        with _Timer() as timer:
            _module(_NOTHING, {}, self.folder)
        return {**timer.found, "again": timer.found["wall"]}

    def _skopeo(self, url: str, layout: Path, writer: Writer) -> dict[str, float]:
        address = url.replace("http://", "docker://")

        def copy(name: str) -> None:
            target = f"{address}/{name}"
            command = [SKOPEO, "copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false"]
            subprocess.run([*command, f"oci:{layout}:{name}", target], check=True, capture_output=True)

        with _Timer() as timer, ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(copy, writer.images))
        return timer.found

    def _copy(self, layout: Path) -> dict[str, float]:
        target = self.folder / "copy"
        with _Timer() as timer:
            subprocess.run(["cp", "-r", str(layout), str(target)], check=True)
        shutil.rmtree(target)
        return timer.found

    def _large(self) -> dict[str, float]:
        layer = self.folder / "layer"
        with layer.open("wb") as stream:
            # Nothing on the way compresses, so that zeros are as good as anything.
            for _number in range(LARGE // MIB):
                stream.write(bytes(MIB))
        writer = Writer(name="large")
        writer.image("docker.io/bench/large:1", writer.manifest(layer))
        (path,) = writer.write(self.folder / "large", self.key)
        layer.unlink()
        found = self._on_fresh(lambda url: self._ours(url, path))
        return {key: found[key] for key in ("wall", "memory_mib", "disk")}


class _Timer:
    """Seconds, and CPU seconds of the children meanwhile."""

    def __enter__(self) -> _Timer:
        self.found: dict[str, float] = {}
        self._cpu = _cpu()
        self._began = time.perf_counter()
        return self

    def __exit__(self, *details: object) -> None:
        self.found = {"wall": time.perf_counter() - self._began, "cpu": _cpu() - self._cpu}


class _Watch:
    """The most bytes that files in a folder have at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.peak = 0

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(0.02):
            total = 0
            for path in self._folder.rglob("*"):
                try:
                    total += path.stat().st_size if path.is_file() else 0
                except OSError:
                    continue
            self.peak = max(self.peak, total)


def _module(program: str, arguments: Mapping[str, Any], scratch: Path) -> subprocess.CompletedProcess[bytes]:
    """Run a module as Ansible would; raises RuntimeError when it fails."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode(),
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(scratch)},
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stdout.decode() + done.stderr.decode())
    return done


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _summary(samples: Sequence[Mapping[str, float]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for key in ("wall", "cpu", "again", "inside", "again_inside", "server_cpu"):
        values = [one[key] for one in samples if key in one]
        if values:
            found |= {key: round(statistics.median(values), 3), f"{key}_min": round(min(values), 3)}
    for key in ("memory_mib", "disk", "again_sent"):
        values = [one[key] for one in samples if key in one]
        if values:
            found[key] = round(max(values), 1)
    return found


def rows(results: Mapping[str, Any]) -> list[str]:
    """Return the table for docs/benchmarks.md."""
    size = f"{IMAGES} images of 5 layers of {results['layer_mib']} MiB, {results['bytes'] / MIB:.0f} MiB to send"
    lines = [
        f"{size}; {results['rounds']} rounds.",
        "",
        "| | seconds min | median | : ours | client CPU s, min | server CPU s, min | again, s min |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    ours = results["rows"][OURS]["wall_min"]
    for name, title in TITLES.items():
        # Results of an earlier form lack a row.
        row = results["rows"].get(name)
        if not row:
            continue
        again, server = (f"{row[key]:.2f}" if key in row else "" for key in ("again_min", "server_cpu_min"))
        lines.append(
            f"| {title} | {row['wall_min']:.2f} | {row['wall']:.2f} | {row['wall_min'] / ours:.2f} "
            f"| {row['cpu_min']:.2f} | {server} | {again} |"
        )
    large = results["large"]
    told = f"One layer of {large['mib']} MiB: {large['wall']:.1f} s, {large['memory_mib']:.0f} MiB of memory,"
    lines += ["", f"{told} {large['disk']:.0f} bytes on the disk of the client at most."]
    if inside := results["rows"][OURS].get("again_inside_min"):
        lines += ["", f"Of a push of nothing new, looking at the volumes and the registry takes {inside:.2f} s."]
    return lines


def aims(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a push should reach, and what it reached, as ratios of the fastest in the same rounds."""
    ours, skopeo, copy = (results["rows"][name] for name in (OURS, SKOPEO, COPY))
    large, wall = results["large"], ours["wall_min"]
    return [
        {"aim": "skopeo's time against ours", "wanted": 1 / 0.6, "ratio": skopeo["wall_min"] / wall},
        {"aim": "8 plain copies against ours", "wanted": 1, "ratio": 8 * copy["wall_min"] / wall},
        {"aim": "skopeo's CPU time against ours", "wanted": 4, "ratio": skopeo["cpu_min"] / ours["cpu_min"]},
        {"aim": "0.5 s against a push of nothing new", "wanted": 1, "ratio": 0.5 / ours["again_min"]},
        {"aim": "64 MiB against our memory with the large layer", "wanted": 1, "ratio": 64 / large["memory_mib"]},
        {"aim": "64 KiB against our files with the large layer", "wanted": 1, "ratio": 65536 / max(large["disk"], 1)},
    ]
