# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The writers of a registry: sent away, waited for, and brought back. Private."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
import typing as t
from collections.abc import Callable, Iterator

from ansible_collections.homeport.registry.plugins.module_utils._fence_api import (
    APPLY,
    MERGE,
    PATIENCE,
    TIMEOUT,
    Api,
    ApiError,
)
from ansible_collections.homeport.registry.plugins.module_utils._fence_lease import Lease
from ansible_collections.homeport.registry.plugins.module_utils._gc_errors import FenceLostError, GcError
from ansible_collections.homeport.registry.plugins.module_utils._gc_options import Options

WANTED = "registry.homeport.dev/writers"
# Seconds between two looks: short at first, since every push waits for what is looked for.
_POLLS = (0.05, 0.05, 0.1, 0.1, 0.2, 0.3)
_READY_SECONDS = 90.0
# How often a number is set again that somebody else's change of the Deployment came before.
_TRIES = 9
# Seconds between two looks at a fence while something is deleted: a writer takes longer to start.
_GUARD_SECONDS = 1.0
_GUARD_TIMEOUT = 5.0


def wanted(before: str | None, annotation: str | None) -> int:
    """Return how many writers to bring back: as many as there were, else as many as the role wants, else one."""
    for text in (before, annotation):
        if text is not None and text.isdigit():
            return int(text)
    return 1


def lingering(pods: t.Iterable[t.Mapping[str, t.Any]]) -> list[str]:
    """Return which pods may still write, and why; only one that has ended may not.

    A pod that was told to end is still there, and so is one on a node that does not answer.
    """
    found = []
    for pod in pods:
        status = pod.get("status") or {}
        containers = status.get("containerStatuses") or []
        ended = status.get("phase") in ("Succeeded", "Failed")
        if ended and all("running" not in (item.get("state") or {}) for item in containers):
            continue
        state = "terminating" if pod["metadata"].get("deletionTimestamp") else str(status.get("phase", "unknown"))
        reason = f", {status['reason']}" if status.get("reason") else ""
        found.append(f"{pod['metadata']['name']} on node {pod['spec'].get('nodeName', 'none')} ({state}{reason})")
    return found


def ready(pods: t.Iterable[t.Mapping[str, t.Any]]) -> bool:
    """Tell whether one of the pods takes requests, and was not told to end."""
    return any(
        {"Ready", "True"} <= {condition.get("type"), condition.get("status")}
        for pod in pods
        if not pod["metadata"].get("deletionTimestamp")
        for condition in (pod.get("status") or {}).get("conditions") or []
    )


def _pauses() -> Iterator[float]:
    yield from _POLLS
    yield from itertools.repeat(_POLLS[-1])


class _ElsewhereError(Exception):
    """Another holder has the Lease."""


