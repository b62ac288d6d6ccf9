# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the tables of docs/benchmarks.md from results; the text around the markers stays as it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.bench import applying, collecting, listing, pulling, pushing, trusting

AIMS = {
    "apply": applying.aims,
    "pull": pulling.aims,
    "trust": trusting.aims,
    "list": listing.aims,
    "collect": collecting.aims,
    "bundle": pushing.aims,
}
PHASES = ("no-op", "one change", "first run")


def write(path: Path, results: Mapping[str, Any]) -> None:
    """Replace what stands between the markers of every part that has results. Raises ValueError without markers."""
    text = path.read_text(encoding="utf-8")
    makers = {
        "apply": _apply,
        "pull": _pull,
        "trust": _trust,
        "list": _list,
        "collect": _collect,
        "bundle": pushing.rows,
    }
    for part, found in results.items():
        body = "\n".join(
            [_about(found["about"]), "", *makers[part](found["results"]), "", *_aims(AIMS[part](found["results"]))]
        )
        text = replace(text, part, body)
    path.write_text(text, encoding="utf-8")


def replace(text: str, part: str, body: str) -> str:
    """Return the text with the body between the part's markers. Raises ValueError without markers."""
    begin, end = f"<!-- bench: {part} -->", f"<!-- end of bench: {part} -->"
    pattern = re.compile(re.escape(begin) + r".*?" + re.escape(end), re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"{begin} and {end} are not both there")
    return pattern.sub(lambda _match: f"{begin}\n\n{body}\n\n{end}", text)


def _about(about: Mapping[str, Any]) -> str:
    machine = about["hardware"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    return (
        f"Measured {about['date']} at commit `{about['commit']}` on {machine['cores']} cores ({machine['processor']}), "
        f"{machine['memory_gib']} GiB of memory, Linux {machine['kernel']}, load average {about['load']} at the start; "
        f"client and cluster share these cores. {versions}."
    )


def _apply(results: Mapping[str, Any]) -> list[str]:
    kinds = ", ".join(f"{count} {kind}" for kind, count in results["objects"].items())
    total = sum(results["objects"].values())
    heads = " | ".join(f"{phase} min | median | : ours" for phase in PHASES)
    lines = [
        f"{total} objects: {kinds}.",
        "",
        f"| seconds | {heads} | API requests, no-op |",
        "|---|" + "---:|" * (3 * len(PHASES) + 1),
    ]
    for name, title in results["titles"].items():
        cells = [title]
        for phase in PHASES:
            row = results[phase].get(name)
            ours = results[phase][applying.SITE]["median"]
            numbers = [row["min"], row["median"], row["median"] / ours] if row else []
            cells += [f"{number:.2f}" for number in numbers] or ["", "", ""]
        requests = results["requests"].get(name, {})
        cells.append(", ".join(f"{count} {method}" for method, count in requests.items()))
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _pull(results: Mapping[str, Any]) -> list[str]:
    lines = [
        "| | unit | gate max | gate median | alone max | alone median | gate : alone |",
        "|---|---|" + "---:|" * 5,
    ]
    for row, (title, unit, _wanted) in pulling.ROWS.items():
        gate, alone = results[row][pulling.GATE], results[row][pulling.ALONE]
        cells = [title, unit, *(f"{found[key]:.0f}" for found in (gate, alone) for key in ("max", "median"))]
        lines.append(f"| {' | '.join(cells)} | {gate['median'] / alone['median']:.2f} |")
    return lines


def _trust(results: Mapping[str, Any]) -> list[str]:
    lines = ["| seconds, nothing to change | min | median | : ours |", "|---|---:|---:|---:|"]
    ours = results["no-op"][trusting.OURS]["median"]
    for name, title in results["titles"].items():
        row = results["no-op"][name]
        lines.append(f"| {title} | {row['min']:.2f} | {row['median']:.2f} | {row['median'] / ours:.2f} |")
    return lines


def _list(results: Mapping[str, Any]) -> list[str]:
    titles = {
        # More than four bring nothing as long as all answers are plain, see ask_ahead.
        listing.OURS: f"inventory, 4 of {listing.CONNECTIONS} connections",
        listing.WRK: f"`wrk` with the same questions, {listing.CONNECTIONS} connections",
        listing.SKOPEO: "`skopeo list-tags`, `skopeo inspect --raw`",
    }
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    lines = [
        f"{listing.REPOSITORIES} repositories with {listing.TAGS} tags each; {versions}.",
        "",
        "| | requests/s max | requests/s median | seconds for all, min | median | : ours |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    ours = results[listing.OURS]["seconds"]
    for name, title in titles.items():
        row = results[name]
        numbers = f"{row['rate_max']:.0f} | {row['rate']:.0f} | {row['seconds_min']:.2f} | {row['seconds']:.2f}"
        lines.append(f"| {title} | {numbers} | {row['seconds'] / ours:.2f} |")
    return lines


def _collect(results: Mapping[str, Any]) -> list[str]:
    titles = {
        collecting.PLAIN: "`registry garbage-collect`",
        collecting.OURS: "**a transaction**",
        collecting.SMALL: "a transaction on a store of two images",
    }
    images = collecting.REPOSITORIES * collecting.TAGS
    lines = [
        f"{images} images of {collecting.LAYERS + 2} blobs each, {results['deleted']} blobs to delete.",
        "",
        "| | seconds min | median | of them without pushes | deleting | peak memory, MiB |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, title in titles.items():
        row = results[name]
        numbers = [f"{row[key]:.2f}" for key in ("wall_min", "wall", "fenced", "collect")]
        lines.append(f"| {title} | {' | '.join(numbers)} | {row['memory_mib']:.0f} |")
    return lines


def _aims(aims: list[dict[str, Any]]) -> list[str]:
    lines = ["| aim | wanted | measured | |", "|---|---:|---:|---|"]
    for aim in aims:
        state = "reached" if aim["ratio"] >= aim["wanted"] else "**missed**"
        lines.append(f"| {aim['aim']} | {aim['wanted']:g} | {aim['ratio']:.3f} | {state} |")
    return lines
