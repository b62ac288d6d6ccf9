# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The Lease of exclusive work on a store: taken, kept and given back. Private.

A holder that cannot renew stops working when half of the time is over, and gives up before all of it is: nobody else
may think the Lease abandoned while something still deletes. One thread renews, another looks at the clock: an API
server that keeps a request waiting keeps nobody from stopping. That holds for a holder that was frozen with its node
as well: it asks its clock before it asks the API server, which would take a renewal that comes too late.
"""

from __future__ import annotations

import dataclasses
import datetime
import threading
import time
import typing as t
from collections.abc import Callable

from ansible_collections.homeport.registry.plugins.module_utils._fence_api import (
    APPLY,
    PATIENCE,
    TIMEOUT,
    Api,
    ApiError,
    clock,
)
from ansible_collections.homeport.registry.plugins.module_utils._gc_errors import FenceLostError, RefusedError

WRITERS_BEFORE = "registry.homeport.dev/writers-before"
POD = "registry.homeport.dev/holder-pod"
MANAGER = "homeport-gc"
_LONGEST_WATCH = 25.0
# Shares of the Lease without a renewal: where work stops, and where it is given up.
_DOUBTFUL, _LOST = 0.5, 0.9
# Seconds between two looks at the clock: what is woken up on another node's time is to be stopped at once.
_PACE = 0.25
_Lease = dict[str, t.Any]


def stamp(moment: float) -> str:
    """Return a moment as the API writes it."""
    return datetime.datetime.fromtimestamp(moment, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def seconds_since(text: str, now: float) -> float:
    """Return how long ago a time of the API was, infinite for one that cannot be read."""
    try:
        moment = datetime.datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=datetime.timezone.utc)
    except ValueError:
        return float("inf")
    return now - moment.timestamp()


def state_of(lease: _Lease, identity: str, now: float) -> str:
    """Return free, own, abandoned or held."""
    spec = lease.get("spec") or {}
    holder = spec.get("holderIdentity") or ""
    if not holder:
        return "free"
    if holder == identity:
        return "own"
    renewed = spec.get("renewTime") or spec.get("acquireTime") or ""
    return "abandoned" if seconds_since(renewed, now) > (spec.get("leaseDurationSeconds") or 0) else "held"


@dataclasses.dataclass(frozen=True)
class Taken:
    """How the Lease was found. state: free, own or abandoned. writers_before: what a fence left behind, if any."""

    state: str
    holder: str
    writers_before: str | None


class Lease:
    """One Lease, which a thread renews until it is released or lost, while another watches how long ago that was."""

    def __init__(self, api: Api, namespace: str, name: str, identity: str, pod: str, seconds: int) -> None:
        """Take the place of the Lease and who holds it: the identity outlives the pod."""
        self._api = api
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self.path = f"{self._collection}/{name}"
        self.name, self.identity, self.pod, self.seconds = name, identity, pod, seconds
        self.on_doubt: Callable[[], None] = lambda: None
        self.on_certainty: Callable[[], None] = lambda: None
        self.on_loss: Callable[[str], None] = lambda reason: None
        self.lost = ""
        self._lock = threading.Lock()
        self._document: _Lease = {}
        self._renewed = 0.0
        self._renewed_there: float | None = None
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def _read(self, patience: float = PATIENCE, timeout: float = TIMEOUT) -> _Lease:
        found = self._api.request("read the Lease", "GET", self.path, patience=patience, timeout=timeout)[1]
        return t.cast("_Lease", found)

    def take(self, patience: float) -> Taken:
        """Take the Lease and keep it from now on. Raises RefusedError when somebody else holds it."""
        metadata = {"name": self.name}
        empty = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata}
        # Makes it where it does not exist, and changes nothing where it does.
        self._api.request(
            "make the Lease", "PATCH", self.path, empty,
            content_type=APPLY, query={"fieldManager": MANAGER}, patience=patience,
        )  # fmt: skip
        end = time.monotonic() + patience
        while True:
            lease = self._read(patience)
            state = state_of(lease, self.identity, self._api.now())
            spec = lease.get("spec") or {}
            if state == "held":
                raise self._refused(spec)
            if state == "abandoned":
                # Clocks differ: a holder that lives shows it by renewing.
                time.sleep(self.watch_seconds(spec.get("leaseDurationSeconds", 0)))
                if self._read(patience)["metadata"]["resourceVersion"] != lease["metadata"]["resourceVersion"]:
                    raise self._refused(spec)
            annotations = lease["metadata"].get("annotations") or {}
            taken = Taken(state, spec.get("holderIdentity") or "", annotations.get(WRITERS_BEFORE))
            try:
                self._write(self._held(lease), patience)
            except ApiError as error:
                if error.status != 409 or time.monotonic() > end:
                    raise
                continue
            break
        for work in (self._keep, self._watch):
            self._threads.append(threading.Thread(target=work, name="lease", daemon=True))
            self._threads[-1].start()
        return taken

    @staticmethod
    def watch_seconds(duration: float) -> float:
        """Return how long to look whether a holder lives: for longer than one that does takes to renew."""
        return min(_LONGEST_WATCH, duration / 4)

    def _refused(self, spec: t.Mapping[str, t.Any]) -> RefusedError:
        return RefusedError(
            "take the Lease of exclusive work",
            where=self.path,
            got=f"{spec.get('holderIdentity')} holds it, renewed {spec.get('renewTime')}",
            remedy="Wait until that work is done; a Lease that nobody renews any more is taken over by the next run.",
        )

    def _held(self, lease: _Lease) -> _Lease:
        now = stamp(self._api.now())
        metadata = {**lease["metadata"], "annotations": {**(lease["metadata"].get("annotations") or {}), POD: self.pod}}
        spec = dict(lease.get("spec") or {})
        if spec.get("holderIdentity") != self.identity:
            spec["acquireTime"] = now
            spec["leaseTransitions"] = (spec.get("leaseTransitions") or 0) + 1
        spec |= {"holderIdentity": self.identity, "renewTime": now, "leaseDurationSeconds": self.seconds}
        return {**lease, "metadata": metadata, "spec": spec}

    def _write(self, lease: _Lease, patience: float, timeout: float = TIMEOUT) -> None:
        sent = clock()
        document = self._api.request("write the Lease", "PUT", self.path, lease, patience=patience, timeout=timeout)[1]
        there = self._api.now()
        before, self._renewed_there = self._renewed_there, there
        self._document, self._renewed = document, sent
        # The clocks of a machine that was stopped may have stopped with it; the API server's have not.
        if before is not None and there - before > self.seconds:
            self._lose(f"there were {there - before:.0f} seconds between two renewals, by the API server's clock")
            raise self.loss()

    def _update(self, change: Callable[[_Lease], _Lease], patience: float, timeout: float = TIMEOUT) -> None:
        """Change the Lease as long as it is ours. Raises FenceLostError when it is not."""
        with self._lock:
            self.check()
            try:
                self._write(change(self._document), patience, timeout)
            except ApiError as error:
                if error.status not in (404, 409):
                    raise
                # A write whose answer was lost is found again here.
                found = self._read(patience, timeout) if error.status == 409 else {}
                if not self._is_ours(found):
                    spec = found.get("spec") or {}
                    self._lose(f"{spec.get('holderIdentity') or 'nobody'} holds the Lease now")
                    raise self.loss() from None
                self._document = found
                self._write(change(found), patience, timeout)

    def _is_ours(self, lease: _Lease) -> bool:
        annotations = (lease.get("metadata") or {}).get("annotations") or {}
        mine = (lease.get("spec") or {}).get("holderIdentity") == self.identity
        return mine and annotations.get(POD) == self.pod

    def _keep(self) -> None:
        """Renew again and again; each attempt ends early enough for several more."""
        while not self._stop.wait(1.0 if self._silence() > self.seconds * _DOUBTFUL else self.seconds / 8):
            try:
                self._update(self._held, 0, timeout=max(2.0, self.seconds / 8))
            except FenceLostError:
                return
            except ApiError:
                continue

    def _watch(self) -> None:
        """Stop the work while a renewal is overdue, and give it up in time."""
        doubtful = False
        while not self._stop.wait(_PACE):
            self._look_at_the_clock()
            if self.lost:
                return
            if (self._silence() > self.seconds * _DOUBTFUL) is not doubtful:
                doubtful = not doubtful
                (self.on_doubt if doubtful else self.on_certainty)()

    def _silence(self) -> float:
        return clock() - self._renewed

    def _look_at_the_clock(self) -> None:
        silent = self._silence()
        if silent > self.seconds * _LOST:
            self._lose(f"no renewal for {silent:.0f} seconds: the API server did not answer, or this node stood still")

    def _lose(self, reason: str) -> None:
        if not self.lost:
            self.lost = reason
            self.on_loss(reason)

    def loss(self) -> FenceLostError:
        """Return the error that says why the Lease is lost."""
        return FenceLostError(
            "keep the Lease of exclusive work",
            where=self.path,
            got=self.lost,
            remedy="Nothing more was deleted after that. Run gc again when the cause is gone.",
        )

    def check(self) -> None:
        """Raise FenceLostError when the Lease is lost."""
        self._look_at_the_clock()
        if self.lost:
            raise self.loss()

    def note_writers(self, count: int | None, patience: float) -> None:
        """Write down how many writers to bring back, or with None that they are back."""

        def change(lease: _Lease) -> _Lease:
            held = self._held(lease)
            annotations = held["metadata"]["annotations"]
            if count is None:
                annotations.pop(WRITERS_BEFORE, None)
            else:
                annotations[WRITERS_BEFORE] = str(count)
            return held

        self._update(change, patience)

    def is_somebody_elses(self, patience: float) -> bool:
        """Tell whether another one has taken it over, whose business the writers are then."""
        self._look_at_the_clock()
        if not self.lost:
            return False
        try:
            holder = (self._read(patience).get("spec") or {}).get("holderIdentity")
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return bool(holder) and holder != self.identity

    def stop(self) -> None:
        """Renew no longer."""
        self._stop.set()
        for thread in self._threads:
            thread.join(_LONGEST_WATCH)

    def release(self, patience: float) -> None:
        """Give the Lease back, if it is still ours."""
        self.stop()
        self._look_at_the_clock()

        def free(lease: _Lease) -> _Lease:
            annotations = {k: v for k, v in (lease["metadata"].get("annotations") or {}).items() if k != POD}
            spec = {**lease["spec"], "holderIdentity": "", "renewTime": stamp(self._api.now())}
            return {**lease, "metadata": {**lease["metadata"], "annotations": annotations}, "spec": spec}

        if not self.lost:
            self._update(free, patience)
        elif not self.is_somebody_elses(patience):
            found = self._read(patience)
            if self._is_ours(found):
                self._api.request("release the Lease", "PUT", self.path, free(found), patience=patience)