class Writers:
    """The Deployment of the writers and the permit that they need."""

    def __init__(self, api: Api, options: Options, lease: Lease, warn: Callable[[str], None]) -> None:
        """Take what the fence is made of, and who is told what somebody should know."""
        self._api, self._options, self._lease, self._warn = api, options, lease, warn
        self.path = f"/apis/apps/v1/namespaces/{options.namespace}/deployments/{options.writer}"
        self._core = f"/api/v1/namespaces/{options.namespace}"
        self._permit = f"{self._core}/configmaps/{options.permit_name}"
        self.stopped_at: float | None = None
        self.before: int | None = None

    def deployment(self, patience: float = PATIENCE) -> dict[str, t.Any]:
        """Return the Deployment."""
        found = self._api.request("read the writers' Deployment", "GET", self.path, patience=patience)[1]
        return t.cast("dict[str, t.Any]", found)

    def _pods(self, patience: float = PATIENCE, timeout: float = TIMEOUT) -> list[dict[str, t.Any]]:
        query = {"labelSelector": self._options.writer_selector}
        path = f"{self._core}/pods"
        listed = self._api.request("list the writers", "GET", path, query=query, patience=patience, timeout=timeout)[1]
        return t.cast("list[dict[str, t.Any]]", listed["items"])

    def _scale(self, count: int, patience: float, before: Callable[[], None], version: str | None = None) -> None:
        body: dict[str, t.Any] = {"spec": {"replicas": count}}
        if version is not None:
            body["metadata"] = {"resourceVersion": version}
        self._api.request(
            f"scale the writers to {count}",
            "PATCH",
            f"{self.path}/scale",
            body,
            content_type=MERGE,
            patience=patience,
            before=before,
        )

    def have_permit(self, patience: float = PATIENCE, timeout: float = TIMEOUT) -> bool:
        """Tell whether the permit is there."""
        tried, there = "look for the write permit", (200, 404)
        answer = self._api.request(tried, "GET", self._permit, expect=there, patience=patience, timeout=timeout)
        return answer[0] == 200

    def send_away(self) -> None:
        """Stop every writer and return when none is left that could write.

        Raises:
            GcError: when one does not go in time, for example because its node does not answer.
        """
        count = int(self.deployment()["spec"].get("replicas", 1))
        self._lease.note_writers(count, PATIENCE)
        self.before, self.stopped_at = count, time.monotonic()
        # What is repeated until an answer comes may come too late, on another holder's time.
        ours, gone = self._lease.check, (200, 202, 404)
        self._api.request("take the write permit", "DELETE", self._permit, expect=gone, before=ours)
        self._scale(0, PATIENCE, ours)
        end = time.monotonic() + self._options.fence_timeout
        pauses = _pauses()
        while left := lingering(self._pods()):
            self._lease.check()
            if time.monotonic() > end:
                raise GcError(
                    "wait until no writer is left",
                    where=self.path,
                    got=f"after {self._options.fence_timeout} seconds there is still {', '.join(left)}",
                    remedy="Nothing was deleted. A node that does not answer must come back, or leave the cluster.",
                )
            time.sleep(next(pauses))

    def check(self, patience: float = PATIENCE, timeout: float = TIMEOUT) -> None:
        """Raise FenceLostError when the fence does not stand: the permit is back, or a writer runs."""
        self._lease.check()
        permit = self.have_permit(patience, timeout)
        running = [
            pod["metadata"]["name"]
            for pod in self._pods(patience, timeout)
            if any(
                "running" in (item.get("state") or {})
                for item in (pod.get("status") or {}).get("containerStatuses") or []
            )
        ]
        if permit or running:
            raise FenceLostError(
                "find the fence standing",
                where=self.path,
                got=f"writer {', '.join(running)} runs" if running else "somebody brought the write permit back",
                remedy="Find out who starts writers during exclusive work, and run gc again.",
            )

    @contextlib.contextmanager
    def guarded(self, breached: Callable[[str], None]) -> Iterator[None]:
        """Look again and again whether the fence stands while a with block deletes; `breached` hears why not."""
        done = threading.Event()

        def look() -> None:
            while not done.is_set():
                try:
                    self.check(0, _GUARD_TIMEOUT)
                except FenceLostError as error:
                    # Not by a look that began before the end and saw what came after it.
                    if not done.is_set():
                        breached(error.got)
                    return
                except ApiError:
                    pass  # How long that may last is the business of the Lease.
                done.wait(_GUARD_SECONDS)

        threading.Thread(target=look, name="guard", daemon=True).start()
        try:
            yield
        finally:
            done.set()

    def bring_back(self, noted: str | None, patience: float, *, wait: float = _READY_SECONDS) -> float | None:
        """Bring permit and writers back; a fence that is somebody else's now is left alone.

        Args:
            noted: the number that a fence left behind on the Lease, for one that this process did not make.
            patience: seconds for which an API server that does not answer is asked again.
            wait: seconds until a writer must be ready.

        Returns:
            Seconds for which nobody could push, none when this process made no fence or no writer is ready.
        """

        def ours() -> None:
            if self._lease.is_somebody_elses(patience):
                raise _ElsewhereError

        try:
            ours()
            count = self._start(noted, patience, ours)
            self._permit_again(patience, ours)
        except _ElsewhereError:
            self._warn("another holder has the Lease: the writers are left to it")
            return None
        if not self._lease.lost:
            self._lease.note_writers(None, patience)
        if not count:
            self._warn("there were no writers before, and there are none now: playbook site sets their number")
        working = self._wait_ready(min(patience, wait)) if count else True
        seconds = None if self.stopped_at is None else time.monotonic() - self.stopped_at
        self.stopped_at = self.before = None
        if not working:
            self._warn(f"the writers are started again, but none was ready after {min(patience, wait):.0f} seconds")
            return None
        return seconds

    def _start(self, noted: str | None, patience: float, ours: Callable[[], None]) -> int:
        """Set the number of writers unless somebody has, and return it."""
        for last in (False,) * _TRIES + (True,):
            deployment = self.deployment(patience)
            annotations = deployment["metadata"].get("annotations") or {}
            found = int(deployment["spec"].get("replicas", 1))
            count = wanted(str(self.before) if self.before is not None else noted, annotations.get(WANTED))
            if found or not count:
                return found
            try:
                # The version it has: what arrives late, when another holder has stopped them again, is refused.
                self._scale(count, patience, ours, deployment["metadata"]["resourceVersion"])
            except ApiError as error:
                if error.status != 409 or last:
                    raise
                continue
            return count
        return 0

    def _permit_again(self, patience: float, ours: Callable[[], None]) -> None:
        # The permit comes last: whoever finds it missing knows that the fence was not taken down to its end.
        permit = {"apiVersion": "v1", "kind": "ConfigMap", **self._options.permit}
        # As the role applies it, so that its next run finds nothing to change.
        query = {"fieldManager": "homeport", "force": "true"}
        self._api.request(
            "bring the write permit back",
            "PATCH",
            self._permit,
            permit,
            content_type=APPLY,
            query=query,
            patience=patience,
            before=ours,
        )

    def _wait_ready(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        for pause in _pauses():
            if time.monotonic() > end:
                break
            try:
                # Not what the Deployment says of them: for a moment that may still be about those that were sent away.
                if ready(self._pods(0)):
                    return True
            except ApiError:
                pass
            time.sleep(pause)
        return False
