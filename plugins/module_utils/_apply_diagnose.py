# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Find out why an object does not become ready: its pods, their containers, events and last log lines.

This module is private to the collection.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.homeport.registry.plugins.module_utils._apply_objects import Reference
from ansible_collections.homeport.registry.plugins.module_utils._apply_ready import condition
from ansible_collections.homeport.registry.plugins.module_utils._kube_http import ApiClient, ApiError, Unreachable
from ansible_collections.homeport.registry.plugins.module_utils._kube_kinds import EVENT, POD, is_workload

LOG_LINES = 10
LOG_LINE_LENGTH = 300
PODS_SHOWN = 2
EVENT_LIMIT = 200


def diagnose(client: ApiClient, item: Reference) -> list[str]:
    """Return lines of evidence about one object, empty when there is nothing to add.

    Never raises for what it may not read: a missing right is itself a line.
    """
    try:
        if is_workload(item.resource):
            return _workload(client, item)
        return _warnings(
            client, item.namespace, {"involvedObject.name": item.name, "involvedObject.kind": item.resource.kind}
        )
    except (ApiError, Unreachable) as error:
        return [f"no further evidence: {error}"]


def _workload(client: ApiClient, item: Reference) -> list[str]:
    document = client.find(item.path) or {}
    selector = (document.get("spec") or {}).get("selector") or {}
    labels = selector.get("matchLabels") or {}
    if not labels:
        return []
    query = {"labelSelector": ",".join(f"{key}={value}" for key, value in labels.items())}
    pods = client.get(POD.collection(item.namespace), query).get("items") or []
    failing = sorted((pod for pod in pods if not pod_is_fine(pod)), key=_newest_first)
    if not pods:
        return ["it has no pods", *_warnings(client, item.namespace, {"involvedObject.kind": "ReplicaSet"}, item.name)]
    lines = []
    for pod in failing[:PODS_SHOWN]:
        lines += _pod(client, item.namespace, pod)
    if len(failing) > PODS_SHOWN:
        lines.append(f"and {len(failing) - PODS_SHOWN} more pods like these")
    return lines


def _newest_first(pod: dict[str, Any]) -> tuple[int, str]:
    created = pod["metadata"].get("creationTimestamp") or ""
    return (-int("".join(filter(str.isdigit, created)) or 0), pod["metadata"]["name"])


def pod_is_fine(pod: dict[str, Any]) -> bool:
    """Tell whether a pod is ready or has finished well."""
    phase = (pod.get("status") or {}).get("phase")
    return phase == "Succeeded" or condition(pod, "Ready").get("status") == "True"


def _pod(client: ApiClient, namespace: str, pod: dict[str, Any]) -> list[str]:
    name = pod["metadata"]["name"]
    lines = [f"pod {name}: {describe_pod(pod)}"]
    container = failing_container(pod)
    if container is not None:
        lines += [f"  {line}" for line in _log(client, namespace, name, container)]
    lines += [f"  {line}" for line in _warnings(client, namespace, {"involvedObject.name": name})]
    return lines


def describe_pod(pod: dict[str, Any]) -> str:
    """Return the phase of a pod and what each of its containers waits for, in one line."""
    status = pod.get("status") or {}
    parts = [status.get("phase") or "Unknown"]
    if status.get("reason"):
        parts.append(f"{status['reason']}: {status.get('message', '')}")
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        parts.append(f"not scheduled: {scheduled.get('message')}")
    for item in _containers(pod):
        text = _describe_container(item)
        if text:
            parts.append(f"container {item['name']} {text}")
    return "; ".join(parts)


def _containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def _describe_container(item: dict[str, Any]) -> str:
    state = item.get("state") or {}
    last = (item.get("lastState") or {}).get("terminated") or {}
    before = f", before that it ended with exit code {last.get('exitCode')} ({last.get('reason')})" if last else ""
    if "waiting" in state:
        waiting = state["waiting"]
        message = f": {waiting['message']}" if waiting.get("message") else ""
        return f"waits, {waiting.get('reason', 'no reason given')}{message}{before}"
    if "terminated" in state and state["terminated"].get("exitCode"):
        return f"ended with exit code {state['terminated']['exitCode']} ({state['terminated'].get('reason')})"
    if "running" in state and not item.get("ready"):
        return f"runs but is not ready{before}"
    return ""


def failing_container(pod: dict[str, Any]) -> tuple[str, bool] | None:
    """Return the container whose log explains the failure and whether its previous run is meant."""
    for item in _containers(pod):
        state = item.get("state") or {}
        if "terminated" in state and state["terminated"].get("exitCode"):
            return item["name"], False
        if "waiting" in state and (item.get("lastState") or {}).get("terminated"):
            return item["name"], True
        if "running" in state and not item.get("ready"):
            return item["name"], False
    return None


def _log(client: ApiClient, namespace: str, pod: str, container: tuple[str, bool]) -> list[str]:
    name, previous = container
    query = {"container": name, "tailLines": LOG_LINES, "previous": "true" if previous else "false"}
    try:
        text = client.text(f"{POD.path(namespace, pod)}/log", query)
    except ApiError as error:
        return [f"log of {name}: not available ({error.message})"]
    lines = [line[:LOG_LINE_LENGTH] for line in text.splitlines() if line.strip()]
    return [f"log of {name}: {line}" for line in lines[-LOG_LINES:]] or [f"log of {name}: empty"]


def _warnings(client: ApiClient, namespace: str, fields: dict[str, str], prefix: str = "") -> list[str]:
    """Return the latest Warning event about one object."""
    selector = ",".join(f"{key}={value}" for key, value in {**fields, "type": "Warning"}.items())
    try:
        events = client.get(EVENT.collection(namespace), {"fieldSelector": selector, "limit": EVENT_LIMIT}).get("items")
    except ApiError:
        return []
    about = [event for event in events or () if event["involvedObject"].get("name", "").startswith(prefix)]
    if not about:
        return []
    latest = max(about, key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")
    return [f"event {latest.get('reason')}: {latest.get('message', '').strip()[:600]}"]
