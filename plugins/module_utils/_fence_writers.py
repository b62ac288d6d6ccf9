# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The writers of a registry: sent away, waited for, and brought back. Private."""

from __future__ import annotations

import itertools
import time
import typing as t
from collections.abc import Callable, Iterator

from ansible_collections.homeport.registry.plugins.module_utils._fence_api import APPLY, MERGE, PATIENCE, Api, ApiError
from ansible_collections.homeport.registry.plugins.module_utils._fence_lease import Lease
from ansible_collections.homeport.registry.plugins.module_utils._gc_errors import FenceLostError, GcError
from ansible_collections.homeport.registry.plugins.module_utils._gc_options import Options

WANTED = "registry.homeport.dev/writers"
# Seconds between two looks: short at first, since every push waits for what is looked for.
_POLLS = (0.05, 0.05, 0.1, 0.1, 0.2, 0.3)
_READY_SECONDS = 90.0


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


def _pauses() -> Iterator[float]:
    yield from _POLLS
    yield from itertools.repeat(_POLLS[-1])


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

    def _pods(self, patience: float = PATIENCE) -> list[dict[str, t.Any]]:
        query = {"labelSelector": self._options.writer_selector}
        listed = self._api.request("list the writers", "GET", f"{self._core}/pods", query=query, patience=patience)[1]
        return t.cast("list[dict[str, t.Any]]", listed["items"])

    def _scale(self, count: int, patience: float) -> None:
        body = {"spec": {"replicas": count}}
        tried = f"scale the writers to {count}"
        self._api.request(tried, "PATCH", f"{self.path}/scale", body, content_type=MERGE, patience=patience)

    def send_away(self) -> None:
        """Stop every writer and return when none is left that could write.

        Raises:
            GcError: when one does not go in time, for example because its node does not answer.
        """
        count = int(self.deployment()["spec"].get("replicas", 1))
        self._lease.note_writers(count, PATIENCE)
        self.before, self.stopped_at = count, time.monotonic()
        self._api.request("take the write permit", "DELETE", self._permit, expect=(200, 202, 404))
        self._scale(0, PATIENCE)
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

    def check(self) -> None:
        """Raise FenceLostError when the fence does not stand: the permit is back, or a writer runs."""
        self._lease.check()
        status = self._api.request("look for the write permit", "GET", self._permit, expect=(200, 404))[0]
        running = [
            pod["metadata"]["name"]
            for pod in self._pods()
            if any(
                "running" in (item.get("state") or {})
                for item in (pod.get("status") or {}).get("containerStatuses") or []
            )
        ]
        if status == 200 or running:
            raise FenceLostError(
                "find the fence standing",
                where=self.path,
                got=f"writer {', '.join(running)} runs" if running else "somebody brought the write permit back",
                remedy="Find out who starts writers during exclusive work, and run gc again.",
            )

    def bring_back(self, noted: str | None, patience: float, *, wait: float = _READY_SECONDS) -> float | None:
        """Bring permit and writers back; a fence that is somebody else's now is left alone.

        Args:
            noted: the number that a fence left behind on the Lease, for one that this process did not make.
            patience: seconds for which an API server that does not answer is asked again.
            wait: seconds until a writer must be ready.

        Returns:
            Seconds for which nobody could push, none when this process made no fence or no writer is ready.
        """
        if self._lease.is_somebody_elses(patience):
            self._warn("another holder has the Lease: the writers are left to it")
            return None
        # The permit comes last: whoever finds it missing knows that the fence was not taken down to its end.
        deployment = self.deployment(patience)
        annotations = deployment["metadata"].get("annotations") or {}
        count = wanted(str(self.before) if self.before is not None else noted, annotations.get(WANTED))
        if not deployment["spec"].get("replicas"):
            self._scale(count, patience)
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
        )
        if not self._lease.lost:
            self._lease.note_writers(None, patience)
        ready = self._wait_ready(min(patience, wait)) if count else True
        seconds = None if self.stopped_at is None else time.monotonic() - self.stopped_at
        self.stopped_at = self.before = None
        if not ready:
            self._warn(f"the writers are started again, but none was ready after {min(patience, wait):.0f} seconds")
            return None
        return seconds

    def _wait_ready(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        for pause in _pauses():
            if time.monotonic() > end:
                break
            try:
                if (self.deployment(0).get("status") or {}).get("readyReplicas"):
                    return True
            except ApiError:
                pass
            time.sleep(pause)
        return False
