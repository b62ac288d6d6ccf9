# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: homeport.registry contributors

"""Objects to apply in tests, and a short view of what became of them."""

from __future__ import annotations

from typing import Any


def config_map(name: str = "config", **data: str) -> dict[str, Any]:
    """Return a ConfigMap to apply."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data or {"a": "1"}}


def secret(name: str = "credentials", **data: str) -> dict[str, Any]:
    """Return a Secret to apply."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data or {"a": "1"}}


def deployment(name: str = "web", replicas: int | None = 0, **container: Any) -> dict[str, Any]:
    """Return a Deployment to apply; without replicas it leaves their number to others."""
    labels = {"app": name}
    spec: dict[str, Any] = {
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "main", "image": "homeport.lab/client:1", **container}],
            },
        },
    }
    if replicas is not None:
        spec["replicas"] = replicas
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def actions(result: dict[str, Any]) -> dict[str, str]:
    """Return the action for each object in a result, by ``Kind/name``."""
    return {f"{item['kind']}/{item['name']}": item["action"] for item in result["objects"]}
