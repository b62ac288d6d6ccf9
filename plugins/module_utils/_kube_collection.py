# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A collection that is started and watched from outside, and the report that the last one left. Private."""

from __future__ import annotations

import copy
import json
import time
import typing as t
import uuid
from collections.abc import Callable

from ansible_collections.homeport.registry.plugins.module_utils._errors import RegistryError
from ansible_collections.homeport.registry.plugins.module_utils._fence_lease import seconds_since, state_of
from ansible_collections.homeport.registry.plugins.module_utils._gc_report import KEY, MARK
from ansible_collections.homeport.registry.plugins.module_utils._kube_http import ApiClient, ApiError

_POLL_SECONDS = 1.0
_LOG_GONE = (400, 404)
GOOD = ("succeeded", "nothing_to_do", "dry_run")
_Document = dict[str, t.Any]


class JobError(RegistryError):
    """The Job of a collection cannot be started, or came to no result."""


def job_from(cron_job: _Document, name: str, *, dry_run: bool) -> _Document:
    """Return a Job of the CronJob's template, which counts among the Jobs that the CronJob keeps."""
    template = copy.deepcopy(cron_job["spec"]["jobTemplate"])
    owner = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "name": cron_job["metadata"]["name"],
        "uid": cron_job["metadata"]["uid"],
        "controller": True,
    }
    metadata = template.get("metadata") or {}
    annotations = {**(metadata.get("annotations") or {}), "cronjob.kubernetes.io/instantiate": "manual"}
    metadata = {**metadata, "name": name, "annotations": annotations, "ownerReferences": [owner]}
    if dry_run:
        for container in template["spec"]["template"]["spec"]["containers"]:
            if container["name"] == "engine":
                container["args"] = [*container.get("args", []), "--dry-run"]
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template["spec"]}


def verdict(job: _Document) -> str:
    """Return "", "complete", or why the Job has failed."""
    for condition in (job.get("status") or {}).get("conditions") or []:
        if condition.get("status") == "True" and condition["type"] == "Complete":
            return "complete"
        if condition.get("status") == "True" and condition["type"] == "Failed":
            return f"{condition.get('reason')}: {condition.get('message')}"
    return ""


class Run:
    """One Job, from its start to its report."""

    def __init__(self, client: ApiClient, registry: str, namespace: str, say: Callable[[str], None]) -> None:
        """Take where the registry is, and who hears every line of the collector's log."""
        self._client, self._registry, self._namespace, self._say = client, registry, namespace, say
        self._seen: dict[str, int] = {}
        self.name = ""
        self.report: _Document | None = None

    def start(self, *, dry_run: bool) -> None:
        """Start the Job. Raises JobError where there is no CronJob to make it from."""
        place = f"/apis/batch/v1/namespaces/{self._namespace}"
        cron_job = self._client.find(f"{place}/cronjobs/{self._registry}-gc")
        if cron_job is None:
            raise JobError(
                "start a collection",
                where=f"{place}/cronjobs/{self._registry}-gc",
                got="there is no such CronJob",
                remedy="Run homeport.registry.site first, which makes it.",
            )
        stamp = time.strftime("%Y%m%d%H%M%S", time.gmtime())
        self.name = f"{self._registry}-gc-{stamp}-{uuid.uuid4().hex[:4]}"
        self._client.create(f"{place}/jobs", job_from(cron_job, self.name, dry_run=dry_run))
        self._say(f"started Job {self.name}")

    def follow(self, seconds: float) -> None:
        """Say what the collector logs until the Job ends. Raises JobError when it does not, or leaves no report."""
        path = f"/apis/batch/v1/namespaces/{self._namespace}/jobs/{self.name}"
        end = time.monotonic() + seconds
        told = ""
        while True:
            result = verdict(self._client.get(path))
            pods = self._pods()
            for pod in pods:
                self._read_log(pod)
            if result:
                break
            waiting = _waiting(pods)
            if waiting != told and waiting:
                self._say(waiting)
            told = waiting
            if time.monotonic() > end:
                raise JobError(
                    "see the collection end",
                    where=path,
                    got=f"it still runs after {seconds:.0f} seconds" + (f" ({waiting})" if waiting else ""),
                    remedy="Follow it with kubectl logs; it ends by itself at its deadline.",
                )
            time.sleep(_POLL_SECONDS)
        if self.report is None:
            raise JobError(
                "read the report of the collection",
                where=path,
                got=f"its log holds none ({result})",
                remedy="Look at the Events of the Job and its pods.",
            )

    def _pods(self) -> list[_Document]:
        selector = {"labelSelector": f"batch.kubernetes.io/job-name={self.name}"}
        found = self._client.get(f"/api/v1/namespaces/{self._namespace}/pods", selector)
        return sorted(found["items"], key=lambda pod: pod["metadata"]["creationTimestamp"])

    def _read_log(self, pod: _Document) -> None:
        name = pod["metadata"]["name"]
        try:
            text = self._client.text(f"/api/v1/namespaces/{self._namespace}/pods/{name}/log", {"container": "engine"})
        except ApiError as error:
            # It has not started yet, or is gone already.
            if error.status in _LOG_GONE:
                return
            raise
        lines = text.splitlines() if text.endswith("\n") or not text else text.splitlines()[:-1]
        for line in lines[self._seen.get(name, 0) :]:
            if line.startswith(MARK):
                self.report = json.loads(line[len(MARK) :])
            else:
                self._say(line)
        self._seen[name] = len(lines)


