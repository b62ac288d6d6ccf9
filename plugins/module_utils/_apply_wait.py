# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Wait by watch until objects are ready or gone: all at once, under one deadline.

This module is private to the collection.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.homeport.registry.plugins.module_utils._apply_objects import Key, Reference
from ansible_collections.homeport.registry.plugins.module_utils._apply_ready import (
    READY,
    State,
    assess,
    unused_claim,
    waits,
)
from ansible_collections.homeport.registry.plugins.module_utils._kube_http import ApiClient, ApiError
from ansible_collections.homeport.registry.plugins.module_utils._kube_kinds import (
    EVENT,
    STORAGE_CLASS,
    VOLUME_CLAIM,
)

RECONNECT_SECONDS = 0.2
CLAIM_RECHECK_SECONDS = 2.0
# What stands in between may forget a connection on which nothing happens, and tell nobody.
WATCH_SECONDS = 30.0

Assess = Callable[[Reference, "dict[str, Any] | None"], State]


def wait_ready(
    client: ApiClient, objects: Sequence[tuple[Reference, dict[str, Any]]], seconds: float
) -> list[tuple[Reference, State]]:
    """Wait until every object is ready; return those that are not, empty for success.

    ``objects`` carry the state that the API server returned last: what is ready there costs no request.
    Returns early when an object has failed for good.
    """
    claims = _Claims(client)
    latest = {item.key: claims.assess(item, document) for item, document in objects if waits(item.resource)}
    pending = [item for item, document in objects if item.key in latest and not latest[item.key].ready]
    return _Wait(client, claims.assess, seconds).run(pending, latest)


def wait_gone(
    client: ApiClient, objects: Mapping[Key, tuple[Reference, str]], seconds: float
) -> list[tuple[Reference, State]]:
    """Wait until every object is gone; return those that are not, with what holds them.

    ``objects`` are references with the uid of the object that was deleted.
    """

    def assess_gone(item: Reference, document: dict[str, Any] | None) -> State:
        if document is None or document["metadata"].get("uid") != objects[item.key][1]:
            return READY
        return State(False, _what_holds(document))

    pending = [item for item, uid in objects.values()]
    return _Wait(client, assess_gone, seconds).run(pending, {})


def _what_holds(document: dict[str, Any]) -> str:
    metadata = document["metadata"]
    blocking = [
        item.get("message", "")
        for item in (document.get("status") or {}).get("conditions") or ()
        if item.get("status") == "True" and item.get("type", "").startswith("Namespace")
    ]
    if blocking:
        return "; ".join(blocking)
    held = ", ".join(metadata.get("finalizers") or (document.get("spec") or {}).get("finalizers") or ())
    return f"it is still there, held by finalizer {held}" if held else "it is still there"


class _Claims:
    """Readiness of volume claims depends on their storage class; ask for each class once."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._modes: dict[str, str | None] = {}

    def assess(self, item: Reference, document: dict[str, Any] | None) -> State:
        if document is None:
            return State(False, "it was deleted while waiting for it", failed=True)
        state = assess(item.resource, document)
        pending = item.resource == VOLUME_CLAIM and not state.ready and not state.failed
        if pending and unused_claim(document, self._waits_for_consumer):
            return READY
        return state

    def _waits_for_consumer(self, document: dict[str, Any]) -> bool:
        name = document["spec"].get("storageClassName")
        if not name:
            return False
        if name not in self._modes:
            try:
                found = self._client.find(STORAGE_CLASS.path(None, name))
                self._modes[name] = (found or {}).get("volumeBindingMode")
            except ApiError:
                # reading storage classes takes rights at cluster scope: the claim's events say it too
                return self._said_so(document["metadata"])
        return self._modes[name] == "WaitForFirstConsumer"

    def _said_so(self, metadata: dict[str, Any]) -> bool:
        query = {"fieldSelector": f"involvedObject.uid={metadata['uid']},reason=WaitForFirstConsumer", "limit": 1}
        try:
            return bool(self._client.get(EVENT.collection(metadata["namespace"]), query).get("items"))
        except ApiError:
            return False


class _Wait:
    """One wait for many objects: a watch per kind and namespace, each in its own thread."""

    def __init__(self, client: ApiClient, judge: Assess, seconds: float) -> None:
        self._client = client
        self._judge = judge
        self._deadline = time.monotonic() + seconds
        self._change = threading.Condition()
        self._states: dict[Key, State] = {}
        self._trouble: Exception | None = None

    def run(self, pending: Sequence[Reference], latest: Mapping[Key, State]) -> list[tuple[Reference, State]]:
        self._states = {item.key: latest.get(item.key, State(False, "not looked at yet")) for item in pending}
        if not self._done():
            for group in _groups(pending):
                # a stream that nobody needs any more must not keep the process alive
                threading.Thread(target=self._follow, args=(group,), daemon=True).start()
        with self._change:
            self._change.wait_for(self._done, timeout=max(0.0, self._left()))
            states = dict(self._states)
        if self._trouble is not None:
            raise self._trouble
        return [(item, states[item.key]) for item in pending if not states[item.key].ready]

    def _done(self) -> bool:
        states = self._states.values()
        return (
            self._trouble is not None or any(state.failed for state in states) or all(state.ready for state in states)
        )

    def _left(self) -> float:
        return self._deadline - time.monotonic()

    def _follow(self, group: Sequence[Reference]) -> None:
        try:
            while self._left() > 0 and not self._settled(group):
                self._follow_once(group)
        # whatever it is, in a thread it would be lost and the wait would sit out its time
        except Exception as error:
            with self._change:
                self._trouble = error
                self._change.notify_all()

    def _settled(self, group: Sequence[Reference]) -> bool:
        return all(self._states[item.key].ready for item in group)

    def _follow_once(self, group: Sequence[Reference]) -> None:
        """Read the objects, then follow their events from that very version until settled or disconnected."""
        first = group[0]
        path = first.resource.collection(first.namespace)
        query = {"fieldSelector": f"metadata.name={first.name}"} if len(group) == 1 else {}
        listed = self._client.get(path, query)
        wanted = {item.name: item for item in group}
        found = {item["metadata"]["name"]: item for item in listed.get("items") or ()}
        for name, item in wanted.items():
            self._update(item, found.get(name))
        version = listed["metadata"]["resourceVersion"]
        seconds = min(self._left(), CLAIM_RECHECK_SECONDS if first.resource == VOLUME_CLAIM else WATCH_SECONDS)
        if self._settled(group) or seconds <= 0:
            return
        for event in self._client.watch(path, {**query, "resourceVersion": version}, seconds):
            if event.get("type") == "ERROR":
                # 410: the version is too old by now; reading again gives a new one
                break
            document = event["object"]
            watched = wanted.get(document["metadata"]["name"])
            if watched is not None:
                self._update(watched, None if event["type"] == "DELETED" else document)
            if self._settled(group):
                return
        time.sleep(max(0.0, min(RECONNECT_SECONDS, self._left())))

    def _update(self, item: Reference, document: dict[str, Any] | None) -> None:
        state = self._judge(item, document)
        with self._change:
            self._states[item.key] = state
            self._change.notify_all()


def _groups(items: Iterable[Reference]) -> list[list[Reference]]:
    groups: dict[tuple[str, str, str], list[Reference]] = {}
    for item in items:
        groups.setdefault((item.resource.api_version, item.resource.kind, item.namespace), []).append(item)
    return list(groups.values())
