# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All clients at once, from the first push to the report."""

from __future__ import annotations

import dataclasses
import tempfile
import threading
import time
import traceback
import typing as t
from collections.abc import Callable
from pathlib import Path

from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.homeport.registry.plugins.module_utils._registry_client import log_in
from tests.storm.ledger import Ledger, claims, read
from tests.storm.pulling import Puller, verify
from tests.storm.pushing import GivenUpError, Limits, Pusher
from tests.storm.registry import Account, Address, Registry
from tests.storm.skopeo import SkopeoPusher
from tests.storm.state import State


@dataclasses.dataclass(frozen=True)
class Cast:
    """How many clients there are of each sort, and how many images a second each of those that pull may read."""

    pushers: int
    skopeo: int
    pullers: int
    pull_rate: float


def storm(
    address: Address,
    pusher: Account,
    reader: Account,
    limits: Limits,
    cast: Cast,
    path: Path,
    *,
    seconds: float | None,
    until: Path | None = None,
    progress: t.TextIO | None = None,
) -> dict[str, t.Any]:
    """Push and pull, and return what happened.

    Args:
        address: the registry.
        pusher: who pushes.
        reader: who pulls.
        limits: see there.
        cast: see there.
        path: file of the ledger.
        seconds: how long, or nothing.
        until: a file that ends it as soon as it exists.
        progress: where to write a line every few seconds.

    Raises:
        RegistryError: when one of the accounts is not let in at the beginning.
    """
    # Connections of those who push and of those who pull are kept apart, as they are in life.
    writing, reading = Registry(address, pusher), Registry(address, reader)
    for one in (writing, reading):
        log_in(one.session)
    began = time.monotonic()
    ended = threading.Event()

    def stop() -> bool:
        late = seconds is not None and time.monotonic() - began > seconds
        return ended.is_set() or late or (until is not None and until.exists())

    ledger, state = Ledger(path), State()
    ledger.write("start", url=address.url, limits=dataclasses.asdict(limits), cast=dataclasses.asdict(cast))
    with tempfile.TemporaryDirectory(prefix="storm-") as scratch:
        numbers = range(cast.pushers + cast.skopeo)
        pushers = [Pusher(number, writing, state, ledger, limits) for number in numbers[: cast.pushers]]
        for number in numbers[cast.pushers :]:
            folder = Path(scratch) / str(number)
            folder.mkdir()
            ours = (number, writing, state, ledger, limits)
            pushers.append(SkopeoPusher(*ours, address=address, account=pusher, folder=folder))
        pullers = [
            Puller(number, reading, state, ledger, limits.seed, cast.pull_rate) for number in range(cast.pullers)
        ]
        runs = [*(one.run for one in pushers), *(one.run for one in pullers)]
        threads = [_thread(run, stop, state, ledger) for run in runs]
        try:
            _wait(threads, state, began, progress)
        finally:
            ended.set()
    report = _report(state, round(time.monotonic() - began, 1))
    ledger.write("end", **report)
    ledger.close()
    return report


def _thread(
    run: Callable[[Callable[[], bool]], None], stop: Callable[[], bool], state: State, ledger: Ledger
) -> threading.Thread:
    def body() -> None:
        try:
            run(stop)
        except GivenUpError:
            pass  # It is in the ledger and in the report.
        except Exception:
            # A client that is gone must not look like one that has nothing to complain about.
            state.count("crashed")
            ledger.write("crashed", traceback=traceback.format_exc())

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    return thread


def _wait(threads: list[threading.Thread], state: State, began: float, progress: t.TextIO | None) -> None:
    shown = began
    while any(thread.is_alive() for thread in threads):
        for thread in threads:
            thread.join(0.2 / len(threads))
        if progress and time.monotonic() - shown > 10:
            shown = time.monotonic()
            counts = {name: state.counts[name] for name in ("acknowledged", "refused", "pulls", "failed pulls")}
            print(
                f"{shown - began:6.0f} s  " + ", ".join(f"{v} {k}" for k, v in counts.items()),
                file=progress,
                flush=True,
            )


def _report(state: State, seconds: float) -> dict[str, t.Any]:
    counts = state.counts
    told = {name.partition(": ")[2]: number for name, number in counts.items() if name.startswith("refused: ")}
    kinds = {name.partition(" ")[2]: number for name, number in counts.items() if name.startswith("acknowledged ")}
    return {
        "seconds": seconds,
        "acknowledged": counts["acknowledged"],
        "acknowledged_of": kinds,
        "pushed_again": counts["pushed again"],
        "deleted": counts["deleted"],
        "untagged": counts["untagged"],
        "pulls": counts["pulls"],
        "failed_pulls": counts["failed pulls"],
        "requests_of_pulls": counts["requests of pulls"],
        "refused": counts["refused"],
        "refused_without_a_reason": counts["refused without a reason"],
        "refused_with": told,
        "retried": counts["retried"],
        "retried_by_skopeo_itself": counts["retried by skopeo itself"],
        "longest_wait_of_a_push": round(state.longest_wait, 1),
        "given_up": counts["given up"],
        "crashed": counts["crashed"],
    }


def check(address: Address, reader: Account, path: Path, *, untagged_are_kept: bool = True) -> dict[str, t.Any]:
    """Read every byte of everything that a ledger says must be there, and return what was found.

    Args:
        address: the registry.
        reader: who pulls.
        path: file of the ledger.
        untagged_are_kept: whether images whose tag was taken away must still be there.

    Raises:
        RegistryError: when the account is not let in, or there is nothing to check.
    """
    registry = Registry(address, reader, attempts=6)
    log_in(registry.session)
    wanted = claims(read(path), untagged_are_kept=untagged_are_kept)
    if not wanted:
        raise RegistryError(
            "check what was acknowledged",
            where=str(path),
            got="the ledger claims no image",
            remedy="Run for longer, and look at what the pushes were told.",
        )
    broken = verify(registry, wanted)
    return {"checked": len(wanted), "broken": len(broken), "broken_images": broken}
