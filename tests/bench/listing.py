# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take the inventory of a registry against other ways to ask for the same, all on one plain Distribution.

python -m tests.bench.listing memory      peak memory of an inventory of 100,000 tags
"""

from __future__ import annotations

import json
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.homeport.registry.plugins.module_utils._registry_http import Exchange
from ansible_collections.homeport.registry.plugins.module_utils._registry_inventory import take_inventory
from ansible_collections.homeport.registry.plugins.module_utils._registry_names import MANIFEST_TYPES
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_transport import Transport
from tests.bench.clock import Say
from tests.bench.machine import output
from tests.bench.store import write_store
from tests.lab.modules.distribution import Distribution
from tools.paths import ROOT, cache_dir
from tools.venv import ensure_program

OURS, WRK, SKOPEO = "inventory", "wrk", "skopeo"
REPOSITORIES, TAGS = 200, 10
CONNECTIONS = 8
WRK_SECONDS = 3
# One call takes skopeo so long that every tenth repository has to do; the rest is multiplication.
SAMPLE = 10
LIMIT = 1.5
MANY = 100_000


class ListBench:
    """A registry of 200 repositories with 10 tags each, and who asks for all of it."""

    def __init__(self, folder: Path, say: Say) -> None:
        self.folder = folder
        self.say = say
        for program in (WRK, SKOPEO):
            ensure_program(program, program)

    def run(self, rounds: int) -> dict[str, Any]:
        """Measure; remove what was made; return the results for JSON."""
        server, written = start_registry(self.folder, REPOSITORIES, TAGS)
        try:
            script = self._wrk_script(written)
            measures: dict[str, Callable[[], tuple[int, float]]] = {
                OURS: lambda: ours(server.url, len(written)),
                WRK: lambda: self._wrk(server.url, script),
                SKOPEO: lambda: self._skopeo(server.url, written),
            }
            found: dict[str, list[tuple[int, float]]] = {name: [] for name in measures}
            self.say(f"taking inventories, {rounds} rounds")
            for number in range(rounds):
                for name, measure in measures.items():
                    found[name].append(measure())
                latest = ", ".join(f"{name} {samples[-1][0] / samples[-1][1]:.0f}" for name, samples in found.items())
                self.say(f"  round {number + 1} of {rounds}, requests/s: {latest}")
            return {name: _summary(samples) for name, samples in found.items()} | {
                "versions": {"wrk": _version([WRK, "-v"]), "skopeo": _version([SKOPEO, "--version"])}
            }
        finally:
            server.stop()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _wrk_script(self, written: Sequence[tuple[str, str]]) -> Path:
        """Write what makes wrk ask in turn for what an inventory asks for, with the headers that our client sends."""
        names = dict.fromkeys(name for name, _tag in written)
        asked = ["/v2/_catalog?n=1000", *(f"/v2/{name}/tags/list" for name in names)]
        asked += [f"/v2/{name}/manifests/{tag}" for name, tag in written]
        paths = ",\n".join(f'"{path}"' for path in asked)
        script = self.folder / "manifests.lua"
        script.write_text(
            f"local paths = {{{paths}}}\nlocal number = 0\n"
            f'local headers = {{["Accept"] = "{", ".join(MANIFEST_TYPES)}"}}\n'
            "request = function()\n  number = number % #paths + 1\n"
            '  return wrk.format("GET", paths[number], headers)\nend\n',
            encoding="utf-8",
        )
        return script

    def _wrk(self, url: str, script: Path) -> tuple[int, float]:
        told = output([WRK, "-t1", f"-c{CONNECTIONS}", f"-d{WRK_SECONDS}s", "-s", str(script), url])
        match = re.search(r"(\d+) requests in ([\d.]+)s", told)
        if not match or "Non-2xx" in told:
            raise RuntimeError(f"wrk got other answers than these: {told}")
        return int(match[1]), float(match[2])

    def _skopeo(self, url: str, written: Sequence[tuple[str, str]]) -> tuple[int, float]:
        """Ask skopeo for the tags of a repository, and for the manifest of each tag, one call for each."""
        address = url.replace("http://", "docker://")
        sample = [pair for number, pair in enumerate(written) if number // TAGS % SAMPLE == 0]
        commands = [["list-tags", f"{address}/{name}"] for name in sorted({name for name, _tag in sample})]
        commands += [["inspect", "--raw", f"{address}/{name}:{tag}"] for name, tag in sample]
        began = time.perf_counter()
        for command in commands:
            subprocess.run(
                [SKOPEO, command[0], "--tls-verify=false", *command[1:]], check=True, stdout=subprocess.DEVNULL
            )
        return len(commands), time.perf_counter() - began


def start_registry(folder: Path, repositories: int, tags: int) -> tuple[Distribution, list[tuple[str, str]]]:
    """Return a plain Distribution on a store with as many repositories and tags, and what is in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    written = write_store(folder / "store", repositories, tags)
    server = Distribution(str(ROOT / ".lab/bin/registry"), folder / "registry", store=folder / "store")
    server.start()
    return server, written


