# SPDX-FileCopyrightText: homeport.registry contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Front pods come under load and stay when somebody runs the playbook; no pull fails meanwhile."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator

import pytest

from tests.verify import oci
from tests.verify.clients import Client, PullLoop
from tests.verify.cluster import eventually
from tests.verify.playbooks import Playbooks
from tests.verify.registry import Account, Registry

AUTOSCALED = {"registry_server_replicas": 2, "registry_server_autoscale_max": 4, "registry_server_autoscale_cpu": 50}
# Clients that ask without a pause: each answer costs the reader a hash of a password.
CLIENTS = 4


@pytest.fixture
def autoscaled(registry: Registry, playbooks: Playbooks) -> Iterator[None]:
    """Hand the number of front pods to an autoscaler; afterwards it is the role's again, as the guide says how."""
    playbooks.run("site", **AUTOSCALED)
    registry.wait_ready()
    yield
    registry.kubectl("delete", "hpa", registry.name)
    registry.kubectl("scale", f"deployment/{registry.name}", "--replicas=2")
    playbooks.run("site")
    registry.wait_ready()


def _seen(registry: Registry) -> dict[str, int]:
    """Return what the autoscaler has measured, in percent of what is requested, and how many pods are ready."""
    measured = "status.currentMetrics[0].resource.current.averageUtilization"
    found = registry.find("[status.replicas, status.readyReplicas]", "deployment", registry.name)
    return {
        "percent": registry.find(measured, "hpa", registry.name) or 0,
        "pods": found[0] or 0,
        "ready": found[1] or 0,
    }


def test_front_pods_come_under_load_and_stay(
    registry: Registry, playbooks: Playbooks, client: Client, writer: Account, reader: Account, autoscaled: None
) -> None:
    """The autoscaler adds pods and site leaves them; every request is answered, also by the ones that just came."""
    layout = oci.image("under load")
    done = client.push(client.put(layout), "load/app:1", writer)
    assert done.rc == 0, done.stderr
    eventually(lambda: registry.find("status.currentMetrics", "hpa", registry.name), "a measurement", seconds=120)
    url = f"http://{registry.host}/v2/load/app/manifests/1"
    pulling = [PullLoop(client, reader, url) for _number in range(CLIENTS)]
    began = time.monotonic()
    with contextlib.ExitStack() as running:
        for one in pulling:
            running.enter_context(one)
        before = _seen(registry)
        eventually(lambda: _seen(registry)["ready"] >= 3, "a third front pod", seconds=180, every=1)
        came = round(time.monotonic() - began, 1)
        under_load = _seen(registry)
        objects = registry.versions()
        run = playbooks.run("site", **AUTOSCALED)
        after = _seen(registry)
        # The pods that came serve, too.
        time.sleep(5)
    pulls, failures = sum(one.count for one in pulling), [text for one in pulling for text in one.failures]
    told = {"before": before, "came_after": came, "under_load": under_load, "after_site": after}
    print(json.dumps({**told, "pulls": pulls, "failed": failures}, indent=1))
    assert before["pods"] == 2
    assert run.changed == []
    assert after["pods"] >= 3
    assert set(objects) == set(registry.versions())
    assert failures == []
    assert pulls > 100
