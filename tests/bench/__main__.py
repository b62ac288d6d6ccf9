# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure the collection against other tools on the lab, in one run.

make bench                                      all parts, and rewrite docs/benchmarks.md from them
make bench BENCH_ARGS="apply --rounds 3"        one part, fewer rounds
python -m tests.bench table                     rewrite docs/benchmarks.md from the last results

The results are kept as JSON in the cache. The exit code is 1 where an aim was missed.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.bench import applying, collecting, listing, pulling, pushing, table, trusting
from tests.bench.clock import wait_until_quiet
from tests.bench.machine import commit, hardware, versions
from tests.bench.rivals import fetch_programs
from tools.paths import ROOT, cache_dir

PARTS = ("apply", "pull", "trust", "list", "collect", "bundle")


def say(text: str) -> None:
    """Print progress at once."""
    print(text, flush=True)


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", nargs="*", default=[], choices=[*PARTS, "table", []], help="all parts without one")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of repeated runs and of pulls (default 7)")
    parser.add_argument("--first-rounds", type=int, default=3, help="rounds of first runs (default 3)")
    parser.add_argument("--load", type=float, default=1.5, help="start below this load average (default 1.5)")
    parser.add_argument("--patience", type=float, default=600, help="seconds to wait for that load (default 600)")
    parser.add_argument("--no-table", action="store_true", help="leave docs/benchmarks.md alone")
    return parser.parse_args(argv)


def measure(options: argparse.Namespace, cache: Path) -> dict[str, Any]:
    """Run the wanted parts and return the results, those of an earlier run where a part is not wanted."""
    path = cache / "results.json"
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    programs = fetch_programs(cache)
    for part in options.part or PARTS:
        load = wait_until_quiet(options.load, options.patience, say)
        about = {
            "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
            "commit": commit(ROOT),
            "load": round(load, 2),
            "hardware": hardware(),
            "versions": versions(programs.kubectl) | programs.versions(),
        }
        say(f"== {part}")
        if part == "apply":
            found = applying.ApplyBench(cache / "apply", programs, say).run(options.rounds, options.first_rounds)
        elif part == "trust":
            found = trusting.TrustBench(cache / "trust", say).run(options.rounds)
        elif part == "list":
            found = listing.ListBench(cache / "list", say).run(options.rounds)
        elif part == "collect":
            found = collecting.CollectBench(cache / "collect", say).run(options.rounds)
        elif part == "bundle":
            found = pushing.PushBench(cache / "bundle", say).run(options.rounds)
        else:
            found = pulling.PullBench(cache / "pull", programs.kubectl, say).run(options.rounds)
        results[part] = {"about": about, "results": found}
        path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        say(f"results: {path}")
    return results


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = parse(argv)
    cache = cache_dir() / "bench"
    cache.mkdir(parents=True, exist_ok=True)
    if options.part == ["table"]:
        results = json.loads((cache / "results.json").read_text(encoding="utf-8"))
    else:
        if "KUBECONFIG" not in os.environ:
            say("error: KUBECONFIG is not set; run this by make bench")
            return 2
        results = measure(options, cache)
    if not options.no_table:
        table.write(ROOT / "docs" / "benchmarks.md", results)
    missed = 0
    for part, found in results.items():
        # Ratios are compared as measured: rounding must not reach an aim.
        for aim in table.AIMS[part](found["results"]):
            reached = aim["ratio"] >= aim["wanted"]
            missed += not reached
            state = "reached" if reached else "MISSED "
            say(f"{state} {aim['aim']}: wanted {aim['wanted']:g}, measured {aim['ratio']:.3f}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
