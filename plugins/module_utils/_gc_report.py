# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a collection tells: log lines, Events, and one JSON document in a ConfigMap. Private."""

from __future__ import annotations

import contextlib
import json
import sys
import time
import typing as t
import uuid

from ansible_collections.homeport.registry.plugins.module_utils._fence_api import APPLY, PATIENCE, Api, ApiError
from ansible_collections.homeport.registry.plugins.module_utils._fence_lease import MANAGER, stamp
from ansible_collections.homeport.registry.plugins.module_utils._gc_options import Options

STEPS = ("lease", "inventory", "dry_run", "ceiling", "fence", "collect", "release", "verify", "report")
KEY = "report.json"
MARK = "report: "
LISTED = 50
_Document = dict[str, t.Any]


def say(line: str) -> None:
    """Print one line of the pod's log at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def remembered(document: t.Mapping[str, t.Any]) -> _Document:
    """Return what the history keeps of a run."""
    outcome = document.get("outcome")
    return {
        "run": document.get("run"),
        # Nobody else can be running where this is asked.
        "outcome": "abandoned" if outcome == "running" else outcome,
        "step": document.get("step"),
        "reason": document.get("reason") or "",
        "started": document.get("started"),
        "finished": document.get("finished"),
        "deleted": {key: (document.get("deleted") or {}).get(key) for key in ("blobs", "bytes")},
    }


def history_of(last: t.Mapping[str, t.Any] | None, run: str, keep: int) -> list[_Document]:
    """Return the short list of runs before this one, newest first; an earlier try of the same run is one of them."""
    if not last:
        return []
    entry = remembered(last)
    if last.get("run") == run and entry["outcome"] == "abandoned":
        entry["reason"] = f"its pod ended in step {last.get('step')}"
    return [entry, *(last.get("history") or [])][:keep]


class Report:
    """The report of this run, written at the beginning of every step."""

    def __init__(self, api: Api, options: Options, run: str, pod: str) -> None:
        """Begin a report that nobody sees before `open`."""
        self._api, self._options = api, options
        self._path = f"/api/v1/namespaces/{options.namespace}/configmaps/{options.report}"
        self._published = False
        self._clock = time.monotonic()
        self.document: _Document = {
            "version": 1,
            "registry": options.registry,
            "run": run,
            "pod": pod,
            "outcome": "running",
            "step": "lease",
            "reason": "",
            "remedy": "",
            "started": stamp(time.time()),
            "finished": None,
            "seconds": None,
            "dry_run": options.dry_run,
            "untagged": options.untagged,
            "program": None,
            "steps": [],
            "before": None,
            "after": None,
            "eligible": None,
            "deleted": {"blobs": 0, "manifests": 0, "links": 0, "bytes": 0},
            "fence": None,
            "verification": None,
            "recovered": None,
            "problems": [],
            "warnings": [],
            "store": None,
            "history": [],
        }

    @property
    def kept(self) -> int:
        """Return of how many earlier runs the history tells."""
        return self._options.history

    def log(self, text: str) -> None:
        """Print one line for whoever reads the pod's log."""
        say(f"{time.monotonic() - self._clock:7.1f} s  {text}")

    def warn(self, text: str) -> None:
        """Keep a warning, once."""
        if text not in self.document["warnings"]:
            self.document["warnings"].append(text)
            self.log(f"warning: {text}")

    def last(self, patience: float) -> _Document | None:
        """Return the last report, none where there is none that can be read."""
        status, found = self._api.request(
            "read the last report", "GET", self._path, expect=(200, 404), patience=patience
        )
        if status == 404:
            return None
        with contextlib.suppress(ValueError):
            document = json.loads((found.get("data") or {}).get(KEY) or "null")
            if isinstance(document, dict) and document.get("version") == 1:
                return document
        return None

    def open(self, last: t.Mapping[str, t.Any] | None) -> None:
        """Take the history over and write from now on: the Lease is ours."""
        self._published = True
        self.document["history"] = history_of(last, self.document["run"], self._options.history)
        self.document["store"] = (last or {}).get("store")

    def step(self, name: str, text: str) -> None:
        """Begin a step. The report in the cluster says so before anything of it is done."""
        self._end_step()
        self.document["step"] = name
        self.document["steps"].append({"name": name, "started": stamp(time.time()), "seconds": None})
        self._step_clock = time.monotonic()
        self.log(f"{name}: {text}")
        self.write(PATIENCE)

    def _end_step(self) -> None:
        if self.document["steps"] and self.document["steps"][-1]["seconds"] is None:
            self.document["steps"][-1]["seconds"] = round(time.monotonic() - self._step_clock, 3)

    def write(self, patience: float) -> None:
        """Write the report into the cluster, once the Lease is ours."""
        if not self._published:
            return
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": self._options.report, "labels": self._options.permit["metadata"].get("labels") or {}},
            "data": {KEY: json.dumps(self.document, indent=1)},
        }
        query = {"fieldManager": MANAGER, "force": "true"}
        self._api.request(
            "write the report", "PATCH", self._path, body, content_type=APPLY, query=query, patience=patience
        )

    def close(self, outcome: str, reason: str, remedy: str, patience: float) -> None:
        """Write the end of the report, and print it as the last line."""
        self._end_step()
        self.document |= {
            "outcome": outcome,
            "reason": reason,
            "remedy": remedy,
            "finished": stamp(time.time()),
            "seconds": round(time.monotonic() - self._clock, 3),
        }
        self.log(f"{outcome}{': ' if reason else ''}{reason}{' ' if remedy else ''}{remedy}")
        try:
            self.write(patience)
        except ApiError as error:
            self.log(f"the report cannot be written: {error}")
        say(MARK + json.dumps(self.document))

    def event(self, reason: str, message: str, *, warning: bool = False, on_writer: bool = False) -> None:
        """Leave an Event on the CronJob or on the writers' Deployment; one that cannot be left is no reason to stop."""
        kind, version, name = ("CronJob", "batch/v1", self._options.cron_job)
        resource = "cronjobs"
        if on_writer:
            kind, version, name, resource = "Deployment", "apps/v1", self._options.writer, "deployments"
        namespace = self._options.namespace
        with contextlib.suppress(ApiError):
            target = self._api.request(
                "read whom the Event is about",
                "GET",
                f"/apis/{version}/namespaces/{namespace}/{resource}/{name}",
                patience=0,
            )[1]
            now = stamp(time.time())
            involved = {"apiVersion": version, "kind": kind, "name": name, "namespace": namespace}
            body = {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": f"{name}.{uuid.uuid4().hex[:16]}", "namespace": namespace},
                "involvedObject": {**involved, "uid": target["metadata"]["uid"]},
                "type": "Warning" if warning else "Normal",
                "reason": reason,
                "message": message[:1000],
                "source": {"component": "homeport-gc"},
                "firstTimestamp": f"{now[:19]}Z",
                "lastTimestamp": f"{now[:19]}Z",
                "count": 1,
            }
            self._api.request("leave an Event", "POST", f"/api/v1/namespaces/{namespace}/events", body, patience=0)