def ours(url: str, expected: int) -> tuple[int, float]:
    """Take the inventory; return requests and seconds. Raises RuntimeError when it is not the one that was written."""
    seen: list[Exchange] = []
    transport = Transport(observer=seen.append)
    began = time.perf_counter()
    inventory = take_inventory(Session(transport, url), threads=CONNECTIONS)
    seconds = time.perf_counter() - began
    transport.close()
    if inventory.problems or sum(len(one.tags) for one in inventory.repositories.values()) != expected:
        raise RuntimeError(f"the inventory is not complete: {inventory.problems[:3]}")
    return len(seen), seconds


def _summary(samples: Sequence[tuple[int, float]]) -> dict[str, float]:
    rates = [requests / seconds for requests, seconds in samples]
    seconds = [REPOSITORIES * (TAGS + 1) / rate for rate in rates]
    return {
        "runs": len(samples),
        "requests": samples[0][0],
        "rate": round(statistics.median(rates), 1),
        "rate_max": round(max(rates), 1),
        "seconds": round(statistics.median(seconds), 3),
        "seconds_min": round(min(seconds), 3),
    }


def _version(command: Sequence[str]) -> str:
    # wrk ends with 1 when it tells its version.
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    match = re.search(r"\d+\.\d+(?:\.\d+)?", done.stdout + done.stderr)
    return match[0] if match else ""


def aims(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what the inventory should reach, and what it reached, as ratios of medians in the same rounds."""
    mine = results[OURS]
    return [
        {
            "aim": f"inventory of {REPOSITORIES} repositories with {TAGS} tags: {LIMIT} s against ours",
            "wanted": 1,
            "ratio": LIMIT / mine["seconds"],
        },
        {
            "aim": "skopeo, one call for each, against ours",
            "wanted": 25,
            "ratio": results[SKOPEO]["seconds"] / mine["seconds"],
        },
        {
            "aim": "requests per second of ours against wrk, which only counts answers",
            "wanted": 0.85,
            "ratio": mine["rate"] / results[WRK]["rate"],
        },
    ]


def memory(folder: Path) -> None:
    """Print the peak memory of an inventory of very many tags, taken by a process of its own."""
    repositories = 100
    server, written = start_registry(folder, repositories, MANY // repositories)
    try:
        began = time.perf_counter()
        told = output([sys.executable, "-m", "tests.bench.listing", "child", server.url, str(len(written))])
        print(f"{len(written)} tags in {time.perf_counter() - began:.0f} s: {told.strip()}")
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def main(argv: Sequence[str]) -> None:
    """Run the command line."""
    if argv[:1] == ["child"]:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        ours(argv[1], int(argv[2]))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps({"start_mib": before // 1024, "peak_mib": peak // 1024}))
    else:
        memory(cache_dir() / "bench" / "memory")


if __name__ == "__main__":
    main(sys.argv[1:])
