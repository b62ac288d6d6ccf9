# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Garbage collection as a transaction. Private.

Lease, look, ceiling, fence, look again, collect, compare, release, verify, report. The first look happens beside
pushes and decides whether to interrupt them at all. What is compared afterwards is what the second one saw, from
inside the fence, where nobody else can write: everything that is missing then was taken by this collection. On a
volume files are compared, which is fast; on object storage inventories. Contents are read after the writers are back,
since only a collection can take them away; what is deleted on purpose meanwhile is recognised by reading again what
needed it.
"""

from __future__ import annotations

import re
import signal
import time
import typing as t

from ansible_collections.homeport.registry.plugins.module_utils import _gc_store
from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.homeport.registry.plugins.module_utils._fence_api import PATIENCE, Api
from ansible_collections.homeport.registry.plugins.module_utils._fence_lease import Lease
from ansible_collections.homeport.registry.plugins.module_utils._fence_writers import Writers
from ansible_collections.homeport.registry.plugins.module_utils._gc_beside import look_beside_pushes
from ansible_collections.homeport.registry.plugins.module_utils._gc_child import Program
from ansible_collections.homeport.registry.plugins.module_utils._gc_errors import (
    GcError,
    InterruptedByError,
    NothingToDoError,
    RefusedError,
)
from ansible_collections.homeport.registry.plugins.module_utils._gc_look import Look, Looker, counts
from ansible_collections.homeport.registry.plugins.module_utils._gc_options import Options
from ansible_collections.homeport.registry.plugins.module_utils._gc_output import DIGEST, Collected
from ansible_collections.homeport.registry.plugins.module_utils._gc_recover import recover
from ansible_collections.homeport.registry.plugins.module_utils._gc_report import LISTED, Report
from ansible_collections.homeport.registry.plugins.module_utils._registry_inventory import Inventory, Problem
from ansible_collections.homeport.registry.plugins.module_utils._registry_session import Session
from ansible_collections.homeport.registry.plugins.module_utils._registry_transport import Transport
from ansible_collections.homeport.registry.plugins.module_utils._registry_verify import check_content, compare

# What the role's podFailurePolicy tells apart: only an interrupted run is worth another pod.
EXIT_CODES = {"succeeded": 0, "nothing_to_do": 0, "dry_run": 0, "refused": 10, "failed": 11}
INTERRUPTED = 12
_END_PATIENCE = 90.0
_LAST_LOOK = 10.0
_UNTAGGED_WARNING = (
    "registry_gc_untagged is delete: an image that somebody pinned by digest, and whose tag has moved since, is deleted"
)


class Collection:
    """One run."""

    def __init__(self, options: Options, run: str, identity: str, pod: str) -> None:
        """Take the options, the name of the Job, who holds the Lease for it, and the name of the pod."""
        self._options, self._pod = options, pod
        self._api = Api(options.api, options.account)
        self.report = Report(self._api, options, run, pod)
        self._program = Program(options.binary, options.storage, options.scratch)
        self._session = Session(Transport(timeout=60, read_only=True), self._program.url)
        self._lease = Lease(self._api, options.namespace, options.lease, identity, pod, options.lease_seconds)
        self._lease.on_doubt = self._program.pause
        self._lease.on_certainty = self._program.go_on
        self._lease.on_loss = self._program.kill
        self._program.check = self._lease.check
        self._writers = Writers(self._api, options, self._lease, self.report.warn)
        self._looker = Looker(options, self._program, self._session, self.report)
        self._program.on_started = self._catch_up
        self._held = self._ending = self._told_to_end = False
        self._late = 0
        self._interruption: InterruptedByError | None = None

    def run(self) -> int:
        """Collect, and return the exit status. Whatever happens, the writers come back and the report says it."""
        outcome, reason, remedy, code = "failed", "", "", EXIT_CODES["failed"]
        try:
            signal.signal(signal.SIGTERM, self._stop)
            signal.signal(signal.SIGALRM, self._stop)
            try:
                signal.alarm(self._options.deadline)
                outcome, reason = self._work()
                code = EXIT_CODES[outcome]
            except GcError as error:
                outcome, reason, remedy = error.outcome, _told(error), error.remedy
                code = EXIT_CODES[outcome]
                if isinstance(error, NothingToDoError):
                    reason = f"{error.got[:1].upper()}{error.got[1:]}."
            except RegistryError as error:
                reason, remedy = _told(error), error.remedy
            # Nothing may keep the writers away, a fault of this program least of all.
            except Exception as error:
                reason, remedy = f"{type(error).__name__}: {error}", "Report this as a fault, with the log of the Job."
            finally:
                self._ending = True
                signal.alarm(0)
        except _Interruption:
            pass
        # Whatever else went wrong then came of it.
        if self._interruption is not None:
            outcome, reason, remedy = "failed", _told(self._interruption), self._interruption.remedy
            code = INTERRUPTED if self._told_to_end else EXIT_CODES["failed"]
        return self._end(outcome, reason, remedy, code)

    def _stop(self, number: int, _frame: object) -> None:
        if self._ending or self._interruption is not None:
            return
        if self._program.starting:
            self._late = number
            return
        where = f"step {self.report.document['step']}"
        if number == signal.SIGALRM:
            cause = "the deadline is over"
            self._interruption = InterruptedByError(
                "finish in time",
                where=where,
                got=f"registry_gc_deadline is {self._options.deadline} seconds",
                remedy="Raise it, or collect more often. It is safe to collect again.",
            )
        else:
            cause, self._told_to_end = "the pod was told to end", True
            self._interruption = InterruptedByError(
                "go on", where=where, got=cause, remedy="The Job starts another one."
            )
        self._program.kill(cause)
        raise _Interruption

    def _catch_up(self) -> None:
        """Act on a signal that came while a child was being started."""
        number, self._late = self._late, 0
        if number:
            self._stop(number, None)

    def _leave_if_told(self) -> None:
        """Stop where the pod is being deleted: a container's first process misses a signal that comes too early."""
        path = f"/api/v1/namespaces/{self._options.namespace}/pods"
        query = {"fieldSelector": f"metadata.name={self._pod}"}
        found = self._api.request("look at the pod of this run", "GET", path, query=query)[1]["items"]
        if any(pod["metadata"].get("deletionTimestamp") for pod in found):
            self._stop(signal.SIGTERM, None)

    def _work(self) -> tuple[str, str]:
        self._take_lease()
        first = self._first_look()
        return self._decide(first)

    def _take_lease(self) -> None:
        report, options = self.report, self._options
        report.log(f"lease: take {options.lease}")
        patience = float(options.deadline)
        taken = self._lease.take(patience)
        self._held = True
        last = report.last(patience)
        report.open(last)
        self._looker.blobs_before = _left_behind(last)
        report.step("lease", f"taken, it was {taken.state}")
        recover(taken, last, self._lease, self._writers, report, patience)

    def _first_look(self) -> Look | None:
        report, looker = self.report, self._looker
        report.step("inventory", "look at the store and take the inventory")
        version, text = self._program.version()
        looker.major = version[0]
        report.document["program"] = text
        if version[0] not in (2, 3):
            raise RefusedError(
                "recognise the registry program",
                where=self._options.binary,
                got=f"it says {text}",
                remedy="Use CNCF Distribution 2.8 or 3.",
            )
        if self._options.untagged == "delete":
            if version[0] < 3:
                raise RefusedError(
                    "delete untagged manifests",
                    where=f"Distribution {text}",
                    got="before version 3 this deletes the platforms of every multi-arch image",
                    remedy="Set registry_gc_untagged to keep, or move to Distribution 3.",
                )
            report.warn(_UNTAGGED_WARNING)
        store = looker.scan()
        looker.recognise(store)
        self._program.serve()
        return look_beside_pushes(looker, report, store, dry_run=self._options.dry_run)

    def _decide(self, first: Look | None) -> tuple[str, str]:
        report, looker = self.report, self._looker
        if first is None:
            report.log("too much is pushed and deleted to be sure of anything; decide inside the fence")
        else:
            report.step("ceiling", f"{len(first.plan.blobs)} blobs would go")
            looker.ceiling(first)
        if self._options.dry_run:
            return "dry_run", ""
        if first is not None and not first.plan.eligible:
            report.document["after"] = report.document["before"]
            return "nothing_to_do", "Nothing is eligible."
        self._leave_if_told()
        report.step("fence", "stop the writers and look again")
        report.event("Fenced", "Pushes wait while garbage is collected; pulls go on.", on_writer=True)
        self._writers.send_away()
        report.document["fence"] = {"writers": self._writers.before, "seconds": None}
        look = self._second_look(first)
        if not look.plan.eligible:
            report.document["after"] = report.document["before"]
            return "nothing_to_do", "Nothing is eligible any more."
        self._writers.check()
        lost, before, real = self._collect(look)
        self._release()
        return self._verify(before, real, lost)

    def _second_look(self, first: Look | None) -> Look:
        if seconds := self._looker.seconds_remembered():
            # The program that deletes would not see images that were pushed from other nodes since the first look.
            self.report.log(f"fence: this node may remember directories for {seconds:.0f} s (acdirmax of NFS); wait")
            time.sleep(seconds)
        store = self._looker.scan()
        if first and store and first.store and store.fingerprint == first.store.fingerprint:
            self.report.log("fence: nothing was pushed or deleted since the first look")
            return first
        look = self._looker.look(store)
        self._looker.ceiling(look)
        return look

    def _collect(self, look: Look) -> tuple[list[Problem], Inventory, Collected]:
        """Collect, and compare with what was there: nobody else can have taken what is missing now."""
        report, root = self.report, self._options.root
        report.step("collect", f"delete {len(look.plan.blobs)} blobs")
        free = _gc_store.free(root) if root else None
        with self._writers.guarded(self._program.kill):
            real = self._looker.run_collector()
        if not self._program.asks:
            why = "this kernel cannot hold it back" if root else "this pod has a proxy of its own"
            report.log(f"collect: the collector did not ask before each deletion: {why}")
        self._lease.check()
        store = self._looker.scan()
        after, lost = look.inventory, list[Problem]()
        if look.store and store:
            lost = _gc_store.lost(look.store, store, look.plan.marked, look.plan.links)
        if not store or lost:
            after = self._looker.inventory()
            seen = {problem.where for problem in lost}
            lost += [problem for problem in compare(look.inventory, after) if problem.where not in seen]
        if more := real.blobs - look.plan.blobs:
            text = f"{len(more)} blobs went that the dry run had not named"
            lost.append(Problem("plan-exceeded", f"@{min(more)}", text, "Report this as a fault of the collector."))
        # A writer that ran meanwhile makes the comparison worthless.
        self._writers.check()
        report.document["after"] = counts(after, store)
        numbers = real.counts or (0, 0, 0)
        report.document["deleted"] = {
            "blobs": numbers[1],
            "manifests": numbers[2],
            "links": sum(map(len, real.links.values())),
            "bytes": look.store.bytes - store.bytes if look.store and store else None,
            "asked": self._program.asks,
        }
        if root and free is not None:
            report.document["volume"] = {"free_before": free, "free_after": _gc_store.free(root)}
        report.log(f"collect: {numbers[1]} blobs and {numbers[2]} manifests are gone")
        return lost, look.inventory, real

    def _release(self) -> None:
        self.report.step("release", "bring the writers back")
        self._bring_back(PATIENCE)

    def _bring_back(self, patience: float, **wait: float) -> None:
        seconds = self._writers.bring_back(None, patience, **wait)
        if seconds is not None and self.report.document["fence"]:
            self.report.document["fence"]["seconds"] = round(seconds, 3)
            self.report.log(f"release: pushes work again after {seconds:.1f} s")

    def _verify(self, before: Inventory, real: Collected, lost: list[Problem]) -> tuple[str, str]:
        report, depth = self.report, self._options.depth
        report.step("verify", f"read what is left ({depth})")
        started = time.monotonic()
        check = check_content(self._session, before, depth, threads=self._options.threads)
        deleted = real.blobs.union(*real.untagged.values())
        known = {problem.where for problem in lost}
        ours = [one for one in check.problems if _digests(one) & deleted and one.where not in known]
        # What the collector did not delete was damaged before: that is bad, but no fault of this run.
        damaged = [one for one in check.problems if one not in ours and one.where not in known]
        self._looker.note(damaged)
        lost = lost + ours
        report.document["verification"] = {
            "depth": depth,
            "ok": not lost,
            "manifests": check.manifests,
            "blobs": check.blobs,
            "bytes": check.bytes,
            "seconds": round(time.monotonic() - started, 3),
            "problems": [problem._asdict() for problem in lost[:LISTED]],
            "damaged_before": len(damaged),
        }
        if damaged:
            report.warn(f"{len(damaged)} contents were damaged before this run: see problems")
        if lost:
            report.event("ContentLost", f"{len(lost)} contents are lost, the first is {lost[0].where}.", warning=True)
            raise GcError(
                "find everything again that was there",
                where=lost[0].where,
                got=f"{lost[0].kind}: {lost[0].text}" + (f", and {len(lost) - 1} more" if len(lost) > 1 else ""),
                remedy=lost[0].remedy,
            )
        return "succeeded", ""

    def _end(self, outcome: str, reason: str, remedy: str, code: int) -> int:
        """Bring back what this run took away, whatever it costs, and write the report."""
        report = self.report
        faults = []
        step = report.document["step"]
        if self._held:
            for tried in (self._restore, lambda: self._lease.release(_END_PATIENCE)):
                try:
                    tried()
                except RegistryError as error:
                    faults.append(f"{error} The next run, or homeport.registry.site, brings the writers back.")
                    report.log(str(error))
        self._lease.stop()
        self._program.close()
        if faults:
            outcome, code = "failed", INTERRUPTED
            reason = " ".join(filter(None, [reason, *faults]))
        after = report.document["after"]
        if after and outcome in ("succeeded", "nothing_to_do"):
            left = after["reachable_blobs"] if after["blobs"] is None else after["blobs"]
            report.document["store"] = {**(report.document["store"] or {}), "blobs": left}
        if outcome in ("succeeded", "nothing_to_do", "dry_run") and self._held:
            report.step("report", "write it down")
        else:
            # The step that it came to is what matters then.
            report.document["step"] = step
        report.close(outcome, reason, remedy, _END_PATIENCE)
        if self._held:
            report.event(*_event_of(report.document), warning=outcome in ("failed", "refused"))
        return code

    def _restore(self) -> None:
        if self._writers.stopped_at is not None:
            self.report.log("bring the writers back")
            # Where a node is drained they may have to wait until it is opened again, which it is when this pod is gone.
            self._bring_back(_END_PATIENCE, **({"wait": _LAST_LOOK} if self._told_to_end else {}))


class _Interruption(BaseException):  # not an error, or what tries again after errors would take it for one
    """A signal: `_stop` has noted why."""


def _told(error: RegistryError) -> str:
    return f"Could not {error.tried} ({error.where}): {error.got}."


def _left_behind(last: t.Mapping[str, t.Any] | None) -> int:
    """Return how many blobs the last run that came to a result left; one that was refused hands this on."""
    return int(((last or {}).get("store") or {}).get("blobs") or 0)


def _digests(problem: Problem) -> set[str]:
    return set(re.findall(DIGEST, problem.where))


def _event_of(document: t.Mapping[str, t.Any]) -> tuple[str, str]:
    outcome = document["outcome"]
    if outcome == "succeeded":
        deleted = document["deleted"]
        size = "" if deleted["bytes"] is None else f", {deleted['bytes']} bytes"
        return "Collected", f"{deleted['blobs']} blobs are gone{size}; everything else was found again."
    reason = {"nothing_to_do": "NothingToDo", "dry_run": "DryRun"}.get(outcome, outcome.capitalize())
    return reason, document["reason"] or f"{(document['eligible'] or {}).get('blobs', 0)} blobs would go."