def _waiting(pods: list[_Document]) -> str:
    """Return what the newest pod waits for, nothing when it runs."""
    if not pods or pods[-1]["status"].get("phase") != "Pending":
        return ""
    status = pods[-1]["status"]
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"the pod waits for a node: {condition.get('message')}"
    containers = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    for container in containers:
        reason = ((container.get("state") or {}).get("waiting") or {}).get("reason", "")
        if reason and reason not in ("PodInitializing", "ContainerCreating"):
            return f"container {container['name']} waits: {reason}"
    return ""


def read_report(client: ApiClient, registry: str, namespace: str) -> _Document:
    """Return state, age in seconds, and report of the last collection; see the module gc_info."""
    found = client.find(f"/api/v1/namespaces/{namespace}/configmaps/{registry}-gc-report")
    if found is None:
        return {"state": "none", "report": None, "age": None, "summary": ["There was no collection yet."]}
    try:
        report = json.loads((found.get("data") or {})[KEY])
        if not isinstance(report, dict) or report.get("version") != 1:
            raise ValueError
    except (KeyError, ValueError):
        raise JobError(
            "read the report",
            where=f"ConfigMap {registry}-gc-report in namespace {namespace}",
            got="it is not a report of this version",
            remedy="Delete the ConfigMap; the next collection writes a new one.",
        ) from None
    now = client.now()
    age = int(seconds_since(report.get("finished") or report["started"], now))
    state = "finished"
    if report["outcome"] == "running":
        path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{registry}-exclusive"
        lease = client.find(path) or {}
        holder = str((lease.get("spec") or {}).get("holderIdentity") or "")
        alive = holder.startswith(f"{report['run']}_") and state_of(lease, "", now) == "held"
        state = "running" if alive else "abandoned"
    return {"state": state, "report": report, "age": age, "summary": summary_of(report, state)}


def summary_of(report: t.Mapping[str, t.Any], state: str = "finished") -> list[str]:
    """Return the report in a few lines."""
    lines = [f"{report['run']}: {report['outcome'] if state == 'finished' else state} in step {report['step']}"]
    if report["reason"]:
        lines.append(f"{report['reason']} {report['remedy']}".strip())
    eligible, deleted, after = report["eligible"], report["deleted"], report["after"]
    if eligible:
        lines.append(f"eligible: {eligible['blobs']} blobs ({eligible['share']} %){_size(eligible['bytes'])}")
    if deleted["blobs"] or deleted["manifests"]:
        lines.append(f"deleted: {deleted['blobs']} blobs, {deleted['manifests']} manifests{_size(deleted['bytes'])}")
    if after:
        lines.append(
            f"left: {after['tags']} tags, {after['manifests']} manifests, {after['reachable_blobs']} blobs in use"
        )
    if report["fence"] and report["fence"]["seconds"] is not None:
        lines.append(f"pushes waited {report['fence']['seconds']} s")
    if report["verification"]:
        check = report["verification"]
        found = "everything was found again" if check["ok"] else f"{len(check['problems'])} contents are lost"
        lines.append(f"verified ({check['depth']}): {found}")
    lines += [f"warning: {text}" for text in report["warnings"]]
    lines += [f"problem: {one['where']}: {one['text']}" for one in report["problems"][:5]]
    return lines


def _size(count: int | None) -> str:
    return "" if count is None else f", {count / 1e6:.1f} MB"
