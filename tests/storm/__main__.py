# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line.

python -m tests.storm --url https://registry.example.com --user ci --pull-user nodes --seconds 600 --ledger ledger.jsonl
    pushes and pulls for so long, then reads everything that was acknowledged
python -m tests.storm verify --url https://registry.example.com --pull-user nodes --ledger ledger.jsonl
    only reads what a ledger says must be there

Passwords are taken from STORM_PASSWORD and STORM_PULL_PASSWORD. Collect garbage meanwhile, restart things, pull plugs.
The report goes to standard output as JSON. Exit status: 0 nothing was lost, every pull worked, and every refused push
was told why and worked later; 1 otherwise; 2 the registry could not be used at all.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError
from tests.storm.pushing import Limits
from tests.storm.registry import Account, Address
from tests.storm.running import Cast, check, storm


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    defaults = Limits("", "")
    top = argparse.ArgumentParser(
        prog="python -m tests.storm", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("part", nargs="?", choices=("run", "verify"), default="run")
    top.add_argument("--url", required=True, help="address of the registry: https://host or http://host:port")
    top.add_argument("--ca", help="file of the authority that signed its certificate, if not a public one")
    top.add_argument("--user", help="account that pushes; without it, nobody logs in")
    top.add_argument("--pull-user", help="account that pulls (default: the one that pushes)")
    top.add_argument("--ledger", required=True, type=Path, help="file of what was acknowledged; appended to")
    until = top.add_mutually_exclusive_group()
    until.add_argument("--seconds", type=float, default=60.0, help="how long to go on (default 60)")
    until.add_argument("--until-file", type=Path, help="go on until this file exists")
    top.add_argument("--pushers", type=int, default=2, help="clients that push (default 2)")
    top.add_argument("--skopeo", type=int, default=0, help="clients that push by skopeo (default 0)")
    top.add_argument("--pullers", type=int, default=2, help="clients that pull (default 2)")
    top.add_argument("--pull-rate", type=float, default=4.0, help="images a second of each that pulls (default 4)")
    top.add_argument("--seed", default="1", help="the same seed gives the same images; take another for a second run")
    top.add_argument("--prefix", default="storm", help="beginning of the repositories' names (default storm)")
    for name, text in (
        ("repositories", "how many repositories"),
        ("size", "bytes of a layer at most"),
        ("rate", "pushes a second of each client at most"),
        ("images", "images at a time; more are deleted"),
        ("total", "pushes of each client at most"),
        ("think", "seconds between the blobs and the manifest of a push at most"),
        ("patience", "seconds until a push that is refused again and again counts as failed"),
    ):
        value = getattr(defaults, name)
        top.add_argument(f"--{name}", type=type(value), default=value, help=f"{text} (default {value:g})")
    top.add_argument("--no-deletes", action="store_true", help="delete nothing")
    top.add_argument("--no-untags", action="store_true", help="take no tag away")
    top.add_argument(
        "--untagged-go", action="store_true", help="do not miss images without a tag: the collection may delete them"
    )
    top.add_argument("--no-verify", action="store_true", help="leave the last look to another run, of part verify")
    top.add_argument("--quiet", action="store_true", help="show no progress")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = parser().parse_args(arguments)
    address = Address(options.url, options.ca)
    pusher = Account(options.user, os.environ.get("STORM_PASSWORD"))
    reader = Account(options.pull_user, os.environ.get("STORM_PULL_PASSWORD")) if options.pull_user else pusher
    limits = Limits(
        options.seed,
        options.prefix,
        options.repositories,
        options.size,
        options.rate,
        options.images,
        options.total,
        options.think,
        options.patience,
        not options.no_deletes,
        not options.no_untags,
    )
    cast = Cast(options.pushers, options.skopeo, options.pullers, options.pull_rate)
    report: dict[str, object] = {}
    try:
        if options.part == "run":
            report = storm(
                address,
                pusher,
                reader,
                limits,
                cast,
                options.ledger,
                seconds=None if options.until_file else options.seconds,
                until=options.until_file,
                progress=None if options.quiet else sys.stderr,
            )
        if options.part == "verify" or not options.no_verify:
            report |= check(address, reader, options.ledger, untagged_are_kept=not options.untagged_go)
    except RegistryError as error:
        print(f"storm: {error}", file=sys.stderr)
        return 2
    print(json.dumps(report, indent=2, sort_keys=True))
    faults = ("broken", "failed_pulls", "refused_without_a_reason", "given_up", "crashed")
    return 1 if any(report.get(name) for name in faults) else 0


if __name__ == "__main__":
    sys.exit(main())
