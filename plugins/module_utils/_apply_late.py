# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Find pods that will never pull, because they were created before their account had its pull secret.

A pod gets the pull secrets of its ServiceAccount when it is created and at no other time.
This module is private to the collection.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from typing import Any

from ansible_collections.homeport.registry.plugins.module_utils._apply_errors import explain
from ansible_collections.homeport.registry.plugins.module_utils._apply_objects import Desired
from ansible_collections.homeport.registry.plugins.module_utils._apply_run import Run, gather
from ansible_collections.homeport.registry.plugins.module_utils._kube_http import ApiError
from ansible_collections.homeport.registry.plugins.module_utils._kube_kinds import POD

FIELD = "imagePullSecrets"
DOCKER_CONFIG = ".dockerconfigjson"
CANNOT_PULL = ("ErrImagePull", "ImagePullBackOff")
PODS_SHOWN = 20


def warn(run: Run, joined: list[Desired], desired: Iterable[Desired]) -> None:
    """Add a warning for the pods that lack a pull secret that their account was given.

    Never raises for what it may not read.
    """
    accounts = [item for item in joined if item.resource.kind == "ServiceAccount" and FIELD in item.joined]
    if not accounts:
        return
    hosts = set(_hosts(desired))
    namespaces = sorted({item.namespace for item in accounts})
    query = {"fieldSelector": "status.phase=Pending"}
    calls = [_reading(run, namespace, query) for namespace in namespaces]
    early: list[str] = []
    stubborn: list[str] = []
    for namespace, pods in zip(namespaces, gather(run.settings.connections, calls)):
        if isinstance(pods, Exception):
            text = explain(pods) if isinstance(pods, ApiError) else str(pods)
            run.warnings.append(f"pods of namespace {namespace} without their pull secret cannot be looked for: {text}")
            continue
        given = {item.name: item.joined[FIELD] for item in accounts if item.namespace == namespace}
        for pod in pods.get("items") or ():
            if lacks(pod, given, hosts):
                own = bool(pod["spec"].get(FIELD))
                (stubborn if own else early).append(f"{namespace}/{pod['metadata']['name']}")
    secrets = ", ".join(sorted({name for item in accounts for name in item.joined[FIELD]}))
    if early:
        run.warnings.append(
            f"cannot pull, because created before the ServiceAccount had the pull secret {secrets}: {_listed(early)}. "
            "Delete these pods; their controllers make new ones, which have it. Create a pod without a controller again"
        )
    if stubborn:
        run.warnings.append(
            f"cannot pull, because they name pull secrets of their own, not the ServiceAccount's: {_listed(stubborn)}. "
            f"Add {secrets} to imagePullSecrets where these pods are defined, or take imagePullSecrets out there"
        )


def _reading(run: Run, namespace: str, query: dict[str, str]) -> Any:
    return lambda: run.client.get(POD.collection(namespace), query)


def _listed(pods: list[str]) -> str:
    more = f" and {len(pods) - PODS_SHOWN} more" if len(pods) > PODS_SHOWN else ""
    return ", ".join(sorted(pods)[:PODS_SHOWN]) + more


def _hosts(desired: Iterable[Desired]) -> Iterator[str]:
    """Yield the hosts that the pull secrets among the objects are for."""
    for item in desired:
        text = (item.body.get("data") or {}).get(DOCKER_CONFIG) if item.resource.kind == "Secret" else None
        if text:
            yield from json.loads(base64.b64decode(text)).get("auths") or {}


def lacks(pod: dict[str, Any], given: dict[str, list[str]], hosts: set[str]) -> bool:
    """Tell whether a pod cannot pull from one of the hosts and has none of the secrets that its account was given."""
    spec = pod["spec"]
    names = given.get(spec.get("serviceAccountName") or "default")
    if names is None or {entry.get("name") for entry in spec.get(FIELD) or ()} & set(names):
        return False
    status = pod.get("status") or {}
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    failing = {
        item["name"]
        for item in containers
        if ((item.get("state") or {}).get("waiting") or {}).get("reason") in CANNOT_PULL
    }
    images = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    return any(item["name"] in failing and (not hosts or host_of(item["image"]) in hosts) for item in images)


def host_of(image: str) -> str:
    """Return the registry that an image's name points to."""
    first, slash, _rest = image.partition("/")
    named = slash and ("." in first or ":" in first or first == "localhost")
    return first if named else "docker.io"
